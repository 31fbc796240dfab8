/**
 * Small dense linear algebra in float64 on row-major matrices in memory. Rows are `pitch` numbers
 * apart, a multiple of two, and what lies between the last column and the pitch is zero.
 */

// @ts-ignore: decorator
@inline
function madd2(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f64x2.relaxed_madd(a, b, c);
  return f64x2.add(f64x2.mul(a, b), c);
}

/** row[i] += factor · other[i]. */
// @ts-ignore: decorator
@inline
function addScaledRow(row: usize, factor: f64, other: usize, pitch: i32): void {
  const scale = f64x2.splat(factor);
  for (let i: usize = 0; i < (<usize>pitch) << 3; i += 16) {
    v128.store(row + i, madd2(scale, v128.load(other + i), v128.load(row + i)));
  }
}

/** Σ a[i] b[i] over `count` numbers, a multiple of two. */
export function dot(a: usize, b: usize, count: i32): f64 {
  let sum = f64x2.splat(0);
  for (let i: usize = 0; i < (<usize>count) << 3; i += 16) {
    sum = madd2(v128.load(a + i), v128.load(b + i), sum);
  }
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}

/** c = a · b, for n × n matrices. */
export function multiply(a: usize, b: usize, c: usize, n: i32, pitch: i32): void {
  const bytes = (<usize>pitch) << 3;
  memory.fill(c, 0, <usize>n * bytes);
  for (let i = 0; i < n; i++, a += bytes, c += bytes) {
    for (let j = 0; j < n; j++) {
      addScaledRow(c, load<f64>(a + ((<usize>j) << 3)), b + <usize>j * bytes, pitch);
    }
  }
}

/** c = a · bᵀ + I, for n × n matrices whose product is symmetric. */
export function multiplyTransposedPlusIdentity(
  a: usize,
  b: usize,
  c: usize,
  n: i32,
  pitch: i32,
): void {
  const bytes = (<usize>pitch) << 3;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const entry = dot(a + <usize>i * bytes, b + <usize>j * bytes, pitch) + (i == j ? 1 : 0);
      store<f64>(c + <usize>i * bytes + ((<usize>j) << 3), entry);
      store<f64>(c + <usize>j * bytes + ((<usize>i) << 3), entry);
    }
  }
}

/** a ← (a + aᵀ) / 2. */
export function symmetrise(a: usize, n: i32, pitch: i32): void {
  const bytes = (<usize>pitch) << 3;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      const lower = a + <usize>i * bytes + ((<usize>j) << 3);
      const upper = a + <usize>j * bytes + ((<usize>i) << 3);
      const mean = (load<f64>(lower) + load<f64>(upper)) / 2;
      store<f64>(lower, mean);
      store<f64>(upper, mean);
    }
  }
}

/** The lower Cholesky factor of a symmetric positive definite matrix, in its place. */
export function cholesky(a: usize, n: i32, pitch: i32): void {
  const bytes = (<usize>pitch) << 3;
  for (let i = 0; i < n; i++) {
    const row = a + <usize>i * bytes;
    for (let j = 0; j <= i; j++) {
      const other = a + <usize>j * bytes;
      let sum = load<f64>(row + ((<usize>j) << 3));
      for (let k: usize = 0; k < (<usize>j) << 3; k += 8) {
        sum -= load<f64>(row + k) * load<f64>(other + k);
      }
      if (i == j) store<f64>(row + ((<usize>j) << 3), sqrt(sum));
      else store<f64>(row + ((<usize>j) << 3), sum / load<f64>(other + ((<usize>j) << 3)));
    }
  }
}

/** b ← a⁻¹ b for the Cholesky factor of a, and b of n rows of `width` numbers, a multiple of two. */
export function solveCholesky(factor: usize, b: usize, n: i32, pitch: i32, width: i32): void {
  const bytes = (<usize>pitch) << 3;
  const widthBytes = (<usize>width) << 3;
  for (let i = 0; i < n; i++) {
    const row = b + <usize>i * widthBytes;
    for (let j = 0; j < i; j++) {
      const entry = load<f64>(factor + <usize>i * bytes + ((<usize>j) << 3));
      addScaledRow(row, -entry, b + <usize>j * widthBytes, width);
    }
    divideRow(row, load<f64>(factor + <usize>i * bytes + ((<usize>i) << 3)), width);
  }
  for (let i = n - 1; i >= 0; i--) {
    const row = b + <usize>i * widthBytes;
    for (let j = i + 1; j < n; j++) {
      const entry = load<f64>(factor + <usize>j * bytes + ((<usize>i) << 3));
      addScaledRow(row, -entry, b + <usize>j * widthBytes, width);
    }
    divideRow(row, load<f64>(factor + <usize>i * bytes + ((<usize>i) << 3)), width);
  }
}

// @ts-ignore: decorator
@inline
function divideRow(row: usize, divisor: f64, width: i32): void {
  const by = f64x2.splat(divisor);
  for (let i: usize = 0; i < (<usize>width) << 3; i += 16) {
    v128.store(row + i, f64x2.div(v128.load(row + i), by));
  }
}
