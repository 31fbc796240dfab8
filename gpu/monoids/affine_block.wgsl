// δ ↦ A δ + b in every unit, with small matrices: the undamped update. A state is a unit's δ.
//#import shared/scan_block.wgsl

const ELEMENT_FLOATS = N * N + N;
const STATE_FLOATS = N;

struct Element {
  A: Matrix,
  b: Vector,
}

alias State = Vector;

fn identity() -> Element {
  return Element(identity_matrix(), Vector());
}

fn pack(element: Element) -> array<f32, ELEMENT_FLOATS> {
  var numbers: array<f32, ELEMENT_FLOATS>;
  for (var i = 0u; i < N * N; i++) {
    numbers[i] = element.A[i];
  }
  for (var a = 0u; a < N; a++) {
    numbers[N * N + a] = element.b[a];
  }
  return numbers;
}

fn unpack(numbers: array<f32, ELEMENT_FLOATS>) -> Element {
  var element: Element;
  for (var i = 0u; i < N * N; i++) {
    element.A[i] = numbers[i];
  }
  for (var a = 0u; a < N; a++) {
    element.b[a] = numbers[N * N + a];
  }
  return element;
}

fn combine(earlier: Element, later: Element) -> Element {
  return Element(multiply_add(later.A, earlier.A, Matrix()), act(later, earlier.b));
}

fn act(element: Element, state: State) -> State {
  return transform(element.A, state, element.b);
}

fn zero_state() -> State {
  return Vector();
}

fn pack_state(state: State) -> array<f32, STATE_FLOATS> {
  return state;
}

fn unpack_state(numbers: array<f32, STATE_FLOATS>) -> State {
  return numbers;
}

fn chunk_element(k: u32, j: u32, role: u32) -> Element {
  if (role == FROZEN) {
    return Element(Matrix(), Vector());
  }
  if (role == HEAD) {
    return Element(Matrix(), defect_of(k));
  }
  return Element(product_of(k), defect_of(k));
}

// b'_{k+1} = Φ_k + P_k δ
fn apply(k: u32, j: u32, role: u32, state: State) -> State {
  var next = Vector();
  if (role == FROZEN) {
    return next;
  }
  var carried = Vector();
  if (role == FREE) {
    carried = transform(product_of(k), state, carried);
  }
  for (var a = 0u; a < N; a++) {
    let i = a * UNITS + unit;
    let end = ends[k * STATE_SIZE + i];
    let old = boundaries[boundary_at(k) + i];
    let fresh = moved(end, carried[a]);
    if (role == HEAD) {
      write_head(k, j, i, end);
    } else {
      write_free(k, j, i, fresh, old);
    }
    next[a] = fresh - old;
  }
  return next;
}
