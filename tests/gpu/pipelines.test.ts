import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Binding } from "../../src/backend/webgpu/bindings.ts";
import { type GpuDevice, openDevice } from "../../src/backend/webgpu/device.ts";
import { PipelineCache, type PipelineRequest } from "../../src/backend/webgpu/pipelines.ts";
import { Traffic } from "../../src/backend/webgpu/traffic.ts";
import { DeviceLostError, GpuError } from "../../src/errors.ts";
import { dawnGpu } from "../support/dawn.ts";

let gpu: GpuDevice;
beforeAll(async () => {
  gpu = await openDevice({ gpu: await dawnGpu(), limits: "default" });
});
afterAll(() => {
  gpu.check();
  gpu.dispose();
});

/** Every test has code of its own, so that none finds what another compiled. */
let texts = 0;
const double = (statement = "values[id.x] = 2.0 * values[id.x] + offset;"): PipelineRequest => ({
  label: "double",
  code: `// Text ${++texts}.
@group(0) @binding(0) var<uniform> offset: f32;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) {
  ${statement}
}
`,
  bindings: [
    { name: "offset", kind: "uniform" },
    { name: "values", kind: "write" },
  ],
});

const caught = (promise: Promise<unknown>): Promise<GpuError> =>
  promise.then(
    () => {
      throw new Error("expected a failure");
    },
    (error) => error,
  );

function cache(device = gpu): { pipelines: PipelineCache; traffic: Traffic } {
  const traffic = new Traffic();
  return { pipelines: new PipelineCache(device, traffic), traffic };
}

describe("pipelines", () => {
  it("run, with bindings numbered by their place in the list", async () => {
    const { pipelines } = cache();
    const { pipeline, layout } = await pipelines.get(double());
    const { device } = gpu;
    const buffer = (data: number[], usage: number) => {
      const made = device.createBuffer({ size: 4 * data.length, usage });
      device.queue.writeBuffer(made, 0, new Float32Array(data));
      return made;
    };
    const offset = buffer([0.5], GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
    const values = buffer([1, 2, 3, 4], STORAGE | COPY_SRC | COPY_DST);
    const result = device.createBuffer({ size: 16, usage: MAP_READ | COPY_DST });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = [offset, values].map((made, binding) => ({
      binding,
      resource: { buffer: made },
    }));
    pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(values, 0, result, 0, 16);
    device.queue.submit([encoder.finish()]);
    await result.mapAsync(GPUMapMode.READ);
    expect([...new Float32Array(result.getMappedRange())]).toEqual([2.5, 4.5, 6.5, 8.5]);
    for (const made of [offset, values, result]) made.destroy();
  });

  it("are compiled once, also when asked for at the same time or under another name", async () => {
    const { pipelines, traffic } = cache();
    const request = double();
    const [first, second] = await Promise.all([pipelines.get(request), pipelines.get(request)]);
    const third = await pipelines.get({ ...request, label: "again" });
    expect(second).toBe(first);
    expect(third).toBe(first);
    expect(traffic.pipelinesCompiled).toBe(1);
  });

  it("are others for other code and other bindings; equal layouts are one", async () => {
    const { pipelines, traffic } = cache();
    const [one, other] = await Promise.all([pipelines.get(double()), pipelines.get(double())]);
    expect(other.pipeline).not.toBe(one.pipeline);
    expect(other.layout).toBe(one.layout);
    const request = double();
    const extra: Binding[] = [...request.bindings, { name: "more", kind: "read" }];
    const wider = await pipelines.get({ ...request, bindings: extra });
    expect(wider.layout).not.toBe(one.layout);
    await pipelines.get(request);
    expect(traffic.pipelinesCompiled).toBe(4);
  });

  it("are shared by all who use a device, and outlive the first of them", async () => {
    const adapter = (await (await dawnGpu()).requestAdapter())!;
    const device = await adapter.requestDevice();
    const request = double();
    const one = await openDevice({ device });
    const pipeline = await cache(one).pipelines.get(request);
    one.dispose();
    const two = await openDevice({ device });
    const { pipelines, traffic } = cache(two);
    expect(await pipelines.get(request)).toBe(pipeline);
    expect(traffic.pipelinesCompiled).toBe(0);
    device.destroy();
  });

  it("may have code that the compiler warns of", async () => {
    const request = double("return; values[0] = 1.0;");
    const { messages } = await gpu.device
      .createShaderModule({ code: request.code })
      .getCompilationInfo();
    expect(messages.map(({ type }) => type)).toContain("warning");
    await cache().pipelines.get(request);
  });
});

describe("what does not compile", () => {
  it("is told with the line of the shader", async () => {
    const error = await caught(cache().pipelines.get(double("let wrong = offset + 1u;")));
    expect(error).toBeInstanceOf(GpuError);
    expect(error).toMatchObject({ kind: "validation", label: "double" });
    const start = "double: WebGPU validation error: line 5, `let wrong = offset + 1u;`: ";
    expect(error.message.slice(0, start.length)).toBe(start);
    expect(error.message.slice(start.length)).toMatch(/operator \+ \(f32, u32\)/);
  });

  it("is told in WebGPU's words where the bindings are at fault", async () => {
    const { pipelines } = cache();
    const request = double();
    const bindings: Binding[] = [request.bindings[0], { name: "values", kind: "read" }];
    const error = await caught(pipelines.get({ ...request, bindings }));
    expect(error).toBeInstanceOf(GpuError);
    expect(error.message).toMatch(/^double: WebGPU validation error: /);
    expect(error.message).not.toMatch(/line \d/);
    await pipelines.get(request);
  });

  it("is told every time, the reason too, for a layout beyond the limits", async () => {
    const { pipelines, traffic } = cache();
    const names = Array.from({ length: 9 }, (_, i) => `buffer${i}`);
    const bindings = names.map((name): Binding => ({ name, kind: "read" }));
    const code = `@compute @workgroup_size(1) fn main() {} // Text ${++texts}.`;
    for (let attempt = 1; attempt <= 2; attempt++) {
      const error = await caught(pipelines.get({ label: "nine", code, bindings }));
      expect(error).toBeInstanceOf(GpuError);
      expect(error.message).toMatch(/storage buffers.*8/is);
      expect(traffic.pipelinesCompiled).toBe(attempt);
    }
  });

  it("is tried again when it is asked for again", async () => {
    const { device } = gpu;
    const { pipelines, traffic } = cache();
    const request = double();
    // A driver that fails once: the error is what WebGPU specifies for that.
    const driverError = Object.assign(new Error("driver"), { reason: "internal" });
    Object.defineProperty(device, "createComputePipelineAsync", {
      configurable: true,
      value: () => Promise.reject(driverError),
    });
    try {
      const error = await caught(pipelines.get(request));
      expect(error).toBeInstanceOf(GpuError);
      expect(error).toMatchObject({ kind: "internal", label: "double" });
    } finally {
      delete (device as Partial<GPUDevice>).createComputePipelineAsync;
    }
    await pipelines.get(request);
    expect(traffic.pipelinesCompiled).toBe(2);
  });

  it("because the device is lost, is told so", async () => {
    const adapter = (await (await dawnGpu()).requestAdapter())!;
    const device = await adapter.requestDevice();
    const lost = await openDevice({ device });
    const { pipelines } = cache(lost);
    const pending = caught(pipelines.get(double()));
    device.destroy();
    await device.lost;
    await pending.catch(() => {}); // It may have been done before.
    expect(await caught(pipelines.get(double()))).toBeInstanceOf(DeviceLostError);
  });
});
