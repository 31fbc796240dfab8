/** Data that is on the device already, or stays there. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  ConvergenceError,
  createRuntime,
  type EvaluateOptions,
  GpuError,
  NonFiniteError,
  type Runtime,
} from "../../src/index.ts";
import { identical, largestError } from "../support/agreement.ts";
import { cellNamed } from "../support/cells.ts";
import { dawnGpu } from "../support/dawn.ts";
import { mulberry32, normal, uniform } from "../support/random.ts";
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
const steps = 720;
const inputs = normal(mulberry32(1), steps * inputSize);
const initialState = uniform(mulberry32(2), stateSize);
const quick = { method: "quasi-deer", chunk: 30, maxIterations: 4 } as const;

let gpu: GPU;
let runtime: Runtime;
let tight: Runtime;
const made: GPUBuffer[] = [];
beforeAll(async () => {
  gpu = await dawnGpu();
  runtime = await createRuntime({ gpu, backend: "webgpu" });
  tight = await createRuntime({ gpu, backend: "webgpu", memoryLimit: 65536 });
});
afterEach(() => {
  for (const buffer of made.splice(0)) buffer.destroy();
});
afterAll(() => {
  runtime?.dispose();
  tight?.dispose();
});

/** A buffer on the runtime's device, with room for more. */
function onDevice(
  values: Float32Array,
  { own = runtime, usage = GPUBufferUsage.COPY_SRC, more = 0 } = {},
): GPUBuffer {
  const device = own.device as GPUDevice;
  const size = values.byteLength + more;
  const buffer = device.createBuffer({ size, usage: usage | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
  made.push(buffer);
  return buffer;
}

/** What a buffer holds, by way of one that can be mapped. */
async function download(buffer: GPUBuffer, own = runtime): Promise<Float32Array> {
  const device = own.device as GPUDevice;
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const target = device.createBuffer({ size: buffer.size, usage });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, target, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await target.mapAsync(GPUMapMode.READ);
  const values = new Float32Array(target.getMappedRange().slice(0));
  target.destroy();
  return values;
}

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "it succeeded",
    (error) => error,
  );

const shapes: readonly [string, EvaluateOptions][] = [
  ["one sequence", {}],
  ["backwards", { reverse: true }],
  ["a ragged batch", { lengths: [50, 0, 1, 669] }],
  ["a ragged batch backwards", { lengths: [50, 0, 1, 669], reverse: true }],
];
const methods = [
  ["sequential", { method: "sequential" }],
  ["quasi-deer", quick],
  ["repaired", { ...quick, chunk: 10, maxIterations: 1, method: "jacobi" }],
] as const;

describe.each(shapes)("%s", (_, shape) => {
  describe.each(methods)("%s", (_, method) => {
    it.each([
      ["whole", () => runtime],
      ["in windows", () => tight],
    ] as const)("gives the same from and to the device: %s", async (_, which) => {
      const own = which();
      const options = { ...method, ...shape, initialState };
      const plain = await own.evaluate(cell, inputs, options);
      expect(plain.report.windows! > 1).toBe(own === tight);
      const fromDevice = await own.evaluate(cell, onDevice(inputs, { own }), options);
      expect(identical(fromDevice.states, plain.states)).toBe(true);
      expect(identical(fromDevice.finalStates, plain.finalStates)).toBe(true);
      const { bytesUploaded } = fromDevice.report.traffic!;
      expect(plain.report.traffic!.bytesUploaded - bytesUploaded).toBeGreaterThanOrEqual(
        inputs.byteLength,
      );
      const left = await own.evaluate(cell, onDevice(inputs, { own }), {
        ...options,
        output: "gpu",
      });
      made.push(left.states, left.finalStates);
      const { report } = left;
      const states = await download(left.states, own);
      const finalStates = await download(left.finalStates, own);
      // What is not read back leaves room for larger windows, and those may converge otherwise.
      const same = own === runtime || method.method === "sequential";
      if (same) {
        expect(identical(states, plain.states)).toBe(true);
        expect(identical(finalStates, plain.finalStates)).toBe(true);
        expect(report.iterations).toBe(plain.report.iterations);
        expect(report.fallback).toEqual(plain.report.fallback);
      }
      expect(largestError(states, plain.states, stateSize)).toBeLessThan(1e-5);
      expect(largestError(finalStates, plain.finalStates, stateSize)).toBeLessThan(1e-5);
      expect(report.windows! > 1).toBe(own === tight);
      expect(report.converged).toBe(true);
      // Not the states: only how it ended. A repair brings its own back.
      if (!report.fallback) {
        expect(report.traffic!.bytesDownloaded).toBeLessThan(plain.states.byteLength / 2);
      }
    });
  });
});

describe("states on the device", () => {
  it("are the caller's: they outlive later calls, and are inputs for them", async () => {
    const device = await rawDevice(gpu);
    const { members, watch } = watchBuffers(device);
    const given = replacing(device, members);
    const own = await createRuntime({ device: given });
    const options = { ...quick, backend: "webgpu", output: "gpu" } as const;
    const first = await own.evaluate(cell, inputs, options);
    const kept = await download(first.states, own);
    const second = await own.evaluate(
      cell,
      inputs.map((value) => -value),
      options,
    );
    expect(identical(await download(first.states, own), kept)).toBe(true);
    const onto = scaling(Array(stateSize).fill(0.5));
    const third = await own.evaluate(onto, first.states, { ...options, output: "cpu" });
    const expected = await own.evaluate(onto, kept, { backend: "reference" });
    expect(largestError(third.states, expected.states, stateSize)).toBeLessThan(1e-5);
    own.dispose();
    await failure(own.evaluate(cell, inputs));
    const held = [first.states, first.finalStates, second.states, second.finalStates];
    expect(watch.live).toEqual(new Set(held));
    for (const buffer of held as GPUBuffer[]) {
      expect(buffer.usage).toBe(
        GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
      );
      buffer.destroy();
    }
    expect(watch.live.size).toBe(0);
    device.destroy();
  });

  it("have the sizes that the shapes say", async () => {
    const lengths = [50, 0, 670];
    const result = await runtime.evaluate(cell, inputs, { ...quick, lengths, output: "gpu" });
    made.push(result.states, result.finalStates);
    expect(result.states.size).toBe(steps * stateSize * 4);
    expect(result.finalStates.size).toBe(3 * stateSize * 4);
    const none = await runtime.evaluate(cell, new Float32Array(0), {
      ...quick,
      initialState,
      output: "gpu",
    });
    made.push(none.states, none.finalStates);
    expect(identical(await download(none.finalStates), initialState)).toBe(true);
  });

  it("go to a GPU without being told, where there is one", async () => {
    using own = await createRuntime({ gpu: wrappedGpu(gpu, { info: hardware }) });
    const { report, states, finalStates } = await own.evaluate(cell, inputs, {
      ...quick,
      output: "gpu",
    });
    expect(report.backend).toBe("webgpu");
    states.destroy();
    finalStates.destroy();
    const from = await own.evaluate(cell, onDevice(inputs, { own }), quick);
    expect(from.report.backend).toBe("webgpu");
  });
});

describe("states that are not finite", () => {
  const bad = inputs.slice();
  bad[77 * inputSize + 1] = Number.NaN;

  it.each(methods)("are found on the device, and where: %s", async (_, method) => {
    for (const reverse of [false, true]) {
      const options = { ...method, reverse, lengths: [50, 670], output: "gpu" } as const;
      const error = await failure(runtime.evaluate(cell, onDevice(bad), options));
      expect(error).toBeInstanceOf(NonFiniteError);
      expect((error as NonFiniteError).location).toMatchObject({ sequence: 1, step: 27 });
      const plain = await failure(runtime.evaluate(cell, bad, { ...options, output: "cpu" }));
      expect((plain as NonFiniteError).location).toEqual((error as NonFiniteError).location);
    }
  });

  it("are returned where that is asked for", async () => {
    const options = { ...quick, onFailure: "return", output: "gpu" } as const;
    const { states, finalStates, report } = await runtime.evaluate(cell, bad, options);
    made.push(states, finalStates);
    expect(report).toMatchObject({
      converged: false,
      residual: Infinity,
      fallback: { to: "none" },
    });
    const values = await download(states);
    expect(Number.isFinite(values[76 * stateSize])).toBe(true);
  });
});

describe("what cannot be", () => {
  it("output on the device without WebGPU", async () => {
    for (const backend of ["wasm", "reference"] as const) {
      const refused = await failure(runtime.evaluate(cell, inputs, { backend, output: "gpu" }));
      expect(refused).toBeInstanceOf(RangeError);
      expect((refused as Error).message).toBe(
        `output: "gpu" needs backend "webgpu", got "${backend}"`,
      );
    }
  });

  it("inputs on the device without WebGPU", async () => {
    const refused = await failure(runtime.evaluate(cell, onDevice(inputs), { backend: "wasm" }));
    expect(refused).toBeInstanceOf(RangeError);
    expect((refused as Error).message).toMatch(/inputs: a GPUBuffer needs backend "webgpu"/);
  });

  it("a buffer that is too short, or of half a step", async () => {
    const short = await failure(runtime.evaluate(cell, onDevice(inputs), { lengths: [700, 21] }));
    expect(short).toBeInstanceOf(RangeError);
    expect((short as Error).message).toMatch(/inputs: expected a buffer of 8652 bytes, got 8640/);
    const half = await failure(runtime.evaluate(cell, onDevice(inputs, { more: 4 }), quick));
    expect(half).toBeInstanceOf(RangeError);
    expect((half as Error).message).toMatch(/inputs: expected a multiple of inputSize 3/);
  });

  it("longer buffers are fine where the lengths are told", async () => {
    const longer = onDevice(inputs, { more: 400 });
    const { states } = await runtime.evaluate(cell, longer, { ...quick, lengths: [steps] });
    const plain = await runtime.evaluate(cell, inputs, quick);
    expect(identical(states, plain.states)).toBe(true);
  });

  it("a buffer that may not be copied", async () => {
    const usage = GPUBufferUsage.STORAGE;
    const error = await failure(runtime.evaluate(cell, onDevice(inputs, { usage }), quick));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toMatch(/inputs: expected .* COPY_SRC/);
  });

  it("a buffer that is destroyed, mapped, or of another device", async () => {
    const destroyed = onDevice(inputs);
    destroyed.destroy();
    const size = inputs.byteLength;
    const usage = GPUBufferUsage.COPY_SRC;
    const mapped = (runtime.device as GPUDevice).createBuffer({
      size,
      usage,
      mappedAtCreation: true,
    });
    made.push(mapped);
    const foreign = onDevice(inputs, { own: tight });
    for (const buffer of [destroyed, mapped, foreign]) {
      const error = await failure(runtime.evaluate(cell, buffer, quick));
      expect(error).toBeInstanceOf(GpuError);
      expect((error as Error).message).toContain(`cell "${cell.name}"`);
    }
    const { report } = await runtime.evaluate(cell, inputs, quick);
    expect(report.converged).toBe(true);
  });

  it("a failure that is thrown leaves no buffers", async () => {
    const device = await rawDevice(gpu);
    const { members, watch } = watchBuffers(device);
    const own = await createRuntime({ device: replacing(device, members) });
    const failing = { method: "jacobi", chunk: 10, maxIterations: 1, onFailure: "throw" } as const;
    const options = { ...failing, backend: "webgpu", output: "gpu" } as const;
    expect(await failure(own.evaluate(cell, inputs, options))).toBeInstanceOf(ConvergenceError);
    own.dispose();
    await failure(own.evaluate(cell, inputs));
    expect(watch.created).toBeGreaterThan(0);
    expect(watch.live.size).toBe(0);
    device.destroy();
  });
});
