/**
 * The damped boundary update: a Levenberg–Marquardt step as a Kalman filter and smoother.
 *
 * The model, for k = 0 … K − 1, with λ > 0:
 *
 *     δ_{k+1} = P_k δ_k + d_k + N(0, I),    0 = δ_{k+1} + N(0, I/λ),    δ_0 known exactly
 *
 * The smoother's means minimise Σ‖δ_{k+1} − P_k δ_k − d_k‖² + λ Σ‖δ_{k+1}‖². Textbook recursions:
 * Särkkä, Bayesian Filtering and Smoothing, chapters 4 and 8.
 */
import type { Chain } from "./affine.ts";
import {
  add,
  addScaled,
  apply,
  divide,
  multiply,
  scaledIdentity,
  solve,
  symmetrise,
  transpose,
} from "./dense.ts";

/** Mean `[n]` and covariance `[n, n]` of one δ. */
export interface Gaussian {
  readonly mean: Float64Array;
  readonly covariance: Float64Array;
}

export interface Filtered {
  /** δ_1 … δ_K given the observations before each one. */
  readonly predicted: readonly Gaussian[];
  /** δ_1 … δ_K given the observations up to each one. */
  readonly filtered: readonly Gaussian[];
}

/** m⁻ = P m + d, V⁻ = P V Pᵀ + I; then m = (I + λV⁻)⁻¹ m⁻, V = (I + λV⁻)⁻¹ V⁻. */
export function kalmanFilter(
  { start, matrices }: Chain,
  defects: readonly Float64Array[],
  lambda: number,
): Filtered {
  const n = start.length;
  const identity = scaledIdentity(n);
  const predicted: Gaussian[] = [];
  const filtered: Gaussian[] = [];
  let mean = start;
  let covariance: Float64Array = new Float64Array(n * n);
  matrices.forEach((matrix, k) => {
    const prior = {
      mean: add(apply(matrix, mean), defects[k]!),
      covariance: add(multiply(multiply(matrix, covariance, n), transpose(matrix, n), n), identity),
    };
    const innovation = addScaled(identity, lambda, prior.covariance);
    mean = solve(innovation, prior.mean, n, 1);
    covariance = symmetrise(solve(innovation, prior.covariance, n), n);
    predicted.push(prior);
    filtered.push({ mean, covariance });
  });
  return { predicted, filtered };
}

/**
 * Rauch–Tung–Striebel, backwards from δ_K: G = V Pᵀ (V⁻_next)⁻¹, mˢ = m + G (mˢ_next − m⁻_next).
 *
 * @returns the means of δ_1 … δ_K given all observations.
 */
export function rtsSmoother(
  { matrices }: Chain,
  { predicted, filtered }: Filtered,
): Float64Array[] {
  const means = filtered.map(({ mean }) => mean);
  for (let k = means.length - 2; k >= 0; k--) {
    const { mean, covariance } = filtered[k]!;
    const n = mean.length;
    const next = predicted[k + 1]!;
    const cross = multiply(covariance, transpose(matrices[k + 1]!, n), n);
    const gain = divide(cross, next.covariance, n);
    means[k] = add(mean, apply(gain, addScaled(means[k + 1]!, -1, next.mean)));
  }
  return means;
}
