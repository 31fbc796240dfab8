/** Sequential evaluation on the caller's thread, up to eight sequences side by side. */

import type { Cell } from "../../cell/define-cell.ts";
import { recurrenceOf } from "../../cell/recurrence.ts";
import type { Pacer } from "../../solve/pacing.ts";
import type { SequentialProblem } from "../backend.ts";
import { DRIVE_LANES } from "./drive.ts";
import { LANES, lanesFor } from "./lanes.ts";
import type { KernelExports } from "./load.ts";
import type { KernelMemory } from "./memory.ts";
import type { ProgramCache } from "./programs.ts";
import {
  makeSegmentRunner,
  type RunOptions,
  type Segment,
  type SegmentRunner,
  type StepPrograms,
} from "./segments.ts";

/** The programs that step so many segments. */
function prepareSteps(cache: ProgramCache, cell: Cell, segments: number): StepPrograms {
  const { inputSize, stateSize } = cell;
  const driveSize = recurrenceOf(cell).drive.size;
  return cache.prepare(cell, ({ split, whole }) => {
    const widths = [1, LANES].filter((lanes) => lanes <= lanesFor(segments, stateSize));
    // With lanes, a step's own products are as fast as those of many rows, and save storing the drive.
    const steps = new Map(
      widths.map((lanes) => {
        const made = lanes === 1 ? split : whole;
        const { name, size } = made.source;
        return [lanes, { program: made.step(lanes), source: name, width: size }];
      }),
    );
    return { inputSize, stateSize, driveSize, steps, drive: split.drive(DRIVE_LANES) };
  });
}

/** Takes the drive of the only sequence from elsewhere. */
export type DriveElsewhere = (
  programs: StepPrograms,
  segment: Segment,
  window: number,
) => RunOptions["driveOf"];

/** Runs steps on this thread. */
export class StepKit {
  readonly memory: KernelMemory;
  readonly #exports: KernelExports;
  readonly #cache: ProgramCache;

  constructor(memory: KernelMemory, exports: KernelExports, cache: ProgramCache) {
    this.memory = memory;
    this.#exports = exports;
    this.#cache = cache;
  }

  /** A runner for so many segments, and its programs. @throws RangeError when the memory cannot be had. */
  prepare(cell: Cell, segments: number): { programs: StepPrograms; runner: SegmentRunner } {
    return this.#cache.withRoom(() => {
      const programs = prepareSteps(this.#cache, cell, segments);
      const runner = makeSegmentRunner(this.memory, this.#exports, programs, segments);
      return { programs, runner };
    });
  }

  /** Whether all states are finite. @throws RangeError when the memory cannot be had. */
  async runSequentially(
    problem: SequentialProblem,
    pacer: Pacer,
    driveElsewhere?: DriveElsewhere,
  ): Promise<boolean> {
    const segments = segmentsOf(problem);
    const { programs, runner } = this.prepare(problem.cell, segments.length);
    const total = segments.reduce((sum, { length }) => sum + length, 0);
    let done = 0;
    const driveOf = driveElsewhere?.(programs, segments[0]!, runner.window);
    const finite = await runner.run(segments, {
      afterWindow(steps) {
        done += steps;
        problem.onProgress?.(done, total);
        return pacer.pause();
      },
      ...(driveOf && { driveOf }),
    });
    return finite.every(Boolean);
  }
}

/** The sequences of a batch that have any steps, whole. */
function segmentsOf(problem: SequentialProblem): Segment[] {
  const { cell, inputs, sequences, reverse, initialStates } = problem;
  const states = problem.states();
  const { inputSize, stateSize } = cell;
  const all = sequences.map(({ offset, length }, sequence) => ({
    inputs: inputs.subarray(offset * inputSize, (offset + length) * inputSize),
    states: states.subarray(offset * stateSize, (offset + length) * stateSize),
    length,
    reverse,
    state: initialStates.slice(sequence * stateSize, (sequence + 1) * stateSize),
  }));
  return all.filter(({ length }) => length > 0);
}
