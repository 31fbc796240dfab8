/** What tests of engines share: problems, damping, and sequential evaluation from the cell's graph. */
import { add, type Cell, defineCell, multiply } from "../../src/cell/index.ts";
import { interpreter } from "../../src/cell/interpret.ts";
import type { EngineProblem, SweepEngine } from "../../src/solve/engine.ts";
import type { IterateOptions } from "../../src/solve/iterate.ts";
import type { Damping } from "../../src/solve/method.ts";
import type { FloatArray, JacobianKind } from "../../src/types.ts";
import { mulberry32, normal, uniform } from "./random.ts";

export const undamped: Damping = {
  lambda: 0,
  estimate: "filter",
  scale: 0,
  clip: false,
  trustRegion: false,
};

export const jacobians: readonly JacobianKind[] = [
  "none",
  "identity",
  "diagonal",
  "block",
  "dense",
];

/** h_t = w h_{t−1} + x_t, elementwise. */
export const scaling = (factors: readonly number[], bounds?: readonly [number, number]) =>
  defineCell({
    name: "scaling",
    inputSize: factors.length,
    state: { h: { size: factors.length, ...(bounds && { bounds }) } },
    weights: { w: { shape: [factors.length], data: Float64Array.from(factors) } },
    step: ({ h }, x, { w }) => ({ h: add(multiply(w, h), x) }),
  });

/** `length` steps of seeded inputs from N(0, 1), and an initial state within every cell's bounds. */
export function problemOf(
  cell: Cell,
  length: number,
  options: Partial<EngineProblem> & { readonly seed?: number } = {},
): EngineProblem {
  const { seed = 1, ...given } = options;
  const random = mulberry32(seed);
  return {
    cell,
    inputs: normal(random, length * cell.inputSize),
    length,
    reverse: false,
    initialState: uniform(random, cell.stateSize, -0.9, 0.9),
    initialGuess: null,
    chunk: 1,
    jacobian: "dense",
    damping: undamped,
    ...given,
  };
}

/**
 * The exact states in float64, `[length, stateSize]` in the order of the inputs' rows: the traced step
 * itself, before any rewriting, on one row after the other.
 */
export function exactStates(problem: EngineProblem): Float64Array {
  const { cell, inputs, length, reverse, initialState } = problem;
  const { inputSize, stateSize } = cell;
  const step = interpreter([cell.next], cell.weights);
  const states = new Float64Array(length * stateSize);
  const state = Float64Array.from(initialState);
  for (let t = 0; t < length; t++) {
    const row = reverse ? length - 1 - t : t;
    const input = Float64Array.from(inputs.subarray(row * inputSize, (row + 1) * inputSize));
    state.set(step({ state, input })[0]!);
    states.set(state, row * stateSize);
  }
  return states;
}

export function readStates(engine: SweepEngine, { cell, length }: EngineProblem): Float64Array {
  const states = new Float64Array(length * cell.stateSize);
  engine.readStates(states);
  return states;
}

/** Options of `iterate` for a test: as sharp as float64 allows with room for rounding. */
export function iterateOptions(
  problem: EngineProblem,
  given: Partial<IterateOptions> = {},
): IterateOptions {
  return {
    damping: undamped,
    tolerance: 1e-11,
    maxIterations: 200,
    chunkLength: problem.chunk,
    sequence: 0,
    certifyFailure: true,
    ...given,
  };
}

/** Largest |a_i − b_i|; Infinity if one is NaN or the lengths differ. */
export function largestDifference(a: FloatArray, b: FloatArray): number {
  if (a.length !== b.length) return Infinity;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Object.is(a[i], b[i]) ? 0 : Math.abs(a[i]! - b[i]!);
    largest = Number.isNaN(difference) ? Infinity : Math.max(largest, difference);
  }
  return largest;
}
