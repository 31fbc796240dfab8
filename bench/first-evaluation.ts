/**
 * How soon a new process has its first result: import, kernels or session, and the first evaluation of one
 * small GRU, ours beside ONNX Runtime, each time in a process of its own. Files are in the system's cache.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { deflateSync } from "node:zlib";
import { defineBench, mulberry32, normal } from "./harness.ts";
import type { Column, Table } from "./report.ts";
import { INPUT_SIZE, type Layer, randomLayer } from "./support/layers.ts";
import { modelOf } from "./support/onnxruntime.ts";

const run = promisify(execFile);

/** Up to the first result, and what shows in the second run only. */
const FIRST = ["import", "create", "cell", "first evaluation"] as const;
const STAGES = [...FIRST, "second evaluation"] as const;
const KERNEL_STAGES = ["inflate", "compile", "instantiate"] as const;
const LARGEST_DIFFERENCE = 1e-5;

interface Program {
  readonly name: string;
  readonly file: string;
  readonly args?: readonly string[];
}

interface Sample {
  readonly milliseconds: Readonly<Record<string, number>>;
  readonly last: readonly number[];
  /** Of the process, from its start to its end. */
  readonly process: number;
}

/** Medians over the processes. */
interface Result {
  readonly name: string;
  readonly stages: Readonly<Record<string, number>>;
  /** Of the stages up to the first result. */
  readonly first: number;
  readonly process: number;
  readonly samples: readonly Sample[];
}

export default defineBench({
  description: "how soon has a new process its first result, beside ONNX Runtime?",
  options: {
    size: { description: "hidden size D of the GRU", default: 32 },
    steps: { description: "length of the sequence", default: 100 },
    repeats: { description: "processes of each", default: 15 },
  },
  async run({ options, log }) {
    const { size, steps, repeats } = options;
    const folder = await mkdtemp(join(tmpdir(), "antler-first-evaluation-"));
    try {
      await writeProblem(folder, randomLayer("GRU", size), steps);
      const problem = JSON.stringify({ steps, inputSize: INPUT_SIZE, hiddenSize: size });
      const programs = await installed();
      const samples = new Map<Program, Sample[]>(programs.map((program) => [program, []]));
      // In turns, and one round that is not counted: it fills the system's cache of files.
      for (let round = -1; round < repeats; round++) {
        log(`round ${round + 1} of ${repeats} …`);
        for (const program of programs) {
          const sample = await start(program, folder, problem);
          if (round >= 0) samples.get(program)!.push(sample);
        }
      }
      const results = [...samples].map(([{ name }, taken]) => summarise(name, taken));
      const [kernels, ours, ...others] = results;
      checkAgreement([ours, ...others]);
      return {
        tables: [firstTable([ours, ...others]), kernelsTable(kernels)],
        notes: [
          `GRU, D = ${size}, input ${INPUT_SIZE}, T = ${steps}; medians of ${repeats} processes each.`,
          "first result: from the first import to the first states. process: all of it, Node included.",
          "create: kernels inflated, compiled and instantiated, or a session created from a model.",
        ],
        data: { results },
      };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
});

/** The kernels alone first, then ours, then the rivals. */
async function installed(): Promise<Program[]> {
  const require = createRequire(import.meta.url);
  const rivals = ["onnxruntime-web/wasm", "onnxruntime-node"].filter((name) => {
    try {
      return require.resolve(name) !== "";
    } catch {
      return false;
    }
  });
  return [
    { name: "kernels alone", file: "kernels.mjs" },
    { name: "antler", file: "antler.mjs" },
    ...rivals.map((name) => ({
      name: name === "onnxruntime-web/wasm" ? "onnxruntime-web" : name,
      file: "onnxruntime.mjs",
      args: [name],
    })),
  ];
}

async function writeProblem(folder: string, layer: Layer, steps: number): Promise<void> {
  const write = (name: string, data: Float32Array | Uint8Array) =>
    writeFile(join(folder, name), new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  for (const [name, data] of Object.entries(layer.weights)) await write(name, data);
  await write("inputs", normal(mulberry32(1), steps * INPUT_SIZE));
  await write("model.onnx", modelOf(layer).bytes);
  // Both builds are deflated together in the package; here, as many bytes of the same kind.
  const dist = fileURLToPath(new URL("../dist/", import.meta.url));
  const [plain, relaxed] = await Promise.all(
    ["kernel.wasm", "kernel-relaxed.wasm"].map((name) => readFile(join(dist, name))),
  );
  await write("kernel.wasm", plain);
  await write("kernels.deflate", deflateSync(Buffer.concat([plain, relaxed])));
}

/** @throws Error with what the process said, but for the code around its error, which may be all on one line */
async function start({ name, file, args = [] }: Program, folder: string, problem: string) {
  const path = fileURLToPath(new URL(`support/first-evaluation/${file}`, import.meta.url));
  const begun = performance.now();
  const { stdout } = await run(process.execPath, [path, folder, problem, ...args]).catch(
    (error) => {
      const said = /^\w*Error.*$/m.exec(String(error.stderr))?.[0] ?? error.message;
      throw new Error(`${name}: ${said}`);
    },
  );
  const ended = performance.now();
  return { ...(JSON.parse(stdout) as Omit<Sample, "process">), process: ended - begun };
}

function summarise(name: string, samples: readonly Sample[]): Result {
  const stages: Record<string, number> = {};
  for (const stage of Object.keys(samples[0].milliseconds)) {
    stages[stage] = median(samples.map(({ milliseconds }) => milliseconds[stage]));
  }
  const firsts = samples.map(({ milliseconds }) =>
    FIRST.reduce((sum, stage) => sum + (milliseconds[stage] ?? 0), 0),
  );
  const whole = median(samples.map(({ process }) => process));
  return { name, stages, first: median(firsts), process: whole, samples };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @throws Error where the last states differ: the times are then of different work */
function checkAgreement([ours, ...others]: readonly Result[]): void {
  const expected = ours.samples[0].last;
  for (const { name, samples } of [ours, ...others]) {
    for (const { last } of samples) {
      const far = last.findIndex(
        (value, i) => !(Math.abs(value - expected[i]) <= LARGEST_DIFFERENCE),
      );
      if (last.length !== expected.length || far !== -1) {
        throw new Error(`${name} differs from ${ours.name} in the last state, unit ${far}`);
      }
    }
  }
}

function firstTable(results: readonly Result[]): Table {
  return {
    title: "Milliseconds until the first result of a new process",
    columns: [
      "",
      ...STAGES.map((title): Column => ({ title, digits: 2 })),
      { title: "first result", digits: 1 },
      { title: "ours sooner, times", digits: 1 },
      { title: "process", digits: 0 },
    ],
    rows: results.map(({ name, stages, first, process }, index) => [
      name,
      ...STAGES.map((stage) => stages[stage] ?? null),
      first,
      index === 0 ? null : first / results[0].first,
      process,
    ]),
  };
}

function kernelsTable({ stages }: Result): Table {
  return {
    title: "Of our create: the kernels, in milliseconds, in a process of their own",
    columns: KERNEL_STAGES.map((title): Column => ({ title, digits: 2 })),
    rows: [KERNEL_STAGES.map((stage) => stages[stage])],
  };
}
