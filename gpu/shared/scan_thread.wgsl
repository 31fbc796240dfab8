// Runs a monoid whose accumulators a thread holds. The monoid gives `Element` and `State`, and, with k a chunk and j
// its sequence:
//
//   identity(), chunk_element(k, j, role), combine(earlier, later), pack(element), unpack(numbers)
//   zero_state(), act(element, state), apply(k, j, role, state), pack_state(state), unpack_state(numbers)

var<private> element: Element;
var<private> state: State;

fn load_element(at: u32) -> Element {
  var numbers: array<f32, ELEMENT_FLOATS>;
  for (var f = 0u; f < ELEMENT_FLOATS; f++) {
    numbers[f] = scratch[at + f * UNITS + unit];
  }
  return unpack(numbers);
}

fn load_state(at: u32) -> State {
  var numbers: array<f32, STATE_FLOATS>;
  for (var f = 0u; f < STATE_FLOATS; f++) {
    numbers[f] = scratch[at + f * UNITS + unit];
  }
  return unpack_state(numbers);
}

fn store_state(at: u32, state: State) {
  let numbers = pack_state(state);
  for (var f = 0u; f < STATE_FLOATS; f++) {
    scratch[at + f * UNITS + unit] = numbers[f];
  }
}

fn element_clear() {
  element = identity();
}

fn element_absorb(at: u32) {
  element = combine(element, load_element(at));
}

fn element_store(at: u32) {
  if (unit < UNITS) {
    let numbers = pack(element);
    for (var f = 0u; f < ELEMENT_FLOATS; f++) {
      scratch[at + f * UNITS + unit] = numbers[f];
    }
  }
}

fn element_load(at: u32, run: Run) {
  element_clear();
  if (run.begin < run.end) {
    element = load_element(at);
  }
}

fn element_absorb_chunk(k: u32, j: u32, role: u32) {
  element = combine(element, chunk_element(k, j, role));
}
//#if MERGE

var<workgroup> merged: array<f32, ELEMENT_FLOATS * WORKGROUP>;

fn share() {
  let numbers = pack(element);
  for (var f = 0u; f < ELEMENT_FLOATS; f++) {
    merged[f * WORKGROUP + thread] = numbers[f];
  }
}

fn shared_by(other: u32) -> Element {
  var numbers: array<f32, ELEMENT_FLOATS>;
  for (var f = 0u; f < ELEMENT_FLOATS; f++) {
    numbers[f] = merged[f * WORKGROUP + other];
  }
  return unpack(numbers);
}

// The elements of all rows, combined in row 0: neighbours first.
fn rows_merge() {
  for (var reach = 1u; reach < ROWS; reach *= 2u) {
    share();
    workgroupBarrier();
    if (row % (2u * reach) == 0u) {
      element = combine(element, shared_by(thread + reach * LANES));
    }
    workgroupBarrier();
  }
}
//#end

fn state_clear() {
  state = zero_state();
}

fn state_load(at: u32) {
  state_clear();
  if (unit < UNITS) {
    state = load_state(at);
  }
}

fn state_store(at: u32) {
  store_state(at, state);
}

fn state_advance(at: u32) {
  state = act(load_element(at), state);
}

fn state_apply(k: u32, j: u32, role: u32) {
  state = apply(k, j, role, state);
}

//#if MERGE
// From the state before the tile to that before this row (BACKWARD: after): `element` is the row's own, and the
// rows' prefixes (BACKWARD: suffixes) come by doubling what they reach over (Hillis and Steele).
fn rows_advance() {
  share();
  workgroupBarrier();
  for (var reach = 1u; reach < ROWS; reach *= 2u) {
//#if BACKWARD
    if (row + reach < ROWS) {
      element = combine(element, shared_by(thread + reach * LANES));
    }
//#else
    if (row >= reach) {
      element = combine(shared_by(thread - reach * LANES), element);
    }
//#end
    workgroupBarrier();
    share();
    workgroupBarrier();
  }
//#if BACKWARD
  if (row + 1u < ROWS) {
    state = act(shared_by(thread + LANES), state);
  }
//#else
  if (row > 0u) {
    state = act(shared_by(thread - LANES), state);
  }
//#end
}
//#end
