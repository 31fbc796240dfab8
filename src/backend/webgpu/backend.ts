/** The WebGPU backend: float32, on the GPU, all sweeps of a window in one submit. */
import { DeviceLostError, GpuError } from "../../errors.ts";
import { type DeviceSolved, solveOnDevice } from "../../solve/device.ts";
import type { Pacer } from "../../solve/pacing.ts";
import type { AdapterDescription, MethodName } from "../../types.ts";
import type { Job } from "../../validate.ts";
import type { DeviceBackend, DeviceRun } from "../backend.ts";
import { BatchRun } from "./batch.ts";
import { BufferPool } from "./buffers.ts";
import { type DeviceOptions, openDevice } from "./device.ts";
import { PipelineCache } from "./pipelines.ts";
import type { Context } from "./recorder.ts";
import { Traffic } from "./traffic.ts";
import { UNIT_ROUNDOFF } from "./window.ts";

export interface WebgpuOptions extends DeviceOptions {
  /** Largest size of all buffers of an evaluation, in bytes. */
  readonly memoryLimit: number;
}

/** Out of memory, an evaluation is tried again with so much less, down to so little. */
const LESS_MEMORY = 4;
const LEAST_MEMORY = 2 ** 20;

/** @throws BackendUnavailableError, TypeError as `openDevice`. */
export async function createWebgpuBackend(options: WebgpuOptions): Promise<WebgpuBackend> {
  return new WebgpuBackend(options, await openContext(options));
}

async function openContext(options: DeviceOptions): Promise<Context> {
  const gpu = await openDevice(options);
  const traffic = new Traffic();
  const pool = new BufferPool(gpu, traffic);
  return { gpu, traffic, pool, pipelines: new PipelineCache(gpu, traffic) };
}

export class WebgpuBackend implements DeviceBackend {
  readonly kind = "device";
  readonly name = "webgpu";
  readonly unitRoundoff = UNIT_ROUNDOFF;
  readonly #options: WebgpuOptions;
  #context: Context | null;

  /** Use `createWebgpuBackend`. */
  constructor(options: WebgpuOptions, context: Context) {
    this.#options = options;
    this.#context = context;
  }

  get adapter(): AdapterDescription {
    const { vendor, architecture, description, software } = this.#alive().gpu.adapter;
    return { vendor, architecture, description, software };
  }

  get device(): GPUDevice | null {
    return this.#context?.gpu.device ?? null;
  }

  /** Bytes of all buffers, in use or kept for the next evaluation. */
  get bytes(): number {
    const { liveBytes, idleBytes } = this.#alive().pool.stats;
    return liveBytes + idleBytes;
  }

  async run(job: Job, sequential: boolean, pacer: Pacer): Promise<DeviceRun> {
    const context = await this.#open();
    const { memoryLimit } = this.#options;
    for (let limit = memoryLimit; ; limit /= LESS_MEMORY) {
      const batch = new BatchRun(context, job, limit);
      try {
        await batch.run(sequential, pacer);
        return batch;
      } catch (error) {
        batch.release();
        const isFull = error instanceof GpuError && error.kind === "out-of-memory";
        if (!isFull || limit < LEAST_MEMORY * LESS_MEMORY) throw error;
      }
    }
  }

  solve(job: Job, method: MethodName, pacer: Pacer): Promise<DeviceSolved> {
    return solveOnDevice(this, job, method, pacer);
  }

  async warmup(job: Job, sequential: boolean): Promise<void> {
    const batch = new BatchRun(await this.#open(), job, this.#options.memoryLimit);
    await batch.compile(sequential);
  }

  dispose(): void {
    this.#close();
    this.#context = null;
  }

  /** The device, or a new one where the last one is lost and was our own. */
  async #open(): Promise<Context> {
    const { gpu } = this.#alive();
    if (!gpu.live && gpu.owned) {
      this.#close();
      this.#context = await openContext(this.#options);
    } else if (!gpu.live) {
      throw new DeviceLostError("the device that the runtime was made with is gone");
    }
    return this.#alive();
  }

  #close(): void {
    this.#context?.pool.dispose();
    this.#context?.gpu.dispose();
  }

  #alive(): Context {
    if (!this.#context) {
      throw new Error("webgpu backend: expected a live backend, got a disposed one");
    }
    return this.#context;
  }
}
