/** Boundary updates for the scans of WebGPU: random ones, how to run them, and what the oracle says. */
import { updatedBoundaries } from "../../src/backend/reference/update.ts";
import {
  phases,
  problemLayout,
  Structure,
  sequenceLayout,
} from "../../src/backend/webgpu/layout.ts";
import type { Kernel } from "../../src/backend/webgpu/recorder.ts";
import { planScan, type ScanPlan, type ScanShape } from "../../src/backend/webgpu/scan.ts";
import { mulberry32, normal } from "./random.ts";

/** gpu/shared/problem.wgsl */
export const actions = { update: 0, saveAndUpdate: 1, restore: 2 };

/** Only the device reads it, so that the host has no name for it. */
const actionWord = (sequenceLayout.word as Readonly<Record<string, number>>).action!;

export interface ScanSequence {
  readonly chunks: number;
  /** Chunks that ran from exact boundaries, at least one. */
  readonly exact: number;
  readonly lambda?: number;
  readonly phase?: number;
  readonly action?: number;
}

export interface ScanProblem {
  readonly shape: ScanShape;
  readonly sequences: readonly ScanSequence[];
  /** C; the last chunk of a sequence is one step shorter if that leaves any. */
  readonly chunkLength: number;
  readonly reverse: boolean;
  /** 1 − scale. */
  readonly keep: number;
  readonly clip: boolean;
  readonly estimate: "filter" | "smoother";
  /** `[sequences + K, D]`, `[K, D]`, `[K, width]`, `[sequences, D, 2]`, `[K, D]`. */
  readonly boundaries: Float32Array<ArrayBuffer>;
  readonly ends: Float32Array<ArrayBuffer>;
  readonly products: Float32Array<ArrayBuffer>;
  readonly bounds: Float32Array<ArrayBuffer>;
  readonly saved: Float32Array<ArrayBuffer>;
}

export interface ScanResult {
  readonly boundaries: Float32Array;
  readonly states: Float32Array;
  readonly saved: Float32Array;
}

/** What the states hold before a scan, which writes only few of them. */
export const UNTOUCHED = -12345.5;

export type ScanOptions = Omit<ScanShape, "chunks" | "smoother" | "damped"> &
  Partial<
    Pick<ScanProblem, "sequences" | "chunkLength" | "reverse" | "keep" | "clip" | "estimate">
  > & {
    readonly sequences: readonly ScanSequence[];
    readonly seed?: number;
    /** Norm of a P_k, roughly. */
    readonly growth?: number;
    /** Whether bounds bite. */
    readonly bounded?: boolean;
  };

/** n and the number of units. */
function unitsOf({ kind, stateSize, unitSize }: ScanShape): { n: number; units: number } {
  const n = kind === "dense" ? stateSize : kind === "block" ? unitSize : 1;
  return { n, units: stateSize / n };
}

export function randomScan(options: ScanOptions): ScanProblem {
  const { kind, stateSize, unitSize, trustRegion, tile, sequences, growth = 0.9 } = options;
  const { estimate = "filter", seed = 1, bounded = false } = options;
  const chunks = sequences.reduce((sum, sequence) => sum + sequence.chunks, 0);
  const damped = sequences.some(({ lambda = 0 }) => lambda > 0);
  const smoother = estimate === "smoother";
  const shape = { kind, stateSize, unitSize, chunks, damped, smoother, trustRegion, tile };
  const { n } = unitsOf(shape);
  const random = mulberry32(seed);
  const stored = kind !== "none" && kind !== "identity";
  const fill = (rows: number) => normal(random, rows * stateSize) as Float32Array<ArrayBuffer>;
  const bounds = new Float32Array(sequences.length * stateSize * 2);
  for (let i = 0; i < bounds.length; i += 2) {
    const bites = bounded && i % 3 !== 2;
    bounds.set(bites ? [-0.9, 0.6] : [-Infinity, Infinity], i);
  }
  return {
    shape,
    sequences,
    chunkLength: options.chunkLength ?? 3,
    reverse: options.reverse ?? false,
    keep: Math.fround(options.keep ?? 1),
    clip: options.clip ?? false,
    estimate,
    boundaries: fill(sequences.length + chunks),
    ends: fill(chunks),
    products: stored
      ? (normal(
          random,
          chunks * n * stateSize,
          0,
          growth / Math.sqrt(n),
        ) as Float32Array<ArrayBuffer>)
      : new Float32Array(1),
    bounds,
    saved: fill(chunks),
  };
}

/** T of a sequence. */
function lengthOf(problem: ScanProblem, { chunks }: ScanSequence): number {
  return chunks * problem.chunkLength - (problem.chunkLength > 1 ? 1 : 0);
}

/** First chunk and first row of each sequence. */
export function places(problem: ScanProblem): { firstChunk: number; firstRow: number }[] {
  let firstChunk = 0;
  let firstRow = 0;
  return problem.sequences.map((sequence) => {
    const place = { firstChunk, firstRow };
    firstChunk += sequence.chunks;
    firstRow += lengthOf(problem, sequence);
    return place;
  });
}

const isSweeping = ({ phase = phases.sweeping }: ScanSequence) => phase === phases.sweeping;

/** The row of the last step of chunk c of a sequence. */
export function seamRow(problem: ScanProblem, j: number, c: number): number {
  const length = lengthOf(problem, problem.sequences[j]!);
  const step = Math.min(length, (c + 1) * problem.chunkLength) - 1;
  return places(problem)[j]!.firstRow + (problem.reverse ? length - 1 - step : step);
}

interface Compiled {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

const pipelines = new WeakMap<GPUDevice, Map<string, Compiled>>();
const types = { uniform: "uniform", read: "read-only-storage", write: "storage" } as const;

/** A kernel's pipeline, compiled once: that is what takes the time. */
export function compiled(device: GPUDevice, { label, code, bindings }: Kernel): Compiled {
  const known = pipelines.get(device) ?? new Map<string, Compiled>();
  pipelines.set(device, known);
  let result = known.get(code);
  if (!result) {
    const layout = device.createBindGroupLayout({
      entries: bindings.map(({ kind }, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: types[kind] },
      })),
    });
    const pipeline = device.createComputePipeline({
      label,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module: device.createShaderModule({ label, code }), entryPoint: "main" },
    });
    result = { pipeline, layout };
    known.set(code, result);
  }
  return result;
}

export async function runScan(
  device: GPUDevice,
  problem: ScanProblem,
  plan: ScanPlan = planScan(problem.shape),
): Promise<ScanResult> {
  const { shape, sequences } = problem;
  const rows = sequences.reduce((sum, sequence) => sum + lengthOf(problem, sequence), 0);
  const header = new Structure(problemLayout);
  const { chunkLength } = problem;
  const flags = { reverse: Number(problem.reverse), clip: Number(problem.clip) };
  const counts = { sequences: sequences.length, chunks: shape.chunks, rows, chunkLength };
  header.setWords({ ...counts, ...flags });
  header.setFloats({ keep: problem.keep });
  const control = new Structure(sequenceLayout, sequences.length);
  const at = places(problem);
  for (const [j, sequence] of sequences.entries()) {
    const { chunks, exact: exactChunks, phase = phases.sweeping, lambda = 0 } = sequence;
    control.setWords({ ...at[j]!, chunks, exactChunks, phase }, j);
    control.setWords({ length: lengthOf(problem, sequence) }, j);
    control.words[j * sequenceLayout.words + actionWord] = sequence.action ?? actions.update;
    control.setFloats({ lambda }, j);
  }
  const { boundaries, ends, products, bounds, saved } = problem;
  const states = new Float32Array(rows * shape.stateSize).fill(UNTOUCHED);
  // What a plan leaves unset must not matter.
  const scratch = new Float32Array(plan.bytes / 4).fill(Number.NaN);
  const contents = {
    control: control.words,
    boundaries,
    ends,
    products,
    bounds,
    saved,
    states,
    scratch,
  };
  const buffers = new Map<string, GPUBuffer>();
  const { STORAGE, UNIFORM, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const made: GPUBuffer[] = [];
  const create = (data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>, usage: number) => {
    const buffer = device.createBuffer({ size: data.byteLength, usage: usage | COPY_DST });
    device.queue.writeBuffer(buffer, 0, data);
    made.push(buffer);
    return buffer;
  };
  for (const [name, data] of Object.entries(contents)) {
    buffers.set(name, create(data, STORAGE | COPY_SRC));
  }
  buffers.set("problem", create(header.words, UNIFORM));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const kernel of plan.kernels) {
    const { bindings, workgroups, uniforms = {} } = kernel;
    const { pipeline, layout } = compiled(device, kernel);
    const own = new Map(
      Object.entries(uniforms).map(([name, data]) => [name, create(data, UNIFORM)]),
    );
    const entries = bindings.map(({ name }, binding) => ({
      binding,
      resource: { buffer: (own.get(name) ?? buffers.get(name))! },
    }));
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
    // Always in two dimensions, with workgroups to spare.
    const y = Math.ceil(workgroups / 65535) + 1;
    pass.dispatchWorkgroups(Math.ceil(workgroups / y), y);
  }
  pass.end();
  const outputs = ["boundaries", "states", "saved"] as const;
  const staging = outputs.map((name) => {
    const { size } = buffers.get(name)!;
    const buffer = device.createBuffer({ size, usage: MAP_READ | COPY_DST });
    made.push(buffer);
    encoder.copyBufferToBuffer(buffers.get(name)!, 0, buffer, 0, size);
    return buffer;
  });
  device.queue.submit([encoder.finish()]);
  const read = await Promise.all(
    staging.map(async (buffer) => {
      await buffer.mapAsync(GPUMapMode.READ);
      return new Float32Array(buffer.getMappedRange().slice(0));
    }),
  );
  for (const buffer of made) buffer.destroy();
  return { boundaries: read[0]!, states: read[1]!, saved: read[2]! };
}

/** What the oracle makes of one sequence: B of chunks `from` …, in float64 and before the guards. */
function referenceOf(problem: ScanProblem, j: number): Float64Array[] {
  const { shape, sequences, boundaries, ends, products, keep, clip, estimate } = problem;
  const { stateSize: size, kind } = shape;
  const { n } = unitsOf(shape);
  const { firstChunk } = places(problem)[j]!;
  const { chunks, exact, lambda = 0 } = sequences[j]!;
  const row = (values: Float32Array, k: number, width: number) =>
    Float64Array.from(values.subarray(k * width, (k + 1) * width));
  const links = Array.from({ length: chunks - exact }, (_, i) => firstChunk + exact + i);
  const old = (k: number) => row(boundaries, sequences.length + k, size);
  const head = firstChunk + exact - 1;
  const isStored = kind !== "none" && kind !== "identity";
  const constant = new Float64Array(size).fill(kind === "none" ? 0 : 1);
  return updatedBoundaries(
    {
      jacobian: kind,
      units: n,
      products: links.map((k) => (isStored ? row(products, k, size * n) : constant)),
      ends: links.map((k) => row(ends, k, size)),
      boundaries: [head, ...links].map(old),
      start: row(ends, head, size),
    },
    { lambda, estimate, scale: 1 - keep, clip, trustRegion: false },
  );
}

export interface Expected {
  /** Guarded, float64; what must be right in every bit has scale 0. */
  readonly boundaries: Float64Array;
  /** Largest number that went into each boundary: what rounding errors are relative to. */
  readonly scales: Float64Array;
  readonly states: Float32Array;
  readonly saved: Float32Array;
}

/** The boundaries, states and saved boundaries after a scan. */
export function expectedScan(problem: ScanProblem): Expected {
  const { shape, sequences, ends, bounds } = problem;
  const { stateSize: size } = shape;
  const { units } = unitsOf(shape);
  const boundaries = Float64Array.from(problem.boundaries);
  const scales = new Float64Array(boundaries.length);
  const rows = sequences.reduce((sum, sequence) => sum + lengthOf(problem, sequence), 0);
  const states = new Float32Array(rows * size).fill(UNTOUCHED);
  const saved = problem.saved.slice();
  for (const [j, sequence] of sequences.entries()) {
    if (!isSweeping(sequence)) continue;
    const { firstChunk } = places(problem)[j]!;
    const { chunks, exact, action = actions.update } = sequence;
    const head = firstChunk + exact - 1;
    const headEnd = ends.subarray(head * size, (head + 1) * size);
    boundaries.set(headEnd, (sequences.length + head) * size);
    if (exact < chunks) states.set(headEnd, seamRow(problem, j, exact - 1) * size);
    if (action === actions.restore) {
      const from = (head + 1) * size;
      const to = (firstChunk + chunks) * size;
      boundaries.set(problem.saved.subarray(from, to), sequences.length * size + from);
      continue;
    }
    const updated = referenceOf(problem, j);
    const largest = new Float64Array(units);
    const visit = (c: number) => {
      const k = head + 1 + c;
      for (let i = 0; i < size; i++) {
        const at = (sequences.length + k) * size + i;
        const numbers = [updated[c]![i]!, problem.boundaries[at]!, ends[k * size + i]!];
        for (const value of numbers) {
          const unit = i % units;
          if (Number.isFinite(value)) largest[unit] = Math.max(largest[unit]!, Math.abs(value));
        }
      }
    };
    for (let i = 0; i < size; i++) {
      const at = (sequences.length + head) * size + i;
      const change = Math.abs(headEnd[i]! - problem.boundaries[at]!);
      largest[i % units] = Math.max(largest[i % units]!, Number.isFinite(change) ? change : 0);
    }
    // The smoother's means depend on what comes after, too.
    if (problem.estimate === "smoother") for (let c = 0; c < updated.length; c++) visit(c);
    for (const [c, values] of updated.entries()) {
      visit(c);
      for (let i = 0; i < size; i++) {
        const at = (sequences.length + head + 1 + c) * size + i;
        const old = problem.boundaries[at]!;
        const [low, high] = bounds.subarray(2 * (j * size + i));
        const isComputed = Number.isFinite(values[i]!);
        const value = isComputed ? values[i]! : old;
        boundaries[at] = Math.min(Math.max(value, low!), high!);
        scales[at] = isComputed ? largest[i % units]! : 0;
        if (action === actions.saveAndUpdate) saved[at - sequences.length * size] = old;
      }
    }
  }
  return { boundaries, scales, states, saved };
}

/** Largest |actual − expected| / scale of the boundaries; Infinity where a bit is wrong that must not be. */
export function largestError(actual: Float32Array, { boundaries, scales }: Expected): number {
  let largest = 0;
  for (const [i, value] of boundaries.entries()) {
    if (Object.is(actual[i], value)) continue;
    const error = Math.abs(actual[i]! - value) / scales[i]!;
    largest = Number.isNaN(error) ? Number.POSITIVE_INFINITY : Math.max(largest, error);
  }
  return largest;
}
