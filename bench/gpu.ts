/**
 * How long solves take on a GPU: every method and several chunks, beside the GPU's own sequential
 * evaluation and WebAssembly's, with the milliseconds of each stage on the GPU's clock, and the least that
 * its memory and its arithmetic allow. For a machine that has one: software adapters are told as such.
 */
import { errorChunkFor } from "../src/backend/webgpu/plan.ts";
import {
  createRuntime,
  type EvaluateOptions,
  type Cell as RecurrentCell,
  type Report,
  type Runtime,
} from "../src/index.ts";
import { dawnGpu } from "../tests/support/dawn.ts";
import { defineBench } from "./harness.ts";
import type { Cell, Column, Table } from "./report.ts";
import {
  checkLayers,
  describeMethod,
  gpuMethods,
  INPUT_SIZE,
  type Layer,
  type MethodOptions,
  randomCell,
  randomInputs,
} from "./support/gpu-cells.ts";
import { type Peak, sequentialFloor, solveFloor, stageFloor } from "./support/gpu-floor.ts";

interface Shape {
  readonly layer: Layer;
  readonly hiddenSize: number;
  /** T of each sequence, and B of them. */
  readonly steps: number;
  readonly batch: number;
}

/** One way to evaluate a shape. */
interface Row extends Shape {
  readonly backend: "webgpu" | "wasm";
  readonly options: MethodOptions;
  /** Of the last run; null where it failed. */
  readonly report: Report | null;
  readonly error: string;
  /** Milliseconds of the first run, which compiles, and of the others. */
  readonly first: number | null;
  readonly samples: readonly number[];
  readonly median: number | null;
  /** The same with inputs sent and states read back. */
  readonly withTransfer: number | null;
  readonly stages: Report["stages"] | null;
  /** The least milliseconds for the sweeps that it took. */
  readonly floor: number | null;
}

interface Limits {
  readonly repeats: number;
  /** After which a candidate is not run again, and the whole bench begins no further one. */
  readonly seconds: number;
  readonly deadline: number;
  readonly peak: Peak;
}

const quick = { sizes: [8], steps: [256], batches: [1, 2], chunks: [16], repeats: 2 };

export default defineBench({
  description: "how fast are solves on a GPU, stage by stage, and how far from its limits?",
  options: {
    layers: { description: "of GRU, LSTM", default: ["GRU", "LSTM"] },
    sizes: { description: "hidden sizes D", default: [16, 64, 128] },
    steps: { description: "lengths T", default: [10_000, 100_000, 1_000_000] },
    batches: { description: "sequences B, all of them T long", default: [1, 16] },
    chunks: { description: "steps a chunk", default: [1, 16, 64, 256, 1024] },
    methods: { description: "which", default: ["jacobi", "quasi-deer", "quasi-elk", "deer"] },
    repeats: { description: "timed runs of each, after one that is not", default: 5 },
    seconds: { description: "after which one is not repeated any more", default: 5 },
    minutes: { description: "after which nothing new is begun", default: 9 },
    gigabytes: { description: "largest states of a shape; larger ones are left out", default: 2 },
    bandwidth: { description: "of the GPU's memory, GB/s, by its data sheet", default: 3350 },
    tflops: { description: "float32 without tensor cores, by its data sheet", default: 67 },
    quick: { description: "small shapes, to try the bench on a software adapter", default: false },
  },
  async run({ options: given, log }) {
    const options = given.quick ? { ...given, ...quick } : given;
    const layers = checkLayers(options.layers);
    const memoryLimit = 2 ** 32;
    const runtime = await createRuntime({ gpu: await dawnGpu(), backend: "webgpu", memoryLimit });
    const adapter = runtime.backends.find(({ name }) => name === "webgpu")!.adapter!;
    const peak = { bandwidth: 1e9 * options.bandwidth, multiplyAdds: 0.5e12 * options.tflops };
    const limits: Limits = {
      repeats: options.repeats,
      seconds: options.seconds,
      deadline: performance.now() + 60e3 * options.minutes,
      peak,
    };
    const rows: Row[] = [];
    const leftOut: string[] = [];
    try {
      for (const layer of layers) {
        for (const hiddenSize of options.sizes) {
          const cell = randomCell(layer, hiddenSize);
          for (const steps of options.steps) {
            for (const batch of options.batches) {
              const shape = { layer, hiddenSize, steps, batch };
              const name = `${layer}, D = ${hiddenSize}, T = ${steps}, B = ${batch}`;
              if (4e-9 * cell.stateSize * steps * batch > options.gigabytes) {
                leftOut.push(`${name}: the states are larger than ${options.gigabytes} GB`);
                continue;
              }
              const inputs = randomInputs(steps * batch);
              for (const [backend, method] of candidates(shape, cell, options)) {
                const what = `${backend}, ${describeMethod(method)}, C = ${method.chunk ?? "T"}`;
                if (performance.now() > limits.deadline) {
                  leftOut.push(`${name}, ${what}: no time left`);
                  continue;
                }
                log(`${name}: ${what} …`);
                rows.push(await time(runtime, { shape, cell, inputs, backend, method, limits }));
              }
            }
          }
        }
      }
    } finally {
      runtime.dispose();
    }
    const name = adapter.description || `${adapter.vendor} ${adapter.architecture}`;
    const software = "SOFTWARE: a program on the CPU that imitates a GPU. Its times say nothing.";
    return {
      tables: [timesTable(rows), stagesTable(rows), bestTable(rows, peak)],
      notes: [
        `WebGPU adapter: ${name}${adapter.software ? ` (${software})` : ""}`,
        `Medians of up to ${limits.repeats} runs after a first one, which compiles; input ${INPUT_SIZE}, tolerance 1e-5.`,
        "ms: inputs and states stay on the GPU. with transfer: inputs sent, states read back.",
        `floor: every array once at ${options.bandwidth} GB/s or every multiply–add at ${options.tflops} TFLOPS, whichever`,
        "is longer, stage after stage, for the sweeps that it took and one sweep of the certificate.",
        "least of any: inputs read and states written once, every multiply–add of the recurrence once.",
        ...leftOut.map((line) => `left out: ${line}`),
      ],
      data: { adapter, peak, rows, leftOut },
    };
  },
});

function candidates(
  { layer, steps }: Shape,
  cell: RecurrentCell,
  options: { readonly chunks: readonly number[]; readonly methods: readonly string[] },
): ["webgpu" | "wasm", MethodOptions][] {
  const chunks = options.chunks.filter((chunk) => chunk < steps);
  const methods = gpuMethods(layer, cell, chunks).filter(({ method }) =>
    options.methods.includes(method!),
  );
  return [
    ["wasm", { method: "sequential" }],
    ["webgpu", { method: "sequential" }],
    ...methods.map((method): ["webgpu", MethodOptions] => ["webgpu", method]),
  ];
}

interface Work {
  readonly shape: Shape;
  readonly cell: RecurrentCell;
  readonly inputs: Float32Array;
  readonly backend: "webgpu" | "wasm";
  readonly method: MethodOptions;
  readonly limits: Limits;
}

async function time(runtime: Runtime, work: Work): Promise<Row> {
  const { shape, cell, inputs, backend, method, limits } = work;
  const lengths = Array.from({ length: shape.batch }, () => shape.steps);
  const common: EvaluateOptions = { ...method, backend, lengths, onFailure: "return" };
  const device = runtime.device as GPUDevice;
  const base = { ...shape, backend, options: method };
  let resident: GPUBuffer | null = null;
  const samples: number[] = [];
  let [first, withTransfer]: (number | null)[] = [null, null];
  let report: Report | null = null;
  let stages: Report["stages"] | null = null;
  let error = "";
  const timed = async <Result>(run: () => Promise<Result>): Promise<[number, Result]> => {
    const start = performance.now();
    const result = await run();
    return [performance.now() - start, result];
  };
  try {
    if (backend === "webgpu") resident = uploaded(device, inputs);
    const run = async (more: EvaluateOptions = {}) => {
      if (!resident) return (await runtime.evaluate(cell, inputs, common)).report;
      const onGpu = { ...common, ...more, output: "gpu" } as const;
      const result = await runtime.evaluate(cell, resident, onGpu);
      for (const buffer of [result.states, result.finalStates]) (buffer as GPUBuffer).destroy();
      return result.report;
    };
    [first, report] = await timed(run);
    const started = performance.now();
    while (samples.length < limits.repeats) {
      const [milliseconds, latest] = await timed(run);
      samples.push(milliseconds);
      report = latest;
      if (performance.now() - started > 1e3 * limits.seconds) break;
    }
    if (resident) {
      stages = (await run({ profile: true })).stages ?? null;
      await runtime.evaluate(cell, inputs, common);
      [withTransfer] = await timed(() => runtime.evaluate(cell, inputs, common));
    }
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message.split("\n")[0]! : String(thrown);
  } finally {
    resident?.destroy();
  }
  const median = samples.length > 0 ? medianOf(samples) : null;
  // A data sheet's figures mean nothing for a CPU that imitates a GPU.
  const hasFloor = backend === "webgpu" && report?.adapter?.software === false;
  const floor = hasFloor ? floorOf(work, report!) : null;
  return { ...base, report, error, first, samples, median, withTransfer, stages, floor };
}

function uploaded(device: GPUDevice, values: Float32Array): GPUBuffer {
  const usage = 0x4 | 0x8; // COPY_SRC, COPY_DST
  const buffer = device.createBuffer({ label: "inputs", size: values.byteLength, usage });
  device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
  return buffer;
}

function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function floorOf({ shape, cell, method, limits }: Work, report: Report): number {
  const { steps, batch } = shape;
  const rows = steps * batch;
  if (method.method === "sequential") {
    return stageFloor(sequentialFloor(cell, { steps: rows }), limits.peak);
  }
  const chunk = method.chunk!;
  const floorShape = {
    steps: rows,
    chunks: batch * Math.ceil(steps / chunk),
    errorChunks: batch * Math.ceil(steps / errorChunkFor(steps, chunk)),
    jacobian: method.jacobian!,
    damped: method.method === "quasi-elk",
  };
  const counts = { sweeps: report.iterations, certificateSweeps: 1 };
  return solveFloor(cell, floorShape, counts, limits.peak);
}

const shapeColumns: readonly Column[] = [
  { title: "layer" },
  { title: "D", align: "right" },
  { title: "T", align: "right" },
  { title: "B", align: "right" },
];
const methodColumns: readonly Column[] = [
  { title: "backend" },
  { title: "method" },
  { title: "C", align: "right" },
];

const shapeOf = ({ layer, hiddenSize, steps, batch }: Row): Cell[] => [
  layer,
  hiddenSize,
  steps,
  batch,
];
const methodOf = ({ backend, options, report }: Row): Cell[] => [
  report?.adapter?.software ? `${backend} (software)` : backend,
  describeMethod(options),
  options.chunk ?? null,
];

function timesTable(rows: readonly Row[]): Table {
  return {
    title: "Milliseconds a solve",
    columns: [
      ...shapeColumns,
      ...methodColumns,
      { title: "sweeps", align: "right" },
      "ms",
      "with transfer",
      "first",
      { title: "ns/step", digits: 1 },
      "floor",
      { title: "× floor", digits: 1 },
      "note",
    ],
    rows: rows.map((row) => {
      const { report, error, median, withTransfer, first, floor, steps, batch } = row;
      return [
        ...shapeOf(row),
        ...methodOf(row),
        report?.iterations ?? null,
        median,
        withTransfer,
        first,
        median && (1e6 * median) / (steps * batch),
        floor,
        median && floor && median / floor,
        error || (report && !report.converged ? "not converged" : ""),
      ];
    }),
  };
}

function stagesTable(rows: readonly Row[]): Table {
  const timed = rows.filter(({ stages }) => stages);
  const names = [
    ...new Set(
      timed.flatMap(({ stages }) => (typeof stages === "object" ? Object.keys(stages!) : [])),
    ),
  ];
  return {
    title: "Milliseconds a stage, on the GPU's clock",
    columns: [
      ...shapeColumns,
      ...methodColumns,
      ...names.map((title): Column => ({ title, digits: 3 })),
      "why not",
    ],
    rows: timed.map((row) => {
      const { stages } = row;
      const times = typeof stages === "object" ? stages! : {};
      const cells = names.map((name): Cell => times[name] ?? null);
      return [
        ...shapeOf(row),
        ...methodOf(row),
        ...cells,
        typeof stages === "string" ? stages : "",
      ];
    }),
  };
}

/** For every shape the fastest method that converged, beside both sequential evaluations. */
function bestTable(rows: readonly Row[], peak: Peak): Table {
  const shapes = new Map<string, Row[]>();
  for (const row of rows) {
    const key = shapeOf(row).join();
    shapes.set(key, [...(shapes.get(key) ?? []), row]);
  }
  return {
    title: "The fastest that converged, and sequential evaluation beside it",
    columns: [
      ...shapeColumns,
      "method",
      { title: "C", align: "right" },
      "ms",
      { title: "× its floor", digits: 1 },
      "least of any",
      "webgpu sequential",
      "wasm sequential",
      { title: "faster than webgpu", digits: 2 },
      { title: "faster than wasm", digits: 2 },
    ],
    rows: [...shapes.values()].flatMap((group) => {
      const isSequential = ({ options }: Row) => options.method === "sequential";
      const parallel = group
        .filter((row) => !isSequential(row) && row.median !== null && row.report?.converged)
        .sort((a, b) => a.median! - b.median!);
      const sequential = (name: string) =>
        group.find((row) => isSequential(row) && row.backend === name)?.median ?? null;
      const best = parallel[0];
      if (!best) return [];
      const [onGpu, onWasm] = [sequential("webgpu"), sequential("wasm")];
      const cell = randomCell(best.layer, best.hiddenSize);
      const steps = best.steps * best.batch;
      return [
        [
          ...shapeOf(best),
          describeMethod(best.options),
          best.options.chunk!,
          best.median,
          best.floor && best.median! / best.floor,
          best.floor && stageFloor(sequentialFloor(cell, { steps }), peak),
          onGpu,
          onWasm,
          onGpu && onGpu / best.median!,
          onWasm && onWasm / best.median!,
        ],
      ];
    }),
  };
}
