/** The float64 oracle as a backend: slow, obvious, and there on every machine. */
import type { Cell } from "../../cell/define-cell.ts";
import type { EngineProblem, SweepEngine } from "../../solve/engine.ts";
import type { Pacer } from "../../solve/pacing.ts";
import type { HostBackend, SequentialProblem } from "../backend.ts";
import { ReferenceEngine, UNIT_ROUNDOFF } from "./engine.ts";
import { type Programs, programsOf } from "./programs.ts";

export function createReferenceBackend(): HostBackend {
  return new ReferenceBackend();
}

class ReferenceBackend implements HostBackend {
  readonly kind = "host";
  readonly name = "reference";
  readonly unitRoundoff = UNIT_ROUNDOFF;
  #programs = new WeakMap<Cell, Programs>();

  allocate(length: number): Float64Array {
    return new Float64Array(length);
  }

  async sequential(problem: SequentialProblem, pacer: Pacer): Promise<boolean> {
    const { cell, inputs, sequences, reverse, initialStates, states, onProgress } = problem;
    const { inputSize, stateSize } = cell;
    const programs = this.#programsOf(cell);
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
    return states.every((value: number) => Number.isFinite(value));
  }

  engine(problem: EngineProblem): SweepEngine {
    return new ReferenceEngine(problem, this.#programsOf(problem.cell));
  }

  /** Nothing is held but by the engine itself. */
  release(): void {}

  dispose(): void {
    this.#programs = new WeakMap();
  }

  #programsOf(cell: Cell): Programs {
    let programs = this.#programs.get(cell);
    if (!programs) {
      programs = programsOf(cell);
      this.#programs.set(cell, programs);
    }
    return programs;
  }
}
