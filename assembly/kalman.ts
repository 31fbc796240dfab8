/**
 * The damped boundary update for one P_k number an element: a Levenberg–Marquardt step as a scalar
 * Kalman filter, or smoother, on δ_k = b'_k − b_k,
 *
 *   δ_{k+1} = P_k δ_k + d_{k+1} + N(0, 1),   0 = δ_{k+1} + N(0, 1/λ),   d_{k+1} = Φ_k − b_{k+1},
 *
 * with δ_from known exactly. Vectors run across the state's elements.
 */
import { Chunks } from "./layout";
import {
  address,
  boundary,
  carry4,
  chunkEnd,
  field,
  moveBoundary,
  product,
  setExactFrom,
} from "./scan";

/** Variances stay below this, so that nothing derived from them overflows. */
const LARGEST_VARIANCE: f32 = 1e30;

/** V⁻ = P V Pᵀ + 1. */
// @ts-ignore: decorator
@inline
function priorVariance(p: v128, v: v128): v128 {
  return f32x4.add(f32x4.mul(p, f32x4.mul(p, v)), f32x4.splat(1));
}

/**
 * Scratch: the means [K − from + 1, padded], the variances likewise, one padded vector, where padded
 * is the state's size rounded up to four. The first mean is δ_from, and its variance zero.
 */
export function kalmanDiagonal(chunks: usize, from: i32): void {
  const row = (<usize>((field(chunks, Chunks.stateSize) + 3) & ~3)) << 2;
  const count = field(chunks, Chunks.chunks) - from;
  const first = address(chunks, Chunks.scratch);
  const means = first + row;
  const variances = means + <usize>(count + 1) * row;
  const spare = variances + <usize>count * row;
  setExactFrom(chunks, from, first);
  memory.fill(variances - row, 0, row);
  filter(chunks, from, means, variances, row);
  if (field(chunks, Chunks.smoother) != 0) smooth(chunks, from, means, variances, row);
  for (let k = from; k < from + count; k++) {
    const mean = means + <usize>(k - from) * row;
    const old = boundary(chunks, k + 1);
    for (let i: usize = 0; i < row; i += 16) {
      v128.store(mean + i, f32x4.add(v128.load(old + i), v128.load(mean + i)));
    }
    moveBoundary(chunks, k + 1, mean, spare);
  }
}

function filter(chunks: usize, from: i32, means: usize, variances: usize, row: usize): void {
  const lambda = f32x4.splat(load<f32>(chunks, Chunks.lambda));
  const count = field(chunks, Chunks.chunks);
  const shared = field(chunks, Chunks.productStride) == 0;
  for (let k = from; k < count; k++) {
    const end = chunkEnd(chunks, k);
    const old = boundary(chunks, k + 1);
    const p = product(chunks, k);
    const at = <usize>(k - from) * row;
    for (let i: usize = 0; i < row; i += 16) {
      const m = v128.load(means + at - row + i);
      const v = v128.load(variances + at - row + i);
      const factor = v128.load(p + i);
      const prior = f32x4.min(priorVariance(factor, v), f32x4.splat(LARGEST_VARIANCE));
      const denominator = f32x4.add(f32x4.splat(1), f32x4.mul(lambda, prior));
      const defect = f32x4.sub(v128.load(end + i), v128.load(old + i));
      const mean = f32x4.add(carry4(factor, m, shared), defect);
      v128.store(means + at + i, f32x4.div(mean, denominator));
      v128.store(variances + at + i, f32x4.div(prior, denominator));
    }
  }
}

/**
 * Rauch–Tung–Striebel, backwards over the filter's means: mˢ_k = m_k + G (mˢ_{k+1} − P m_k − d) with the
 * gain G = V P / V⁻, written as m_k / V⁻ + G (mˢ_{k+1} − d), which does not cancel where P is large.
 */
function smooth(chunks: usize, from: i32, means: usize, variances: usize, row: usize): void {
  const shared = field(chunks, Chunks.productStride) == 0;
  for (let k = field(chunks, Chunks.chunks) - 1; k > from; k--) {
    const end = chunkEnd(chunks, k);
    const old = boundary(chunks, k + 1);
    const p = product(chunks, k);
    const at = <usize>(k - from) * row;
    for (let i: usize = 0; i < row; i += 16) {
      const m = v128.load(means + at - row + i);
      const v = v128.load(variances + at - row + i);
      const factor = v128.load(p + i);
      const prior = priorVariance(factor, v);
      const gain = f32x4.div(f32x4.mul(factor, v), prior);
      const defect = f32x4.sub(v128.load(end + i), v128.load(old + i));
      const rest = f32x4.sub(v128.load(means + at + i), defect);
      const carried = carry4(gain, rest, shared);
      v128.store(means + at - row + i, f32x4.add(f32x4.div(m, prior), carried));
    }
  }
}
