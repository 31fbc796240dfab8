/** Compute pipelines, compiled once per device and source text. */
import { GpuError } from "../../errors.ts";
import type { Binding } from "./bindings.ts";
import { type GpuDevice, STAGE_COMPUTE } from "./device.ts";
import type { Traffic } from "./traffic.ts";

export interface PipelineRequest {
  readonly label: string;
  /** WGSL, whose entry point is `main`. */
  readonly code: string;
  readonly bindings: readonly Binding[];
}

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  /** Of group 0; the same object for all pipelines with the same kinds of bindings. */
  readonly layout: GPUBindGroupLayout;
}

const bufferTypes = { uniform: "uniform", read: "read-only-storage", write: "storage" } as const;

interface Compiled {
  readonly pipelines: Map<string, Promise<Pipeline>>;
  readonly layouts: Map<string, GPUBindGroupLayout>;
}

/** By the device, so that several runtimes on one device of the user's share what they compile. */
const compiledFor = new WeakMap<GPUDevice, Compiled>();

export class PipelineCache {
  readonly #gpu: GpuDevice;
  readonly #traffic: Traffic;
  readonly #compiled: Compiled;

  constructor(gpu: GpuDevice, traffic: Traffic) {
    this.#gpu = gpu;
    this.#traffic = traffic;
    let compiled = compiledFor.get(gpu.device);
    if (!compiled) {
      compiled = { pipelines: new Map(), layouts: new Map() };
      compiledFor.set(gpu.device, compiled);
    }
    this.#compiled = compiled;
  }

  /**
   * @throws `GpuError` with the shader's line for code that does not compile or does not fit its
   * bindings; `DeviceLostError`. A failure is not remembered.
   */
  get(request: PipelineRequest): Promise<Pipeline> {
    const { pipelines } = this.#compiled;
    const key = `${kindsOf(request)}\n${request.code}`;
    let pipeline = pipelines.get(key);
    if (!pipeline) {
      pipeline = this.#compile(request);
      pipelines.set(key, pipeline);
      pipeline.catch(() => pipelines.delete(key));
    }
    return pipeline;
  }

  async #compile(request: PipelineRequest): Promise<Pipeline> {
    const { device } = this.#gpu;
    const { label, code } = request;
    this.#traffic.pipelinesCompiled++;
    let module: GPUShaderModule | undefined;
    try {
      return await this.#gpu.guarded(label, async () => {
        module = device.createShaderModule({ label, code });
        const layout = this.#layout(request);
        const pipeline = await device.createComputePipelineAsync({
          label,
          layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
          compute: { module, entryPoint: "main" },
        });
        return { pipeline, layout };
      });
    } catch (error) {
      // It may be the layout that is invalid.
      this.#compiled.layouts.delete(kindsOf(request));
      if (!(error instanceof GpuError && module)) throw error;
      const { messages } = await this.#gpu.race(module.getCompilationInfo());
      const first = messages.find(({ type }) => type === "error");
      if (!first) throw error;
      const line = code.split("\n")[first.lineNum - 1]?.trim() ?? "";
      throw new GpuError(
        error.kind,
        label,
        `line ${first.lineNum}, \`${line}\`: ${first.message.trim()}`,
      );
    }
  }

  #layout(request: PipelineRequest): GPUBindGroupLayout {
    const { layouts } = this.#compiled;
    const kinds = kindsOf(request);
    let layout = layouts.get(kinds);
    if (!layout) {
      layout = this.#gpu.device.createBindGroupLayout({
        label: kinds,
        entries: request.bindings.map(({ kind }, binding) => ({
          binding,
          visibility: STAGE_COMPUTE,
          buffer: { type: bufferTypes[kind] },
        })),
      });
      layouts.set(kinds, layout);
    }
    return layout;
  }
}

function kindsOf({ bindings }: PipelineRequest): string {
  return bindings.map(({ kind }) => kind).join();
}
