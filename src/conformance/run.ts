/** Runs the suite. */
import { type BackendStatus, backendChoices, type Runtime } from "../runtime.ts";
import { show } from "../show.ts";
import { methodNames } from "../solve/method.ts";
import { Pacer } from "../solve/pacing.ts";
import type { AdapterDescription, BackendName, FloatArray, MethodName } from "../types.ts";
import { checkKeys, checkOneOf } from "../validate.ts";
import { casesOf, optionsOf } from "./cases.ts";
import { golden } from "./golden.ts";
import { conformanceCells, type Problem, problemOf } from "./problems.ts";
import { compareWithSteps } from "./threads.ts";
import { type Trajectory, trajectoryOf } from "./trajectory.ts";
import {
  type ConformanceOptions,
  type ConformanceReport,
  type ConformanceResult,
  DEVICE_LOST,
} from "./types.ts";
import { allowedErrorOf, type Expectation, judge } from "./verdict.ts";
import { CONFORMANCE_VERSION } from "./version.ts";

const optionNames: readonly (keyof ConformanceOptions)[] = [
  "backends",
  "cells",
  "methods",
  "signal",
  "onResult",
];

const backendNames = backendChoices.filter((name) => name !== "auto") as BackendName[];

/** All that a runtime has to have. */
export type RuntimeLike = Pick<Runtime<FloatArray>, "backends" | "evaluate">;

interface Selection {
  /** Null: what the runtime has. */
  readonly backends: readonly BackendName[] | null;
  readonly cells: readonly string[];
  readonly methods: readonly MethodName[];
  /** Whether a part of the suite is enough where all of it would take long. */
  readonly mayShorten: boolean;
}

/** A cell with all that does not depend on the backend. */
interface Planned {
  readonly problem: Problem;
  readonly trajectory: Trajectory;
}

/** Seconds of compiling for every few pipelines are no use to whoever waits for them. */
const WHY_SHORT =
  "this GPU is imitated by a program, which is slow at compiling; name cells or methods to run all";

/**
 * Evaluates every cell of the suite by every method on every backend that the runtime has, and judges
 * states and reports by the float64 oracle's golden states, and by the cells' steps in float64.
 *
 * What a backend does wrong, throwing included, is a result; it does not stop the others.
 *
 * @throws TypeError, RangeError for arguments, naming the one; the signal's reason.
 */
export async function runConformance(
  runtime: Runtime<FloatArray>,
  options: ConformanceOptions = {},
): Promise<ConformanceReport> {
  const started = performance.now();
  checkRuntime(runtime);
  const selection = checkOptions(options);
  const { signal, onResult } = options;
  const pacer = new Pacer(signal);
  const { backends, unavailable } = chooseBackends(runtime, selection);
  const plan: Planned[] = [];
  for (const name of backends.length > 0 ? selection.cells : []) {
    const problem = problemOf(name);
    plan.push({ problem, trajectory: trajectoryOf(problem, golden[name]!.frames) });
    await pacer.pause();
  }
  const runs = backends.map((backend) => {
    const brief = selection.mayShorten && isSoftware(runtime, backend);
    const whole = stepsOf(plan, backend, selection.methods);
    const steps = brief ? whole.filter(({ one }) => one.short) : whole;
    return { backend, brief, steps, whole: whole.length };
  });
  const total = runs.reduce((sum, { steps }) => sum + steps.length, 0);
  const results: ConformanceResult[] = [];
  for (const { steps } of runs) {
    for (const step of steps) {
      const result = await runCase(runtime, step, signal);
      results.push(result);
      onResult?.(result, results.length, total);
      await pacer.pause();
    }
  }
  const shortened = runs.flatMap(({ backend, brief, steps, whole }) =>
    brief ? [{ backend, ran: steps.length, total: whole, reason: WHY_SHORT }] : [],
  );
  const adapter = adapterOf(runtime.backends);
  const complete = selection.backends === null || unavailable.length === 0;
  return {
    version: CONFORMANCE_VERSION,
    passed: complete && results.length > 0 && results.every(({ passed }) => passed),
    results,
    unavailable,
    ...(shortened.length > 0 && { shortened }),
    ...(adapter && { adapter }),
    milliseconds: performance.now() - started,
  };
}

/** The evaluations in their order. */
function stepsOf(
  plan: readonly Planned[],
  backend: BackendName,
  methods: readonly MethodName[],
): Expectation[] {
  return plan.flatMap(({ problem, trajectory }) => {
    const known = golden[problem.cell.name]!;
    const chosen = casesOf(problem, backend).filter(({ method }) => methods.includes(method));
    return chosen.map((one) => ({ backend, problem, one, golden: known, trajectory }));
  });
}

function isSoftware({ backends }: RuntimeLike, backend: BackendName): boolean {
  return backends.find(({ name }) => name === backend)?.adapter?.software === true;
}

async function runCase(
  runtime: RuntimeLike,
  expectation: Expectation,
  signal: AbortSignal | undefined,
): Promise<ConformanceResult> {
  const { backend, problem, one } = expectation;
  const { cell, inputs } = problem;
  const common = {
    backend,
    cell: cell.name,
    method: one.method,
    jacobian: one.jacobian,
    ...(one.dampingName && { damping: one.dampingName }),
    ...(one.exact && { exact: true }),
    ...(one.guessed && { guessed: true }),
    chunk: one.chunk,
    allowedError: allowedErrorOf(expectation),
  };
  const started = performance.now();
  try {
    const initialGuess = one.guessed && Float32Array.from(expectation.trajectory.states);
    const options = {
      ...optionsOf(problem, one),
      backend,
      ...(initialGuess && { initialGuess }),
      ...(signal && { signal }),
    };
    const result = await runtime.evaluate(cell, inputs, options);
    const milliseconds = performance.now() - started;
    const { failures: own, largestError } = judge(expectation, result);
    const isComparable = one.method === "threads" && Number.isFinite(largestError);
    const others = isComparable ? await compareWithSteps(runtime, expectation, result, signal) : [];
    const failures = [...own, ...others];
    const { residual = Number.NaN, iterations = Number.NaN, fallback } = result?.report ?? {};
    return {
      ...common,
      passed: failures.length === 0,
      failures,
      largestError,
      residual,
      iterations,
      milliseconds,
      ...(fallback && { fallback: fallback.reason }),
    };
  } catch (error) {
    signal?.throwIfAborted();
    return {
      ...common,
      passed: false,
      failures: [describeError(error)],
      largestError: Infinity,
      residual: Number.NaN,
      iterations: Number.NaN,
      milliseconds: performance.now() - started,
    };
  }
}

/** What was thrown, by name: classes may be another copy's, or another realm's. */
function describeError(error: unknown): string {
  const thrown = typeof error === "object" && error !== null ? (error as Partial<Error>) : {};
  const { name = "something", message = String(error) } = thrown;
  return name === "DeviceLostError" ? `${DEVICE_LOST}: ${message}` : `it threw ${name}: ${message}`;
}

function adapterOf(backends: readonly BackendStatus[]): AdapterDescription | undefined {
  return backends.find(({ adapter }) => adapter)?.adapter;
}

function chooseBackends(runtime: RuntimeLike, { backends: asked, methods }: Selection) {
  const statuses = new Map(runtime.backends.map((status) => [status.name, status]));
  const names = asked ?? backendNames.filter((name) => statuses.has(name));
  const backends: BackendName[] = [];
  const unavailable: { backend: BackendName; reason: string }[] = [];
  for (const name of names) {
    const status = statuses.get(name);
    const hasMethod = name === "wasm" || methods.some((method) => method !== "threads");
    if (status?.available && hasMethod) backends.push(name);
    else {
      const missing = status?.reason ?? "this runtime was made without it";
      const reason = status?.available ? 'method "threads" is for backend "wasm"' : missing;
      unavailable.push({ backend: name, reason });
    }
  }
  return { backends, unavailable };
}

function checkRuntime(runtime: RuntimeLike): void {
  if (typeof runtime?.evaluate === "function" && Array.isArray(runtime.backends)) return;
  throw new TypeError(`runtime: expected one made by createRuntime, got ${show(runtime)}`);
}

function checkOptions(options: ConformanceOptions): Selection {
  checkKeys("options", options, optionNames);
  const { backends, cells, methods, signal, onResult } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(`signal: expected an AbortSignal, got ${show(signal)}`);
  }
  if (onResult !== undefined && typeof onResult !== "function") {
    throw new TypeError(`onResult: expected a function, got ${show(onResult)}`);
  }
  return {
    backends: backends === undefined ? null : checkNames("backends", backends, backendNames),
    cells: cells === undefined ? conformanceCells : checkNames("cells", cells, conformanceCells),
    methods: methods === undefined ? methodNames : checkNames("methods", methods, methodNames),
    mayShorten: cells === undefined && methods === undefined,
  };
}

/** The names without repetition, in the suite's order. */
function checkNames<Name extends string>(
  what: string,
  names: unknown,
  known: readonly Name[],
): readonly Name[] {
  if (!Array.isArray(names)) {
    throw new TypeError(`${what}: expected an array of names, got ${show(names)}`);
  }
  if (names.length === 0) throw new RangeError(`${what}: expected at least one name, got none`);
  for (const [i, name] of names.entries()) checkOneOf(`${what}[${i}]`, name, known);
  return known.filter((name) => names.includes(name));
}
