/**
 * Running a segment again from another state, until it merges with the states that are stored.
 *
 * Two float32 trajectories of a contractive recurrence come as close as rounding lets them, and then
 * jitter there for ever without being equal. They have merged once they have been near each other for a
 * quarter of the steps that it took to get there, and are within a few units in the last place: what is
 * left of the old difference, which dies out exponentially, is then far below the rounding errors.
 */
import type { FloatArray } from "../../../types.ts";
import type { Segment, SegmentRunner, Window } from "../segments.ts";

/** Largest difference of merged states, relative to 1 + ‖s‖∞: two units in the last place. */
export const MERGE_TOLERANCE = 2 * 2 ** -23;
/** How far they may jitter apart, in units of the above: the longer the memory, the more. */
const NEAR = 8;
/** Fewest steps for which they must have been near. */
const SHORTEST_HOLD = 8;
/** The same, in units of the steps before. */
const HOLD_SHARE = 1 / 4;

/** What became of a segment that was run again. */
export interface Rerun {
  /** Steps that were run. */
  steps: number;
  /** Whether the stored states were met; if not, all have been replaced, and the end is another. */
  merged: boolean;
  /** ‖difference‖∞ / (1 + ‖s‖∞) where old states follow new ones: the residual of that step. */
  residual: number;
  /** Whether all new states are finite. */
  finite: boolean;
}

/** Runs a segment again, from its state, with `stored` and `tolerance` as in `watchMerging`. */
export async function runAgain(
  runner: SegmentRunner,
  segment: Segment,
  stored: FloatArray,
  stateSize: number,
  tolerance: number,
  afterWindow: (steps: number) => void | Promise<void>,
): Promise<Rerun> {
  const { endsWith, rerun } = watchMerging(segment, stored, stateSize, tolerance);
  const [finite = true] = await runner.run([segment], { endsWith, afterWindow, short: true });
  return { ...rerun, finite };
}

/**
 * Watches a segment that is run again.
 *
 * @param stored its states as they were, laid out as in the segment; may be those that are written to.
 * @param tolerance as `MERGE_TOLERANCE`; 0 asks for states that are equal in every bit.
 */
export function watchMerging(
  { length, reverse }: Segment,
  stored: FloatArray,
  stateSize: number,
  tolerance: number,
) {
  const rerun = { steps: 0, merged: false, residual: 0 };
  /** First step of those, up to the last one run, whose states are near; or −1. */
  let nearSince = -1;

  function endsWith({ from, to, states }: Window): boolean {
    const differenceAt = (step: number) => {
      const row = reverse ? length - 1 - step : step;
      const at = (step - from) * stateSize;
      return difference(states, at, stored, row * stateSize, stateSize, tolerance === 0);
    };
    const last = differenceAt(to - 1);
    if (last <= NEAR * tolerance) {
      let since = to - 1;
      while (since > from && differenceAt(since - 1) <= NEAR * tolerance) since--;
      if (since > from || nearSince < 0) nearSince = since;
    } else {
      nearSince = -1;
    }
    const hold = tolerance === 0 ? 1 : Math.max(SHORTEST_HOLD, nearSince * HOLD_SHARE);
    rerun.steps = to;
    rerun.merged = last <= tolerance && to - nearSince >= hold;
    if (rerun.merged) rerun.residual = last;
    return rerun.merged;
  }

  return { endsWith, rerun };
}

/** ‖a − b‖∞ / (1 + ‖b‖∞); not finite where either is not. With `bits`, 0 for equal bits alone. */
function difference(
  a: Float32Array,
  from: number,
  b: ArrayLike<number>,
  start: number,
  size: number,
  bits: boolean,
): number {
  let largest = 0;
  let scale = 0;
  for (let i = 0; i < size; i++) {
    const [x, y] = [a[from + i]!, b[start + i]!];
    if (bits && !Object.is(x, y)) return Infinity;
    // NaN must not be lost, as it would be in a comparison.
    largest = Math.max(largest, Math.abs(x - y));
    scale = Math.max(scale, Math.abs(y));
  }
  return largest / (1 + scale);
}
