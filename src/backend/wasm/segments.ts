/**
 * Runs stretches of sequences step by step, up to eight of them side by side. Time passes in windows: a
 * window's inputs go in, with one lane its drive is computed as a matrix product, the recurrence runs, and
 * its states come out, so that the memory needed does not depend on the length.
 *
 * Threads run this too, so it knows programs as addresses, and nothing of cells.
 */
import type { FloatArray } from "../../types.ts";
import { makeDriver } from "./drive.ts";
import { LaneJob } from "./job.ts";
import { LANES, lanesFor } from "./lanes.ts";
import type { KernelExports } from "./load.ts";
import type { CompiledProgram } from "./lower.ts";
import { copyRows, type KernelMemory } from "./memory.ts";

/** Most steps a window: few enough that a window's drive and states stay in the cache. */
const LONGEST_WINDOW = 256;
/** Fewest: what a window costs beside its steps should not count. */
const SHORTEST_WINDOW = 8;
/** Multiply–adds a window, about: few enough that the event loop gets its turn between windows. */
const WINDOW_WORK = 5e7;
/** Steps a window, and steps from the start for which it is so short. */
const SHORT_WINDOW = 64;
const SHORT_UNTIL = 128;

/** A step, with some number of lanes. */
export interface StepProgram {
  readonly program: CompiledProgram;
  /** The leaf that it reads beside the state, and its size: the drive with one lane, else the input. */
  readonly source: string;
  readonly width: number;
}

/** What it takes to run a cell's steps, in the part of the memory that stays. */
export interface StepPrograms {
  readonly inputSize: number;
  readonly stateSize: number;
  readonly driveSize: number;
  /** The step, by its number of lanes. */
  readonly steps: ReadonlyMap<number, StepProgram>;
  /** Takes inputs to the drive; null if the steps read no drive. */
  readonly drive: CompiledProgram | null;
}

/** Consecutive steps of one sequence. */
export interface Segment {
  /** `[length, inputSize]`, the segment's own rows. */
  readonly inputs: FloatArray;
  /** `[length, stateSize]`, likewise. */
  readonly states: FloatArray;
  /** At least one. */
  readonly length: number;
  /** Whether time runs from the last row to the first. */
  readonly reverse: boolean;
  /** `[stateSize]`: what it starts from, and once it has run, its last state. */
  readonly state: FloatArray;
}

/** A part of a segment that has been run. */
export interface Window {
  /** Index of the segment. */
  readonly segment: number;
  /** Steps from the start of the segment, in the direction of time. */
  readonly from: number;
  readonly to: number;
  /** `[to − from, stateSize]`, in the direction of time; in the kernels' memory. */
  readonly states: Float32Array;
}

export interface RunOptions {
  /** Whether a window has met what was stored, which then stays from the window's last step on. */
  readonly endsWith?: (window: Window) => boolean;
  /** Hears of the steps just done; may pause, or throw to end it all. */
  readonly afterWindow: (steps: number) => void | Promise<void>;
  /** The drive of a window, `[to − from, driveSize]`, where it comes from elsewhere; null: not this one. */
  readonly driveOf?: (from: number, to: number) => Promise<Float32Array | null> | null;
  /** Whether the first windows are short, since most segments will be ended early. */
  readonly short?: boolean;
}

export interface SegmentRunner {
  /** Most steps a window; all but a segment's last and short ones have so many. */
  readonly window: number;
  /**
   * Runs segments to their ends, or to where they are ended, and stores their states.
   *
   * @returns whether the states of each are all finite.
   */
  run(segments: readonly Segment[], options: RunOptions): Promise<boolean[]>;
}

/** A segment on its way. */
interface Runner {
  readonly segment: number;
  /** Steps done. */
  done: number;
  /** Addresses of its state, of what its window's steps read beside it, and of the window's states. */
  readonly state: number;
  readonly source: number;
  readonly window: number;
}

/** Steps a window. */
function windowLength({ stateSize, driveSize }: StepPrograms, together: number): number {
  const steps = WINDOW_WORK / (Math.max(together, 1) * stateSize * (stateSize + driveSize));
  return Math.min(Math.max(Math.floor(steps), SHORTEST_WINDOW), LONGEST_WINDOW);
}

/**
 * @param segments most segments that a run has.
 * @throws RangeError when the memory cannot be had.
 */
export function makeSegmentRunner(
  memory: KernelMemory,
  exports: KernelExports,
  programs: StepPrograms,
  segments: number,
): SegmentRunner {
  const { inputSize, stateSize, driveSize, drive } = programs;
  const together = Math.min(segments, lanesFor(segments, stateSize));
  const runDrive = makeDriver(memory, exports, drive, inputSize, driveSize);
  const copyInputs = makeDriver(memory, exports, null, inputSize, inputSize);
  const jobs = new Map(
    [...programs.steps].map(([lanes, { program, source, width }]) => [
      lanes,
      new LaneJob(memory, exports.runLanes, {
        program,
        source: { leaf: source, width, stride: width * 4 },
        target: { width: stateSize, stride: stateSize * 4 },
        stateWidth: stateSize,
      }),
    ]),
  );
  const longest = windowLength(programs, together);
  // What is compared at the ends of windows must not depend on how many lanes there are.
  const longestShort = windowLength(programs, LANES);
  const places = Array.from({ length: together }, () => ({
    state: memory.allocateFloats(stateSize),
    source: memory.allocateFloats(longest * Math.max(driveSize, together > 1 ? inputSize : 0)),
    window: memory.allocateFloats(longest * stateSize),
  }));

  return {
    window: longest,
    async run(segments, { endsWith, afterWindow, driveOf, short }) {
      const finite = segments.map(() => true);
      const waiting = segments.map((_, i) => i);
      const start = (place: (typeof places)[number]): Runner => {
        const segment = waiting.shift()!;
        memory.floats.set(segments[segment]!.state, place.state / 4);
        return { ...place, segment, done: 0 };
      };
      const endOf = ({ segment, done }: Runner) => {
        const most = short && done < SHORT_UNTIL ? SHORT_WINDOW : longest;
        const steps = short ? Math.min(most, longestShort) : longest;
        return Math.min(segments[segment]!.length, done + steps);
      };
      let runners = places.slice(0, waiting.length).map(start);
      while (runners.length > 0) {
        const lanes = lanesFor(runners.length, stateSize);
        const job = jobs.get(lanes)!;
        const read = lanes === 1 ? runDrive : copyInputs;
        for (const [index, runner] of runners.entries()) {
          const { inputs, length, reverse } = segments[runner.segment]!;
          const end = endOf(runner);
          const given = driveOf ? await driveOf(runner.done, end) : null;
          const { source, window, state } = runner;
          if (given) memory.floats.set(given, source / 4);
          else read(inputs, runner.done, end, length, reverse, source);
          job.setLane(index % lanes, source, window, end - runner.done, state, state);
          if (lanes === 1) job.run(1);
        }
        if (lanes > 1) job.run(runners.length);
        let ran = 0;
        runners = runners.flatMap((runner) => {
          const { segment, done: from } = runner;
          const { length, state } = segments[segment]!;
          const to = endOf(runner);
          const count = (to - from) * stateSize;
          const states = memory.view(runner.window, count);
          const window = { segment, from, to, states };
          const ended = endsWith?.(window) ?? false;
          storeStates(segments[segment]!, window, stateSize, ended ? 1 : 0);
          finite[segment] &&= exports.allFinite(runner.window, count) !== 0;
          runner.done = to;
          ran += to - from;
          if (!ended && to < length) return [runner];
          state.set(memory.view(runner.state, stateSize));
          return waiting.length > 0 ? [start(runner)] : [];
        });
        await afterWindow(ran);
      }
      return finite;
    },
  };
}

/** Copies a window's states to their rows, but for its last `without` steps. */
function storeStates(
  { reverse, states, length }: Segment,
  { from, to, states: window }: Window,
  stateSize: number,
  without: number,
): void {
  const end = to - without;
  const first = reverse ? length - end : from;
  const target = states.subarray(first * stateSize, (first + end - from) * stateSize);
  copyRows(window.subarray(0, (end - from) * stateSize), target, stateSize, reverse);
}
