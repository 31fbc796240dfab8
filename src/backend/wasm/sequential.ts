/**
 * Sequential evaluation, up to eight sequences side by side. Time passes in windows: a window's inputs
 * go in, its drive is computed as a matrix product, the recurrence runs, and its states come out, so
 * that the memory needed does not depend on the length.
 */

import type { Cell } from "../../cell/define-cell.ts";
import { recurrenceOf } from "../../cell/recurrence.ts";
import type { Pacer } from "../../solve/pacing.ts";
import type { SequentialProblem } from "../backend.ts";
import { DRIVE_LANES, makeDriver } from "./drive.ts";
import { LaneJob } from "./job.ts";
import type { KernelExports } from "./load.ts";
import type { CompiledProgram } from "./lower.ts";
import { copyRows, type KernelMemory } from "./memory.ts";
import type { CellPrograms, ProgramCache } from "./programs.ts";

/** Most steps a window: few enough that a window's drive and states stay in the cache. */
const LONGEST_WINDOW = 256;
/** Multiply–adds a window, about: few enough that the event loop gets its turn between windows. */
const WINDOW_WORK = 5e7;
const MOST_LANES = 8;

/** A sequence on its way. */
interface Runner {
  readonly sequence: number;
  /** Steps done. */
  done: number;
  /** Addresses of its state and of its window's drive and states. */
  readonly state: number;
  readonly drive: number;
  readonly window: number;
}

/** Side by side, so many lanes serve so many sequences best. */
function lanesFor(sequences: number): number {
  return sequences > 4 ? 8 : sequences > 1 ? 4 : 1;
}

/** The step programs for up to `sequences` sequences. */
function compileSteps(programs: CellPrograms, sequences: number): Map<number, CompiledProgram> {
  const widths = [1, 4, 8].filter((lanes) => lanes <= lanesFor(sequences));
  return new Map(widths.map((lanes) => [lanes, programs.step(lanes)]));
}

/** Steps a window; a multiple of the lanes of the drive. */
function windowLength(stateSize: number, driveSize: number, together: number): number {
  const steps = WINDOW_WORK / (Math.max(together, 1) * stateSize * (stateSize + driveSize));
  const whole = Math.floor(steps / DRIVE_LANES) * DRIVE_LANES;
  return Math.min(Math.max(whole, DRIVE_LANES), LONGEST_WINDOW);
}

/** What a run keeps in memory, for `together` sequences side by side. */
function setUp(
  memory: KernelMemory,
  exports: KernelExports,
  cache: ProgramCache,
  cell: Cell,
  together: number,
) {
  const { inputSize, stateSize } = cell;
  const driveSize = recurrenceOf(cell).drive.size;
  const { programs, drive } = cache.prepare(cell, ({ split }) => ({
    programs: compileSteps(split, together),
    drive: split.drive(DRIVE_LANES),
  }));
  const runDrive = makeDriver(memory, exports, drive, inputSize, driveSize);
  const jobs = new Map(
    [...programs].map(([lanes, program]) => [
      lanes,
      new LaneJob(memory, exports.runLanes, {
        program,
        source: { leaf: "drive", width: driveSize, stride: driveSize * 4 },
        target: { width: stateSize, stride: stateSize * 4 },
        stateWidth: stateSize,
      }),
    ]),
  );
  const steps = windowLength(stateSize, driveSize, together);
  const places = Array.from({ length: together }, () => ({
    state: memory.allocateFloats(stateSize),
    drive: memory.allocateFloats(steps * driveSize),
    window: memory.allocateFloats(steps * stateSize),
  }));
  return { runDrive, jobs, places, steps };
}

/** Whether all states are finite. @throws RangeError when the memory cannot be had. */
export async function runSequentially(
  memory: KernelMemory,
  exports: KernelExports,
  cache: ProgramCache,
  problem: SequentialProblem,
  pacer: Pacer,
): Promise<boolean> {
  const { cell, inputs, sequences, reverse, initialStates, states, onProgress } = problem;
  const { inputSize, stateSize } = cell;
  const waiting = sequences
    .map((_, sequence) => sequence)
    .filter((sequence) => sequences[sequence]!.length > 0);
  const total = sequences.reduce((sum, { length }) => sum + length, 0);
  const together = Math.min(waiting.length, MOST_LANES);
  const { runDrive, jobs, places, steps } = cache.withRoom(() =>
    setUp(memory, exports, cache, cell, together),
  );

  const start = (place: (typeof places)[number]): Runner => {
    const sequence = waiting.shift()!;
    const row = initialStates.subarray(sequence * stateSize, (sequence + 1) * stateSize);
    memory.floats.set(row, place.state / 4);
    return { ...place, sequence, done: 0 };
  };
  let runners = places.map(start);
  let done = 0;
  let finite = true;
  while (runners.length > 0) {
    const job = jobs.get(lanesFor(runners.length))!;
    runners.forEach((runner, lane) => {
      const { offset, length } = sequences[runner.sequence]!;
      const end = Math.min(length, runner.done + steps);
      const rows = inputs.subarray(offset * inputSize, (offset + length) * inputSize);
      runDrive(rows, runner.done, end, length, reverse, runner.drive);
      const { drive: source, window, state } = runner;
      job.setLane(lane, source, window, end - runner.done, state, state);
    });
    job.run(runners.length);
    for (const runner of runners) {
      const { offset, length } = sequences[runner.sequence]!;
      const count = Math.min(steps, length - runner.done);
      const first = reverse ? length - runner.done - count : runner.done;
      const target = states.subarray(
        (offset + first) * stateSize,
        (offset + first + count) * stateSize,
      );
      copyRows(memory.view(runner.window, count * stateSize), target, stateSize, reverse);
      finite &&= exports.allFinite(runner.window, count * stateSize) !== 0;
      runner.done += count;
      done += count;
    }
    runners = runners.flatMap((runner) => {
      if (runner.done < sequences[runner.sequence]!.length) return [runner];
      return waiting.length > 0 ? [start(runner)] : [];
    });
    onProgress?.(done, total);
    await pacer.pause();
  }
  return finite;
}
