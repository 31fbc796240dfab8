// δ ↦ A δ + b in every element of the state on its own: the undamped update. A state is δ.
//#import shared/scan_diagonal.wgsl

const ELEMENT_FLOATS = 2u;
const STATE_FLOATS = 1u;

struct Element {
  A: f32,
  b: f32,
}

alias State = f32;

fn identity() -> Element {
  return Element(1.0, 0.0);
}

fn pack(element: Element) -> array<f32, ELEMENT_FLOATS> {
  return array<f32, ELEMENT_FLOATS>(element.A, element.b);
}

fn unpack(numbers: array<f32, ELEMENT_FLOATS>) -> Element {
  return Element(numbers[0], numbers[1]);
}

fn combine(earlier: Element, later: Element) -> Element {
  return Element(carry(later.A, earlier.A), act(later, earlier.b));
}

fn act(element: Element, state: State) -> State {
  return carry(element.A, state) + element.b;
}

fn zero_state() -> State {
  return 0.0;
}

fn pack_state(state: State) -> array<f32, STATE_FLOATS> {
  return array<f32, STATE_FLOATS>(state);
}

fn unpack_state(numbers: array<f32, STATE_FLOATS>) -> State {
  return numbers[0];
}

fn chunk_element(k: u32, j: u32, role: u32) -> Element {
  if (role == FROZEN) {
    return Element(0.0, 0.0);
  }
  let defect = ends[k * STATE_SIZE + unit] - boundaries[boundary_at(k) + unit];
  if (role == HEAD) {
    return Element(0.0, defect);
  }
  return Element(product_of(k), defect);
}

// b'_{k+1} = Φ_k + P_k δ
fn apply(k: u32, j: u32, role: u32, state: State) -> State {
  if (role == FROZEN) {
    return 0.0;
  }
  let end = ends[k * STATE_SIZE + unit];
  let old = boundaries[boundary_at(k) + unit];
  if (role == HEAD) {
    write_head(k, j, unit, end);
    return end - old;
  }
  let carried = carry(product_of(k), state);
  let fresh = moved(end, carried);
  write_free(k, j, unit, fresh, old);
  return fresh - old;
}
