/** How closely two trajectories agree, in the units of the report. */
import type { FloatArray } from "../../src/index.ts";

/** Largest over t of ‖a_t − b_t‖∞ / (1 + ‖b_t‖∞); Infinity if any difference is not a number. */
export function largestError(a: FloatArray, b: FloatArray, stateSize: number): number {
  if (a.length !== b.length) return Infinity;
  let worst = 0;
  for (let row = 0; row < b.length; row += stateSize) {
    let difference = 0;
    let scale = 0;
    for (let i = row; i < row + stateSize; i++) {
      difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
      scale = Math.max(scale, Math.abs(b[i]!));
    }
    // Math.max keeps NaN, and NaN must not pass for agreement.
    const error = difference / (1 + scale);
    worst = Number.isNaN(error) ? Infinity : Math.max(worst, error);
  }
  return worst;
}

/** Whether two arrays hold the same numbers, bit for bit. */
export function identical(a: FloatArray, b: FloatArray): boolean {
  return a.length === b.length && a.every((value, i) => Object.is(value, b[i]));
}
