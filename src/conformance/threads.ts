/**
 * What method "threads" promises beyond what every method does: that it says how much work it was, and that
 * chunks have met. Float64 is too coarse a measure for that, since its steps round otherwise: the states are
 * held against steps of the same backend, one after the other.
 */
import { show } from "../show.ts";
import type { Evaluation, FloatArray, Report } from "../types.ts";
import { type Case, optionsOf } from "./cases.ts";
import type { Problem } from "./problems.ts";
import type { RuntimeLike } from "./run.ts";
import { forEachStep, placeOf, rowAt, scaledDifference } from "./trajectory.ts";
import type { Expectation } from "./verdict.ts";

/** Largest residual at a seam of chunks that have merged: four units in the last place. */
const LARGEST_SEAM = 4 * 2 ** -23;

/** Whether the report of chunks side by side can be true. */
export function threadsFailures({ lengths }: Problem, one: Case, report: Report): string[] {
  const { chunk, threads = 0, steps, iterations } = report;
  if (!isCount(threads) || threads < 1) {
    return [`report.threads: expected a positive integer, got ${show(report.threads)}`];
  }
  if (!isCount(chunk) || chunk < 1) {
    return [`report.chunk: expected a positive integer, got ${show(chunk)}`];
  }
  if (!isCount(steps?.run) || !isCount(steps.rerun)) {
    return [`report.steps: expected numbers of steps, got ${show(steps)}`];
  }
  const { run, rerun } = steps;
  const failures = chunkFailures(lengths, one, chunk, threads);
  const chunks = lengths.map((length) => Math.ceil(length / chunk));
  const total = sum(lengths);
  const most = Math.max(...chunks);
  const later = sum(chunks.map((count) => Math.max(count - 1, 0)));
  if (threads > sum(chunks)) {
    failures.push(`report.threads: ${threads} cannot have worked on ${sum(chunks)} chunks`);
  }
  const [fewest, rounds] = later > 0 ? [1, most - 1] : [0, 0];
  if (iterations < fewest || iterations > rounds) {
    const expected = rounds > fewest ? `${fewest} to ${rounds}` : `${rounds}`;
    failures.push(
      `report.iterations: ${most} chunks merge in rounds, of which ${expected} were expected, got` +
        ` ${iterations}`,
    );
  }
  if (run - rerun !== total) {
    failures.push(
      `report.steps: ${run} steps without the ${rerun} that ran again should be all ${total}, and are` +
        ` ${run - rerun}`,
    );
  }
  // A step of each chunk behind another one runs again at least, and all of them at most.
  const behind = sum(lengths.map((length) => Math.max(length - chunk, 0)));
  if (rerun < later || rerun > behind) {
    failures.push(
      `report.steps: of ${later} chunks behind others, ${later} to ${behind} steps should have run` +
        ` again, and ${rerun} have`,
    );
  }
  return failures;
}

function chunkFailures(
  lengths: readonly number[],
  one: Case,
  chunk: number,
  threads: number,
): string[] {
  const longest = Math.max(...lengths);
  // As it is where the part of the package cannot be loaded that cuts sequences.
  if (threads === 1 && chunk === longest) return [];
  if (one.chunk === null) {
    const filled = lengths.filter((length) => length > 0).length;
    const most = Math.ceil(longest / Math.ceil(threads / filled));
    if (chunk <= most) return [];
    return [`report.chunk: ${longest} steps over ${threads} threads are ${most}, got ${chunk}`];
  }
  const asked = Math.min(one.chunk, longest);
  return chunk === asked ? [] : [`report.chunk: asked for ${asked}, got ${chunk}`];
}

/**
 * Evaluates step by step on the same backend, to see whether the bits are those where that was asked for, and
 * else whether the chunks have met, and the residual is what the report says.
 *
 * @throws what `evaluate` throws.
 */
export async function compareWithSteps(
  runtime: RuntimeLike,
  { backend, problem, one }: Expectation,
  { states, report }: Evaluation<FloatArray>,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const whole = optionsOf(problem, { ...one, method: "sequential", exact: false });
  const options = one.exact ? whole : { ...whole, ...eachStepFrom(problem, states) };
  const more = { backend, ...(signal && { signal }) };
  const result = await runtime.evaluate(problem.cell, problem.inputs, { ...options, ...more });
  const stepped = result?.states;
  if (!(stepped instanceof Float32Array) || stepped.length !== states.length) {
    return [`states of sequential evaluation: expected ${states.length}, got ${show(stepped)}`];
  }
  return one.exact
    ? bitFailures(problem, states, stepped)
    : seamFailures(problem, states, stepped, report);
}

/** All steps as a batch of sequences of one step, each from the state before it. */
function eachStepFrom(problem: Problem, states: FloatArray) {
  const { stateSize } = problem.cell;
  const initialState = new Float32Array(states.length);
  let before: ArrayLike<number> = [];
  forEachStep(problem, ({ sequence, t, row }) => {
    if (t === 0) before = rowAt(problem.initialState, sequence, stateSize);
    initialState.set(before, row * stateSize);
    before = rowAt(states, row, stateSize);
  });
  return { initialState, lengths: Array.from({ length: sum(problem.lengths) }, () => 1) };
}

function bitFailures(problem: Problem, states: FloatArray, sequential: FloatArray): string[] {
  const { stateSize } = problem.cell;
  let place = "";
  forEachStep(problem, (step) => {
    const [one, other] = [states, sequential].map((rows) => rowAt(rows, step.row, stateSize));
    const isEqual = one!.every((value, i) => Object.is(value, other![i]));
    if (!isEqual) place ||= placeOf(problem, step);
  });
  if (!place) return [];
  return [`exact: states are not those of sequential evaluation in every bit, first at ${place}`];
}

function seamFailures(
  problem: Problem,
  states: FloatArray,
  stepped: FloatArray,
  report: Report,
): string[] {
  const { stateSize } = problem.cell;
  let [largest, place] = [0, ""];
  forEachStep(problem, (step) => {
    const state = rowAt(states, step.row, stateSize);
    const missed = scaledDifference(rowAt(stepped, step.row, stateSize), state);
    if (missed > largest) [largest, place] = [missed, placeOf(problem, step)];
  });
  const found = `${largest.toExponential(2)} at ${place}, by steps of the same backend`;
  const failures: string[] = [];
  if (largest > LARGEST_SEAM) {
    failures.push(`a chunk does not meet the one before: the residual is ${found}`);
  }
  if (!(largest <= report.residual)) {
    const claimed = show(report.residual);
    failures.push(`report.residual is understated: ${claimed}, but it is ${found}`);
  }
  return failures;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
