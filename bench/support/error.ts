/** How far states are from the exact ones. */
import type { FloatArray } from "../../src/types.ts";

/** The mean of |s_t,i − s*_t,i|, which the ELK paper calls MAD; Infinity if any state is not finite. */
export function meanAbsoluteError(states: FloatArray, exact: FloatArray): number {
  let sum = 0;
  for (let i = 0; i < exact.length; i++) sum += Math.abs(states[i] - exact[i]);
  const mean = sum / exact.length;
  return Number.isFinite(mean) ? mean : Number.POSITIVE_INFINITY;
}

/**
 * The largest over t of ‖s_t − s*_t‖∞ / (1 + ‖s_t‖∞), which is what `report.errorEstimate`
 * estimates; Infinity if any state is not finite.
 */
export function largestScaledError(
  states: FloatArray,
  exact: FloatArray,
  stateSize: number,
): number {
  let largest = 0;
  for (let row = 0; row < exact.length; row += stateSize) {
    let error = 0;
    let magnitude = 0;
    for (let i = row; i < row + stateSize; i++) {
      // A NaN stays: no comparison with it holds, and what is divided below is NaN too.
      error = Math.max(error, Math.abs(states[i] - exact[i]));
      magnitude = Math.max(magnitude, Math.abs(states[i]));
    }
    const scaled = error / (1 + magnitude);
    if (!Number.isFinite(scaled)) return Number.POSITIVE_INFINITY;
    largest = Math.max(largest, scaled);
  }
  return largest;
}
