/**
 * Small dense linear algebra on row-major matrices in memory. Rows are `pitch` floats apart, a
 * multiple of four, and what lies between the last column and the pitch is zero.
 */
import { madd4 } from "./math";
import { dot } from "./scan";

/** row[i] += factor · other[i]. */
// @ts-ignore: decorator
@inline
function addScaledRow(row: usize, factor: f32, other: usize, pitch: i32): void {
  const scale = f32x4.splat(factor);
  for (let i: usize = 0; i < (<usize>pitch) << 2; i += 16) {
    v128.store(row + i, madd4(scale, v128.load(other + i), v128.load(row + i)));
  }
}

/** c = a · b, for n × n matrices. */
export function multiply(a: usize, b: usize, c: usize, n: i32, pitch: i32): void {
  const bytes = (<usize>pitch) << 2;
  memory.fill(c, 0, <usize>n * bytes);
  for (let i = 0; i < n; i++, a += bytes, c += bytes) {
    for (let j = 0; j < n; j++) {
      addScaledRow(c, load<f32>(a + ((<usize>j) << 2)), b + <usize>j * bytes, pitch);
    }
  }
}

/** c = a · bᵀ + I, for n × n matrices whose product is symmetric; entries stay below `largest`. */
export function multiplyTransposedPlusIdentity(
  a: usize,
  b: usize,
  c: usize,
  n: i32,
  pitch: i32,
  largest: f32,
): void {
  const bytes = (<usize>pitch) << 2;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const sum = dot(a + <usize>i * bytes, b + <usize>j * bytes, pitch) + (i == j ? <f32>1 : 0);
      const entry = max(min(sum, largest), -largest);
      store<f32>(c + <usize>i * bytes + ((<usize>j) << 2), entry);
      store<f32>(c + <usize>j * bytes + ((<usize>i) << 2), entry);
    }
  }
}

/** The lower Cholesky factor of a symmetric positive definite matrix, in its place. */
export function cholesky(a: usize, n: i32, pitch: i32): void {
  const bytes = (<usize>pitch) << 2;
  for (let i = 0; i < n; i++) {
    const row = a + <usize>i * bytes;
    for (let j = 0; j <= i; j++) {
      const other = a + <usize>j * bytes;
      let sum = load<f32>(row + ((<usize>j) << 2));
      for (let k: usize = 0; k < (<usize>j) << 2; k += 4) {
        sum -= load<f32>(row + k) * load<f32>(other + k);
      }
      // Rounding may leave a tiny pivot that is not positive.
      if (i == j) store<f32>(row + ((<usize>j) << 2), sqrt(max(sum, <f32>1e-30)));
      else store<f32>(row + ((<usize>j) << 2), sum / load<f32>(other + ((<usize>j) << 2)));
    }
  }
}

/** b ← a⁻¹ b for the Cholesky factor of a, and b of n rows of `pitch` floats. */
export function solveCholesky(factor: usize, b: usize, n: i32, pitch: i32, width: i32): void {
  const bytes = (<usize>pitch) << 2;
  const widthBytes = (<usize>width) << 2;
  for (let i = 0; i < n; i++) {
    const row = b + <usize>i * widthBytes;
    for (let j = 0; j < i; j++) {
      const entry = load<f32>(factor + <usize>i * bytes + ((<usize>j) << 2));
      addScaledRow(row, -entry, b + <usize>j * widthBytes, width);
    }
    divideRow(row, load<f32>(factor + <usize>i * bytes + ((<usize>i) << 2)), width);
  }
  for (let i = n - 1; i >= 0; i--) {
    const row = b + <usize>i * widthBytes;
    for (let j = i + 1; j < n; j++) {
      const entry = load<f32>(factor + <usize>j * bytes + ((<usize>i) << 2));
      addScaledRow(row, -entry, b + <usize>j * widthBytes, width);
    }
    divideRow(row, load<f32>(factor + <usize>i * bytes + ((<usize>i) << 2)), width);
  }
}

// @ts-ignore: decorator
@inline
function divideRow(row: usize, divisor: f32, width: i32): void {
  const by = f32x4.splat(divisor);
  for (let i: usize = 0; i < (<usize>width) << 2; i += 16) {
    v128.store(row + i, f32x4.div(v128.load(row + i), by));
  }
}
