/**
 * How far float32 may stray from the exact boundary update, to first order in the unit roundoff: each
 * operation's rounding error, followed along the chain. (Higham, Accuracy and Stability of Numerical
 * Algorithms, 2nd edition, chapters 3 and 4.)
 */
import { multiply, transpose } from "../../src/backend/reference/dense.ts";
import type { UnitChain } from "./chunk-problems.ts";

export const UNIT_ROUNDOFF = 2 ** -24;
/** For terms of second order. */
const MARGIN = 1.05;
/** Results below the normal numbers have an absolute error instead. */
const UNDERFLOW = 2 ** -120;

/**
 * Bounds of the errors of b'_{k+1} = Φ_k + P_k δ_k, δ_{k+1} = b'_{k+1} − b_{k+1}.
 *
 * The errors e_{k+1} = P_k e_k + ε, with |ε_i| ≤ local_i, are sums of N terms that the P_k carry on. With
 * E = P E Pᵀ + diag(local²) the Cauchy–Schwarz inequality bounds them by √(N E_ii); unlike |P| e it
 * does not grow faster than the errors can.
 *
 * @param updated b'_{from+1} …, of the chain's elements.
 */
export function affineBounds(chain: UnitChain, updated: readonly Float64Array[]): Float64Array[] {
  const n = chain.start.length;
  let difference = chain.start;
  let errors = new Float64Array(n * n);
  chain.start.forEach((value, i) => {
    errors[i * n + i] = value ** 2;
  });
  return chain.matrices.map((matrix, k) => {
    errors = multiply(multiply(matrix, errors, n), transpose(matrix, n), n);
    const value = updated[k]!;
    const terms = 2 * (k + 2) * n;
    const bounds = value.map((_, i) => {
      let size = Math.abs(chain.ends[k]![i]!);
      for (let j = 0; j < n; j++) size += Math.abs(matrix[i * n + j]! * difference[j]!);
      errors[i * n + i]! += ((n + 2) * size) ** 2;
      return MARGIN * UNIT_ROUNDOFF * Math.sqrt(terms * errors[i * n + i]!) + UNDERFLOW;
    });
    difference = value.map((entry, i) => entry - chain.old[k]![i]!);
    // The subtraction rounds too.
    for (let i = 0; i < n; i++) errors[i * n + i]! += difference[i]! ** 2;
    return bounds;
  });
}

interface Filtered {
  /** m, and |error of m|. */
  readonly mean: number;
  readonly error: number;
  /** V, and its relative error. */
  readonly variance: number;
  readonly spread: number;
}

/** Bounds of the errors of a scalar Kalman filter, or smoother: of old + its means. Errors in units u. */
export function scalarKalmanBounds(
  chain: UnitChain,
  lambda: number,
  smoother: boolean,
): Float64Array[] {
  const defects = chain.ends.map((end, k) => end[0]! - chain.old[k]![0]!);
  const factors = chain.matrices.map((matrix) => matrix[0]!);
  const start = chain.start[0]!;
  const filtered: Filtered[] = [{ mean: start, error: Math.abs(start), variance: 0, spread: 0 }];
  factors.forEach((p, k) => {
    const before = filtered[k]!;
    const { prior, priorSpread } = predicted(p, before);
    const observed = lambda * prior;
    const divisor = 1 + observed;
    const divisorSpread = ((priorSpread + 1) * observed) / divisor + 1;
    const mean = (p * before.mean + defects[k]!) / divisor;
    const local = Math.abs(p * before.mean) + Math.abs(defects[k]!);
    filtered.push({
      mean,
      error:
        (Math.abs(p) * before.error + 2 * local) / divisor + Math.abs(mean) * (divisorSpread + 1),
      variance: prior / divisor,
      spread: priorSpread / divisor + 3,
    });
  });
  const results = filtered.slice(1).map(({ mean, error }) => ({ mean, error }));
  for (let k = factors.length - 1; smoother && k > 0; k--) {
    const before = filtered[k]!;
    const { prior, priorSpread } = predicted(factors[k]!, before);
    const gain = (before.variance * factors[k]!) / prior;
    const rest = results[k]!.mean - defects[k]!;
    const own = before.mean / prior;
    const mean = own + gain * rest;
    const error =
      before.error / prior +
      Math.abs(own) * (priorSpread + 1) +
      Math.abs(gain) * (results[k]!.error + Math.abs(defects[k]!) + Math.abs(rest)) +
      Math.abs(gain * rest) * (before.spread + priorSpread + 3) +
      Math.abs(mean);
    results[k - 1] = { mean, error };
  }
  return results.map(({ mean, error }, k) => {
    const sum = Math.abs(chain.old[k]![0]! + mean);
    return Float64Array.of(MARGIN * UNIT_ROUNDOFF * (error + sum) + UNDERFLOW);
  });
}

/** V⁻ = p² V + 1 and its relative error. */
function predicted(p: number, { variance, spread }: Filtered) {
  const grown = p * p * variance;
  const prior = grown + 1;
  return { prior, priorSpread: ((spread + 2) * grown) / prior + 1 };
}
