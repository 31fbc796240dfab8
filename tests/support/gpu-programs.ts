/** Batches cut into chunks, as the kernels of cell programs see them, and one dispatch of such a kernel. */

import type { Binding } from "../../src/backend/webgpu/bindings.ts";
import { problemLayout, Structure, sequenceLayout } from "../../src/backend/webgpu/layout.ts";
import type { Cell } from "../../src/cell/index.ts";
import { interpreter } from "../../src/cell/interpret.ts";
import type { Recurrence } from "../../src/cell/recurrence.ts";
import { mulberry32, normal, uniform } from "./random.ts";

export const defaultLimits = { maxInvocations: 256, maxWorkgroupStorage: 16384 };

type Data = Float32Array | Uint32Array;

/** Runs a kernel once on buffers with these contents; gives back those that it may write. */
export async function runKernel(
  device: GPUDevice,
  kernel: { readonly code: string; readonly bindings: readonly Binding[] },
  workgroups: number,
  contents: Readonly<Record<string, Data>>,
): Promise<Record<string, Float32Array>> {
  const module = device.createShaderModule({ code: kernel.code });
  const { messages } = await module.getCompilationInfo();
  const errors = messages.filter(({ type }) => type === "error");
  if (errors.length > 0) {
    const lines = kernel.code.split("\n");
    throw new Error(
      errors.map(({ lineNum, message }) => `${message}: ${lines[lineNum - 1]}`).join("\n"),
    );
  }
  const types = { uniform: "uniform", read: "read-only-storage", write: "storage" } as const;
  const layout = device.createBindGroupLayout({
    entries: kernel.bindings.map(({ kind }, binding) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: types[kind] },
    })),
  });
  const pipeline = await device.createComputePipelineAsync({
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module },
  });
  const buffers = kernel.bindings.map(({ name, kind }) => {
    const data = contents[name];
    if (!data) throw new Error(`expected a buffer "${name}"`);
    const usage = kind === "uniform" ? GPUBufferUsage.UNIFORM : GPUBufferUsage.STORAGE;
    const buffer = device.createBuffer({
      size: Math.max(16, data.byteLength),
      usage: usage | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
    });
    device.queue.writeBuffer(buffer, 0, data as BufferSource);
    return buffer;
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
  pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
  // Folded into two dimensions now and then, with some too many.
  if (workgroups > 3) pass.dispatchWorkgroups(3, Math.ceil(workgroups / 3));
  else pass.dispatchWorkgroups(workgroups);
  pass.end();
  const written = kernel.bindings.flatMap(({ name, kind }, i) => {
    if (kind !== "write") return [];
    const buffer = buffers[i]!;
    const copy = device.createBuffer({
      size: buffer.size,
      usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
    });
    encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
    return [{ name, copy, length: contents[name]!.length }];
  });
  device.queue.submit([encoder.finish()]);
  const results: Record<string, Float32Array> = {};
  for (const { name, copy, length } of written) {
    await copy.mapAsync(GPUMapMode.READ);
    results[name] = new Float32Array(copy.getMappedRange().slice(0, 4 * length));
    copy.destroy();
  }
  for (const buffer of buffers) buffer.destroy();
  return results;
}

export interface BatchOptions {
  readonly lengths: readonly number[];
  readonly chunk: number;
  readonly errorChunk?: number;
  readonly reverse?: boolean;
  readonly seed?: number;
}

export interface Chunk {
  readonly sequence: number;
  /** Its place in the sequence. */
  readonly place: number;
  /** Its steps in the sequence's time: `first` … `first + rows.length − 1`. */
  readonly first: number;
  /** Rows of its steps in the batch. */
  readonly rows: readonly number[];
  readonly isLast: boolean;
}

/** A batch with random inputs and boundaries. */
export class Batch {
  readonly chunks: readonly Chunk[];
  readonly errorChunks: readonly Chunk[];
  readonly rows: number;
  readonly inputs: Float32Array;
  readonly boundaries: Float32Array;
  readonly problem: Structure<keyof (typeof problemLayout)["word"]>;
  readonly control: Structure<keyof (typeof sequenceLayout)["word"]>;

  constructor(
    readonly cell: Cell,
    readonly options: BatchOptions,
  ) {
    const { lengths, chunk, errorChunk = chunk, reverse = false, seed = 1 } = options;
    const random = mulberry32(seed);
    this.rows = lengths.reduce((sum, length) => sum + length, 0);
    this.inputs = normal(random, this.rows * cell.inputSize);
    this.chunks = cut(lengths, chunk, reverse);
    this.errorChunks = cut(lengths, errorChunk, reverse);
    const boundaryRows = lengths.length + this.chunks.length;
    this.boundaries = uniform(random, boundaryRows * cell.stateSize);
    this.problem = new Structure(problemLayout);
    this.problem.setWords({
      sequences: lengths.length,
      chunks: this.chunks.length,
      chunkLength: chunk,
      rows: this.rows,
      errorChunks: this.errorChunks.length,
      errorChunkLength: errorChunk,
      reverse: Number(reverse),
    });
    this.problem.setFloats({ unitRoundoff: 2 ** -24 });
    this.control = new Structure(sequenceLayout, lengths.length);
    let firstRow = 0;
    for (const [j, length] of lengths.entries()) {
      const of = (chunks: readonly Chunk[]) =>
        chunks.filter(({ sequence }) => sequence === j).length;
      const before = (chunks: readonly Chunk[]) =>
        chunks.filter(({ sequence }) => sequence < j).length;
      this.control.setWords(
        {
          firstRow,
          length,
          firstChunk: before(this.chunks),
          chunks: of(this.chunks),
          firstErrorChunk: before(this.errorChunks),
          errorChunks: of(this.errorChunks),
        },
        j,
      );
      firstRow += length;
    }
  }

  /** Row of `boundaries` that chunk k starts from. */
  startRow(k: number): number {
    const { sequence, place } = this.chunks[k]!;
    return place === 0 ? sequence : this.options.lengths.length + k - 1;
  }

  /** What steps read beside the state, by row, rounded as on a device. */
  source({ drive }: Recurrence): Float32Array {
    if (drive.size === 0) return this.inputs;
    const { inputSize, weights } = this.cell;
    const evaluate = interpreter([drive], weights);
    const source = new Float32Array(this.rows * drive.size);
    for (let row = 0; row < this.rows; row++) {
      const input = Float64Array.from(this.inputs.subarray(row * inputSize, (row + 1) * inputSize));
      source.set(evaluate({ input })[0]!, row * drive.size);
    }
    return source;
  }
}

function cut(lengths: readonly number[], chunk: number, reverse: boolean): Chunk[] {
  const chunks: Chunk[] = [];
  let firstRow = 0;
  for (const [sequence, length] of lengths.entries()) {
    for (let first = 0; first < length; first += chunk) {
      const end = Math.min(first + chunk, length);
      const rows = Array.from({ length: end - first }, (_, i) =>
        reverse ? firstRow + length - 1 - first - i : firstRow + first + i,
      );
      chunks.push({ sequence, place: first / chunk, first, rows, isLast: end === length });
    }
    firstRow += length;
  }
  return chunks;
}

export const sliceOf = (begin: number, end: number) => Uint32Array.of(begin, end, 0, 0);
