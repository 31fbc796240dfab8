/** The bounds that the guards clip boundary states to. */
import type { Cell } from "../cell/define-cell.ts";
import type { FloatArray } from "../types.ts";

export interface StateBounds {
  /** `[stateSize]`. */
  readonly low: Float64Array;
  /** `[stateSize]`. */
  readonly high: Float64Array;
}

/**
 * Lowest and highest value of each element of the state. A cell promises its bounds for states within
 * them, so a part that starts outside is not bounded at all.
 */
export function stateBounds(cell: Cell, initialState: FloatArray): StateBounds {
  const low = new Float64Array(cell.stateSize).fill(-Infinity);
  const high = new Float64Array(cell.stateSize).fill(Infinity);
  for (const { offset, size, bounds } of cell.parts) {
    const start = initialState.subarray(offset, offset + size);
    const inside = start.every((value: number) => value >= bounds[0] && value <= bounds[1]);
    if (!inside) continue;
    low.fill(bounds[0], offset, offset + size);
    high.fill(bounds[1], offset, offset + size);
  }
  return { low, high };
}
