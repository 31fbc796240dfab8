/**
 * Whether a result is right and its report true. Nothing that the backend says is taken on trust: the
 * states are held against the golden ones, and put into the cell's step again, in float64.
 */
import { show } from "../show.ts";
import type { BackendName, Evaluation, FloatArray, Report } from "../types.ts";
import type { Case } from "./cases.ts";
import type { Problem } from "./problems.ts";
import { threadsFailures } from "./threads.ts";
import {
  forEachStep,
  LARGEST_DRIFT,
  placeOf,
  rowAt,
  scaledDifference,
  stepOf,
  type Trajectory,
} from "./trajectory.ts";

/** What is known of a problem beforehand, from the float64 oracle. */
export interface Golden {
  /** Key frames of the states, see trajectory.ts. */
  readonly frames: readonly number[];
  /**
   * What rounding errors come to along the states, scaled like an error, in unit roundoffs: the part of
   * the certificate's error estimate that is there without any defect (docs/methods.md).
   */
  readonly noise: number;
  /** Sweeps of each case in float64, by `Case.key`. */
  readonly sweeps: Readonly<Record<string, number>>;
}

/** A converged result's error may be estimated at this many times its tolerance. */
const ERROR_FACTOR = 10;
/** An estimate of an error is promised to be no less than a tenth of it. */
const ESTIMATE_FACTOR = 10;
/**
 * Unit roundoffs of a single step: the certificate reckons with 2 (|s| + ¼), which is at most 2 in the
 * scale of a residual.
 */
const STEP_ROUNDING = 2;

/** What one result is measured by. */
export interface Judgement {
  readonly failures: readonly string[];
  readonly largestError: number;
}

export interface Expectation {
  readonly backend: BackendName;
  readonly problem: Problem;
  readonly one: Case;
  readonly golden: Golden;
  readonly trajectory: Trajectory;
}

function unitRoundoff(backend: BackendName): number {
  return backend === "reference" ? 2 ** -53 : 2 ** -24;
}

/** Rounding errors along the whole trajectory, those of the golden states included. */
function noiseOf({ backend, golden }: Expectation): number {
  return ESTIMATE_FACTOR * golden.noise * unitRoundoff(backend) + LARGEST_DRIFT;
}

/**
 * What the report of a right result promises: an error of ten tolerances where a parallel method calls
 * itself converged, and rounding. Sequential evaluation rounds, and that is all; threads make it no worse.
 */
export function allowedErrorOf(expectation: Expectation): number {
  const { method, tolerance } = expectation.one;
  const isStepwise = method === "sequential" || method === "threads";
  const promised = isStepwise ? 0 : ERROR_FACTOR * tolerance;
  return promised + noiseOf(expectation);
}

/** Judges what came back from `evaluate`. Does not throw, whatever that is. */
export function judge(expectation: Expectation, result: Evaluation<FloatArray>): Judgement {
  const { problem, trajectory } = expectation;
  const { drift } = trajectory;
  if (!(drift <= LARGEST_DRIFT)) {
    return {
      largestError: Infinity,
      failures: [
        `the oracle of this machine is ${number(drift)} away from the golden states, where` +
          ` ${number(LARGEST_DRIFT)} is allowed: its JavaScript engine or this package is broken`,
      ],
    };
  }
  const rows = problem.lengths.reduce((sum, length) => sum + length, 0);
  const { stateSize } = problem.cell;
  const shape =
    shapeFailure(expectation, "states", result?.states, rows * stateSize) ??
    shapeFailure(
      expectation,
      "finalStates",
      result?.finalStates,
      problem.lengths.length * stateSize,
    );
  if (shape) return { largestError: Infinity, failures: [shape] };
  const { report } = result;
  if (typeof report !== "object" || report === null) {
    return {
      largestError: Infinity,
      failures: [`report: expected an object, got ${show(report)}`],
    };
  }
  const errors = errorsOf(expectation, result);
  return {
    largestError: errors.largest,
    failures: [
      ...identityFailures(expectation, report),
      ...stateFailures(expectation, errors),
      ...finalFailures(problem, result),
      ...certificateFailures(expectation, report, errors),
      ...sweepFailures(expectation, report),
    ],
  };
}

function shapeFailure(
  { backend }: Expectation,
  what: string,
  values: unknown,
  length: number,
): string | null {
  const type = backend === "reference" ? Float64Array : Float32Array;
  const found = values instanceof type ? `${values.length}` : show(values);
  if (values instanceof type && values.length === length) return null;
  return `${what}: expected a ${type.name} of ${length} numbers, got ${found}`;
}

interface Errors {
  /** Against the golden states, and where. */
  readonly largest: number;
  readonly where: string;
  /** Largest ‖s_t − f(s_{t−1}, x_t)‖∞ / (1 + ‖s_t‖∞), and where. */
  readonly residual: number;
  readonly residualWhere: string;
  /** The first state that is not finite, or "". */
  readonly notFinite: string;
}

function errorsOf(
  { problem, trajectory }: Expectation,
  { states }: Evaluation<FloatArray>,
): Errors {
  const { stateSize } = problem.cell;
  const step = stepOf(problem);
  let errors: Errors = { largest: 0, where: "", residual: 0, residualWhere: "", notFinite: "" };
  let before: Float64Array = new Float64Array(stateSize);
  forEachStep(problem, (place) => {
    const { sequence, t, row } = place;
    if (t === 0) before = rowAt(problem.initialState, sequence, stateSize);
    const where = placeOf(problem, place);
    const state = rowAt(states, row, stateSize);
    const error = scaledDifference(state, rowAt(trajectory.states, row, stateSize));
    const residual = scaledDifference(step(before, row), state);
    if (error > errors.largest) errors = { ...errors, largest: error, where };
    if (residual > errors.residual) errors = { ...errors, residual, residualWhere: where };
    if (!errors.notFinite && !state.every(Number.isFinite))
      errors = { ...errors, notFinite: where };
    before = state;
  });
  return errors;
}

/** Whether it is what was asked for that ran. */
function identityFailures({ backend, one, problem }: Expectation, report: Report): string[] {
  const failures: string[] = [];
  const expect = (what: keyof Report, expected: unknown, note = "") => {
    if (report[what] === expected) return;
    failures.push(`report.${what}: asked for ${show(expected)}, got ${show(report[what])}${note}`);
  };
  expect("backend", backend, report.failover ? ` (${report.failover})` : "");
  if (!report.fallback) expect("method", one.method);
  expect("jacobian", one.jacobian);
  if (one.chunk !== null && one.method !== "threads") {
    expect("chunk", Math.min(one.chunk, Math.max(...problem.lengths)));
  }
  if (report.converged !== true) {
    const reason = report.fallback?.reason ?? "without a reason";
    failures.push(`it did not converge: ${reason}`);
  }
  if (report.fallback && report.fallback.to !== "sequential") {
    failures.push(
      `it was not repaired, though nothing else was asked for: ${report.fallback.reason}`,
    );
  }
  return failures;
}

function stateFailures(expectation: Expectation, errors: Errors): string[] {
  if (errors.notFinite) return [`a state is not finite, first at ${errors.notFinite}`];
  const allowed = allowedErrorOf(expectation);
  if (errors.largest <= allowed) return [];
  return [
    `states are ${number(errors.largest)} away from the golden ones at ${errors.where},` +
      ` where ${number(allowed)} is allowed`,
  ];
}

/** The final states are the last rows in the direction of time, or what there was at the start. */
function finalFailures(
  problem: Problem,
  { states, finalStates }: Evaluation<FloatArray>,
): string[] {
  const { lengths, reverse, initialState, cell } = problem;
  const { stateSize } = cell;
  let offset = 0;
  const wrong = lengths.findIndex((length, sequence) => {
    const row = offset + (reverse ? 0 : length - 1);
    offset += length;
    const [source, index] = length === 0 ? [initialState, sequence] : [states, row];
    const expected = rowAt(source, index, stateSize);
    return !rowAt(finalStates, sequence, stateSize).every((value, i) => value === expected[i]);
  });
  if (wrong < 0) return [];
  const what = lengths[wrong] === 0 ? "its initial state, as it has no steps" : "its last state";
  return [`the final state of sequence ${wrong} is not ${what}`];
}

/** Whether residual and error estimate are what the states say. */
function certificateFailures(
  expectation: Expectation,
  report: Report,
  { residual, residualWhere, largest, notFinite }: Errors,
): string[] {
  const { backend, one } = expectation;
  const { tolerance } = one;
  const unit = unitRoundoff(backend);
  const rounding = ESTIMATE_FACTOR * STEP_ROUNDING * unit;
  const failures: string[] = [];
  const isNumber = (what: "residual" | "errorEstimate") => {
    const value = report[what];
    if (typeof value === "number" && value >= 0 && value < Infinity) return true;
    failures.push(`report.${what}: expected a finite number, got ${show(value)}`);
    return false;
  };
  if (isNumber("residual") && !notFinite) {
    const found = `the states' own is ${number(residual)}, at ${residualWhere}`;
    if (report.residual > tolerance) {
      failures.push(`residual ${number(report.residual)} is above the tolerance ${tolerance}`);
    } else if (residual > tolerance + rounding) {
      failures.push(`residual: ${found}, above the tolerance ${tolerance}`);
    }
    if (residual > 2 * report.residual + rounding) {
      failures.push(`report.residual is understated: ${number(report.residual)}, but ${found}`);
    }
    if (report.residual > 2 * residual + rounding) {
      failures.push(`report.residual is overstated: ${number(report.residual)}, but ${found}`);
    }
  }
  if (isNumber("errorEstimate")) {
    const { errorEstimate } = report;
    if (errorEstimate < unit) {
      failures.push(
        `report.errorEstimate: ${number(errorEstimate)} is below a single rounding, ${number(unit)}`,
      );
    }
    if (errorEstimate > ERROR_FACTOR * tolerance) {
      failures.push(
        `report.errorEstimate: ${number(errorEstimate)} is above ten tolerances of ${tolerance},` +
          " and so not converged",
      );
    }
    if (!notFinite && largest > ESTIMATE_FACTOR * errorEstimate + noiseOf(expectation)) {
      failures.push(
        `report.errorEstimate is understated: ${number(errorEstimate)}, but the error is` +
          ` ${number(largest)}`,
      );
    }
  }
  return failures;
}

/** Whether the method that is told of can have run. */
function sweepFailures({ problem, one, golden }: Expectation, report: Report): string[] {
  const { iterations, fallback } = report;
  if (!Number.isInteger(iterations) || iterations < 0) {
    return [`report.iterations: expected a number of sweeps, got ${show(iterations)}`];
  }
  if (one.method === "sequential") {
    if (iterations === 0) return [];
    return [`report.iterations: expected 0 for sequential evaluation, got ${iterations}`];
  }
  if (one.method === "threads") return threadsFailures(problem, one, report);
  if (fallback) return [];
  const chunks = Math.ceil(Math.max(...problem.lengths) / one.chunk!);
  const sweeps = golden.sweeps[one.key]!;
  if (iterations === 0 && chunks > 1) {
    return [
      `no sweep was needed, it says, so that ${one.method} cannot have run: the oracle took ${sweeps}`,
    ];
  }
  // Rounding may cost or save a sweep or two at the end. A factor of two is another method.
  const [fewest, most] = [Math.floor(sweeps / 2) - 1, 2 * sweeps + 3];
  if (iterations >= fewest && iterations <= most) return [];
  return [
    `${iterations} sweeps, where ${one.method} takes the oracle ${sweeps}: another method ran, or` +
      " its Jacobian is wrong",
  ];
}

/** Two digits are enough for the size of an error. */
function number(value: number): string {
  return Number.isFinite(value) ? value.toExponential(1) : "not a finite number";
}
