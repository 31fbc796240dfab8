/** Whether a run of a parallel method told the truth: judged by sequential evaluation beside it. */
import { expect } from "vitest";
import { interpreter } from "../../src/cell/interpret.ts";
import {
  type BackendName,
  type Cell,
  ConvergenceError,
  type EvaluateOptions,
  type Evaluation,
  type FloatArray,
  type JacobianKind,
  type MethodName,
  NonFiniteError,
  type Runtime,
} from "../../src/index.ts";
import { identical, largestError } from "./agreement.ts";

export interface Problem {
  readonly name: string;
  readonly cell: Cell;
  readonly inputs: FloatArray | number;
  readonly initialState?: FloatArray;
  readonly reverse?: boolean;
}

export type Setting = EvaluateOptions & { readonly method: MethodName };
type Outcome = Evaluation<FloatArray> | NonFiniteError | ConvergenceError;

const unitRoundoff = { webgpu: 2 ** -24, wasm: 2 ** -24, reference: 2 ** -53 };
const jacobians: readonly JacobianKind[] = ["none", "identity", "diagonal", "block", "dense"];
const methods = ["jacobi", "picard", "quasi-deer", "deer", "quasi-elk", "elk"] as const;

/** Every method under every Jacobian, and damping that the names do not imply. */
export const allSettings: readonly Setting[] = [
  ...methods.flatMap((method) => jacobians.map((jacobian) => ({ method, jacobian }))),
  ...jacobians.flatMap((jacobian): Setting[] => [
    { method: "elk", jacobian, damping: { lambda: 1e-2, estimate: "smoother" } },
    { method: "elk", jacobian, damping: { lambda: 1e-2, trustRegion: true } },
    { method: "elk", jacobian, damping: 1e6 },
  ]),
  { method: "quasi-deer", damping: { clip: true } },
  { method: "quasi-deer", damping: { scale: 0.5 } },
];

/** The methods as their names have it, and the strongest damping. */
export const namedSettings: readonly Setting[] = [
  ...methods.map((method) => ({ method })),
  { method: "quasi-deer", jacobian: "block" },
  { method: "elk", damping: { lambda: 1e-2, trustRegion: true } },
];

async function outcomeOf(
  runtime: Runtime,
  { cell, inputs, initialState, reverse }: Problem,
  options: EvaluateOptions,
): Promise<Outcome> {
  try {
    return await runtime.evaluate(cell, inputs, { initialState, reverse, ...options });
  } catch (error) {
    // Any other error is not an answer.
    if (error instanceof NonFiniteError || error instanceof ConvergenceError) return error;
    throw error;
  }
}

/** How often each kind of outcome occurred. */
export interface Tally {
  converged: number;
  repaired: number;
  refused: number;
}

/**
 * Runs `problem` under every setting and chunk with each `onFailure`, and expects right states or an
 * error that says where, and nothing else.
 */
export async function expectTruth(
  runtime: Runtime,
  backend: BackendName,
  problem: Problem,
  settings: readonly Setting[],
  common: EvaluateOptions = {},
): Promise<Tally> {
  const exact = await outcomeOf(runtime, problem, { backend, method: "sequential" });
  const tally: Tally = { converged: 0, repaired: 0, refused: 0 };
  for (const setting of settings) {
    for (const chunk of [1, 16]) {
      const options = { ...common, ...setting, backend, chunk };
      const what = `${problem.name} on ${backend}: ${JSON.stringify({ ...common, ...setting, chunk })}`;
      const run = (onFailure: "sequential" | "return" | "throw") =>
        outcomeOf(runtime, problem, { ...options, onFailure });
      const repaired = await run("sequential");
      expectRepaired(repaired, exact, problem, backend, options, what);
      if (repaired instanceof Error) tally.refused++;
      else if (repaired.report.fallback) tally.repaired++;
      else tally.converged++;
      expectMarked(await run("return"), exact, problem, backend, options, what);
      expectThrown(await run("throw"), exact, problem, backend, options, what);
    }
  }
  return tally;
}

function expectRepaired(
  outcome: Outcome,
  exact: Outcome,
  problem: Problem,
  backend: BackendName,
  options: EvaluateOptions,
  what: string,
): void {
  if (exact instanceof Error) {
    expect(outcome, what).toBeInstanceOf(NonFiniteError);
    expect((outcome as NonFiniteError).location, what).toEqual((exact as NonFiniteError).location);
    expect((outcome as Error).message, what).toBe(exact.message);
    return;
  }
  if (outcome instanceof Error)
    throw new Error(`${what}: there are right states`, { cause: outcome });
  const { report, states } = outcome;
  expect(report.converged, what).toBe(true);
  if (report.fallback) {
    expect(report.fallback, what).toMatchObject({ to: "sequential", sequence: 0 });
    expect(report.fallback.reason.length, what).toBeGreaterThan(10);
    // Its prefix is exact, and the rest is sequential evaluation: even in chaos the same bits.
    expect(identical(states, exact.states), what).toBe(true);
    expect(identical(outcome.finalStates, exact.finalStates), what).toBe(true);
  } else {
    expectConverged(outcome, exact, problem, backend, options, what);
  }
}

/** The result calls itself converged, without repair. */
function expectConverged(
  { states, report }: Evaluation<FloatArray>,
  exact: Evaluation<FloatArray>,
  problem: Problem,
  backend: BackendName,
  { tolerance = 1e-5 }: EvaluateOptions,
  what: string,
): void {
  const told = `${what}: ${JSON.stringify(report)}`;
  expect(report.residual, told).toBeLessThanOrEqual(tolerance);
  expect(report.errorEstimate, told).toBeLessThanOrEqual(10 * tolerance);
  const error = largestError(states, exact.states, problem.cell.stateSize);
  const estimate = Math.max(report.errorEstimate, 4 * unitRoundoff[backend]);
  expect(error, told).toBeLessThanOrEqual(10 * estimate);
  // Independently: the states put into the step, in float64.
  const rounding = 100 * unitRoundoff[backend];
  expect(residualOf(problem, states), told).toBeLessThanOrEqual(1.01 * tolerance + rounding);
}

/** Largest over t of ‖s_t − f(s_{t−1}, x_t)‖∞ / (1 + ‖s_t‖∞), in float64. */
function residualOf(problem: Problem, states: FloatArray): number {
  const { cell, inputs, initialState, reverse = false } = problem;
  const { stateSize, inputSize } = cell;
  const step = interpreter([cell.next], cell.weights);
  const length = states.length / stateSize;
  let before = Float64Array.from(initialState ?? new Float64Array(stateSize));
  let worst = 0;
  for (let t = 0; t < length; t++) {
    const row = reverse ? length - 1 - t : t;
    const input =
      typeof inputs === "number"
        ? new Float64Array(0)
        : Float64Array.from(inputs.subarray(row * inputSize, (row + 1) * inputSize));
    const state = Float64Array.from(states.subarray(row * stateSize, (row + 1) * stateSize));
    worst = Math.max(worst, largestError(step({ state: before, input })[0]!, state, stateSize));
    before = state;
  }
  return worst;
}

/** With `onFailure: "return"`: converged and right, or marked as not converged, with the reason. */
function expectMarked(
  outcome: Outcome,
  exact: Outcome,
  problem: Problem,
  backend: BackendName,
  options: EvaluateOptions,
  what: string,
): void {
  if (outcome instanceof Error) throw new Error(`${what}: "return" returns`, { cause: outcome });
  const { report, states } = outcome;
  const told = `${what}: ${JSON.stringify(report)}`;
  expect(report.residual, told).not.toBeNaN();
  expect(report.errorEstimate, told).not.toBeNaN();
  if (report.converged) {
    expect(report.fallback, told).toBeUndefined();
    if (exact instanceof Error) throw new Error(`${told}: there are no finite states`);
    expectConverged(outcome, exact, problem, backend, options, what);
    return;
  }
  expect(report.fallback, told).toMatchObject({ to: "none", sequence: 0 });
  expect(report.fallback!.reason.length, told).toBeGreaterThan(10);
  if (!states.every(Number.isFinite)) {
    expect([report.residual, report.errorEstimate], told).toEqual([Infinity, Infinity]);
    expect(report.fallback!.reason, told).toMatch(/not finite from step \d+, unit \d+/);
  }
}

/** With `onFailure: "throw"`: converged and right, or an error that says how far it is exact. */
function expectThrown(
  outcome: Outcome,
  exact: Outcome,
  problem: Problem,
  backend: BackendName,
  options: EvaluateOptions,
  what: string,
): void {
  if (outcome instanceof ConvergenceError) {
    expect(outcome.message, what).toMatch(/the first \d+ steps of sequence 0 are exact/);
    expect(outcome.iterations, what).toBeGreaterThanOrEqual(0);
    expect(outcome.residual, what).not.toBeNaN();
  } else if (outcome instanceof NonFiniteError) {
    expect(exact, what).toBeInstanceOf(NonFiniteError);
    expect(outcome.location, what).toEqual((exact as NonFiniteError).location);
  } else {
    expect(outcome.report.fallback, what).toBeUndefined();
    if (exact instanceof Error) throw new Error(`${what}: there are no finite states`);
    expectConverged(outcome, exact, problem, backend, options, what);
  }
}
