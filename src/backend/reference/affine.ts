/** The undamped boundary update: Newton's step, or that of an approximate Newton method. */
import { add, apply } from "./dense.ts";

/**
 * A chain of linear equations δ_{k+1} = P_k δ_k + d_k for k = 0 … K − 1, in vectors of n, whose start
 * δ_0 is known exactly. All of the state is one chain, or each unit is one of its own.
 */
export interface Chain {
  /** δ_0, `[n]`. */
  readonly start: Float64Array;
  /** P_k, `[n, n]` each. */
  readonly matrices: readonly Float64Array[];
}

/**
 * b'_{k+1} = Φ_k + P_k (b'_k − b_k), with b'_0 − b_0 = δ_0. Adding to Φ_k and not to b_{k+1} makes
 * b'_{k+1} equal Φ_k to the last bit where the correction is zero.
 *
 * @param ends Φ_0 … Φ_{K−1}.
 * @param old b_1 … b_K.
 * @returns b'_1 … b'_K.
 */
export function affineUpdate(
  { start, matrices }: Chain,
  ends: readonly Float64Array[],
  old: readonly Float64Array[],
): Float64Array[] {
  let difference = start;
  return matrices.map((matrix, k) => {
    const updated = add(ends[k]!, apply(matrix, difference));
    difference = updated.map((value, i) => value - old[k]![i]!);
    return updated;
  });
}
