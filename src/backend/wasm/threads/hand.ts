/** The share of an evaluation that one thread does: some segments, on its own copy of the kernels. */
import type { Segment, SegmentRunner } from "../segments.ts";
import { type Rerun, watchMerging } from "./merge.ts";

export interface Ran {
  /** The last states of the segments that ran, `[segments, stateSize]`. */
  readonly ends: Float32Array;
  /** Whether their states are all finite. */
  readonly finite: readonly boolean[];
}

export interface Reran {
  readonly ends: Float32Array;
  readonly reruns: readonly Rerun[];
  /** Whether the new states are all finite. */
  readonly finite: readonly boolean[];
}

/** Which segments to run again, and how far. */
export interface Again {
  readonly indices: readonly number[];
  /** Steps of each that are right already. */
  readonly offsets: readonly number[];
  /** The states that they go on from, `[indices, stateSize]`. */
  readonly starts: Float32Array;
  /** See `watchMerging`. */
  readonly tolerance: number;
  readonly limit: number;
}

/** Works on segments, which are counted from 0 in each thread. */
export interface Hand {
  /** Runs all segments from their states. */
  run(): Promise<Ran>;
  /** Runs some segments again. */
  rerun(request: Again): Promise<Reran>;
  /** Delivers the states. */
  close(): Promise<void>;
}

/** The hand of the thread that calls. */
export function localHand(
  runner: SegmentRunner,
  segments: readonly Segment[],
  stateSize: number,
  afterWindow: (steps: number) => void | Promise<void>,
): Hand {
  const endsOf = (some: readonly Segment[]) => {
    const ends = new Float32Array(some.length * stateSize);
    some.forEach(({ state }, i) => {
      ends.set(state, i * stateSize);
    });
    return ends;
  };
  return {
    async run() {
      const finite = await runner.run(segments, { afterWindow });
      return { ends: endsOf(segments), finite };
    },
    async rerun({ indices, offsets, starts, tolerance, limit }) {
      const again = indices.map((index, i): Segment => {
        const state = starts.slice(i * stateSize, (i + 1) * stateSize);
        return { ...behind(segments[index]!, offsets[i]!), state };
      });
      const { endsWith, reruns } = watchMerging(again, stateSize, tolerance, limit, offsets);
      const finite = await runner.run(again, { endsWith, afterWindow, short: true });
      return { ends: endsOf(again), reruns, finite };
    },
    async close() {},
  };
}

/** What is left of a segment behind its first `offset` steps. */
function behind(segment: Segment, offset: number): Segment {
  const { inputs, states, length, reverse } = segment;
  const rest = (rows: Segment["inputs"]) => {
    const skipped = (offset * rows.length) / length;
    return reverse ? rows.subarray(0, rows.length - skipped) : rows.subarray(skipped);
  };
  return { ...segment, inputs: rest(inputs), states: rest(states), length: length - offset };
}
