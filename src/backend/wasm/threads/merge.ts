/**
 * Running a segment again from another state, until it merges with the states that are stored.
 *
 * Two float32 trajectories of a contractive recurrence come as close as rounding lets them, and then
 * jitter there for ever without being equal. They have merged once they have been near each other for a
 * quarter of the steps that it took to get there, and are within a few units in the last place: what is
 * left of the old difference, which dies out exponentially, is then far below the rounding errors.
 */
import type { Segment, Window } from "../segments.ts";

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
  /**
   * Whether the stored states were met, or running ended before it came to that or to the end of the
   * segment; if neither, all have been replaced, and the end is another.
   */
  ended: "merged" | "stopped" | null;
  /** ‖difference‖∞ / (1 + ‖s‖∞) where old states follow new ones: the residual of that step. */
  residual: number;
}

/**
 * Watches segments that are run again.
 *
 * @param tolerance as `MERGE_TOLERANCE`; 0 asks for states that are equal in every bit.
 * @param limit steps after which a segment stops.
 * @param before steps that each has been run already.
 */
export function watchMerging(
  segments: readonly Segment[],
  stateSize: number,
  tolerance: number,
  limit = Number.POSITIVE_INFINITY,
  before: readonly number[] = segments.map(() => 0),
) {
  const reruns = segments.map((): Rerun => ({ steps: 0, ended: null, residual: 0 }));
  /** First step of those, up to the last one run, whose states are near; or −1. */
  const nearSince = segments.map(() => -1);

  function endsWith({ segment: index, from, to, states }: Window): Rerun["ended"] {
    const segment = segments[index]!;
    const rerun = reruns[index]!;
    rerun.steps = to;
    const differenceAt = (step: number) => {
      const row = segment.reverse ? segment.length - 1 - step : step;
      const at = (step - from) * stateSize;
      return difference(states, at, segment.states, row * stateSize, stateSize, tolerance === 0);
    };
    const last = differenceAt(to - 1);
    if (last <= NEAR * tolerance) {
      let since = to - 1;
      while (since > from && differenceAt(since - 1) <= NEAR * tolerance) since--;
      if (since > from || nearSince[index]! < 0) nearSince[index] = since;
    } else {
      nearSince[index] = -1;
    }
    const since = nearSince[index]!;
    const hold =
      tolerance === 0 ? 1 : Math.max(SHORTEST_HOLD, (before[index]! + since) * HOLD_SHARE);
    const merged = last <= tolerance && to - since >= hold;
    if (merged) rerun.residual = last;
    const isOver = to >= limit && to < segment.length;
    rerun.ended = merged ? "merged" : isOver ? "stopped" : null;
    return rerun.ended;
  }

  return { endsWith, reruns };
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
