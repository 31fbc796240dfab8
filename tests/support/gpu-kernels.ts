/** Kernels on buffers, without the recording of a solve: for tests of one shader. */
import type { BindingKind } from "../../src/backend/webgpu/bindings.ts";

export type Words = Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>;

/** What a kernel binds, in the order of its bindings: how it uses a buffer, and the buffer. */
export type Bound = readonly [BindingKind, GPUBuffer];

export interface BoundKernel {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
}

const layouts: Readonly<Record<BindingKind, GPUBufferBindingType>> = {
  uniform: "uniform",
  read: "read-only-storage",
  write: "storage",
};

/** A buffer that holds `data`; `uniform` ones cannot be bound as storage. */
export function bufferOf(
  device: GPUDevice,
  data: Words,
  kind: "storage" | "uniform" = "storage",
): GPUBuffer {
  const { STORAGE, UNIFORM, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const usage = (kind === "uniform" ? UNIFORM : STORAGE) | COPY_SRC | COPY_DST;
  const buffer = device.createBuffer({ size: Math.max(16, data.byteLength), usage });
  device.queue.writeBuffer(buffer, 0, data);
  return buffer;
}

/** What has been compiled; tests run the same kernels many times. */
const compiled = new WeakMap<GPUDevice, Map<string, Promise<GPUComputePipeline>>>();

function compile(
  device: GPUDevice,
  code: string,
  kinds: readonly BindingKind[],
): Promise<GPUComputePipeline> {
  const known = compiled.get(device) ?? new Map<string, Promise<GPUComputePipeline>>();
  compiled.set(device, known);
  const key = [...kinds, code].join();
  let pipeline = known.get(key);
  if (!pipeline) {
    const layout = device.createBindGroupLayout({
      entries: kinds.map((kind, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: layouts[kind] },
      })),
    });
    pipeline = device.createComputePipelineAsync({
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module: device.createShaderModule({ code }) },
    });
    known.set(key, pipeline);
  }
  return pipeline;
}

/** @throws GPUPipelineError when the code does not compile or wants other bindings. */
export async function bindKernel(
  device: GPUDevice,
  code: string,
  bound: readonly Bound[],
): Promise<BoundKernel> {
  const pipeline = await compile(
    device,
    code,
    bound.map(([kind]) => kind),
  );
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: bound.map(([, buffer], binding) => ({ binding, resource: { buffer } })),
  });
  return { pipeline, group };
}

/** Runs kernels one after the other, each on so many workgroups, and reads buffers back. */
export async function runKernels(
  device: GPUDevice,
  dispatches: readonly (readonly [BoundKernel, x: number, y?: number])[],
  results: readonly GPUBuffer[],
): Promise<ArrayBuffer[]> {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const [{ pipeline, group }, x, y] of dispatches) {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(x, y);
  }
  pass.end();
  const size = results.reduce((sum, buffer) => sum + buffer.size, 0);
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const copy = device.createBuffer({ size, usage });
  let at = 0;
  const places = results.map((buffer) => {
    encoder.copyBufferToBuffer(buffer, 0, copy, at, buffer.size);
    at += buffer.size;
    return at;
  });
  device.queue.submit([encoder.finish()]);
  await copy.mapAsync(GPUMapMode.READ);
  const bytes = copy.getMappedRange();
  const data = places.map((end, i) => bytes.slice(end - results[i]!.size, end));
  copy.destroy();
  return data;
}
