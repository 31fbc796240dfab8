/** `antler bench`: the methods side by side on this machine. */
import { availableParallelism } from "node:os";
import Table from "cli-table3";
import { type Command, Option } from "commander";
import type { BackendName, MethodName } from "../index.ts";
import { methodNames } from "../solve/method.ts";
import { type BenchResult, type BenchRow, runBench } from "./bench-run.ts";
import { cellKind, cellNames, checkVariant } from "./cells.ts";
import { CliError } from "./failure.ts";
import { dawnOption } from "./gpu-option.ts";
import { interruptible } from "./interrupt.ts";
import {
  backendList,
  backendNames,
  integer,
  listOf,
  methodList,
  namesOf,
  number,
  oneOf,
  threadsOption,
} from "./options.ts";
import { createProgress } from "./progress.ts";
import { openRuntime } from "./runtime.ts";
import { jsonTarget, print, styleFor, writeJson } from "./terminal.ts";
import { checkThreadsOptions } from "./threads.ts";
import { count, counted, milliseconds, scientific, threadsInWords, wrapped } from "./words.ts";

interface Options {
  readonly cell: string;
  readonly variant?: string;
  readonly hidden: number;
  readonly input: number;
  readonly steps: number;
  readonly batch: number;
  readonly method?: MethodName[];
  readonly chunk?: number[];
  readonly backend?: BackendName[];
  readonly threads?: number;
  readonly exact?: boolean;
  readonly repeats: number;
  readonly seed: number;
  readonly tolerance: number;
  readonly maxIterations: number;
  readonly json?: true | string;
  readonly dawn?: readonly string[];
}

const EXAMPLES = `
Weights and inputs are random, from the seed. Every row first runs once without being timed, and its states are
compared with the float64 reference's; then it is timed. ms is the median of the repeats. What to expect: on one CPU
thread sequential evaluation does the least work, and threads does it on all cores where the recurrence forgets soon;
the other methods are for GPUs.

Without --method and --chunk: sequential, threads where there are several, jacobi, quasi-deer and quasi-elk in chunks
of 64 steps, and quasi-deer in chunks of one. threads runs on wasm, in as many chunks as there are threads, unless
--method names it and --chunk says otherwise. Without --backend: wasm, and webgpu on a real GPU; one imitated in
software must be asked for.

Examples:
  antler bench
  antler bench --cell lstm --hidden 128 --steps 20000
  antler bench --method sequential,threads --threads 4 --steps 100000
  antler bench --method sequential,deer,elk --chunk 16,64 --hidden 8
  antler bench --backend wasm,webgpu --json bench.json

Exit code: 0 fine; 1 if a row's states are wrong, or it failed; 2 wrong usage; 130 interrupted.
`;

export function addBenchCommand(program: Command): void {
  const whole = (flag: string) => integer(flag, 1);
  program
    .command("bench")
    .summary("time Antler's methods side by side on this machine")
    .description("Times Antler's methods side by side on this machine, on seeded random weights.")
    .option("--cell <name>", namesOf(cellNames), oneOf("--cell", cellNames), "gru")
    .option("--variant <name>", "of the cell, as in antler eval")
    .option("--hidden <n>", "hidden size", whole("--hidden"), 32)
    .option("--input <n>", "input size", whole("--input"), 3)
    .option("--steps <n>", "T, the steps of a sequence", whole("--steps"), 4096)
    .option("--batch <n>", "sequences", whole("--batch"), 1)
    .option("--method <names>", `with commas between them: ${namesOf(methodNames)}`, methodList)
    .option(
      "--chunk <list>",
      "steps a chunk, with commas between them; each method runs with each",
      listOf("--chunk", whole("--chunk")),
    )
    .option("--backend <names>", `with commas between them: ${namesOf(backendNames)}`, backendList)
    .addOption(threadsOption())
    .option("--exact", "threads: every bit as by sequential evaluation")
    .option("--repeats <n>", "timed runs a row", whole("--repeats"), 5)
    .option("--seed <n>", "of the weights and inputs", whole("--seed"), 1)
    .option(
      "--tolerance <number>",
      "largest residual of a converged result",
      number("--tolerance", { positive: true }),
      1e-5,
    )
    .option(
      "--max-iterations <n>",
      "sweeps before a method gives up",
      integer("--max-iterations", 0),
      100,
    )
    .addOption(
      new Option("--json [file]", "print the results as JSON instead, or write them to a file too"),
    )
    .addOption(dawnOption())
    .addHelpText("after", EXAMPLES)
    .action((options: Options) => interruptible((signal) => bench(options, signal)));
}

async function bench(options: Options, signal: AbortSignal): Promise<void> {
  const { cell: cellName, hidden, input, steps, batch, seed, repeats, json } = options;
  const kind = cellKind(cellName);
  const variant = checkVariant(kind, options.variant);
  const sizes = { inputSize: kind.inputSize ?? input, hiddenSize: hidden };
  const most = options.threads ?? availableParallelism();
  const asked = options.method ?? methodNames;
  checkThreadsOptions(asked, options.backend ?? [], ["webgpu", "reference"], options.exact);
  const withGpu = options.backend === undefined || options.backend.includes("webgpu");
  const opened = await openRuntime(options.backend ?? [], { ...options, withGpu }, signal);
  const { runtime, software, gpuReason } = opened;
  const notes: string[] = [];
  const backends: BackendName[] = options.backend ?? ["wasm"];
  if (options.backend === undefined) {
    if (gpuReason !== null) notes.push(`webgpu: not here: ${gpuReason}`);
    else if (software)
      notes.push("webgpu: only imitated in software here; --backend webgpu times it all the same");
    else backends.push("webgpu");
  } else if (software) {
    notes.push("webgpu: imitated in software: its times say nothing about a GPU");
  }
  if (options.method?.includes("threads") && !backends.includes("wasm")) {
    notes.push("threads: for wasm, which is not among the backends");
  }
  const progress = createProgress();
  let result: BenchResult;
  try {
    result = await runBench(runtime, {
      kind,
      variant,
      sizes,
      steps,
      batch,
      seed,
      repeats,
      backends,
      methods: options.method,
      chunks: options.chunk,
      withThreads: most > 1,
      exact: options.exact === true,
      tolerance: options.tolerance,
      maxIterations: options.maxIterations,
      signal,
      onProgress: (done, total, text) => progress.update(done, total, text),
    });
  } finally {
    progress.stop();
    runtime.dispose();
  }
  const whole = { ...result, notes };
  const { target, stdoutIsFree } = jsonTarget(json);
  if (stdoutIsFree) await print(rendered(result, notes));
  if (target !== null) await writeJson(target, whole);
  const wrong = result.rows.filter(({ failure }) => failure !== undefined);
  if (wrong.length > 0) {
    throw new CliError(
      `${counted(wrong.length, "row")} of ${result.rows.length} failed: ${wrong[0]!.failure}`,
      "`antler conformance` checks the backend thoroughly",
    );
  }
}

const titles = [
  "backend",
  "method",
  "Jacobian",
  "chunk",
  "sweeps",
  "error",
  "ms",
  "ns/step",
  "speed",
  "",
];

function rendered(result: BenchResult, notes: readonly string[]): string {
  const { cell, sizes, steps, batch, repeats, seed, machine } = result;
  const { bold } = styleFor(process.stdout);
  const footnotes: string[] = [];
  const rows = result.rows.map((row) => cellsOf(row, footnotes));
  // The column of notes stands there only if there are any.
  const shown = footnotes.length > 0 ? titles : titles.slice(0, -1);
  const table = new Table({
    head: shown.map(bold),
    colAligns: shown.map((_, i) => (i < 3 || i === titles.length - 1 ? "left" : "right")),
    style: { head: [], border: [], compact: true },
  });
  table.push(...rows.map((row) => row.slice(0, shown.length)));
  const what =
    `${cell}, input ${sizes.inputSize}, hidden ${sizes.hiddenSize}, ${counted(steps, "step")},` +
    ` ${counted(batch, "sequence")}; median of ${repeats}, seed ${seed}`;
  const legend =
    "error: largest |difference| / (1 + |state|) from the float64 reference; ns/step: over all sequences;" +
    " speed: against the first row";
  const lines = [
    `${machine.cpu}, ${machine.host} (${machine.engine})`,
    what,
    "",
    table.toString(),
    ...[legend, ...threadNotes(result), ...footnotes, ...notes].map((text) => wrapped(text)),
  ];
  return `${lines.join("\n")}\n`;
}

/** How many threads worked on which rows, and how much they did. */
function threadNotes({ rows }: BenchResult): string[] {
  return rows.flatMap((row) => {
    const words = threadsInWords(row);
    const chunk = row.method === "threads" && row.chunk !== null ? `, chunk ${row.chunk}` : "";
    return words === null ? [] : [`${row.backend}, ${row.method}${chunk}: ${words}`];
  });
}

function cellsOf(row: BenchRow, footnotes: string[]): string[] {
  const noted = row.failure ?? row.fallback;
  if (noted !== undefined) footnotes.push(`[${footnotes.length + 1}] ${noted}`);
  const word = row.failure !== undefined ? "failed" : "finished sequentially";
  const note = noted === undefined ? "" : `${word} [${footnotes.length}]`;
  const isSequential = row.method === "sequential";
  const isSwept = !isSequential && row.method !== "threads";
  const timed = row.milliseconds;
  return [
    row.backend,
    row.method,
    row.jacobian ?? "–",
    isSequential || row.chunk === null ? "–" : count(row.chunk),
    isSwept && row.sweeps !== null ? count(row.sweeps) : "–",
    row.error === null ? "–" : scientific(row.error),
    timed === null ? "–" : milliseconds(timed.median),
    timed === null ? "–" : count(Math.round(timed.nanosecondsPerStep)),
    timed === null ? "–" : `${factor(timed.speed)} ×`,
    note,
  ];
}

/** Two digits, but never an exponent. */
function factor(value: number): string {
  return value < 10 ? value.toPrecision(2) : count(Math.round(value));
}
