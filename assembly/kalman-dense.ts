/**
 * The damped boundary update with matrices P_k: the Kalman filter and smoother of kalman.ts, for the
 * whole state (dense) or for each unit's block on its own.
 *
 * With Q = I, H = I and R = I/λ the filter is m = A⁻¹ m⁻, V = A⁻¹ V⁻ with A = I + λV⁻. The smoother is
 * that of Bryson and Frazier, which needs no inverse but A's: backwards from w_K = 0,
 *
 *   w_{k−1} = P_kᵀ A_k⁻¹ (w_k − λ m⁻_k),   mˢ_{k−1} = m_{k−1} + V_{k−1} w_{k−1}.
 *
 * In float64: where the P_k expand, variances reach from 1 to 1/λ, and λ may be 1e-6 or less.
 */
import {
  cholesky,
  dot,
  multiply,
  multiplyTransposedPlusIdentity,
  solveCholesky,
  symmetrise,
} from "./dense";
import { Chunks } from "./layout";
import { address, boundary, chunkEnd, field, moveBoundary, product, setExactFrom } from "./scan";

/**
 * Largest entry of a P_k; larger ones are scaled down. V⁻ has eigenvalues from 1 to ‖P‖² / λ, and float64
 * has to tell I + λV⁻ from a singular matrix. Where the dynamics expand by so much a P_k says nothing
 * about the states that are looked for, but its exact size would turn all after it into noise.
 */
const LARGEST_PRODUCT: f64 = 1e6;

/** Where one unit's numbers lie: strides and offsets in numbers, the rest addresses. */
// @ts-ignore: decorator
@unmanaged
class Work {
  /** Elements of a unit, and the same rounded up to two. */
  n: i32;
  pitch: i32;
  /** From one element of the unit's state to the next, and to the first. */
  stateStride: i32;
  stateOffset: i32;
  /** From row to row and from column to column of P_k, and to its first entry. */
  rowStride: i32;
  columnStride: i32;
  productOffset: i32;
  /** Matrices. */
  p: usize;
  prior: usize;
  factor: usize;
  spare: usize;
  /** The smoother's w, a vector. */
  weighed: usize;
  /** A right-hand side: one number in a row of two. */
  vector: usize;
  /** Filtered means [K − from, pitch] and covariances [K − from, n, pitch]. */
  means: usize;
  covariances: usize;
  /** δ_from, of the whole state. */
  start: usize;
}

const work = changetype<Work>(memory.data(76, 16));

/**
 * Floats of scratch for `count` chunks, units of n: in float64 four matrices, two vectors, the history
 * and δ_from; in float32 one state and the new boundaries.
 */
export function kalmanScratch(stateSize: i32, n: i32, count: i32): f64 {
  const pitch = <f64>((n + 1) & ~1);
  const matrix = <f64>n * pitch;
  const doubles = 4 * matrix + pitch + 2 * <f64>n + <f64>count * (pitch + matrix) + <f64>stateSize;
  return 2 * doubles + (<f64>count + 1) * <f64>(stateSize + 4);
}

export function kalmanMatrices(chunks: usize, from: i32, dense: bool): void {
  const size = field(chunks, Chunks.stateSize);
  const units = field(chunks, Chunks.units);
  const count = field(chunks, Chunks.chunks) - from;
  const n = dense ? size : units;
  const unitCount = size / n;
  const pitch = (n + 1) & ~1;
  work.n = n;
  work.pitch = pitch;
  work.stateStride = dense ? 1 : unitCount;
  work.rowStride = dense ? field(chunks, Chunks.pitch) : units * unitCount;
  work.columnStride = dense ? 1 : unitCount;
  const matrix = (<usize>(n * pitch)) << 3;
  work.p = address(chunks, Chunks.scratch);
  work.prior = work.p + matrix;
  work.factor = work.prior + matrix;
  work.spare = work.factor + matrix;
  work.weighed = work.spare + matrix;
  work.vector = work.weighed + ((<usize>pitch) << 3);
  work.means = work.vector + ((<usize>n) << 4);
  work.covariances = work.means + ((<usize>count * <usize>pitch) << 3);
  work.start = work.covariances + <usize>count * matrix;
  const unused = work.start + ((<usize>size) << 3);
  const row = (<usize>(size + 4)) << 2;
  const fresh = unused + row;
  memory.fill(work.p, 0, work.start - work.p);
  const end = chunkEnd(chunks, from - 1);
  const first = boundary(chunks, from);
  for (let i: usize = 0; i < (<usize>size) << 2; i += 4) {
    const change = <f64>load<f32>(end + i) - <f64>load<f32>(first + i);
    store<f64>(work.start + (i << 1), change);
  }
  setExactFrom(chunks, from, unused);
  for (let unit = 0; unit < unitCount; unit++) {
    work.stateOffset = unit;
    work.productOffset = unit;
    filter(chunks, from, count);
    if (field(chunks, Chunks.smoother) != 0) smooth(chunks, from, count);
    for (let k = 0; k < count; k++) {
      const old = boundary(chunks, from + k + 1);
      for (let i = 0; i < n; i++) {
        const at = stateElement(i);
        const value = <f64>load<f32>(old + at) + load<f64>(mean(k, i));
        store<f32>(fresh + <usize>k * row + at, <f32>value);
      }
    }
  }
  for (let k = 0; k < count; k++) {
    moveBoundary(chunks, from + k + 1, fresh + <usize>k * row, unused);
  }
}

/** Where element i of the unit lies in a state. */
// @ts-ignore: decorator
@inline
function stateElement(i: i32): usize {
  return (<usize>(work.stateOffset + i * work.stateStride)) << 2;
}

// @ts-ignore: decorator
@inline
function mean(k: i32, i: i32): usize {
  return work.means + ((<usize>k * <usize>work.pitch + <usize>i) << 3);
}

// @ts-ignore: decorator
@inline
function covariance(k: i32): usize {
  return work.covariances + ((<usize>k * <usize>(work.n * work.pitch)) << 3);
}

/** The right-hand side's element i. */
// @ts-ignore: decorator
@inline
function element(i: i32): usize {
  return work.vector + ((<usize>i) << 4);
}

function loadProduct(chunks: usize, k: i32): void {
  const from = product(chunks, k) + ((<usize>work.productOffset) << 2);
  let largest: f64 = LARGEST_PRODUCT;
  for (let i = 0; i < work.n; i++) {
    for (let j = 0; j < work.n; j++) {
      const entry = load<f32>(from + ((<usize>(i * work.rowStride + j * work.columnStride)) << 2));
      store<f64>(work.p + ((<usize>(i * work.pitch + j)) << 3), entry);
      largest = max(largest, abs(<f64>entry));
    }
  }
  if (largest == LARGEST_PRODUCT) return;
  for (let i = 0; i < work.n * work.pitch; i++) {
    const at = work.p + ((<usize>i) << 3);
    store<f64>(at, load<f64>(at) * (LARGEST_PRODUCT / largest));
  }
}

/** V⁻ = P V Pᵀ + I for the filtered covariance of step `k` (none: zero), and the factor of I + λV⁻. */
function predictCovariance(k: i32, lambda: f64): void {
  const n = work.n;
  const pitch = work.pitch;
  if (k < 0) memory.fill(work.spare, 0, (<usize>(n * pitch)) << 3);
  else multiply(work.p, covariance(k), work.spare, n, pitch);
  multiplyTransposedPlusIdentity(work.spare, work.p, work.prior, n, pitch);
  for (let i = 0; i < n * pitch; i++) {
    const at = (<usize>i) << 3;
    const diagonal = i % (pitch + 1) == 0;
    store<f64>(work.factor + at, lambda * load<f64>(work.prior + at) + (diagonal ? 1 : 0));
  }
  cholesky(work.factor, n, pitch);
}

/** Element i of P m + d, for the filtered mean of step `k` (none: δ_from). */
function predictMean(chunks: usize, from: i32, k: i32, i: i32): f64 {
  const row = work.p + ((<usize>(i * work.pitch)) << 3);
  let carried: f64 = 0;
  if (k >= 0) {
    carried = dot(row, mean(k, 0), work.pitch);
  } else {
    for (let j = 0; j < work.n; j++) {
      const change = load<f64>(work.start + (stateElement(j) << 1));
      carried += load<f64>(row + ((<usize>j) << 3)) * change;
    }
  }
  const end = <f64>load<f32>(chunkEnd(chunks, from + k + 1) + stateElement(i));
  return carried + (end - <f64>load<f32>(boundary(chunks, from + k + 2) + stateElement(i)));
}

function filter(chunks: usize, from: i32, count: i32): void {
  const n = work.n;
  const pitch = work.pitch;
  const lambda = <f64>load<f32>(chunks, Chunks.lambda);
  for (let k = 0; k < count; k++) {
    loadProduct(chunks, from + k);
    predictCovariance(k - 1, lambda);
    memory.copy(covariance(k), work.prior, (<usize>(n * pitch)) << 3);
    solveCholesky(work.factor, covariance(k), n, pitch, pitch);
    symmetrise(covariance(k), n, pitch);
    for (let i = 0; i < n; i++) store<f64>(element(i), predictMean(chunks, from, k - 1, i));
    solveCholesky(work.factor, work.vector, n, pitch, 2);
    for (let i = 0; i < n; i++) store<f64>(mean(k, i), load<f64>(element(i)));
  }
}

function smooth(chunks: usize, from: i32, count: i32): void {
  const n = work.n;
  const pitch = work.pitch;
  const lambda = <f64>load<f32>(chunks, Chunks.lambda);
  memory.fill(work.weighed, 0, (<usize>pitch) << 3);
  for (let k = count - 1; k > 0; k--) {
    loadProduct(chunks, from + k);
    predictCovariance(k - 1, lambda);
    for (let i = 0; i < n; i++) {
      const weighed = load<f64>(work.weighed + ((<usize>i) << 3));
      store<f64>(element(i), weighed - lambda * predictMean(chunks, from, k - 1, i));
    }
    solveCholesky(work.factor, work.vector, n, pitch, 2);
    memory.fill(work.weighed, 0, (<usize>pitch) << 3);
    for (let i = 0; i < n; i++) {
      const z = load<f64>(element(i));
      for (let j = 0; j < n; j++) {
        const at = work.weighed + ((<usize>j) << 3);
        store<f64>(at, load<f64>(at) + load<f64>(work.p + ((<usize>(i * pitch + j)) << 3)) * z);
      }
    }
    for (let i = 0; i < n; i++) {
      const gain = dot(covariance(k - 1) + ((<usize>(i * pitch)) << 3), work.weighed, pitch);
      store<f64>(mean(k - 1, i), load<f64>(mean(k - 1, i)) + gain);
    }
  }
}
