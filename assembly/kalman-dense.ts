/**
 * The damped boundary update with matrices P_k: the Kalman filter and smoother of kalman.ts, for the
 * whole state (dense) or for each unit's block on its own.
 *
 * With Q = I, H = I and R = I/λ the filter is m = (I + λV⁻)⁻¹ m⁻, V = (I + λV⁻)⁻¹ V⁻; the smoother's
 * gain V Pᵀ (V⁻)⁻¹ is only ever applied to a vector.
 */
import { cholesky, multiply, multiplyTransposedPlusIdentity, solveCholesky } from "./dense";
import { Chunks } from "./layout";
import {
  address,
  boundary,
  chunkEnd,
  dot,
  field,
  moveBoundary,
  product,
  setExactFrom,
} from "./scan";

const LARGEST_VARIANCE: f32 = 1e15;

/** One unit's matrices and where its numbers lie; byte offsets into the work area. */
// @ts-ignore: decorator
@unmanaged
class Work {
  /** Elements of a unit, and the same rounded up to four. */
  n: i32;
  pitch: i32;
  /** Floats from one element of the unit's state to the next, and to the first. */
  stateStride: i32;
  stateOffset: i32;
  /** Floats from row to row and from column to column of P_k, and to its first entry. */
  rowStride: i32;
  columnStride: i32;
  productOffset: i32;
  /** Matrices. */
  p: usize;
  prior: usize;
  factor: usize;
  spare: usize;
  /** Vectors, one float a row of four: right-hand sides. */
  vector: usize;
  /** Filtered means [K − from, pitch] and covariances [K − from, n, pitch]. */
  means: usize;
  covariances: usize;
  /** δ_from, of the whole state. */
  start: usize;
}

const work = changetype<Work>(memory.data(72, 16));

/** Floats of scratch for `count` chunks: the new boundaries, four matrices, vectors, the history. */
export function kalmanScratch(stateSize: i32, n: i32, count: i32): f64 {
  const pitch = (n + 3) & ~3;
  const matrix = <f64>n * <f64>pitch;
  return (
    <f64>count * <f64>(stateSize + 4) +
    4 * matrix +
    <f64>(8 * pitch + 16) +
    <f64>count * (<f64>pitch + matrix) +
    2 * <f64>(stateSize + 8)
  );
}

export function kalmanMatrices(chunks: usize, from: i32, dense: bool): void {
  const size = field(chunks, Chunks.stateSize);
  const units = field(chunks, Chunks.units);
  const count = field(chunks, Chunks.chunks) - from;
  const n = dense ? size : units;
  const unitCount = size / n;
  const pitch = (n + 3) & ~3;
  work.n = n;
  work.pitch = pitch;
  work.stateStride = dense ? 1 : unitCount;
  work.rowStride = dense ? field(chunks, Chunks.pitch) : units * unitCount;
  work.columnStride = dense ? 1 : unitCount;
  const matrix = (<usize>(n * pitch)) << 2;
  const fresh = address(chunks, Chunks.scratch);
  const row = (<usize>(size + 4)) << 2;
  work.p = fresh + <usize>count * row;
  work.prior = work.p + matrix;
  work.factor = work.prior + matrix;
  work.spare = work.factor + matrix;
  work.vector = work.spare + matrix;
  work.means = work.vector + ((<usize>(8 * pitch + 16)) << 2);
  work.covariances = work.means + ((<usize>(count * pitch)) << 2);
  work.start = work.covariances + <usize>count * matrix;
  const unused = work.start + row;
  memory.fill(work.p, 0, unused - work.p);
  setExactFrom(chunks, from, work.start);
  for (let unit = 0; unit < unitCount; unit++) {
    work.stateOffset = unit;
    work.productOffset = unit;
    filter(chunks, from, count);
    if (field(chunks, Chunks.smoother) != 0) smooth(chunks, from, count);
    for (let k = 0; k < count; k++) {
      const old = boundary(chunks, from + k + 1);
      for (let i = 0; i < n; i++) {
        const at = (<usize>(work.stateOffset + i * work.stateStride)) << 2;
        store<f32>(fresh + <usize>k * row + at, load<f32>(old + at) + load<f32>(mean(k, i)));
      }
    }
  }
  for (let k = 0; k < count; k++) {
    moveBoundary(chunks, from + k + 1, fresh + <usize>k * row, unused);
  }
}

// @ts-ignore: decorator
@inline
function mean(k: i32, i: i32): usize {
  return work.means + ((<usize>(k * work.pitch + i)) << 2);
}

// @ts-ignore: decorator
@inline
function covariance(k: i32): usize {
  return work.covariances + ((<usize>k * <usize>(work.n * work.pitch)) << 2);
}

/** The right-hand side's element i, one float in a row of four. */
// @ts-ignore: decorator
@inline
function element(i: i32): usize {
  return work.vector + ((<usize>i) << 4);
}

function loadProduct(chunks: usize, k: i32): void {
  const from = product(chunks, k) + ((<usize>work.productOffset) << 2);
  for (let i = 0; i < work.n; i++) {
    for (let j = 0; j < work.n; j++) {
      const entry = load<f32>(from + ((<usize>(i * work.rowStride + j * work.columnStride)) << 2));
      store<f32>(work.p + ((<usize>(i * work.pitch + j)) << 2), entry);
    }
  }
}

// @ts-ignore: decorator
@inline
function defect(chunks: usize, k: i32, i: i32): f32 {
  const at = (<usize>(work.stateOffset + i * work.stateStride)) << 2;
  return load<f32>(chunkEnd(chunks, k) + at) - load<f32>(boundary(chunks, k + 1) + at);
}

/** V⁻ = P V Pᵀ + I, for the filtered covariance of step `k` (none: zero). */
function predictCovariance(k: i32): void {
  const n = work.n;
  const pitch = work.pitch;
  if (k < 0) memory.fill(work.spare, 0, (<usize>(n * pitch)) << 2);
  else multiply(work.p, covariance(k), work.spare, n, pitch);
  multiplyTransposedPlusIdentity(work.spare, work.p, work.prior, n, pitch, LARGEST_VARIANCE);
}

/** Element i of P m + d, for the filtered mean of step `k` (none: δ_from). */
function predictMean(chunks: usize, from: i32, k: i32, i: i32): f32 {
  const row = work.p + ((<usize>(i * work.pitch)) << 2);
  let carried: f32 = 0;
  if (k >= 0) {
    carried = dot(row, mean(k, 0), work.pitch);
  } else {
    for (let j = 0; j < work.n; j++) {
      const at = (<usize>(work.stateOffset + j * work.stateStride)) << 2;
      carried += load<f32>(row + ((<usize>j) << 2)) * load<f32>(work.start + at);
    }
  }
  return carried + defect(chunks, from + k + 1, i);
}

function filter(chunks: usize, from: i32, count: i32): void {
  const n = work.n;
  const pitch = work.pitch;
  const lambda = load<f32>(chunks, Chunks.lambda);
  for (let k = 0; k < count; k++) {
    loadProduct(chunks, from + k);
    predictCovariance(k - 1);
    for (let i = 0; i < n * pitch; i++) {
      const at = (<usize>i) << 2;
      const diagonal = i % (pitch + 1) == 0 && i / (pitch + 1) < n;
      const entry = lambda * load<f32>(work.prior + at) + (diagonal ? <f32>1 : 0);
      store<f32>(work.factor + at, entry);
    }
    cholesky(work.factor, n, pitch);
    memory.copy(covariance(k), work.prior, (<usize>(n * pitch)) << 2);
    solveCholesky(work.factor, covariance(k), n, pitch, pitch);
    for (let i = 0; i < n; i++) store<f32>(element(i), predictMean(chunks, from, k - 1, i));
    solveCholesky(work.factor, work.vector, n, pitch, 4);
    for (let i = 0; i < n; i++) store<f32>(mean(k, i), load<f32>(element(i)));
  }
}

/** m_k += V_k P_kᵀ (V⁻_{k+1})⁻¹ (mˢ_{k+1} − m⁻_{k+1}), backwards. */
function smooth(chunks: usize, from: i32, count: i32): void {
  const n = work.n;
  const pitch = work.pitch;
  for (let k = count - 2; k >= 0; k--) {
    loadProduct(chunks, from + k + 1);
    predictCovariance(k);
    cholesky(work.prior, n, pitch);
    for (let i = 0; i < n; i++) {
      const innovation = load<f32>(mean(k + 1, i)) - predictMean(chunks, from, k, i);
      store<f32>(element(i), innovation);
    }
    solveCholesky(work.prior, work.vector, n, pitch, 4);
    // Pᵀ z in the first row of the spare matrix, then V times it.
    memory.fill(work.spare, 0, (<usize>pitch) << 2);
    for (let i = 0; i < n; i++) {
      const z = load<f32>(element(i));
      for (let j = 0; j < n; j++) {
        const at = work.spare + ((<usize>j) << 2);
        const entry = load<f32>(work.p + ((<usize>(i * pitch + j)) << 2));
        store<f32>(at, load<f32>(at) + entry * z);
      }
    }
    for (let i = 0; i < n; i++) {
      const gain = dot(covariance(k) + ((<usize>(i * pitch)) << 2), work.spare, pitch);
      store<f32>(mean(k, i), load<f32>(mean(k, i)) + gain);
    }
  }
}
