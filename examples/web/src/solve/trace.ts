/**
 * The iterates of a solve, one after the other, from the public API alone.
 *
 * A run that stops after one sweep returns its trajectory with the new boundaries at the seams, and a run that
 * starts from that trajectory starts from those boundaries: so runs of one sweep each go the way of a single
 * run. Only a trust region remembers more than the boundaries, so that its iterates take runs of 1, 2, … sweeps.
 * The one boundary that is not among the states is the very last, from which no chunk starts: a damped sweep
 * leaves a defect there, which a run that starts anew does not have. So residuals are those that the single run
 * told.
 */
import type { EvaluateOptions, FloatArray, IterationProgress, Runtime } from "antler";
import type { Problem } from "./problem.ts";

export interface Iterate {
  /** Boundary updates so far; 0 is the guess, run once. */
  readonly sweep: number;
  /** What the single run told of it. */
  readonly told: IterationProgress;
  /** Its own residual; without damping the same. */
  readonly residual: number;
  /** `[steps, stateSize]`. */
  readonly states: FloatArray;
}

/** No residual but 0 is this small, so that a run does not stop before its sweeps are done. */
const NEVER = Number.MIN_VALUE;

/**
 * @param options a parallel method and its options.
 * @param told what `onIteration` was told by a single run with these options, sweep 0 first.
 * @throws what `evaluate` throws.
 */
export async function* traceSolve(
  runtime: Runtime,
  { cell, inputs, initialState }: Problem,
  options: EvaluateOptions,
  told: readonly IterationProgress[],
): AsyncGenerator<Iterate, void> {
  const { damping } = options;
  const remembers = typeof damping === "object" && damping.trustRegion === true;
  let guess: FloatArray | undefined;
  for (const [sweep, progress] of told.entries()) {
    let own = Number.NaN;
    const { states } = await runtime.evaluate(cell, inputs, {
      ...options,
      initialState,
      tolerance: NEVER,
      maxIterations: remembers ? sweep : Math.min(sweep, 1),
      onFailure: "return",
      onIteration: ({ residual }) => {
        own = residual;
      },
      ...(guess && { initialGuess: guess }),
    });
    yield { sweep, told: progress, residual: own, states };
    if (!remembers) guess = states;
  }
}

/** Where two trajectories differ, in the units of the report: ‖a_t − b_t‖∞ / (1 + ‖b_t‖∞). */
export interface ErrorProfile {
  /** The largest in each of equal stretches of time. */
  readonly bins: Float32Array;
  readonly largest: number;
  /** The step with the largest one. */
  readonly step: number;
}

/** Bins for T steps: enough for a picture, and never more than steps. */
export function binCount(steps: number, most = 240): number {
  return Math.min(steps, most);
}

/** First step of a bin. */
export function binStart(bin: number, bins: number, steps: number): number {
  return Math.floor((bin * steps) / bins);
}

export function errorProfile(
  actual: FloatArray,
  expected: FloatArray,
  stateSize: number,
  bins: number,
): ErrorProfile {
  const steps = expected.length / stateSize;
  const profile = new Float32Array(bins);
  let largest = 0;
  let at = 0;
  for (let bin = 0; bin < bins; bin++) {
    const end = binStart(bin + 1, bins, steps);
    let worst = 0;
    for (let step = binStart(bin, bins, steps); step < end; step++) {
      let difference = 0;
      let scale = 0;
      for (let i = step * stateSize; i < (step + 1) * stateSize; i++) {
        difference = Math.max(difference, Math.abs(actual[i] - expected[i]));
        scale = Math.max(scale, Math.abs(expected[i]));
      }
      // Math.max keeps NaN, and an iterate may hold some.
      const error = difference / (1 + scale);
      worst = Math.max(worst, Number.isNaN(error) ? Infinity : error);
      if (worst > largest) {
        largest = worst;
        at = step;
      }
    }
    profile[bin] = worst;
  }
  return { bins: profile, largest, step: at };
}

/** The steps that a plot of states shows: all of them, or evenly spread ones, the last always among them. */
export function sampledSteps(steps: number, most: number): number[] {
  const count = Math.min(steps, Math.max(2, most));
  if (count === 1) return [0];
  return Array.from({ length: count }, (_, i) => Math.round((i * (steps - 1)) / (count - 1)));
}

/** Those rows of a trajectory: `[rows, stateSize]`. */
export function takeRows(
  states: FloatArray,
  rows: readonly number[],
  stateSize: number,
): Float32Array {
  const taken = new Float32Array(rows.length * stateSize);
  rows.forEach((row, i) => {
    taken.set(states.subarray(row * stateSize, (row + 1) * stateSize), i * stateSize);
  });
  return taken;
}
