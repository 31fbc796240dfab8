/**
 * What a result of the WebGPU backend is held against: the float64 oracle, and the cell's step itself.
 * Runs in any host of WebGPU, so nothing here may need Node or a test runner.
 */
import { interpreter } from "../../src/cell/interpret.ts";
import type { Cell, EvaluateOptions, Evaluation, FloatArray, Runtime } from "../../src/index.ts";
import { largestError } from "./agreement.ts";
import { mulberry32, normal, uniform } from "./random.ts";

/** A batch, or one sequence, to evaluate. */
export interface WebgpuProblem {
  readonly cell: Cell;
  readonly inputs: FloatArray | number;
  readonly lengths: readonly number[];
  readonly initialState: FloatArray;
  readonly reverse: boolean;
}

/** Seeded inputs from N(0, 1), and initial states that are not zero, within every cell's bounds. */
export function webgpuProblem(
  cell: Cell,
  lengths: readonly number[],
  { seed = 1, reverse = false } = {},
): WebgpuProblem {
  const random = mulberry32(seed);
  const rows = lengths.reduce((sum, length) => sum + length, 0);
  const inputs = cell.inputSize > 0 ? normal(random, rows * cell.inputSize) : rows;
  const initialState = uniform(random, lengths.length * cell.stateSize, -0.9, 0.9);
  return { cell, inputs, lengths, initialState, reverse };
}

/** Arguments of `evaluate` that belong to the problem. */
export function optionsOf({ lengths, initialState, reverse }: WebgpuProblem): EvaluateOptions {
  return { initialState, reverse, ...(lengths.length !== 1 && { lengths }) };
}

/** The worst over a batch; numbers, so that they can be sent from one host to another. */
export interface Agreement {
  /** Of the states and of the final states against the oracle's, relative as in the report. */
  readonly error: number;
  readonly finalError: number;
  /** ‖s_t − f(s_{t−1}, x_t)‖∞ / (1 + ‖s_t‖∞), the step taken in float64. */
  readonly residual: number;
}

/** @param oracle the same problem's float64 states. */
export function agreementOf(
  problem: WebgpuProblem,
  { states, finalStates }: Evaluation<FloatArray>,
  oracle: Evaluation<FloatArray>,
): Agreement {
  const { stateSize } = problem.cell;
  return {
    error: largestError(states, oracle.states, stateSize),
    finalError: largestError(finalStates, oracle.finalStates, stateSize),
    residual: stepResidual(problem, states),
  };
}

/** Infinity where a state is not a number. */
function stepResidual(problem: WebgpuProblem, states: FloatArray): number {
  const { cell, inputs, lengths, initialState, reverse } = problem;
  const { stateSize, inputSize } = cell;
  const step = interpreter([cell.next], cell.weights);
  let worst = 0;
  let offset = 0;
  for (const [sequence, length] of lengths.entries()) {
    const first = sequence * stateSize;
    let before = Float64Array.from(initialState.subarray(first, first + stateSize));
    for (let t = 0; t < length; t++) {
      const row = offset + (reverse ? length - 1 - t : t);
      const input =
        typeof inputs === "number"
          ? new Float64Array(0)
          : Float64Array.from(inputs.subarray(row * inputSize, (row + 1) * inputSize));
      const state = Float64Array.from(states.subarray(row * stateSize, (row + 1) * stateSize));
      worst = Math.max(worst, largestError(step({ state: before, input })[0]!, state, stateSize));
      before = state;
    }
    offset += length;
  }
  return worst;
}

/** The oracle's states for a problem. */
export function oracleOf(
  runtime: Runtime,
  problem: WebgpuProblem,
): Promise<Evaluation<Float64Array>> {
  const { cell, inputs } = problem;
  const options = { ...optionsOf(problem), method: "sequential", backend: "reference" } as const;
  return runtime.evaluate(cell, inputs as FloatArray, options);
}
