/** What an evaluation asks of the GPU: no more submits, read-backs, bytes and buffers than it must. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sequenceLayout } from "../../src/backend/webgpu/layout.ts";
import { createRuntime, type EvaluateOptions, type Runtime } from "../../src/index.ts";
import { identical } from "../support/agreement.ts";
import { cellNamed } from "../support/cells.ts";
import { dawnGpu } from "../support/dawn.ts";
import { mulberry32, normal } from "../support/random.ts";
import { rawDevice, replacing, watchBuffers, wrappedGpu } from "../support/wrapped-gpu.ts";

const cell = cellNamed("diagonal-lstm", 1);
const { inputSize, stateSize } = cell;
const steps = 600;
const inputs = normal(mulberry32(1), steps * inputSize);
const quick = { method: "quasi-deer", chunk: 16, maxIterations: 20 } as const;

let gpu: GPU;
let runtime: Runtime;
let tight: Runtime;
beforeAll(async () => {
  gpu = await dawnGpu();
  runtime = await createRuntime({ gpu, backend: "webgpu" });
  tight = await createRuntime({ gpu, backend: "webgpu", memoryLimit: 65536 });
});
afterAll(() => {
  runtime?.dispose();
  tight?.dispose();
});

const cases: readonly [string, EvaluateOptions][] = [
  ["one sequence", quick],
  ["a ragged batch", { ...quick, lengths: [300, 0, 100, 1, 199] }],
  ["backwards", { ...quick, reverse: true }],
  ["damped", { ...quick, method: "quasi-elk" }],
  ["blocks", { ...quick, jacobian: "block" }],
  ["without a Jacobian", { ...quick, method: "jacobi" }],
  ["sequential", { method: "sequential" }],
];

describe.each(cases)("%s", (_, options) => {
  it.each([
    ["in one window", () => runtime],
    ["in windows", () => tight],
  ] as const)("takes a submit a window and one read-back: %s", async (_, which) => {
    const own = which();
    const first = await own.evaluate(cell, inputs, options);
    const { report, states } = await own.evaluate(cell, inputs, options);
    expect(report.converged).toBe(true);
    expect(report.windows! > 1).toBe(own === tight);
    const traffic = report.traffic!;
    expect(traffic.submits).toBeLessThanOrEqual(1 + report.windows!);
    expect(traffic.readbacks).toBe(1);
    expect(traffic.buffersCreated).toBe(0);
    expect(traffic.pipelinesCompiled).toBe(0);
    expect(identical(states, first.states)).toBe(true);
    expect(report.iterations).toBe(first.report.iterations);
    const { bytesDownloaded, bytesUploaded, submits, readbacks } = first.report.traffic!;
    expect(traffic).toMatchObject({ bytesDownloaded, bytesUploaded, submits, readbacks });
  });

  it("brings back the states and a record a sequence", async () => {
    const { report } = await runtime.evaluate(cell, inputs, options);
    const sequences = (options.lengths as number[] | undefined)?.filter((n) => n > 0).length ?? 1;
    const records = sequences * sequenceLayout.words * 4;
    expect(report.traffic!.bytesDownloaded).toBe(steps * stateSize * 4 + records);
  });

  it("takes the inputs there once", async () => {
    const { report } = await runtime.evaluate(cell, inputs, options);
    // And twice as much more for twice the inputs.
    const twice = new Float32Array([...inputs, ...inputs]);
    const lengths = options.lengths && [...(options.lengths as number[]), steps];
    const larger = await runtime.evaluate(cell, twice, { ...options, ...(lengths && { lengths }) });
    const more = larger.report.traffic!.bytesUploaded - report.traffic!.bytesUploaded;
    expect(report.traffic!.bytesUploaded).toBeGreaterThan(inputs.byteLength);
    expect(more).toBeGreaterThanOrEqual(inputs.byteLength);
    // Beside the inputs: what is known of a sequence, and of each kernel.
    expect(more).toBeLessThan(inputs.byteLength + 2000);
  });
});

describe("the counts", () => {
  it("are those of the device", async () => {
    const seen = { submits: 0, dispatches: 0, uploaded: 0, pipelines: 0 };
    const device = await rawDevice(gpu);
    const { members, watch } = watchBuffers(device);
    const given = replacing(device, {
      ...members,
      queue: replacing(device.queue, {
        submit: (commands: Iterable<GPUCommandBuffer>) => {
          seen.submits++;
          device.queue.submit([...commands]);
        },
        writeBuffer: (...args: Parameters<GPUQueue["writeBuffer"]>) => {
          seen.uploaded += args[4] ?? 0;
          device.queue.writeBuffer(...args);
        },
      }),
      createComputePipelineAsync: (descriptor: GPUComputePipelineDescriptor) => {
        seen.pipelines++;
        return device.createComputePipelineAsync(descriptor);
      },
      createCommandEncoder: (descriptor?: GPUCommandEncoderDescriptor) => {
        const encoder = device.createCommandEncoder(descriptor);
        return replacing(encoder, {
          beginComputePass: (...args: Parameters<GPUCommandEncoder["beginComputePass"]>) => {
            const pass = encoder.beginComputePass(...args);
            const counted = (method: "dispatchWorkgroups" | "dispatchWorkgroupsIndirect") => {
              const original = (pass[method] as (...args: unknown[]) => void).bind(pass);
              return (...given: unknown[]) => {
                seen.dispatches++;
                original(...given);
              };
            };
            return replacing(pass, {
              dispatchWorkgroups: counted("dispatchWorkgroups"),
              dispatchWorkgroupsIndirect: counted("dispatchWorkgroupsIndirect"),
            });
          },
        });
      },
    });
    using own = await createRuntime({ device: given });
    const { report } = await own.evaluate(cell, inputs, { ...quick, backend: "webgpu" });
    expect(report.traffic).toMatchObject({
      submits: seen.submits,
      dispatches: seen.dispatches,
      bytesUploaded: seen.uploaded,
      pipelinesCompiled: seen.pipelines,
      buffersCreated: watch.created,
    });
    expect(seen.dispatches).toBeGreaterThan(report.iterations);
    device.destroy();
  });

  it("of a call are its own", async () => {
    const [first, second] = await Promise.all([
      runtime.evaluate(cell, inputs, quick),
      runtime.evaluate(cell, inputs, quick),
    ]);
    expect(second!.report.traffic).toMatchObject({ submits: 1, readbacks: 1 });
    expect(second!.report.traffic!.dispatches).toBe(first!.report.traffic!.dispatches);
  });

  it("grow with the sweeps that are recorded, not with the steps", async () => {
    const dispatches = async (maxIterations: number) => {
      const { report } = await runtime.evaluate(cell, inputs, { ...quick, maxIterations });
      return report.traffic!.dispatches;
    };
    const [ten, twenty, thirty] = [
      await dispatches(10),
      await dispatches(20),
      await dispatches(30),
    ];
    expect(thirty - twenty).toBe(twenty - ten);
    const shorter = await runtime.evaluate(cell, inputs.subarray(0, 320 * inputSize), quick);
    expect(shorter.report.traffic!.dispatches).toBe(twenty);
  });

  it("with more sweeps than are recorded at once there are more read-backs", async () => {
    const options = { ...quick, maxIterations: 400, tolerance: 1e-5 };
    const { report } = await runtime.evaluate(cell, inputs, options);
    // It converged within those of the first read-back.
    expect(report).toMatchObject({ converged: true });
    expect(report.traffic!.readbacks).toBe(1);
    const slow = { method: "jacobi", chunk: 1, maxIterations: 400, tolerance: 1e-12 } as const;
    const long = normal(mulberry32(2), 300 * inputSize);
    const many = await runtime.evaluate(cell, long, { ...slow, jacobian: "none" });
    expect(many.report).toMatchObject({ converged: true, residual: 0 });
    expect(many.report.fallback).toBeUndefined();
    expect(many.report.traffic!.readbacks).toBe(many.report.iterations > 183 ? 2 : 1);
  });
});

describe("profile", () => {
  const stages = ["drive", "scan", "sweep", "certificate", "measure", "decide"];

  it("tells each stage's milliseconds", async () => {
    const plain = await runtime.evaluate(cell, inputs, quick);
    expect(plain.report.stages).toBeUndefined();
    const { report, states } = await runtime.evaluate(cell, inputs, { ...quick, profile: true });
    const times = report.stages as Record<string, number>;
    expect(Object.keys(times).sort()).toEqual([...stages].sort());
    for (const time of Object.values(times)) expect(time).toBeGreaterThanOrEqual(0);
    expect(times.sweep).toBeGreaterThan(0);
    expect(identical(states, plain.states)).toBe(true);
    expect(report.iterations).toBe(plain.report.iterations);
  });

  it("tells those of a sequential run", async () => {
    const { report } = await runtime.evaluate(cell, inputs, {
      method: "sequential",
      profile: true,
    });
    expect(Object.keys(report.stages as object).sort()).toEqual(["drive", "sweep"]);
  });

  it("says why there are none", async () => {
    const wrapped = wrappedGpu(gpu, { without: ["timestamp-query"] });
    using own = await createRuntime({ gpu: wrapped, backend: "webgpu" });
    const { report } = await own.evaluate(cell, inputs, { ...quick, profile: true });
    expect(report.stages).toMatch(/lacks the feature "timestamp-query"/);
    expect(report.converged).toBe(true);
  });

  it("is nothing that other backends know", async () => {
    const options = { ...quick, backend: "wasm", profile: true } as const;
    const { report } = await runtime.evaluate(cell, inputs, options);
    expect(report.stages).toBeUndefined();
    expect(report.traffic).toBeUndefined();
  });
});
