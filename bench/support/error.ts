/** How far states are from the exact ones, on average; the largest error is in tests/support/agreement.ts. */
import type { FloatArray } from "../../src/types.ts";

/** The mean of |s_t,i − s*_t,i|, which the ELK paper calls MAD; Infinity if any state is not finite. */
export function meanAbsoluteError(states: FloatArray, exact: FloatArray): number {
  let sum = 0;
  for (let i = 0; i < exact.length; i++) sum += Math.abs(states[i] - exact[i]);
  const mean = sum / exact.length;
  return Number.isFinite(mean) ? mean : Number.POSITIVE_INFINITY;
}
