import { afterEach, describe, expect, it } from "vitest";
import { type GpuDevice, openDevice } from "../../src/backend/webgpu/device.ts";
import { PipelineCache } from "../../src/backend/webgpu/pipelines.ts";
import { StageTimer } from "../../src/backend/webgpu/profile.ts";
import { Traffic } from "../../src/backend/webgpu/traffic.ts";
import { DeviceLostError } from "../../src/errors.ts";
import { dawnGpu } from "../support/dawn.ts";

const opened: GpuDevice[] = [];
afterEach(() => {
  for (const gpu of opened.splice(0)) {
    if (gpu.live) gpu.check();
    gpu.dispose();
    gpu.device.destroy();
  }
});

async function open(features: GPUFeatureName[]): Promise<GpuDevice> {
  const adapter = (await (await dawnGpu()).requestAdapter())!;
  const gpu = await openDevice({
    device: await adapter.requestDevice({ requiredFeatures: features }),
  });
  opened.push(gpu);
  return gpu;
}

/** A pass whose work grows with `rounds`. */
async function worker(gpu: GpuDevice) {
  const { device } = gpu;
  const { pipeline, layout } = await new PipelineCache(gpu, new Traffic()).get({
    label: "work",
    code: `
@group(0) @binding(0) var<storage, read_write> state: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  var x = state[id.x];
  for (var i = 0u; i < state[64]; i++) { x = x * 1664525u + 1013904223u; }
  state[id.x] = x;
}`,
    bindings: [{ name: "state", kind: "write" }],
  });
  return (encoder: GPUCommandEncoder, descriptor: GPUComputePassDescriptor, rounds: number) => {
    const buffer = device.createBuffer({ size: 260, usage: 0x80 | 0x8 });
    device.queue.writeBuffer(buffer, 256, new Uint32Array([rounds]));
    const entries = [{ binding: 0, resource: { buffer } }];
    const pass = encoder.beginComputePass(descriptor);
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroups(1);
    pass.end();
  };
}

describe("times of stages", () => {
  it("are sums over passes and submits, and start anew after they are read", async () => {
    const gpu = await open(["timestamp-query"]);
    const timer = new StageTimer(gpu, 8);
    expect(timer.reason).toBeNull();
    const work = await worker(gpu);
    const { device } = gpu;
    expect(await timer.read()).toEqual({});
    await gpu.guarded("run", () => {
      const submits: [string, number][][] = [
        [
          ["sweep", 300_000],
          ["scan", 1],
        ],
        [
          ["sweep", 1],
          ["certificate", 300_000],
        ],
      ];
      for (const [submit, passes] of submits.entries()) {
        const encoder = device.createCommandEncoder();
        for (const [stage, rounds] of passes) work(encoder, timer.pass(stage), rounds);
        if (submit === submits.length - 1) timer.resolve(encoder);
        device.queue.submit([encoder.finish()]);
      }
    });
    const times = (await timer.read())!;
    expect(Object.keys(times).sort()).toEqual(["certificate", "scan", "sweep"]);
    // Hundreds of thousands of dependent multiplications, wherever they were, against none.
    expect(times.sweep).toBeGreaterThan(times.certificate / 10);
    expect(times.certificate).toBeGreaterThan(times.scan);
    expect(times.scan).toBeGreaterThanOrEqual(0);

    const encoder = device.createCommandEncoder();
    work(encoder, timer.pass("decide"), 1);
    timer.resolve(encoder);
    device.queue.submit([encoder.finish()]);
    const next = (await timer.read())!;
    expect(Object.keys(next)).toEqual(["decide"]);
    expect(next.decide).toBeLessThan(times.sweep);
    timer.dispose();
  });

  it("leave out what is beyond the capacity, which runs all the same", async () => {
    const gpu = await open(["timestamp-query"]);
    const timer = new StageTimer(gpu, 2);
    const descriptors = ["a", "b", "c"].map((stage) => timer.pass(stage));
    expect(descriptors.map(({ label }) => label)).toEqual(["a", "b", "c"]);
    expect(descriptors.map(({ timestampWrites }) => timestampWrites !== undefined)).toEqual([
      true,
      true,
      false,
    ]);
    const work = await worker(gpu);
    await gpu.guarded("run", () => {
      const encoder = gpu.device.createCommandEncoder();
      for (const descriptor of descriptors) work(encoder, descriptor, 1);
      timer.resolve(encoder);
      gpu.device.queue.submit([encoder.finish()]);
    });
    expect(Object.keys((await timer.read())!)).toEqual(["a", "b"]);
    timer.dispose();
  });

  it("keep to what a query set can hold", async () => {
    const gpu = await open(["timestamp-query"]);
    const timer = new StageTimer(gpu, 1e6);
    expect(await timer.read()).toEqual({});
    timer.dispose();
  });

  it("are none on a device without timestamps, and the reason is told", async () => {
    const gpu = await open([]);
    const timer = new StageTimer(gpu, 8);
    expect(timer.reason).toContain('lacks the feature "timestamp-query"');
    const work = await worker(gpu);
    await gpu.guarded("run", () => {
      const encoder = gpu.device.createCommandEncoder();
      work(encoder, timer.pass("sweep"), 1);
      timer.resolve(encoder);
      gpu.device.queue.submit([encoder.finish()]);
    });
    expect(await timer.read()).toBeNull();
    timer.dispose();
  });

  it("are none from a device that is lost", async () => {
    const gpu = await open(["timestamp-query"]);
    const timer = new StageTimer(gpu, 8);
    await timer.read();
    gpu.device.destroy();
    await gpu.device.lost;
    timer.pass("sweep");
    timer.resolve(gpu.device.createCommandEncoder());
    await expect(timer.read()).rejects.toThrow(DeviceLostError);
    timer.dispose();
  });
});
