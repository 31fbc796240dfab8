/** The measurement behind `antler bench`: checks each method's states, then times it. */

import { randomStream } from "../conformance/random.ts";
import type {
  BackendName,
  Cell,
  EvaluateOptions,
  JacobianKind,
  MethodName,
  Runtime,
} from "../index.ts";
import { type CellKind, randomWeights, type Sizes } from "./cells.ts";
import { largestError } from "./error.ts";
import { reasonOf } from "./failure.ts";
import { describeMachine, type Machine } from "./machine.ts";

export interface BenchOptions {
  readonly kind: CellKind;
  readonly variant: string;
  readonly sizes: Sizes;
  readonly steps: number;
  readonly batch: number;
  readonly seed: number;
  readonly repeats: number;
  readonly backends: readonly BackendName[];
  readonly methods: readonly MethodName[] | undefined;
  readonly chunks: readonly number[] | undefined;
  /** Whether "threads" is among the methods if none are named. */
  readonly withThreads: boolean;
  readonly exact: boolean;
  readonly tolerance: number;
  readonly maxIterations: number;
  readonly signal: AbortSignal;
  /** Told the runs done, of all runs. */
  readonly onProgress: (done: number, total: number, text: string) => void;
}

export interface BenchRow {
  readonly backend: BackendName;
  readonly method: MethodName;
  readonly jacobian: JacobianKind | null;
  /** Null: the method's own. */
  readonly chunk: number | null;
  readonly sweeps: number | null;
  /** WebAssembly only. */
  readonly threads?: number;
  /** Of "threads": steps evaluated, and those of them that were evaluated again. */
  readonly steps?: { readonly run: number; readonly rerun: number };
  /** Largest |difference| / (1 + |state|) from the reference; null if the run failed. */
  readonly error: number | null;
  /** Null if the run failed or its states are wrong. */
  readonly milliseconds: {
    readonly median: number;
    readonly least: number;
    readonly all: readonly number[];
    readonly nanosecondsPerStep: number;
    /** How many times as fast as the first row. */
    readonly speed: number;
  } | null;
  readonly fallback?: string;
  readonly failure?: string;
}

export interface BenchResult {
  readonly machine: Machine;
  readonly cell: string;
  readonly sizes: Sizes;
  readonly stateSize: number;
  readonly steps: number;
  readonly batch: number;
  readonly seed: number;
  readonly repeats: number;
  readonly tolerance: number;
  readonly rows: readonly BenchRow[];
}

interface Contender {
  readonly backend: BackendName;
  readonly method: MethodName;
  readonly chunk: number | null;
}

const CHUNK = 64;
/** What a converged result may be away from the exact one, as a multiple of the tolerance. */
const ERROR_FACTOR = 10;
/** Float32 rounds: sequential states may be so far from the reference's, whatever the tolerance. */
const ROUNDING = 1e-4;

function contenders({ backends, methods, chunks, withThreads }: BenchOptions): Contender[] {
  const pairs: [MethodName, number | null][] = [];
  const asked = methods ?? [
    ...(["sequential", ...(withThreads ? (["threads"] as const) : [])] as const),
    ...(["jacobi", "quasi-deer", "quasi-elk"] as const),
  ];
  for (const method of asked) {
    if (method === "sequential") pairs.push([method, 1]);
    // By itself it takes long chunks: those that suit the others suit it only where they were meant for it.
    else if (method === "threads" && !(methods && chunks)) pairs.push([method, null]);
    else for (const chunk of chunks ?? [CHUNK]) pairs.push([method, chunk]);
  }
  if (!methods && !chunks) pairs.push(["quasi-deer", 1]);
  return backends.flatMap((backend) =>
    pairs
      .filter(([method]) => method !== "threads" || backend === "wasm")
      .map(([method, chunk]) => ({ backend, method, chunk })),
  );
}

/** @throws the signal's reason; errors of the reference, as there is nothing to compare with then. */
export async function runBench(runtime: Runtime, options: BenchOptions): Promise<BenchResult> {
  const { kind, variant, sizes, steps, batch, seed, repeats, signal, onProgress } = options;
  const random = randomStream(seed);
  const cell = kind.make(sizes, randomWeights(kind, sizes, variant, random), variant);
  const inputs = random(batch * steps * sizes.inputSize);
  const common = { lengths: Array.from({ length: batch }, () => steps), signal };
  const list = contenders(options);
  const runs = list.length * (repeats + 1) + 1;
  onProgress(0, runs, "reference");
  const oracle = await runtime.evaluate(cell, inputs, {
    ...common,
    backend: "reference",
    method: "sequential",
  });
  let done = 1;
  const rows: BenchRow[] = [];
  let first: number | undefined;
  for (const contender of list) {
    const { backend, method, chunk } = contender;
    const isWhole = method === "sequential" || chunk === null;
    const name = `${backend}, ${method}${isWhole ? "" : `, chunk ${chunk}`}`;
    const row = await runContender(runtime, cell, inputs, contender, {
      options,
      common,
      oracle: oracle.states,
      onRun: (run) => onProgress(done + run, runs, name),
    });
    done += repeats + 1;
    const median = row.times && middle(row.times);
    first ??= median ?? undefined;
    rows.push({
      ...contender,
      ...row.facts,
      milliseconds: row.times && {
        median: median!,
        least: Math.min(...row.times),
        all: row.times,
        nanosecondsPerStep: (1e6 * median!) / (steps * batch),
        speed: first! / median!,
      },
    });
  }
  const { name, stateSize } = cell;
  const { tolerance } = options;
  const machine = describeMachine();
  return { machine, cell: name, sizes, stateSize, steps, batch, seed, repeats, tolerance, rows };
}

interface Setting {
  readonly options: BenchOptions;
  readonly common: EvaluateOptions;
  readonly oracle: Float32Array | Float64Array;
  readonly onRun: (run: number) => void;
}

async function runContender(
  runtime: Runtime,
  cell: Cell,
  inputs: Float32Array,
  contender: Contender,
  { options, common, oracle, onRun }: Setting,
): Promise<{
  facts: Pick<
    BenchRow,
    "jacobian" | "sweeps" | "error" | "threads" | "steps" | "fallback" | "failure"
  >;
  times: number[] | null;
}> {
  const { tolerance, maxIterations, repeats, signal } = options;
  const { backend, method, chunk } = contender;
  const asked: EvaluateOptions = {
    ...{ ...common, backend, method, tolerance, maxIterations },
    ...(chunk !== null && { chunk }),
    ...(options.exact && { exact: true }),
  };
  try {
    onRun(0);
    // Warm-up and check: only right results are worth timing.
    const { states, report } = await runtime.evaluate(cell, inputs, asked);
    const error = largestError(states, oracle, cell.stateSize);
    const allowed = Math.max(ERROR_FACTOR * tolerance, ROUNDING);
    const { jacobian, iterations: sweeps, fallback, threads, steps } = report;
    const facts = {
      ...{ jacobian, sweeps, error },
      ...(threads !== undefined && { threads }),
      ...(steps && { steps }),
      ...(fallback && { fallback: fallback.reason }),
    };
    if (!(error <= allowed)) {
      const failure = `states ${error.toExponential(1)} from the reference's, ${allowed} allowed`;
      return { facts: { ...facts, failure }, times: null };
    }
    const times: number[] = [];
    for (let run = 1; run <= repeats; run++) {
      onRun(run);
      const started = performance.now();
      await runtime.evaluate(cell, inputs, asked);
      times.push(performance.now() - started);
    }
    return { facts, times };
  } catch (problem) {
    signal.throwIfAborted();
    const facts = { jacobian: null, sweeps: null, error: null, failure: reasonOf(problem) };
    return { facts, times: null };
  }
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
