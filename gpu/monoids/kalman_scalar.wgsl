// The Kalman filter and smoother of docs/methods.md, (3), in every element of the state on its own: the damped update.
// Särkkä and García-Fernández, IEEE Transactions on Automatic Control 66 (2021), section IV.
//
// An element says: given δ before its chunks, δ after them is N(A δ + b, C), and what was observed in them weighs
// δ by exp(η δ − J δ²/2). A state is the filter's mean and variance, or (BACKWARD) the η and J of all later chunks.
//#import shared/scan_diagonal.wgsl

const ELEMENT_FLOATS = 5u;
const STATE_FLOATS = 2u;

// Keep J ≤ P² and all that is derived from it finite. Where the dynamics expand by this much P_k says nothing.
const LARGEST_FACTOR = 1e12;
const LARGEST_VARIANCE = 1e30;

struct Element {
  A: f32,
  b: f32,
  C: f32,
  eta: f32,
  J: f32,
}

// Mean and variance, or η and J.
struct State {
  vector: f32,
  matrix: f32,
}

fn identity() -> Element {
  return Element(1.0, 0.0, 0.0, 0.0, 0.0);
}

fn pack(element: Element) -> array<f32, ELEMENT_FLOATS> {
  return array(element.A, element.b, element.C, element.eta, element.J);
}

fn unpack(numbers: array<f32, ELEMENT_FLOATS>) -> Element {
  return Element(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]);
}

fn combine(earlier: Element, later: Element) -> Element {
  let after = forward(later, State(earlier.b, earlier.C));
  let before = backward(earlier, State(later.eta, later.J));
  let slope = carry(later.A, 1.0 / (1.0 + carry(earlier.C, later.J)));
  return Element(carry(slope, earlier.A), after.vector, after.matrix, before.vector, before.matrix);
}

fn forward(element: Element, state: State) -> State {
  let slope = carry(element.A, 1.0 / (1.0 + carry(state.matrix, element.J)));
  let mean = carry(slope, state.vector + carry(state.matrix, element.eta)) + element.b;
  let variance = carry(element.A, carry(slope, state.matrix)) + element.C;
  return State(mean, min(variance, LARGEST_VARIANCE));
}

fn backward(element: Element, state: State) -> State {
  let slope = carry(element.A, 1.0 / (1.0 + carry(element.C, state.matrix)));
  let eta = carry(slope, state.vector - carry(state.matrix, element.b)) + element.eta;
  return State(eta, carry(element.A, carry(slope, state.matrix)) + element.J);
}

fn act(element: Element, state: State) -> State {
//#if BACKWARD
  return backward(element, state);
//#else
  return forward(element, state);
//#end
}

fn zero_state() -> State {
  return State(0.0, 0.0);
}

fn pack_state(state: State) -> array<f32, STATE_FLOATS> {
  return array(state.vector, state.matrix);
}

fn unpack_state(numbers: array<f32, STATE_FLOATS>) -> State {
  return State(numbers[0], numbers[1]);
}

fn factor_of(k: u32) -> f32 {
  return clamp(product_of(k), -LARGEST_FACTOR, LARGEST_FACTOR);
}

// With the gain g = λ/(1+λ) of an observation of noise 1/λ after noise 1: A = (1−g) P, b = (1−g) d, C = 1−g,
// η = −g P d, J = g P².
fn chunk_element(k: u32, j: u32, role: u32) -> Element {
  if (role == FROZEN) {
    return Element(0.0, 0.0, 0.0, 0.0, 0.0);
  }
  let defect = ends[k * STATE_SIZE + unit] - boundaries[boundary_at(k) + unit];
  if (role == HEAD) {
    return Element(0.0, defect, 0.0, 0.0, 0.0);
  }
  let factor = factor_of(k);
  let lambda = control[j].lambda;
  let keep = 1.0 / (1.0 + lambda);
  let weighed = lambda * keep * factor;
  return Element(keep * factor, keep * defect, keep, -carry(weighed, defect), weighed * factor);
}

fn apply(k: u32, j: u32, role: u32, state: State) -> State {
  if (role == FROZEN) {
    return zero_state();
  }
  let end = ends[k * STATE_SIZE + unit];
  let old = boundaries[boundary_at(k) + unit];
  let defect = end - old;
  let lambda = control[j].lambda;
  let stashed = level.stashAt + k * STATE_FLOATS * UNITS;
//#if BACKWARD
  if (role == HEAD) {
    write_head(k, j, unit, end);
    return zero_state();
  }
  let filtered = load_state(stashed);
  let pulled = filtered.vector + carry(filtered.matrix, state.vector);
  let smoothed = pulled / (1.0 + carry(filtered.matrix, state.matrix));
  write_free(k, j, unit, moved(old, smoothed), old);
  // What is known of δ after the chunk, its own observation included, then through the chunk.
  let information = state.matrix + lambda;
  let back = carry(factor_of(k), 1.0 / (1.0 + information));
  return State(
    carry(back, state.vector - carry(information, defect)),
    carry(factor_of(k), carry(back, information)),
  );
//#else
  var next = State(defect, 0.0);
  if (role == FREE) {
    let factor = factor_of(k);
    let prior = min(carry(factor, carry(factor, state.matrix)) + 1.0, LARGEST_VARIANCE);
    let innovation = 1.0 + lambda * prior;
    next = State((carry(factor, state.vector) + defect) / innovation, prior / innovation);
  }
//#if STASH
  store_state(stashed, next);
//#else
  if (role == HEAD) {
    write_head(k, j, unit, end);
  } else {
    write_free(k, j, unit, moved(old, next.vector), old);
  }
//#end
  return next;
//#end
}
