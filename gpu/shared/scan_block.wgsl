// Small vectors and matrices of one unit, row by row, and its block of P_k. Unit u has elements u, u + UNITS, … of
// the state, and entry (a, b) of its block is number (a n + b) UNITS + u of P_k.

const N = UNIT_SIZE;
alias Vector = array<f32, N>;
alias Matrix = array<f32, N * N>;

fn identity_matrix() -> Matrix {
  var result = Matrix();
  for (var a = 0u; a < N; a++) {
    result[a * N + a] = 1.0;
  }
  return result;
}

// m x + y
fn transform(m: Matrix, x: Vector, y: Vector) -> Vector {
  var result = y;
  for (var a = 0u; a < N; a++) {
    for (var b = 0u; b < N; b++) {
      result[a] += carry(m[a * N + b], x[b]);
    }
  }
  return result;
}

// a b + c
fn multiply_add(a: Matrix, b: Matrix, c: Matrix) -> Matrix {
  var result = c;
  for (var i = 0u; i < N; i++) {
    for (var j = 0u; j < N; j++) {
      for (var l = 0u; l < N; l++) {
        result[i * N + j] += carry(a[i * N + l], b[l * N + j]);
      }
    }
  }
  return result;
}

fn defect_of(k: u32) -> Vector {
  var result: Vector;
  for (var a = 0u; a < N; a++) {
    let i = a * UNITS + unit;
    result[a] = ends[k * STATE_SIZE + i] - boundaries[boundary_at(k) + i];
  }
  return result;
}

// The identity unless all of the block is finite.
fn product_of(k: u32) -> Matrix {
  var result: Matrix;
  var finite = true;
  for (var i = 0u; i < N * N; i++) {
    let p = products[k * STATE_SIZE * N + i * UNITS + unit];
    finite = finite && is_finite(p);
    result[i] = p;
  }
  if (!finite) {
    result = identity_matrix();
  }
  for (var i = 0u; i < N * N; i++) {
    result[i] = scaled(result[i]);
  }
  return result;
}
