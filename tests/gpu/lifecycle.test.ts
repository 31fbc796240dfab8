/** Which backend "auto" means, whose the device is, and what is left when a runtime is gone. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  BackendUnavailableError,
  createRuntime,
  type EvaluateOptions,
  type Runtime,
  type RuntimeOptions,
} from "../../src/index.ts";
import { largestError } from "../support/agreement.ts";
import { cellNamed } from "../support/cells.ts";
import { dawnGpu } from "../support/dawn.ts";
import { mulberry32, normal } from "../support/random.ts";
import { scaling } from "../support/sweeps.ts";
import {
  hardware,
  rawDevice,
  replacing,
  watchBuffers,
  wrappedGpu,
} from "../support/wrapped-gpu.ts";

const cell = cellNamed("gru-reset-after", 1);
const { inputSize, stateSize } = cell;
const steps = 40;
const inputs = normal(mulberry32(1), steps * inputSize);
/** Few sweeps are few dispatches to record; two chunks are exact after one. */
const quick = { backend: "webgpu", method: "quasi-deer", chunk: 20, maxIterations: 2 } as const;
/** A cell so small that a software GPU gets through many steps of it. */
const small = scaling([0.5, -0.3]);
const many = normal(mulberry32(2), 8192 * 2);

let gpu: GPU;
let states: Float64Array;
beforeAll(async () => {
  gpu = await dawnGpu();
  using oracle = await createRuntime({ backend: "reference" });
  states = (await oracle.evaluate(cell, inputs)).states;
});

/** Evaluates on WebGPU, and looks at the result. */
async function expectRight(runtime: Runtime, options: EvaluateOptions = quick): Promise<void> {
  const { states: found, report } = await runtime.evaluate(cell, inputs, options);
  expect(report).toMatchObject({ backend: "webgpu", converged: true });
  expect(largestError(found, states, stateSize)).toBeLessThan(1e-6);
}

const isLost = (device: GPUDevice) =>
  Promise.race([
    device.lost.then(() => true),
    new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 20)),
  ]);

describe("with a program that imitates a GPU", () => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await createRuntime({ gpu });
  });
  afterAll(() => runtime.dispose());

  it("WebAssembly comes first, and does what nobody asked WebGPU for", async () => {
    expect(runtime.backends.map(({ name }) => name)).toEqual(["wasm", "webgpu", "reference"]);
    expect(runtime.backends[1]).toMatchObject({ available: true, adapter: { software: true } });
    const options = { method: "quasi-deer", chunk: 128 } as const;
    const { report } = await runtime.evaluate(small, many, options);
    expect(report.backend).toBe("wasm");
    expect(report.adapter).toBeUndefined();
  });

  it("WebGPU runs by name, for a call or for a runtime", async () => {
    await expectRight(runtime);
    using own = await createRuntime({ gpu, backend: "webgpu" });
    const { backend: _, ...unnamed } = quick;
    await expectRight(own, unnamed);
    const other = await own.evaluate(cell, inputs, { backend: "wasm" });
    expect(other.report.backend).toBe("wasm");
  });

  it("the report names it, software and all", async () => {
    const { report } = await runtime.evaluate(cell, inputs, quick);
    expect(report.adapter).toEqual(runtime.backends[1]!.adapter);
    expect(report.adapter!.description).not.toBe("");
    expect(report).toMatchObject({ windows: 1, jacobian: "diagonal", chunk: 20 });
    expect(report.failover).toBeUndefined();
    const { total, prepare, solve } = report.milliseconds;
    expect(prepare).toBeGreaterThan(0);
    expect(prepare + solve).toBeCloseTo(total, 6);
  });
});

describe("with what looks like a GPU", () => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await createRuntime({ gpu: wrappedGpu(gpu, { info: hardware }) });
  });
  afterAll(() => runtime.dispose());

  const backendOf = async (target: typeof cell, x: Float32Array, options: EvaluateOptions) =>
    (await runtime.evaluate(target, x, options)).report.backend;

  it("WebGPU comes first", () => {
    expect(runtime.backends.map(({ name }) => name)).toEqual(["webgpu", "wasm", "reference"]);
    const { vendor, architecture, description } = hardware;
    const adapter = { vendor, architecture, description, software: false };
    expect(runtime.backends[0]).toEqual({ name: "webgpu", available: true, adapter });
  });

  it("WebGPU does what is long and parallel", async () => {
    const options = { method: "quasi-deer", chunk: 256, maxIterations: 8 } as const;
    expect(await backendOf(small, many, options)).toBe("webgpu");
    const lengths = [3000, 5000, 192];
    expect(await backendOf(small, many, { ...options, lengths })).toBe("webgpu");
    expect(await backendOf(small, many, { ...options, backend: "auto" })).toBe("webgpu");
  });

  it("WebAssembly does what is short or sequential", async () => {
    expect(await backendOf(cell, inputs, { method: "quasi-deer", chunk: 8 })).toBe("wasm");
    expect(await backendOf(cell, inputs, {})).toBe("wasm");
    expect(await backendOf(small, many.subarray(2), { method: "jacobi", chunk: 500 })).toBe("wasm");
    expect(await backendOf(small, many, { method: "sequential" })).toBe("wasm");
  });

  it("the method is chosen for it where it is named, and the choice explained", async () => {
    const { report, states: found } = await runtime.evaluate(small, many, { backend: "webgpu" });
    expect(report).toMatchObject({ backend: "webgpu", method: "quasi-deer", chunk: 128 });
    expect(report.converged).toBe(true);
    expect(report.choice).toContain("on a GPU, quasi-deer in chunks of 128");
    const exact = await runtime.evaluate(small, many, { backend: "reference" });
    expect(largestError(found, exact.states, 2)).toBeLessThan(1e-5);
  });
});

describe("a device handed in", () => {
  it("is used, given out, and not destroyed", async () => {
    const device = await rawDevice(gpu);
    const { members, watch } = watchBuffers(device);
    const given = replacing(device, members);
    const runtime = await createRuntime({ device: given });
    expect(runtime.device).toBe(given);
    await expectRight(runtime);
    expect(watch.created).toBeGreaterThan(0);
    runtime.dispose();
    await expect(runtime.evaluate(cell, inputs, quick)).rejects.toThrow(/disposed/);
    expect(watch.live.size).toBe(0);
    expect(runtime.device).toBeNull();
    expect(await isLost(device)).toBe(false);
    using another = await createRuntime({ device });
    await expectRight(another);
    device.destroy();
  });

  it("is not asked for more than it has", async () => {
    const device = await rawDevice(gpu);
    using runtime = await createRuntime({ device });
    const { report } = await runtime.evaluate(cell, inputs, { ...quick, profile: true });
    expect(report.stages).toContain("timestamp-query");
    device.destroy();
  });

  it("serves two runtimes at once, which share what is compiled", async () => {
    const device = await rawDevice(gpu);
    const first = await createRuntime({ device });
    const second = await createRuntime({ device });
    await Promise.all([expectRight(first), expectRight(second)]);
    const { report } = await second.evaluate(cell, inputs, quick);
    expect(report.traffic!.pipelinesCompiled).toBe(0);
    const pending = expectRight(first);
    first.dispose();
    await pending;
    await expectRight(second);
    second.dispose();
    device.destroy();
  });

  it("that is lost already is no backend", async () => {
    const device = await rawDevice(gpu);
    device.destroy();
    await expect(createRuntime({ device, backend: "webgpu" })).rejects.toThrow(/device is lost/);
    using runtime = await createRuntime({ device });
    expect(runtime.backends[1]).toMatchObject({ name: "webgpu", available: false });
    expect(runtime.device).toBeNull();
  });
});

describe("a runtime that is gone", () => {
  it("leaves nothing on a device, twenty times over", async () => {
    const device = await rawDevice(gpu);
    const { members, watch } = watchBuffers(device);
    const given = replacing(device, members);
    for (let i = 0; i < 20; i++) {
      const runtime = await createRuntime({ device: given });
      await expectRight(runtime);
      expect(watch.live.size).toBeGreaterThan(0);
      runtime.dispose();
      await expect(runtime.evaluate(cell, inputs, quick)).rejects.toThrow(/disposed/);
      expect(watch.live.size).toBe(0);
    }
    expect(await isLost(device)).toBe(false);
    device.destroy();
  });

  it("takes its own device along, twenty times over", async () => {
    const devices: GPUDevice[] = [];
    const wrapped = wrappedGpu(gpu, {
      device: (device) => {
        devices.push(device);
        return {};
      },
    });
    for (let i = 0; i < 20; i++) {
      const runtime = await createRuntime({ gpu: wrapped });
      if (i % 10 === 0) await expectRight(runtime);
      runtime.dispose();
      runtime.dispose();
    }
    expect(devices).toHaveLength(20);
    for (const device of devices) expect((await device.lost).reason).toBe("destroyed");
  });

  it("finishes what was asked before", async () => {
    const runtime = await createRuntime({ gpu });
    const pending = [expectRight(runtime), expectRight(runtime)];
    runtime.dispose();
    await Promise.all(pending);
    await expect(runtime.evaluate(cell, inputs, quick)).rejects.toThrow(/disposed/);
    await expect(runtime.warmup(cell, { steps, ...quick })).rejects.toThrow(/disposed/);
  });
});

describe("a backend that cannot be had", () => {
  const cases: readonly [string, () => RuntimeOptions, RegExp][] = [
    ["no navigator.gpu", () => ({}), /navigator\.gpu.*`webgpu`.*createRuntime\(\{ gpu \}\)/],
    [
      "no adapter",
      () => ({ gpu: replacing(gpu, { requestAdapter: async () => null }) }),
      /no adapter/,
    ],
    [
      "an adapter that fails",
      () => ({
        gpu: replacing(gpu, {
          requestAdapter: async () => {
            throw new Error("driver asleep");
          },
        }),
      }),
      /driver asleep/,
    ],
  ];

  it.each(cases)("%s: told by name, and done without", async (_, options, reason) => {
    const named: unknown = await createRuntime({ ...options(), backend: "webgpu" }).catch(
      (error) => error,
    );
    expect(named).toBeInstanceOf(BackendUnavailableError);
    expect(named).toMatchObject({ backend: "webgpu", reason: expect.stringMatching(reason) });
    using runtime = await createRuntime(options());
    const status = { name: "webgpu", available: false, reason: expect.stringMatching(reason) };
    expect(runtime.backends[1]).toEqual(status);
    for (const asked of [quick, { output: "gpu" }] as const) {
      const refused = runtime.evaluate(cell, inputs, asked as EvaluateOptions);
      await expect(refused).rejects.toMatchObject({
        name: "BackendUnavailableError",
        reason: expect.stringMatching(reason),
      });
    }
    await expect(runtime.warmup(cell, { steps, ...quick })).rejects.toThrow(reason);
    const { report } = await runtime.evaluate(cell, inputs, { method: "quasi-deer", chunk: 20 });
    expect(report).toMatchObject({ backend: "wasm", converged: true });
  });
});
