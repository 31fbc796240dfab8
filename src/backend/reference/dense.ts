/** Small dense linear algebra in float64: row-major n × n matrices and vectors of n, plain loops. */

/** The n × n identity times `scale`. */
export function scaledIdentity(n: number, scale = 1): Float64Array {
  const result = new Float64Array(n * n);
  for (let i = 0; i < n; i++) result[i * n + i] = scale;
  return result;
}

/** a · b, where b is `[n, columns]`: a matrix for `columns` = n, a vector for 1. */
export function multiply(
  a: Float64Array,
  b: Float64Array,
  n: number,
  columns = n,
): Float64Array<ArrayBuffer> {
  const result = new Float64Array(n * columns);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += a[i * n + k]! * b[k * columns + j]!;
      result[i * columns + j] = sum;
    }
  }
  return result;
}

/** matrix · vector. */
export function apply(matrix: Float64Array, vector: Float64Array): Float64Array<ArrayBuffer> {
  return multiply(matrix, vector, vector.length, 1);
}

export function transpose(a: Float64Array, n: number): Float64Array {
  const result = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) result[j * n + i] = a[i * n + j]!;
  return result;
}

/** a + scale · b, elementwise. */
export function addScaled(
  a: Float64Array,
  scale: number,
  b: Float64Array,
): Float64Array<ArrayBuffer> {
  return Float64Array.from(a, (value, i) => value + scale * b[i]!);
}

/** a + b, elementwise. */
export function add(a: Float64Array, b: Float64Array): Float64Array<ArrayBuffer> {
  return addScaled(a, 1, b);
}

/** (a + aᵀ) / 2. */
export function symmetrise(a: Float64Array, n: number): Float64Array {
  return add(a, transpose(a, n)).map((value) => value / 2);
}

/**
 * a⁻¹ · b by Gaussian elimination with partial pivoting, where b is `[n, columns]`. What is singular
 * or not finite gives entries that are not finite.
 */
export function solve(
  a: Float64Array,
  b: Float64Array,
  n: number,
  columns = n,
): Float64Array<ArrayBuffer> {
  const left = Float64Array.from(a);
  const right = Float64Array.from(b);
  for (let pivot = 0; pivot < n; pivot++) {
    let best = pivot;
    for (let row = pivot + 1; row < n; row++) {
      if (Math.abs(left[row * n + pivot]!) > Math.abs(left[best * n + pivot]!)) best = row;
    }
    swapRows(left, n, pivot, best);
    swapRows(right, columns, pivot, best);
    for (let row = pivot + 1; row < n; row++) {
      const factor = left[row * n + pivot]! / left[pivot * n + pivot]!;
      for (let j = pivot; j < n; j++) left[row * n + j]! -= factor * left[pivot * n + j]!;
      for (let j = 0; j < columns; j++) {
        right[row * columns + j]! -= factor * right[pivot * columns + j]!;
      }
    }
  }
  for (let row = n - 1; row >= 0; row--) {
    for (let j = 0; j < columns; j++) {
      let sum = right[row * columns + j]!;
      for (let k = row + 1; k < n; k++) sum -= left[row * n + k]! * right[k * columns + j]!;
      right[row * columns + j] = sum / left[row * n + row]!;
    }
  }
  return right;
}

function swapRows(a: Float64Array, columns: number, i: number, j: number): void {
  for (let k = 0; k < columns; k++) {
    const value = a[i * columns + k]!;
    a[i * columns + k] = a[j * columns + k]!;
    a[j * columns + k] = value;
  }
}

/** a · b⁻¹, n × n both. */
export function divide(a: Float64Array, b: Float64Array, n: number): Float64Array {
  return transpose(solve(transpose(b, n), transpose(a, n), n), n);
}
