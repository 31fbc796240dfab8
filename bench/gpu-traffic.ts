/**
 * What a solve asks of a GPU, in counts that need no GPU: submits, dispatches, bytes to and from the host,
 * and what every stage's kernels load and store, counted by the shaders themselves as they run, beside
 * the least that the method needs.
 */

import { errorChunkFor } from "../src/backend/webgpu/plan.ts";
import { compileCell, sweepKernel } from "../src/backend/webgpu/program/index.ts";
import { type Cell, createRuntime, type Report, type Runtime } from "../src/index.ts";
import { dawnGpu } from "../tests/support/dawn.ts";
import { defineBench } from "./harness.ts";
import type { Column, Table } from "./report.ts";
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
import { type CountingDevice, countingDevice, type KernelCount } from "./support/gpu-count.ts";
import {
  certificateFloor,
  driveFloor,
  type FloorShape,
  scanFloor,
  stepWork,
  sweepFloor,
  type Work,
} from "./support/gpu-floor.ts";

const stages = ["drive", "scan", "sweep", "certificate", "measure", "decide"] as const;
type Stage = (typeof stages)[number];

/** The same for all threads: caches serve them, whatever the arrays' sizes. */
const shared: Readonly<Record<string, "weights" | "records">> = {
  weights: "weights",
  control: "records",
  bounds: "records",
};

/** One run of a stage over all chunks: a whole sweep, a whole update. */
interface StageCount {
  readonly stage: Stage;
  /** Of the whole solve, that were not empty; and in one sweep, update or the like. */
  readonly dispatches: number;
  readonly dispatchesARun: number;
  /** Bytes of arrays. */
  readonly read: number;
  readonly written: number;
  /** Bytes of weights, and of the sequences' records and bounds. */
  readonly weights: number;
  readonly records: number;
  readonly multiplyAdds: number | null;
  readonly least: Work | null;
}

interface Result {
  readonly layer: Layer;
  readonly hiddenSize: number;
  readonly options: MethodOptions;
  readonly report: Report;
  readonly certificateSweeps: number;
  readonly stages: readonly StageCount[];
}

interface Totals {
  readonly dispatches: number;
  readonly read: number;
  readonly written: number;
  readonly weights: number;
  readonly records: number;
}

function totalsOf(counts: readonly KernelCount[]): Totals {
  const totals = { dispatches: 0, read: 0, written: 0, weights: 0, records: 0 };
  for (const { dispatches, buffers } of counts) {
    totals.dispatches += dispatches;
    for (const [name, { bytesLoaded, bytesStored }] of buffers) {
      totals[shared[name] ?? "read"] += bytesLoaded;
      totals.written += bytesStored;
    }
  }
  return totals;
}

function storesOf(counts: readonly KernelCount[], buffer: string): number {
  return counts.reduce((sum, { buffers }) => sum + (buffers.get(buffer)?.stores ?? 0), 0);
}

/** The multiply–adds that the sweep's kernel performs for every step, recomputed ones included. */
function sweepArithmetic(cell: Cell, { jacobian, chunks, steps }: FloorShape, device: GPUDevice) {
  const { step, product, tangent } = stepWork(cell, jacobian);
  if (jacobian !== "dense") return steps * (step + product);
  const limits = {
    maxInvocations: device.limits.maxComputeInvocationsPerWorkgroup,
    maxWorkgroupStorage: device.limits.maxComputeWorkgroupStorageSize,
  };
  const { geometry } = sweepKernel(compileCell(cell), jacobian, { chunks, limits });
  const { width, columnGroups } = geometry;
  const groups = columnGroups * Math.ceil(cell.stateSize / (width * columnGroups));
  // Every group of columns runs the step itself.
  return steps * groups * (step + width * tangent);
}

async function count(
  runtime: Runtime,
  counting: CountingDevice,
  job: { layer: Layer; hiddenSize: number; options: MethodOptions; steps: number },
): Promise<Result> {
  const { layer, hiddenSize, options, steps } = job;
  const cell = randomCell(layer, hiddenSize);
  const inputs = randomInputs(steps);
  const evaluate = () =>
    runtime.evaluate(cell, inputs, { backend: "webgpu", onFailure: "return", ...options });
  await evaluate();
  await counting.take();
  const { report } = await evaluate();
  const counts = await counting.take();
  const of = (stage: Stage) => counts.filter(({ label }) => label.split(" ")[0] === stage);
  const chunk = options.chunk!;
  const errorChunk = errorChunkFor(steps, chunk);
  const shape: FloorShape = {
    steps,
    chunks: Math.ceil(steps / chunk),
    errorChunks: Math.ceil(steps / errorChunk),
    jacobian: options.jacobian!,
    damped: options.method!.endsWith("elk"),
  };
  const sweepsRun = report.iterations + 1;
  // What is exact is not run again: the counts of all runs are those of so many runs over everything.
  const fullSweeps = storesOf(of("sweep"), "measures") / shape.chunks;
  const fullScans = storesOf(of("scan"), "boundaries") / (shape.chunks * cell.stateSize);
  const fullCertificates = storesOf(of("certificate"), "errorMeasures") / shape.errorChunks;
  const certificateSweeps = Math.max(0, ...of("certificate").map(({ dispatches }) => dispatches));
  const slots = sweepsRun + certificateSweeps;
  const decisions = Math.max(1, ...of("decide").map(({ dispatches }) => dispatches));
  const stageCount = (
    stage: Stage,
    full: number,
    runs: number,
    multiplyAdds: number | null = null,
    least: Work | null = null,
  ): StageCount[] => {
    const { dispatches, read, written, weights, records } = totalsOf(of(stage));
    if (full === 0 || dispatches === 0) return [];
    const a = (total: number) => total / full;
    return [
      {
        ...{ stage, dispatches, dispatchesARun: dispatches / runs },
        ...{ read: a(read), written: a(written), weights: a(weights), records: a(records) },
        ...{ multiplyAdds, least },
      },
    ];
  };
  const drive = driveFloor(cell, shape);
  const certificate = certificateFloor(cell, shape);
  const arithmetic = sweepArithmetic(cell, shape, counting.device);
  const certificateArithmetic = certificate.multiplyAdds;
  return {
    ...{ layer, hiddenSize, options, report, certificateSweeps },
    stages: [
      ...stageCount("drive", 1, 1, drive.multiplyAdds, drive),
      ...stageCount("scan", fullScans, report.iterations, null, scanFloor(cell, shape)),
      ...stageCount("sweep", fullSweeps, sweepsRun, arithmetic, sweepFloor(cell, shape)),
      ...stageCount(
        "certificate",
        fullCertificates,
        certificateSweeps,
        certificateArithmetic,
        certificate,
      ),
      ...stageCount("measure", slots, slots),
      ...stageCount("decide", decisions, decisions),
    ],
  };
}

export default defineBench({
  description: "what does a solve ask of the GPU, and what would be the least?",
  options: {
    layers: { description: "of GRU, LSTM", default: ["GRU", "LSTM"] },
    sizes: { description: "hidden sizes D", default: [16, 64] },
    steps: { description: "length of the sequence", default: 1024 },
    chunks: { description: "steps a chunk", default: [1, 16] },
    methods: { description: "which", default: ["jacobi", "quasi-deer", "quasi-elk", "deer"] },
  },
  async run({ options, log }) {
    const { steps, sizes, chunks } = options;
    const layers = checkLayers(options.layers);
    const counting = await countingDevice(await dawnGpu());
    const { device } = counting;
    const runtime = await createRuntime({ device });
    const results: Result[] = [];
    try {
      for (const layer of layers) {
        for (const hiddenSize of sizes) {
          for (const method of gpuMethods(layer, randomCell(layer, hiddenSize), chunks)) {
            if (!options.methods.includes(method.method!)) continue;
            log(`${layer}, D = ${hiddenSize}: ${describeMethod(method)}, C = ${method.chunk} …`);
            results.push(
              await count(runtime, counting, { layer, hiddenSize, options: method, steps }),
            );
          }
        }
      }
    } finally {
      runtime.dispose();
      device.destroy();
    }
    return {
      tables: [solvesTable(results), stagesTable(results, steps)],
      notes: [
        `T = ${steps}, one sequence, input ${INPUT_SIZE}, tolerance 1e-5, states read back; the second of two identical calls.`,
        "Counts, not times: they hold on any adapter with the same limits.",
        "dispatches: recorded / not empty. a sweep: in one sweep with its update, measure and decide.",
        "certificate: sweeps of it over the trajectory. new buffers: made in the second call.",
        "read, written: what loads and stores ask for, over all chunks; exact chunks, which are not run, are",
        "counted as if they were. least: support/gpu-floor.ts. ratio: of the sums.",
        "weights, and records (and bounds) of the sequences: the same for all chunks, served by caches. loads/MAC:",
        "loads of a weight for every multiply–add. drive and certificate are the same for all methods of a cell.",
        "measure and decide move less than 10 bytes a step.",
      ],
      data: results,
    };
  },
});

const identity: readonly Column[] = [
  { title: "layer" },
  { title: "D" },
  { title: "method" },
  { title: "C", align: "right" },
];

function identityOf({ layer, hiddenSize, options }: Result) {
  return [layer, hiddenSize, describeMethod(options), options.chunk!];
}

function solvesTable(results: readonly Result[]): Table {
  return {
    title: "A solve",
    columns: [
      ...identity,
      { title: "sweeps", align: "right" },
      "certificate",
      "submits",
      "read-backs",
      { title: "dispatches", align: "right" },
      { title: "a sweep", digits: 0 },
      { title: "kB up", digits: 1 },
      { title: "kB down", digits: 1 },
      "new buffers",
    ],
    rows: results.map((result) => {
      const { report, certificateSweeps, stages } = result;
      const traffic = report.traffic!;
      const sum = (counts: readonly number[]) => counts.reduce((a, b) => a + b, 0);
      const inSweeps = stages.filter(({ stage }) => stage !== "drive" && stage !== "certificate");
      return [
        ...identityOf(result),
        report.converged ? `${report.iterations}` : `${report.iterations}, not converged`,
        certificateSweeps,
        traffic.submits,
        traffic.readbacks,
        `${traffic.dispatches} / ${sum(stages.map(({ dispatches }) => dispatches))}`,
        sum(inSweeps.map(({ dispatchesARun }) => dispatchesARun)),
        traffic.bytesUploaded / 1e3,
        traffic.bytesDownloaded / 1e3,
        traffic.buffersCreated,
      ];
    }),
  };
}

/** The stages that every method of a cell shares are listed once. */
function stagesTable(results: readonly Result[], steps: number): Table {
  const digits = 0;
  const listed = new Set<string>();
  const rows = results.flatMap((result) =>
    result.stages.flatMap(({ stage, read, written, weights, records, multiplyAdds, least }) => {
      if (!least) return [];
      const key = `${result.layer} ${result.hiddenSize} ${stage}`;
      if ((stage === "drive" || stage === "certificate") && listed.has(key)) return [];
      listed.add(key);
      return [
        [
          ...identityOf(result),
          stage,
          read / steps,
          least.read / steps,
          written / steps,
          least.written / steps,
          (read + written) / (least.read + least.written),
          weights / steps,
          records / steps,
          multiplyAdds && multiplyAdds / steps,
          multiplyAdds && least.multiplyAdds && multiplyAdds / least.multiplyAdds,
          multiplyAdds && weights / 4 / multiplyAdds,
        ],
      ];
    }),
  );
  return {
    title: "A step's share of one pass over everything: bytes of arrays, and multiply–adds",
    columns: [
      ...identity,
      "stage",
      { title: "read", digits },
      { title: "least", digits },
      { title: "written", digits },
      { title: "least ", digits },
      { title: "ratio", digits: 2 },
      { title: "weights", digits },
      { title: "records", digits },
      { title: "MACs", digits },
      { title: "ratio ", digits: 2 },
      { title: "loads/MAC", digits: 2 },
    ],
    rows,
  };
}
