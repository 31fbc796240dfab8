// The Kalman filter and smoother of docs/methods.md, (3), in every unit, with small matrices: the damped update.
// As kalman_scalar.wgsl, with vectors b, η and matrices A, C, J; C and J are symmetric.
//#import shared/scan_block.wgsl

const ELEMENT_FLOATS = 3u * N * N + 2u * N;
const STATE_FLOATS = N * N + N;

// Largest entry of a P_k; larger ones are scaled down. V⁻ has eigenvalues from 1 to ‖P‖²/λ, and float32 has to
// tell I + λV⁻ from a singular matrix.
const LARGEST_FACTOR = 1e3;

struct Element {
  A: Matrix,
  b: Vector,
  C: Matrix,
  eta: Vector,
  J: Matrix,
}

// Mean and covariance, or (BACKWARD) η and J of all later chunks.
struct State {
  vector: Vector,
  matrix: Matrix,
}

fn identity() -> Element {
  return Element(identity_matrix(), Vector(), Matrix(), Vector(), Matrix());
}

fn pack(element: Element) -> array<f32, ELEMENT_FLOATS> {
  var numbers: array<f32, ELEMENT_FLOATS>;
  for (var i = 0u; i < N * N; i++) {
    numbers[i] = element.A[i];
    numbers[N * N + i] = element.C[i];
    numbers[2u * N * N + i] = element.J[i];
  }
  for (var a = 0u; a < N; a++) {
    numbers[3u * N * N + a] = element.b[a];
    numbers[3u * N * N + N + a] = element.eta[a];
  }
  return numbers;
}

fn unpack(numbers: array<f32, ELEMENT_FLOATS>) -> Element {
  var element: Element;
  for (var i = 0u; i < N * N; i++) {
    element.A[i] = numbers[i];
    element.C[i] = numbers[N * N + i];
    element.J[i] = numbers[2u * N * N + i];
  }
  for (var a = 0u; a < N; a++) {
    element.b[a] = numbers[3u * N * N + a];
    element.eta[a] = numbers[3u * N * N + N + a];
  }
  return element;
}

fn pack_state(state: State) -> array<f32, STATE_FLOATS> {
  var numbers: array<f32, STATE_FLOATS>;
  for (var i = 0u; i < N * N; i++) {
    numbers[i] = state.matrix[i];
  }
  for (var a = 0u; a < N; a++) {
    numbers[N * N + a] = state.vector[a];
  }
  return numbers;
}

fn unpack_state(numbers: array<f32, STATE_FLOATS>) -> State {
  var state: State;
  for (var i = 0u; i < N * N; i++) {
    state.matrix[i] = numbers[i];
  }
  for (var a = 0u; a < N; a++) {
    state.vector[a] = numbers[N * N + a];
  }
  return state;
}

fn zero_state() -> State {
  return State(Vector(), Matrix());
}

fn transpose_of(m: Matrix) -> Matrix {
  var result: Matrix;
  for (var a = 0u; a < N; a++) {
    for (var b = 0u; b < N; b++) {
      result[a * N + b] = m[b * N + a];
    }
  }
  return result;
}

// Right sides of linear equations, side by side: a vector and two matrices.
const WIDTH = 2u * N + 1u;
alias Columns = array<f32, N * WIDTH>;

struct Solution {
  vector: Vector,
  left: Matrix,
  right: Matrix,
}

// (I + C J)⁻¹ of a vector and two matrices: Gauss and Jordan, with partial pivoting.
fn solve(C: Matrix, J: Matrix, vector: Vector, left: Matrix, right: Matrix) -> Solution {
  var m = multiply_add(C, J, identity_matrix());
  var x: Columns;
  for (var a = 0u; a < N; a++) {
    for (var b = 0u; b < N; b++) {
      x[a * WIDTH + b] = left[a * N + b];
      x[a * WIDTH + N + b] = right[a * N + b];
    }
    x[a * WIDTH + 2u * N] = vector[a];
  }
  for (var column = 0u; column < N; column++) {
    var pivot = column;
    for (var a = column + 1u; a < N; a++) {
      if (abs(m[a * N + column]) > abs(m[pivot * N + column])) {
        pivot = a;
      }
    }
    let inverse = 1.0 / m[pivot * N + column];
    for (var b = 0u; b < N; b++) {
      let value = m[pivot * N + b];
      m[pivot * N + b] = m[column * N + b];
      m[column * N + b] = value * inverse;
    }
    for (var b = 0u; b < WIDTH; b++) {
      let value = x[pivot * WIDTH + b];
      x[pivot * WIDTH + b] = x[column * WIDTH + b];
      x[column * WIDTH + b] = value * inverse;
    }
    for (var a = 0u; a < N; a++) {
      let factor = select(m[a * N + column], 0.0, a == column);
      for (var b = 0u; b < N; b++) {
        m[a * N + b] -= carry(factor, m[column * N + b]);
      }
      for (var b = 0u; b < WIDTH; b++) {
        x[a * WIDTH + b] -= carry(factor, x[column * WIDTH + b]);
      }
    }
  }
  var result: Solution;
  for (var a = 0u; a < N; a++) {
    for (var b = 0u; b < N; b++) {
      result.left[a * N + b] = x[a * WIDTH + b];
      result.right[a * N + b] = x[a * WIDTH + N + b];
    }
    result.vector[a] = x[a * WIDTH + 2u * N];
  }
  return result;
}

// (m + mᵀ) / 2
fn symmetric(m: Matrix) -> Matrix {
  var result: Matrix;
  for (var i = 0u; i < N; i++) {
    for (var j = 0u; j < N; j++) {
      result[i * N + j] = 0.5 * (m[i * N + j] + m[j * N + i]);
    }
  }
  return result;
}

fn minus(x: Vector, y: Vector) -> Vector {
  var result = x;
  for (var a = 0u; a < N; a++) {
    result[a] -= y[a];
  }
  return result;
}

// With W = (I + C₁J₂)⁻¹ A₁, whose transpose is A₁ᵀ (I + J₂C₁)⁻¹.
fn combine(earlier: Element, later: Element) -> Element {
  let mean = transform(earlier.C, later.eta, earlier.b);
  let inner = solve(earlier.C, later.J, mean, earlier.C, earlier.A);
  let surprise = minus(later.eta, transform(later.J, earlier.b, Vector()));
  let half = multiply_add(later.A, inner.left, Matrix());
  let back = multiply_add(later.J, earlier.A, Matrix());
  let transposed = transpose_of(inner.right);
  return Element(
    multiply_add(later.A, inner.right, Matrix()),
    transform(later.A, inner.vector, later.b),
    symmetric(multiply_add(half, transpose_of(later.A), later.C)),
    transform(transposed, surprise, earlier.eta),
    symmetric(multiply_add(transposed, back, earlier.J)),
  );
}

// What `combine` does to half of an element: (b, C) of those before, or (BACKWARD) (η, J) of those after.
fn act(element: Element, state: State) -> State {
//#if BACKWARD
  let known = minus(state.vector, transform(state.matrix, element.b, Vector()));
  let inner = solve(state.matrix, element.C, known, state.matrix, Matrix());
  let through = transpose_of(element.A);
  let vector = element.eta;
  let matrix = element.J;
//#else
  let mean = transform(state.matrix, element.eta, state.vector);
  let inner = solve(state.matrix, element.J, mean, state.matrix, Matrix());
  let through = element.A;
  let vector = element.b;
  let matrix = element.C;
//#end
  let half = multiply_add(through, inner.left, Matrix());
  return State(
    transform(through, inner.vector, vector),
    symmetric(multiply_add(half, transpose_of(through), matrix)),
  );
}

fn factor_of(k: u32) -> Matrix {
  var result = product_of(k);
  var largest = LARGEST_FACTOR;
  for (var i = 0u; i < N * N; i++) {
    largest = max(largest, abs(result[i]));
  }
  for (var i = 0u; i < N * N; i++) {
    result[i] *= LARGEST_FACTOR / largest;
  }
  return result;
}

fn times(m: Matrix, factor: f32) -> Matrix {
  var result = m;
  for (var i = 0u; i < N * N; i++) {
    result[i] *= factor;
  }
  return result;
}

// With the gain g = λ/(1+λ): A = (1−g) P, b = (1−g) d, C = (1−g) I, η = −g Pᵀd, J = g PᵀP.
fn chunk_element(k: u32, j: u32, role: u32) -> Element {
  if (role == FROZEN) {
    return Element(Matrix(), Vector(), Matrix(), Vector(), Matrix());
  }
  let defect = defect_of(k);
  if (role == HEAD) {
    return Element(Matrix(), defect, Matrix(), Vector(), Matrix());
  }
  let P = factor_of(k);
  let lambda = control[j].lambda;
  let keep = 1.0 / (1.0 + lambda);
  let transposed = transpose_of(P);
  let weighed = times(transposed, -lambda * keep);
  var b = defect;
  for (var a = 0u; a < N; a++) {
    b[a] *= keep;
  }
  return Element(
    times(P, keep),
    b,
    times(identity_matrix(), keep),
    transform(weighed, defect, Vector()),
    multiply_add(times(weighed, -1.0), P, Matrix()),
  );
}

fn apply(k: u32, j: u32, role: u32, state: State) -> State {
  if (role == FROZEN) {
    return zero_state();
  }
  let lambda = control[j].lambda;
  let stashed = level.stashAt + k * STATE_FLOATS * UNITS;
  let defect = defect_of(k);
//#if BACKWARD
  var mean = Vector();
  if (role == FREE) {
    let filtered = load_state(stashed);
    mean = transform(filtered.matrix, state.vector, filtered.vector);
    mean = solve(filtered.matrix, state.matrix, mean, Matrix(), Matrix()).vector;
  }
  write_unit(k, j, role, mean);
  if (role == HEAD) {
    return zero_state();
  }
  // What is known of δ after the chunk, its own observation included, then through the chunk.
  let own = times(identity_matrix(), lambda);
  let information = multiply_add(identity_matrix(), state.matrix, own);
  let through = Element(factor_of(k), defect, identity_matrix(), Vector(), Matrix());
  return act(through, State(state.vector, information));
//#else
  var next = State(defect, Matrix());
  if (role == FREE) {
    let P = factor_of(k);
    let mean = transform(P, state.vector, defect);
    let half = multiply_add(P, state.matrix, Matrix());
    let prior = multiply_add(half, transpose_of(P), identity_matrix());
    let noise = times(identity_matrix(), lambda);
    let inner = solve(noise, prior, mean, prior, Matrix());
    next = State(inner.vector, symmetric(inner.left));
  }
//#if STASH
  store_state(stashed, next);
//#else
  write_unit(k, j, role, next.vector);
//#end
  return next;
//#end
}

fn write_unit(k: u32, j: u32, role: u32, change: Vector) {
  for (var a = 0u; a < N; a++) {
    let i = a * UNITS + unit;
    if (role == HEAD) {
      write_head(k, j, i, ends[k * STATE_SIZE + i]);
    } else {
      let old = boundaries[boundary_at(k) + i];
      write_free(k, j, i, moved(old, change[a]), old);
    }
  }
}
