/** The narrow interface behind which a backend hides. */
import type { Cell } from "../cell/define-cell.ts";
import type { EngineProblem, SweepEngine } from "../solve/engine.ts";
import type { Pacer } from "../solve/pacing.ts";
import type { BackendName, FloatArray } from "../types.ts";

/** Where a sequence's rows lie in the packed batch. */
export interface Sequence {
  /** First row. */
  readonly offset: number;
  /** T, the number of rows. */
  readonly length: number;
}

export interface SequentialProblem {
  readonly cell: Cell;
  /** `[rows, inputSize]`. */
  readonly inputs: FloatArray;
  readonly sequences: readonly Sequence[];
  readonly reverse: boolean;
  /** `[sequences, stateSize]`. */
  readonly initialStates: FloatArray;
  /** `[rows, stateSize]`, to be filled; row t belongs to row t of the inputs. */
  readonly states: FloatArray;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Backend {
  readonly name: BackendName;
  readonly simd?: "plain" | "relaxed";
  /** 2⁻²⁴ in float32, 2⁻⁵³ in float64. */
  readonly unitRoundoff: number;
  /** An array of the backend's precision. */
  allocate(length: number): FloatArray;
  /** Evaluates every sequence one step after the other; tells whether every state is finite. */
  sequential(problem: SequentialProblem, pacer: Pacer): Promise<boolean>;
  /**
   * An engine for one sequence with at least one step; only one at a time, until it is released.
   *
   * @throws RangeError saying how many bytes are needed when they cannot be had.
   */
  engine(problem: EngineProblem): SweepEngine;
  /** Gives back what the last engine held. */
  release(): void;
  dispose(): void;
}
