/** Whatever goes wrong on the device ends in a right result or an error that says what, and is over then. */
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import {
  add,
  createRuntime,
  DeviceLostError,
  defineCell,
  type EvaluateOptions,
  GpuError,
  linear,
  multiply,
  type Runtime,
  shift,
} from "../../src/index.ts";
import { largestError } from "../support/agreement.ts";
import { cellNamed } from "../support/cells.ts";
import { dawnGpu } from "../support/dawn.ts";
import { mulberry32, normal } from "../support/random.ts";
import { scaling } from "../support/sweeps.ts";
import {
  hardware,
  onSubmit,
  type Replacements,
  rawDevice,
  replacing,
  watchBuffers,
  wrappedGpu,
} from "../support/wrapped-gpu.ts";

const cell = cellNamed("gru-reset-after", 1);
const { inputSize, stateSize } = cell;
const steps = 40;
const inputs = normal(mulberry32(1), steps * inputSize);
const quick = { backend: "webgpu", method: "quasi-deer", chunk: 20, maxIterations: 2 } as const;
/** h_t = h_{t−1} turned by one place, times 0.5, plus x_t: each element needs another one. */
const wheel = (size: number) =>
  defineCell({
    name: "wheel",
    inputSize: 1,
    state: { h: size },
    weights: { u: { shape: [size, 1], data: new Float32Array(size).fill(1) } },
    step: ({ h }, x, { u }) => ({ h: add(multiply(0.5, shift(h, 1)), linear(u, x)) }),
  });
/** Long enough for "auto" to send it to a GPU. */
const small = scaling([0.5, -0.3]);
const many = normal(mulberry32(2), 8192 * 2);
const long = { method: "quasi-deer", chunk: 512, maxIterations: 4 } as const;

let gpu: GPU;
let states: Float64Array;
let longStates: Float64Array;
beforeAll(async () => {
  gpu = await dawnGpu();
  using oracle = await createRuntime({ backend: "reference" });
  states = (await oracle.evaluate(cell, inputs)).states;
  longStates = (await oracle.evaluate(small, many)).states;
});

/** A promise that nobody waits for must not fail: Node would end the process. */
const unhandled = vi.fn();
process.on("unhandledRejection", unhandled);
afterEach(async () => {
  await new Promise((resolve) => setTimeout(resolve));
  expect(unhandled).not.toHaveBeenCalled();
});

async function expectRight(runtime: Runtime, options: EvaluateOptions = quick): Promise<void> {
  const { states: found, report } = await runtime.evaluate(cell, inputs, options);
  expect(report).toMatchObject({ backend: "webgpu", converged: true });
  expect(largestError(found, states, stateSize)).toBeLessThan(1e-6);
}

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "it succeeded",
    (error) => error,
  );

/** The first device is destroyed when it has been given its first work. */
const fragile: Replacements = {
  device: (device, index) => (index === 0 ? onSubmit(device, () => device.destroy()) : {}),
};

describe("a device that is lost in the middle", () => {
  it("is told, where WebGPU was named, and replaced for the next call", async () => {
    using runtime = await createRuntime({ gpu: wrappedGpu(gpu, fragile) });
    const lost = runtime.device;
    const error = await failure(runtime.evaluate(cell, inputs, quick));
    expect(error).toBeInstanceOf(DeviceLostError);
    expect((error as Error).message).toMatch(/device was lost/);
    await expectRight(runtime);
    expect(runtime.device).not.toBe(lost);
  });

  it("fails what is queued behind it only where that device is needed", async () => {
    using runtime = await createRuntime({ gpu: wrappedGpu(gpu, fragile) });
    const first = failure(runtime.evaluate(cell, inputs, quick));
    const second = expectRight(runtime);
    const third = runtime.evaluate(cell, inputs, { backend: "wasm" });
    expect(await first).toBeInstanceOf(DeviceLostError);
    await second;
    expect((await third).report.converged).toBe(true);
  });

  it("is done without, where none was named, and the report says so", async () => {
    const wrapped = wrappedGpu(gpu, { ...fragile, info: hardware });
    using runtime = await createRuntime({ gpu: wrapped });
    const { states: found, report } = await runtime.evaluate(small, many, long);
    expect(report).toMatchObject({ backend: "wasm", converged: true });
    expect(report.failover).toMatch(/"webgpu" failed.*device was lost.*"wasm"/);
    expect(report.adapter).toBeUndefined();
    expect(largestError(found, longStates, 2)).toBeLessThan(1e-5);
    const again = await runtime.evaluate(small, many, long);
    expect(again.report).toMatchObject({ backend: "webgpu", converged: true });
    expect(again.report.failover).toBeUndefined();
    expect(largestError(again.states, longStates, 2)).toBeLessThan(1e-5);
  });

  it("is not what a caller's own error is taken for", async () => {
    using runtime = await createRuntime({ gpu: wrappedGpu(gpu, { info: hardware }) });
    const mine = new RangeError("mine");
    const onIteration = vi.fn(() => {
      throw mine;
    });
    expect(await failure(runtime.evaluate(small, many, { ...long, onIteration }))).toBe(mine);
    expect(onIteration).toHaveBeenCalledOnce();
  });

  it("is done without, too, where there is no second one", async () => {
    let requests = 0;
    const wrapped = wrappedGpu(gpu, { ...fragile, info: hardware });
    const once = replacing(wrapped, {
      requestAdapter: async () => (requests++ === 0 ? wrapped.requestAdapter() : null),
    });
    using runtime = await createRuntime({ gpu: once });
    for (const reason of [/device was lost/, /no adapter/, /no adapter/]) {
      const { states: found, report } = await runtime.evaluate(small, many, long);
      expect(report).toMatchObject({ backend: "wasm", converged: true });
      expect(report.failover).toMatch(reason);
      expect(largestError(found, longStates, 2)).toBeLessThan(1e-5);
    }
    const error = await failure(runtime.evaluate(cell, inputs, quick));
    expect(error).toMatchObject({ name: "BackendUnavailableError", backend: "webgpu" });
    expect(requests).toBe(4);
  });

  it("of the user's is not replaced", async () => {
    const device = await rawDevice(gpu);
    const given = replacing(
      device,
      onSubmit(device, () => device.destroy()),
    );
    using runtime = await createRuntime({ device: given });
    expect(await failure(runtime.evaluate(cell, inputs, quick))).toBeInstanceOf(DeviceLostError);
    const later = await failure(runtime.evaluate(cell, inputs, quick));
    expect(later).toBeInstanceOf(DeviceLostError);
    expect((later as Error).message).toContain("made with is gone");
    expect((await runtime.evaluate(cell, inputs)).report.backend).toBe("wasm");
  });

  it("between two calls is noticed", async () => {
    using runtime = await createRuntime({ gpu });
    await expectRight(runtime);
    runtime.device!.destroy();
    await runtime.device!.lost;
    await expectRight(runtime);
  });
});

describe("the limits that every WebGPU has", () => {
  it("are enough, and kept to", async () => {
    const asked: (GPUDeviceDescriptor | undefined)[] = [];
    const watched = replacing(gpu, {
      requestAdapter: async () => {
        const adapter = await gpu.requestAdapter();
        return replacing(adapter!, {
          requestDevice: (descriptor?: GPUDeviceDescriptor) => {
            asked.push(descriptor);
            return adapter!.requestDevice(descriptor);
          },
        });
      },
    });
    using runtime = await createRuntime({ gpu: watched, gpuLimits: "default" });
    expect(asked[0]!.requiredLimits).toEqual({});
    const { limits } = runtime.device!;
    expect(limits.maxStorageBuffersPerShaderStage).toBe(8);
    expect(limits.maxComputeWorkgroupStorageSize).toBe(16384);
    for (const jacobian of ["none", "identity", "diagonal", "block"] as const) {
      await expectRight(runtime, { ...quick, jacobian });
    }
  });

  it("refuse a state that a workgroup cannot hold, by its size", async () => {
    using runtime = await createRuntime({ gpu, gpuLimits: "default" });
    const huge = wheel(6000);
    const x = normal(mulberry32(3), 4);
    for (const method of ["sequential", "quasi-deer"] as const) {
      const error = await failure(runtime.evaluate(huge, x, { backend: "webgpu", method }));
      expect(error).toBeInstanceOf(RangeError);
      expect((error as Error).message).toMatch(/stateSize 6000.*bytes.*the device has 16384/);
      await expectRight(runtime);
    }
  });

  it("send such a state to WebAssembly where nobody named WebGPU", async () => {
    const wrapped = wrappedGpu(gpu, {
      info: hardware,
      device: (device) => ({
        limits: replacing(device.limits, { maxComputeWorkgroupStorageSize: 1024 }),
      }),
    });
    using runtime = await createRuntime({ gpu: wrapped });
    const method = { method: "jacobi", chunk: 1024 } as const;
    const { report } = await runtime.evaluate(wheel(300), many.subarray(0, 8192), method);
    expect(report).toMatchObject({ backend: "wasm", converged: true });
    expect(report.failover).toMatch(/stateSize 300.*the device has 1024/);
    const tiny = many.subarray(0, 8192);
    const error = await failure(runtime.evaluate(wheel(300), tiny, { output: "gpu" }));
    expect(error).toBeInstanceOf(RangeError);
  });
});

/** A device that has only so many bytes; what does not fit is told as WebGPU does. */
function withMemory(device: GPUDevice, bytes: number, refused: number[] = []) {
  const { members, watch } = watchBuffers(device);
  const scopes: { filter: GPUErrorFilter; isFull: boolean }[] = [];
  const createBuffer = members.createBuffer as GPUDevice["createBuffer"];
  return {
    members: {
      createBuffer: (descriptor: GPUBufferDescriptor) => {
        if (watch.bytes + descriptor.size > bytes) {
          const scope = scopes.findLast(({ filter }) => filter === "out-of-memory");
          if (scope) scope.isFull = true;
          refused.push(descriptor.size);
        }
        return createBuffer(descriptor);
      },
      pushErrorScope: (filter: GPUErrorFilter) => {
        scopes.push({ filter, isFull: false });
        device.pushErrorScope(filter);
      },
      popErrorScope: async () => {
        const { isFull } = scopes.pop()!;
        const error = await device.popErrorScope();
        return isFull ? { message: "no memory left" } : error;
      },
    },
  };
}

describe("a device without memory", () => {
  it("is asked for less, until it is enough", async () => {
    const refused: number[] = [];
    const wrapped = wrappedGpu(gpu, {
      device: (device) => {
        return withMemory(device, 2 ** 20, refused).members;
      },
    });
    using runtime = await createRuntime({ gpu: wrapped, memoryLimit: 2 ** 24 });
    const x = normal(mulberry32(4), 2 ** 16 * 2);
    const options = { backend: "webgpu", method: "quasi-deer", chunk: 512 } as const;
    const { states: found, report } = await runtime.evaluate(small, x, {
      ...options,
      maxIterations: 4,
    });
    expect(refused.length).toBeGreaterThan(0);
    expect(report).toMatchObject({ backend: "webgpu", converged: true });
    expect(report.windows).toBeGreaterThan(1);
    const exact = await runtime.evaluate(small, x, { backend: "reference" });
    expect(largestError(found, exact.states, 2)).toBeLessThan(1e-5);
  });

  it("at all is told, with what was asked for", async () => {
    const wrapped = wrappedGpu(gpu, { device: (device) => withMemory(device, 1000).members });
    using runtime = await createRuntime({ gpu: wrapped });
    const error = await failure(runtime.evaluate(cell, inputs, quick));
    expect(error).toBeInstanceOf(GpuError);
    expect(error).toMatchObject({ kind: "out-of-memory" });
    expect((error as Error).message).toMatch(/states \(\d+ bytes\).*no memory left/);
    expect((await runtime.evaluate(cell, inputs)).report.backend).toBe("wasm");
  });

  it("gives way to WebAssembly where nobody named it", async () => {
    const wrapped = wrappedGpu(gpu, {
      info: hardware,
      device: (device) => withMemory(device, 1000).members,
    });
    using runtime = await createRuntime({ gpu: wrapped });
    const { report } = await runtime.evaluate(small, many, long);
    expect(report).toMatchObject({ backend: "wasm", converged: true });
    expect(report.failover).toContain("no memory left");
  });

  it("too small for a single step says how much that takes", async () => {
    using runtime = await createRuntime({ gpu, memoryLimit: 65536 });
    const size = 150;
    const wide = scaling(Array(size).fill(0.1));
    const x = normal(mulberry32(5), 4 * size);
    const options = { backend: "webgpu", method: "deer" } as const;
    const error = await failure(runtime.evaluate(wide, x, options));
    expect(error).toBeInstanceOf(RangeError);
    const [, needed] = /^memory: .*"scaling".* at least (\d+) bytes.* 65536 in all/.exec(
      (error as Error).message,
    )!;
    expect(Number(needed)).toBeGreaterThan(65536);
    await expectRight(runtime);
  });
});

describe("a driver that fails", () => {
  it("at a pipeline is told with the kernel's name, and asked again", async () => {
    let failures = 3;
    const wrapped = wrappedGpu(gpu, {
      device: (device) => ({
        createComputePipelineAsync: async (descriptor: GPUComputePipelineDescriptor) => {
          if (failures-- > 0) {
            throw Object.assign(new Error("compiler crashed"), { reason: "internal" });
          }
          return device.createComputePipelineAsync(descriptor);
        },
      }),
    });
    using runtime = await createRuntime({ gpu: wrapped });
    const warmup = await failure(runtime.warmup(cell, { steps, ...quick }));
    expect(warmup).toBeInstanceOf(GpuError);
    failures = 1;
    const error = await failure(runtime.evaluate(cell, inputs, quick));
    expect(error).toBeInstanceOf(GpuError);
    expect(error).toMatchObject({ kind: "internal" });
    expect((error as GpuError).label).toMatch(/drive|sweep|scan|measure|decide|certificate/);
    expect((error as Error).message).toContain("compiler crashed");
    await expectRight(runtime);
  });

  it("at a shader is told with the line", async () => {
    let broken = true;
    const wrapped = wrappedGpu(gpu, {
      device: (device) => ({
        createShaderModule: (descriptor: GPUShaderModuleDescriptor) =>
          device.createShaderModule(
            broken ? { ...descriptor, code: `${descriptor.code}\nnonsense;` } : descriptor,
          ),
      }),
    });
    using runtime = await createRuntime({ gpu: wrapped });
    const error = await failure(runtime.evaluate(cell, inputs, quick));
    expect(error).toBeInstanceOf(GpuError);
    expect(error).toMatchObject({ kind: "validation" });
    expect((error as Error).message).toMatch(/line \d+/);
    broken = false;
    await expectRight(runtime);
  });

  it("at a submit is told with the cell's name", async () => {
    let broken = true;
    const wrapped = wrappedGpu(gpu, {
      device: (device) => ({
        queue: replacing(device.queue, {
          submit: (commands: Iterable<GPUCommandBuffer>) => {
            device.queue.submit([...commands]);
            // A command buffer runs once.
            if (broken) device.queue.submit([...commands]);
          },
        }),
      }),
    });
    using runtime = await createRuntime({ gpu: wrapped });
    const error = await failure(runtime.evaluate(cell, inputs, quick));
    expect(error).toBeInstanceOf(GpuError);
    expect(error).toMatchObject({ kind: "validation", label: `cell "${cell.name}"` });
    broken = false;
    await expectRight(runtime);
  });

  it("outside of our calls spoils the next result, and no other", async () => {
    using runtime = await createRuntime({ gpu });
    await expectRight(runtime);
    const device = runtime.device!;
    const told = new Promise((resolve) => {
      const listener = (event: GPUUncapturedErrorEvent) => {
        event.preventDefault();
        resolve(event.error.message);
      };
      device.addEventListener("uncapturederror", listener, { once: true });
    });
    device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
    const message = await told;
    const error = await failure(runtime.evaluate(cell, inputs, quick));
    expect(error).toBeInstanceOf(GpuError);
    expect((error as Error).message).toContain(message);
    await expectRight(runtime);
  });
});

describe("a signal", () => {
  const reason = new Error("changed my mind");

  it("aborted before starts nothing", async () => {
    let submits = 0;
    const wrapped = wrappedGpu(gpu, { device: (device) => onSubmit(device, () => submits++) });
    using runtime = await createRuntime({ gpu: wrapped });
    const signal = AbortSignal.abort(reason);
    for (const method of ["sequential", "quasi-deer"] as const) {
      await expect(runtime.evaluate(cell, inputs, { ...quick, method, signal })).rejects.toBe(
        reason,
      );
    }
    expect(submits).toBe(0);
    await expectRight(runtime);
  });

  it.each(["sequential", "quasi-deer"] as const)(
    "stops a run of many submits in the middle, and frees what it held: %s",
    async (method) => {
      let controller = new AbortController();
      let submits = 0;
      const wrapped = wrappedGpu(gpu, {
        device: (device) =>
          onSubmit(device, () => {
            submits++;
            if (submits === 2) controller.abort(reason);
          }),
      });
      // So little memory takes many windows.
      using runtime = await createRuntime({ gpu: wrapped, memoryLimit: 65536 });
      const options = { ...long, method, backend: "webgpu", profile: true } as const;
      const stopped = runtime.evaluate(small, many, { ...options, signal: controller.signal });
      await expect(stopped).rejects.toBe(reason);
      expect(submits).toBe(2);
      controller = new AbortController();
      const { report } = await runtime.evaluate(small, many, {
        ...options,
        signal: controller.signal,
      });
      expect(report.windows).toBeGreaterThan(2);
      expect(report.converged).toBe(true);
      controller.abort(reason);
      const again = await runtime.evaluate(small, many, options);
      expect(largestError(again.states, longStates, 2)).toBeLessThan(1e-5);
    },
  );
});
