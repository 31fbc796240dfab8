/** How far states are from others, in the units of the report. */
import type { FloatArray } from "../types.ts";

/** Largest over t of ‖a_t − b_t‖∞ / (1 + ‖b_t‖∞); Infinity where a difference is not a number. */
export function largestError(a: FloatArray, b: FloatArray, stateSize: number): number {
  if (a.length !== b.length) return Infinity;
  let largest = 0;
  for (let row = 0; row < b.length; row += stateSize) {
    let difference = 0;
    let size = 0;
    for (let i = row; i < row + stateSize; i++) {
      // Math.max keeps NaN.
      difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
      size = Math.max(size, Math.abs(b[i]!));
    }
    const error = difference / (1 + size);
    largest = Math.max(largest, Number.isNaN(error) ? Infinity : error);
  }
  return largest;
}
