/**
 * The damped boundary update by other routes than the backends': the filter with its gain and Joseph's
 * covariance, in terms of the boundaries themselves, and the smoother as a least-squares problem.
 */
import {
  add,
  addScaled,
  apply,
  divide,
  multiply,
  scaledIdentity,
  solve,
  transpose,
} from "../../src/backend/reference/dense.ts";
import type { UnitChain } from "./chunk-problems.ts";

/**
 * States z_{k+1} = Φ_k + P_k (z_k − b_k) + N(0, I), of which z_from is known exactly, seen as
 * b_{k+1} = z_{k+1} + N(0, I/λ).
 *
 * @returns the means of z_{from+1} …, each given what was seen up to it.
 */
export function textbookFilter(chain: UnitChain, lambda: number): Float64Array[] {
  const n = chain.start.length;
  const identity = scaledIdentity(n);
  const noise = scaledIdentity(n, 1 / lambda);
  let difference = chain.start;
  let covariance: Float64Array = new Float64Array(n * n);
  return chain.matrices.map((matrix, k) => {
    const predicted = add(chain.ends[k]!, apply(matrix, difference));
    const spread = multiply(multiply(matrix, covariance, n), transpose(matrix, n), n);
    const prior = add(spread, identity);
    const gain = divide(prior, add(prior, noise), n);
    const mean = add(predicted, apply(gain, addScaled(chain.old[k]!, -1, predicted)));
    const rest = addScaled(identity, -1, gain);
    const kept = multiply(multiply(rest, prior, n), transpose(rest, n), n);
    covariance = add(kept, multiply(multiply(gain, noise, n), transpose(gain, n), n));
    difference = addScaled(mean, -1, chain.old[k]!);
    return mean;
  });
}

/**
 * arg min Σ‖δ_{k+1} − P_k δ_k − d_k‖² + λ Σ‖δ_{k+1}‖² by its normal equations, which are block
 * tridiagonal: (1 + λ) I + P_{k+1}ᵀP_{k+1} on the diagonal, −P_k below it; Gaussian elimination.
 *
 * @returns b_{k+1} + δ_{k+1}.
 */
export function normalEquations(chain: UnitChain, lambda: number): Float64Array[] {
  const n = chain.start.length;
  const { matrices } = chain;
  const constants = chain.ends.map((end, k) => addScaled(end, -1, chain.old[k]!));
  if (matrices.length > 0) constants[0] = add(constants[0]!, apply(matrices[0]!, chain.start));
  const diagonals: Float64Array[] = [];
  const rights: Float64Array[] = [];
  matrices.forEach((matrix, k) => {
    let diagonal = scaledIdentity(n, 1 + lambda);
    let right = constants[k]!;
    const next = matrices[k + 1];
    if (next) {
      const transposed = transpose(next, n);
      diagonal = add(diagonal, multiply(transposed, next, n));
      right = addScaled(right, -1, apply(transposed, constants[k + 1]!));
    }
    if (k > 0) {
      const eliminated = solve(diagonals[k - 1]!, transpose(matrix, n), n);
      diagonal = addScaled(diagonal, -1, multiply(matrix, eliminated, n));
      right = add(right, apply(matrix, solve(diagonals[k - 1]!, rights[k - 1]!, n, 1)));
    }
    diagonals.push(diagonal);
    rights.push(right);
  });
  const deltas: Float64Array[] = [];
  for (let k = matrices.length - 1; k >= 0; k--) {
    const later = matrices[k + 1];
    const right = later ? add(rights[k]!, apply(transpose(later, n), deltas[k + 1]!)) : rights[k]!;
    deltas[k] = solve(diagonals[k]!, right, n, 1);
  }
  return deltas.map((delta, k) => add(chain.old[k]!, delta));
}
