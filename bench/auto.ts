/**
 * Whether "auto" is ever a bad choice: its time beside every fixed choice's over the whole grid and on
 * trained layers, and its result beside the float64 oracle's.
 */
import { createRuntime, type Report, type Runtime } from "../src/index.ts";
import { largestError } from "../tests/support/agreement.ts";
import { nanoporeFile } from "../tests/support/nanopore.ts";
import { sharedData } from "../tests/support/shared-data.ts";
import { defineBench, warmUp } from "./harness.ts";
import type { Column, Table } from "./report.ts";
import { callsFor, compareRepeated } from "./support/contenders.ts";
import { describeSteps, gridShapes, gridSpecs, quickened, quickGrid } from "./support/grid.ts";
import { cellOf, type Layer } from "./support/layers.ts";
import type { Way } from "./support/peers/antler.ts";
import { randomTask } from "./support/tasks.ts";
import {
  layerWorkload,
  nanoporeWorkloads,
  sileroWorkload,
  type Workload,
} from "./support/workloads.ts";

/** A fixed choice. */
interface Choice extends Way {
  readonly name: string;
  readonly threads: number;
}

/** One problem, all of whose sequences are of one length. */
interface Problem {
  readonly name: string;
  readonly stateSize: number;
  /** T as asked for, and as measured. */
  readonly steps: number;
  readonly measured: number;
  readonly batch: number;
  readonly workload: Pick<Workload, "cell" | "reverse">;
  readonly inputs: Float32Array;
  /** The oracle's states of the first sequence `[measured, stateSize]`. */
  readonly exact: Float64Array;
}

interface Timed {
  readonly name: string;
  /** Milliseconds; of a single run where it was far from the best. */
  readonly milliseconds: number;
  readonly repeated: boolean;
}

interface Result {
  readonly name: string;
  readonly steps: number;
  readonly measured: number;
  readonly batch: number;
  readonly auto: Timed;
  readonly fixed: readonly Timed[];
  /** auto's time over the best fixed choice's. */
  readonly ratio: number;
  /** Of auto's result on the first sequence, against the oracle. */
  readonly error: number;
  /** Of auto's result on all sequences, against sequential evaluation. */
  readonly difference: number;
  readonly report: Report;
}

/** What a converged result may be off by: ten times the default tolerance, as `errorEstimate` promises. */
const LARGEST_ERROR = 1e-4;
/** A choice that is so many times slower than the best so far is not run again. */
const HOPELESS = 2;
const LARGEST_DENSE_STATE = 32;

const specs = {
  ...gridSpecs,
  trained: { description: "of nanopore, silero", default: ["nanopore", "silero"] },
  threads: { description: "the caller's included", default: 2 },
  chunks: { description: "steps a chunk of the fixed choices", default: [64, 512] },
  repeats: { description: "timed runs of what is near the best", default: 5 },
  seconds: { description: "for one run; longer ones are measured at fewer steps", default: 0.4 },
  gigabytes: { description: "for the states of a shape, likewise", default: 0.25 },
  minutes: { description: "after which nothing new is begun", default: 10 },
  quick: { description: "small shapes, to try the bench", default: false },
} as const;

export default defineBench({
  description: "is auto ever far from the best fixed choice, and is its result right?",
  options: specs,
  async run({ options: given, log }) {
    const quick = { ...quickGrid, trained: [] };
    const options = given.quick ? quickened(given, specs, quick) : given;
    const deadline = performance.now() + 60e3 * options.minutes;
    const notes: string[] = [];
    const runtimes = new Map<number, Runtime>();
    for (const threads of [1, options.threads]) {
      runtimes.set(threads, await createRuntime({ backend: "wasm", threads }));
    }
    const results: Result[] = [];
    try {
      for await (const problem of problems(options, notes)) {
        if (performance.now() > deadline) {
          notes.push(`Left out: ${problem.name}, for want of time.`);
          continue;
        }
        log(`${problem.name} …`);
        results.push(await measureProblem(problem, runtimes, options));
      }
    } finally {
      for (const runtime of runtimes.values()) runtime.dispose();
    }
    const wrong = results.filter(({ error, difference }) => !isRight(error, difference));
    if (wrong.length > 0) process.exitCode = 1;
    return {
      tables: [verdictTable(results), shapesTable(results), choicesTable(results)],
      notes: [
        ...notes,
        `Fixed choices: sequential on one thread and on ${options.threads}, threads, and jacobi, quasi-deer` +
          ` and deer in chunks of ${options.chunks.join(", ")} (deer for states of up to ${LARGEST_DENSE_STATE}).`,
        `error: of the first sequence, against the float64 oracle; apart: of all, against sequential evaluation.`,
        ...wrong.map(({ name, error }) => `WRONG: ${name}: error ${error.toExponential(1)}`),
      ],
      data: { results },
    };
  },
});

interface ProblemOptions {
  readonly layers: readonly string[];
  readonly sizes: readonly number[];
  readonly steps: readonly number[];
  readonly batches: readonly number[];
  readonly trained: readonly string[];
  readonly seconds: number;
  readonly gigabytes: number;
}

async function* problems(options: ProblemOptions, notes: string[]): AsyncGenerator<Problem> {
  const shapes = gridShapes(options);
  /** Shorter sequences are beginnings of the longest: one run of the oracle serves all. */
  const oracles = new Map<string, Float64Array>();
  const oracleOf = async (layer: Layer, steps: number, longest: number) => {
    const key = `${layer.operator} ${layer.hiddenSize}`;
    if (!oracles.has(key)) {
      const task = randomTask(layer.operator, layer.hiddenSize, 1, longest);
      oracles.set(key, (await layerWorkload(key, layer, task.inputs)).exact);
    }
    return oracles.get(key)!.subarray(0, steps * cellOf(layer).stateSize);
  };
  const seen = new Set<string>();
  for (const { layer, hiddenSize, batch, steps, measured } of shapes) {
    const task = randomTask(layer, hiddenSize, batch, measured);
    if (seen.has(task.name)) continue;
    seen.add(task.name);
    const same = shapes.filter((shape) => shape.layer === layer && shape.hiddenSize === hiddenSize);
    const longest = Math.max(...same.map((shape) => shape.measured));
    const cell = cellOf(task.layers[0]);
    yield {
      name: `${layer}, D = ${hiddenSize}, B = ${batch}, T = ${describeSteps(steps, measured)}`,
      stateSize: cell.stateSize,
      steps,
      measured,
      batch,
      workload: { cell, reverse: false },
      inputs: task.inputs,
      exact: await oracleOf(task.layers[0], measured, longest),
    };
  }
  for (const workload of await trainedWorkloads(options.trained, notes)) {
    const { name, cell, inputs, length, exact } = workload;
    const sizes = { stateSize: cell.stateSize, steps: length, measured: length, batch: 1 };
    yield { name: `${name}, T = ${length}`, ...sizes, workload, inputs, exact };
  }
}

async function trainedWorkloads(names: readonly string[], notes: string[]): Promise<Workload[]> {
  const workloads: Workload[] = [];
  if (names.includes("nanopore")) {
    if (sharedData(nanoporeFile) === null) notes.push(`Left out: nanopore, no ${nanoporeFile}.`);
    else workloads.push(...(await nanoporeWorkloads(20_000)));
  }
  if (names.includes("silero")) workloads.push(await sileroWorkload());
  return workloads;
}

/** Every choice that makes sense for a problem. */
function choicesFor(
  { measured, stateSize, workload }: Problem,
  threads: number,
  chunks: readonly number[],
): Choice[] {
  const blocks = workload.cell.parts.length > 1;
  const chunked = chunks
    .filter((chunk) => 2 * chunk <= measured)
    .flatMap((chunk): Choice[] => {
      const iterated: Choice[] = [
        { name: "jacobi", threads: 1, method: "jacobi", chunk },
        {
          name: "quasi-deer",
          threads: 1,
          method: "quasi-deer",
          ...(blocks && { jacobian: "block" as const }),
          chunk,
        },
      ];
      const dense: Choice = { name: "deer", threads: 1, method: "deer", chunk };
      const all = stateSize <= LARGEST_DENSE_STATE ? [...iterated, dense] : iterated;
      return all.map((choice) => ({ ...choice, name: `${choice.name}, C = ${chunk}` }));
    });
  return [
    { name: "sequential", threads: 1, method: "sequential" },
    { name: `sequential, ${threads} threads`, threads, method: "sequential" },
    { name: "threads", threads, method: "threads" },
    ...chunked,
  ];
}

async function measureProblem(
  problem: Problem,
  runtimes: ReadonlyMap<number, Runtime>,
  options: {
    readonly threads: number;
    readonly chunks: readonly number[];
    readonly repeats: number;
  },
): Promise<Result> {
  const { workload, inputs, batch, measured, stateSize, exact } = problem;
  const lengths = batch === 1 ? undefined : new Array<number>(batch).fill(measured);
  const evaluate = ({ threads, name: _, ...way }: Choice) =>
    runtimes.get(threads)!.evaluate(workload.cell, inputs, {
      ...way,
      backend: "wasm",
      reverse: workload.reverse,
      ...(lengths && { lengths }),
    });
  const auto: Choice = { name: "auto", threads: options.threads, method: "auto" };
  const choices = choicesFor(problem, options.threads, options.chunks);
  const sequential = await evaluate(choices[0]);
  const own = await evaluate(auto);
  const error = largestError(own.states.subarray(0, measured * stateSize), exact, stateSize);
  const difference = largestError(own.states, sequential.states, stateSize);
  const { report } = own;

  const once = new Map<Choice, number>();
  for (const choice of [auto, ...choices]) {
    once.set(choice, await warmUp(() => evaluate(choice)));
  }
  const best = Math.min(...choices.map((choice) => once.get(choice)!));
  const near = [
    auto,
    ...choices.filter((choice) => once.get(choice)! <= Math.max(HOPELESS * best, best + 1)),
  ];
  const timings = await compareRepeated(
    near.map((choice) => ({
      name: choice.name,
      calls: callsFor(once.get(choice)!),
      run: () => evaluate(choice),
    })),
    options.repeats,
  );
  const timed = (choice: Choice): Timed => {
    const timing = timings[near.indexOf(choice)]?.timing;
    const milliseconds = timing?.median ?? once.get(choice)!;
    return { name: choice.name, milliseconds, repeated: timing !== undefined };
  };
  const fixed = choices.map(timed).sort((a, b) => a.milliseconds - b.milliseconds);
  const ratio = timed(auto).milliseconds / fixed[0].milliseconds;
  const { name, steps } = problem;
  return {
    name,
    steps,
    measured,
    batch,
    auto: timed(auto),
    fixed,
    ratio,
    error,
    difference,
    report,
  };
}

function isRight(error: number, difference: number): boolean {
  return error <= LARGEST_ERROR && difference <= LARGEST_ERROR;
}

function verdictTable(results: readonly Result[]): Table {
  const ratios = results.map(({ ratio }) => ratio).sort((a, b) => a - b);
  const middle = ratios[ratios.length >> 1];
  const worst = results.find(({ ratio }) => ratio === ratios[ratios.length - 1]);
  const errors = results.map(({ error, difference }) => Math.max(error, difference));
  const wrong = results.filter(({ error, difference }) => !isRight(error, difference)).length;
  const row = (what: string, value: number, aim: number, on: string) =>
    [what, value, aim, value <= aim ? "yes" : "no", on] as const;
  return {
    title: `auto over ${results.length} problems`,
    columns: ["", { title: "measured" }, { title: "at most" }, "met", "on"],
    rows: [
      row("time over the best fixed choice's, median", middle, 1.15, ""),
      row("the same, worst", worst?.ratio ?? Number.NaN, 1.5, worst?.name ?? ""),
      row("wrong results", wrong, 0, ""),
      row("largest error", Math.max(...errors), LARGEST_ERROR, ""),
    ],
  };
}

function shapesTable(results: readonly Result[]): Table {
  const milliseconds = (title: string): Column => ({ title, digits: 2 });
  return {
    title: "Milliseconds of auto and of the best fixed choices",
    columns: [
      "problem",
      "auto chose",
      milliseconds("auto"),
      "best",
      milliseconds("ms"),
      "second",
      milliseconds("ms"),
      { title: "auto / best", digits: 2 },
      "error",
      "apart",
    ],
    rows: results.map(({ name, auto, fixed, ratio, error, difference, report }) => [
      name,
      describeChoice(report),
      auto.milliseconds,
      fixed[0].name,
      fixed[0].milliseconds,
      fixed[1]?.name ?? "",
      fixed[1]?.milliseconds ?? null,
      ratio,
      error.toExponential(1),
      difference === 0 ? "0" : difference.toExponential(1),
    ]),
  };
}

/** Such as "threads, C = 6250, 2 threads". */
function describeChoice({ method, chunk, threads = 1 }: Report): string {
  const parts = [
    method,
    ...(method === "sequential" ? [] : [`C = ${chunk}`]),
    ...(threads > 1 ? [`${threads} threads`] : []),
  ];
  return parts.join(", ");
}

/** What auto said for itself, and how often. */
function choicesTable(results: readonly Result[]): Table {
  const counts = new Map<string, number>();
  for (const { report } of results) {
    // The numbers in it differ from problem to problem.
    const reason = `${report.method}: ${report.choice.replace(/\d[\d.,e+-]*/g, "N")}`;
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return {
    title: "Its reasons",
    columns: ["times", { title: "reason (N: a number)", align: "left" }],
    rows: [...counts].map(([reason, count]) => [count, reason]),
  };
}
