/** The float64 oracle as a backend: slow, obvious, and there on every machine. */
import type { Cell } from "../../cell/define-cell.ts";
import type { Pacer } from "../../solve/pacing.ts";
import type { HostBackend, HostRun, SequentialProblem } from "../backend.ts";
import { createReferenceEngine, UNIT_ROUNDOFF } from "./engine.ts";
import { type Programs, programsOf } from "./programs.ts";

export function createReferenceBackend(): HostBackend {
  let known = new WeakMap<Cell, Programs>();
  const programsFor = (cell: Cell): Programs => {
    const programs = known.get(cell) ?? programsOf(cell);
    known.set(cell, programs);
    return programs;
  };
  return {
    kind: "host",
    name: "reference",
    unitRoundoff: UNIT_ROUNDOFF,
    allocate: (length) => new Float64Array(length),

    async sequential(problem: SequentialProblem, pacer: Pacer): Promise<HostRun> {
      const { cell, inputs, sequences, reverse, initialStates, onProgress } = problem;
      const states = problem.states();
      const { inputSize, stateSize } = cell;
      const programs = programsFor(cell);
      const total = sequences.reduce((sum, { length }) => sum + length, 0);
      let done = 0;
      for (const [sequence, { offset, length }] of sequences.entries()) {
        const first = sequence * stateSize;
        const state = Float64Array.from(initialStates.subarray(first, first + stateSize));
        await pacer.slices(0, length, programs.stepCost, (from, to) => {
          for (let t = from; t < to; t++) {
            const row = offset + (reverse ? length - 1 - t : t);
            const input = inputs.subarray(row * inputSize, (row + 1) * inputSize);
            state.set(programs.next(state, programs.drive(Float64Array.from(input))));
            states.set(state, row * stateSize);
          }
          done += to - from;
          onProgress?.(done, total);
        });
      }
      return { finite: states.every((value: number) => Number.isFinite(value)) };
    },

    engine: (problem) => createReferenceEngine(problem, programsFor(problem.cell)),

    /** Nothing is held but by the engine itself. */
    release() {},

    dispose() {
      known = new WeakMap();
    },
  };
}
