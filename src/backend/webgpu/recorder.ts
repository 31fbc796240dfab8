/** Kernels bound to buffers, and the command buffers that dispatch them. */

import type { BufferPool, BufferRequest } from "./buffers.ts";
import type { GpuDevice } from "./device.ts";
import type { PipelineCache, PipelineRequest } from "./pipelines.ts";
import type { StageTimer } from "./profile.ts";
import type { Traffic } from "./traffic.ts";

/** A shader with what it needs to be dispatched. */
export interface Kernel extends PipelineRequest {
  /** The stage of a solve that it belongs to, for profiles. */
  readonly stage: string;
  /** Workgroups, in one dimension; they are folded into two where they are too many. */
  readonly workgroups: number;
  /** What its own uniform bindings hold, by name. */
  readonly uniforms?: Readonly<Record<string, Uint32Array<ArrayBuffer>>>;
}

/** A kernel with its bindings. */
export interface Dispatch {
  readonly stage: string;
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly x: number;
  readonly y: number;
}

/** The device with all that is kept for it. */
export interface Context {
  readonly gpu: GpuDevice;
  readonly pool: BufferPool;
  readonly pipelines: PipelineCache;
  readonly traffic: Traffic;
}

/** The buffers of one evaluation, by name; they go back to the pool together. */
export class Session {
  readonly context: Context;
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #taken: GPUBuffer[] = [];

  constructor(context: Context) {
    this.context = context;
  }

  /** @throws RangeError, GpuError as `BufferPool.acquireAll`. */
  async acquire(requests: readonly BufferRequest[]): Promise<void> {
    const buffers = await this.context.pool.acquireAll(requests);
    this.#taken.push(...buffers);
    for (const [i, { label }] of requests.entries()) this.#buffers.set(label, buffers[i]!);
  }

  buffer(name: string): GPUBuffer {
    const buffer = this.#buffers.get(name);
    if (!buffer) throw new Error(`webgpu: expected a buffer "${name}", got none`);
    return buffer;
  }

  upload(name: string, data: ArrayBufferView, offset = 0): void {
    this.context.pool.upload(this.buffer(name), data, offset);
  }

  /** Compiles what is not compiled yet, and binds the session's buffers. */
  async bind(kernels: readonly Kernel[]): Promise<Dispatch[]> {
    const { gpu, pool, pipelines } = this.context;
    const compiled = await Promise.all(kernels.map((kernel) => pipelines.get(kernel)));
    const own = kernels.flatMap(({ uniforms = {} }) => Object.entries(uniforms));
    const buffers = await pool.acquireAll(
      own.map(([label, { byteLength: bytes }]) => ({ label, bytes, kind: "uniform" as const })),
    );
    this.#taken.push(...buffers);
    for (const [i, [, data]] of own.entries()) pool.upload(buffers[i]!, data);
    let next = 0;
    return kernels.map(({ label, stage, bindings, workgroups, uniforms = {} }, i) => {
      const mine = new Map(Object.keys(uniforms).map((name) => [name, buffers[next++]!]));
      const { pipeline, layout } = compiled[i]!;
      const entries = bindings.map(({ name }, binding) => ({
        binding,
        resource: { buffer: mine.get(name) ?? this.buffer(name) },
      }));
      const group = gpu.device.createBindGroup({ label, layout, entries });
      return { stage, pipeline, group, ...folded(workgroups, gpu.limits.maxWorkgroups) };
    });
  }

  release(): void {
    for (const buffer of this.#taken) this.context.pool.release(buffer);
    this.#taken.length = 0;
    this.#buffers.clear();
  }
}

/** At least so many workgroups in two dimensions; `folded` of problem.wgsl makes one of them again. */
function folded(workgroups: number, most: number): { x: number; y: number } {
  const y = Math.max(1, Math.ceil(workgroups / most));
  return { x: Math.ceil(workgroups / y), y };
}

/** Records dispatches into one command buffer. With a timer, every stage is a pass of its own. */
export class Recorder {
  readonly #context: Context;
  readonly #encoder: GPUCommandEncoder;
  readonly #timer: StageTimer | null;
  #pass: GPUComputePassEncoder | null = null;
  #stage = "";

  constructor(context: Context, label: string, timer: StageTimer | null = null) {
    this.#context = context;
    this.#encoder = context.gpu.device.createCommandEncoder({ label });
    this.#timer = timer;
  }

  /** @param indirect where the number of workgroups is read from when the time has come. */
  dispatch(
    { pipeline, group, x, y, stage }: Dispatch,
    indirect?: { readonly buffer: GPUBuffer; readonly offset: number },
  ): void {
    const pass = this.#passFor(stage);
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    if (indirect) pass.dispatchWorkgroupsIndirect(indirect.buffer, indirect.offset);
    else pass.dispatchWorkgroups(x, y);
    this.#context.traffic.dispatches++;
  }

  copy(from: GPUBuffer, fromByte: number, to: GPUBuffer, toByte: number, bytes: number): void {
    if (bytes === 0) return;
    this.#endPass();
    this.#encoder.copyBufferToBuffer(from, fromByte, to, toByte, bytes);
  }

  clear(buffer: GPUBuffer, fromByte: number, bytes: number): void {
    if (bytes === 0) return;
    this.#endPass();
    this.#encoder.clearBuffer(buffer, fromByte, bytes);
  }

  submit(): void {
    this.#endPass();
    this.#timer?.resolve(this.#encoder);
    this.#context.gpu.device.queue.submit([this.#encoder.finish()]);
    this.#context.traffic.submits++;
  }

  #passFor(stage: string): GPUComputePassEncoder {
    if (this.#pass && (!this.#timer || this.#stage === stage)) return this.#pass;
    this.#endPass();
    this.#stage = stage;
    this.#pass = this.#encoder.beginComputePass(this.#timer?.pass(stage));
    return this.#pass;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = null;
  }
}
