import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type DeviceOptions,
  type GpuDevice,
  MAP_MODE_READ,
  openDevice,
  STAGE_COMPUTE,
  usage,
} from "../../src/backend/webgpu/device.ts";
import { BackendUnavailableError, DeviceLostError, GpuError } from "../../src/errors.ts";
import { dawnGpu } from "../support/dawn.ts";
import { usesSwiftShader } from "../support/swiftshader.ts";

const opened: GpuDevice[] = [];

async function open(options: DeviceOptions = {}): Promise<GpuDevice> {
  const gpu = await openDevice(options.device ? options : { gpu: await dawnGpu(), ...options });
  opened.push(gpu);
  return gpu;
}

async function rawDevice(): Promise<GPUDevice> {
  const adapter = await (await dawnGpu()).requestAdapter();
  return adapter!.requestDevice();
}

afterAll(() => {
  for (const gpu of opened) {
    gpu.dispose();
    gpu.device.destroy();
  }
});

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "it succeeded",
    (error) => error,
  );

/** A buffer that cannot be: what is read by the host cannot be storage. */
const invalidBuffer = (device: GPUDevice) =>
  device.createBuffer({ size: 16, usage: usage.mapRead | usage.storage });

/** Waits for an error that no scope catches, and keeps it out of the console. */
const uncaptured = (device: GPUDevice) =>
  new Promise<void>((resolve) => {
    const listener = (event: GPUUncapturedErrorEvent) => {
      event.preventDefault();
      resolve();
    };
    device.addEventListener("uncapturederror", listener, { once: true });
  });

const hanging = () => new Promise<never>(() => {});

describe("the constants", () => {
  it("are those of WebGPU", async () => {
    await dawnGpu(); // Brings the globals.
    expect(usage).toEqual({
      mapRead: GPUBufferUsage.MAP_READ,
      copySource: GPUBufferUsage.COPY_SRC,
      copyTarget: GPUBufferUsage.COPY_DST,
      uniform: GPUBufferUsage.UNIFORM,
      storage: GPUBufferUsage.STORAGE,
      indirect: GPUBufferUsage.INDIRECT,
      queryResolve: GPUBufferUsage.QUERY_RESOLVE,
    });
    expect(MAP_MODE_READ).toBe(GPUMapMode.READ);
    expect(STAGE_COMPUTE).toBe(GPUShaderStage.COMPUTE);
  });
});

describe("a device that cannot be had", () => {
  it("says how to get WebGPU where the host has none", async () => {
    const error = await failure(openDevice());
    expect(error).toBeInstanceOf(BackendUnavailableError);
    expect(error).toMatchObject({ backend: "webgpu" });
    expect((error as Error).message).toMatch(
      /navigator\.gpu.*`webgpu`.*createRuntime\(\{ gpu \}\)/,
    );
  });

  it("says that there is no adapter", async () => {
    const asked: unknown[] = [];
    const gpu = {
      requestAdapter: async (options: unknown) => {
        asked.push(options);
        return null;
      },
    } as unknown as GPU;
    const error = await failure(openDevice({ gpu }));
    expect(error).toBeInstanceOf(BackendUnavailableError);
    expect((error as Error).message).toContain("no adapter");
    await failure(openDevice({ gpu, powerPreference: "low-power" }));
    expect(asked).toEqual([
      { powerPreference: "high-performance" },
      { powerPreference: "low-power" },
    ]);
  });

  it("passes on why the adapter or the device is refused", async () => {
    const refusing = { requestAdapter: () => Promise.reject(new Error("policy")) };
    await expect(openDevice({ gpu: refusing as unknown as GPU })).rejects.toThrow(
      /"webgpu" is not available: .*adapter.*policy/,
    );
    // An adapter gives one device only: a real one that has been used refuses the second.
    const adapter = (await (await dawnGpu()).requestAdapter())!;
    (await adapter.requestDevice()).destroy();
    const used = { requestAdapter: async () => adapter } as unknown as GPU;
    const error = await failure(openDevice({ gpu: used }));
    expect(error).toBeInstanceOf(BackendUnavailableError);
    expect((error as Error).message).toMatch(/gives no device: .*consumed/);
  });

  it("is a device that is lost already", async () => {
    const device = await rawDevice();
    device.destroy();
    await device.lost;
    const error = await failure(openDevice({ device }));
    expect(error).toBeInstanceOf(BackendUnavailableError);
    expect((error as Error).message).toContain("the device is lost");
  });

  it("names an argument of the wrong type", async () => {
    const wrong = [null, {}, "gpu", 3];
    for (const value of wrong) {
      await expect(openDevice({ gpu: value as never })).rejects.toThrow(/^gpu: expected .*, got /);
      await expect(openDevice({ device: value as never })).rejects.toThrow(TypeError);
      await expect(openDevice({ device: value as never })).rejects.toThrow(
        /^device: expected a GPU/,
      );
    }
  });
});

describe("what a device can do", () => {
  it("is all that the adapter can do", async () => {
    const { limits } = (await (await dawnGpu()).requestAdapter())!;
    expect((await open()).limits).toEqual({
      maxBindingBytes: limits.maxStorageBufferBindingSize,
      maxBufferBytes: limits.maxBufferSize,
      maxInvocations: limits.maxComputeInvocationsPerWorkgroup,
      maxWorkgroupStorage: limits.maxComputeWorkgroupStorageSize,
      maxWorkgroups: 65535,
      maxStorageBuffers: limits.maxStorageBuffersPerShaderStage,
    });
  });

  it("is WebGPU's minimum when the default limits are asked for", async () => {
    // https://gpuweb.github.io/gpuweb/#limits
    expect((await open({ limits: "default" })).limits).toEqual({
      maxBindingBytes: 128 * 2 ** 20,
      maxBufferBytes: 256 * 2 ** 20,
      maxInvocations: 256,
      maxWorkgroupStorage: 16384,
      maxWorkgroups: 65535,
      maxStorageBuffers: 8,
    });
  });

  it("has subgroups and timestamps where the adapter has them", async () => {
    const adapter = (await (await dawnGpu()).requestAdapter())!;
    const gpu = await open();
    expect(gpu.timestamps).toBe(adapter.features.has("timestamp-query"));
    expect(gpu.subgroups !== null).toBe(adapter.features.has("subgroups"));
    if (usesSwiftShader) expect(gpu.subgroups).toEqual({ min: 4, max: 4 });
    const bare = await open({ device: await rawDevice() });
    expect(bare).toMatchObject({ timestamps: false, subgroups: null });
  });

  it("names SwiftShader as software, for a device of the user's too", async () => {
    const own = await open();
    const given = await open({ device: await rawDevice() });
    for (const { adapter } of [own, given]) {
      expect(adapter.software).toBe(usesSwiftShader);
      if (usesSwiftShader) expect(adapter.name).toMatch(/SwiftShader.*software.*CPU/);
    }
  });

  /** A real device of an adapter that tells something else about itself. */
  async function openAs(info: object | undefined, fallback?: boolean): Promise<GpuDevice> {
    const adapter = (await (await dawnGpu()).requestAdapter())!;
    const posing = {
      info,
      isFallbackAdapter: fallback,
      features: adapter.features,
      limits: adapter.limits,
      requestDevice: async (descriptor: GPUDeviceDescriptor) => {
        const device = await adapter.requestDevice(descriptor);
        Object.defineProperty(device, "adapterInfo", { value: undefined });
        return device;
      },
    };
    return open({ gpu: { requestAdapter: async () => posing } as unknown as GPU });
  }

  it.each<[string, object | undefined, boolean | undefined, boolean, string]>([
    ["Deno", { vendor: "6880", description: "SwiftShader Device (Subzero)" }, undefined, true, "S"],
    ["Chrome", { vendor: "google", architecture: "swiftshader" }, undefined, true, "google swift"],
    ["Mesa", { vendor: "mesa", description: "llvmpipe (LLVM 15)" }, undefined, true, "llvmpipe"],
    [
      "Windows",
      { vendor: "microsoft", device: "Microsoft Basic Render Driver" },
      undefined,
      true,
      "m",
    ],
    ["fallback in info", { vendor: "x", isFallbackAdapter: true }, undefined, true, "x (in soft"],
    ["fallback on the adapter", { vendor: "x" }, true, true, "x (in software"],
    ["a GPU", { vendor: "nvidia", architecture: "ampere" }, false, false, "nvidia ampere"],
    ["no info at all", undefined, undefined, false, "unknown"],
  ])("understands what %s tells", async (_, info, fallback, software, name) => {
    const { adapter } = await openAs(info, fallback);
    expect(adapter.software).toBe(software);
    expect(adapter.name.startsWith(name)).toBe(true);
    expect(adapter.name.includes("software")).toBe(software);
  });

  it("reckons with all sizes of subgroups when the adapter does not tell", async () => {
    const gpu = await openAs({ vendor: "nvidia" });
    expect(gpu.subgroups).toEqual(
      gpu.device.features.has("subgroups") ? { min: 4, max: 128 } : null,
    );
  });
});

describe("errors", () => {
  let gpu: GpuDevice;
  beforeAll(async () => {
    gpu = await open();
  });

  it("are typed and labelled, and leave results alone", async () => {
    await expect(gpu.guarded("sum", () => 7)).resolves.toBe(7);
    await expect(gpu.guarded("sum", async () => 8)).resolves.toBe(8);
    const error = await failure(gpu.guarded("the states", () => invalidBuffer(gpu.device)));
    expect(error).toBeInstanceOf(GpuError);
    expect(error).toMatchObject({ kind: "validation", label: "the states" });
    expect((error as Error).message).toMatch(/^the states: WebGPU validation error: .*MapRead/s);
  });

  it("are told apart when calls overlap", async () => {
    const outcomes = await Promise.allSettled([
      gpu.guarded("first", async () => {
        invalidBuffer(gpu.device);
        await gpu.device.queue.onSubmittedWorkDone();
      }),
      gpu.guarded("second", () => gpu.device.queue.onSubmittedWorkDone()),
      gpu.guarded("third", () => void invalidBuffer(gpu.device)),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "rejected"]);
    expect(outcomes[0]).toMatchObject({ reason: { label: "first" } });
    expect(outcomes[2]).toMatchObject({ reason: { label: "third" } });
  });

  it("of the work itself pass through, and leave no scope behind", async () => {
    const own = new RangeError("mine");
    const throwing = () => {
      throw own;
    };
    expect(await failure(gpu.guarded("work", throwing))).toBe(own);
    expect(await failure(gpu.guarded("work", () => Promise.reject(own)))).toBe(own);
    // Without a scope of ours left over there is none to pop.
    expect(await failure(gpu.device.popErrorScope())).not.toBe("it succeeded");
  });

  it("out of memory come before what they make invalid", async () => {
    // SwiftShader cannot allocate its largest buffer; others can, until memory is full.
    const held: GPUBuffer[] = [];
    const { maxBufferBytes } = gpu.limits;
    const fill = async () => {
      for (let i = 0; i < 1000; i++) {
        await gpu.guarded("large", () => {
          const buffer = gpu.device.createBuffer({ size: maxBufferBytes, usage: usage.copyTarget });
          held.push(buffer);
          const encoder = gpu.device.createCommandEncoder();
          encoder.clearBuffer(buffer, 0, 4);
          gpu.device.queue.submit([encoder.finish()]);
        });
      }
    };
    const error = await failure(fill());
    for (const buffer of held) buffer.destroy();
    expect(error).toBeInstanceOf(GpuError);
    expect(error).toMatchObject({ kind: "out-of-memory", label: "large" });
    await expect(gpu.guarded("small", () => 1)).resolves.toBe(1);
  });

  it("outside any scope are thrown by the next check, once", async () => {
    gpu.check();
    const told = uncaptured(gpu.device);
    invalidBuffer(gpu.device);
    await told;
    expect(() => gpu.check()).toThrow(GpuError);
    gpu.check();
  });
});

describe("loss", () => {
  it("fails what is pending and what comes later", async () => {
    const gpu = await open({ device: await rawDevice() });
    const { device } = gpu;
    expect(gpu.live).toBe(true);
    const buffer = device.createBuffer({ size: 16, usage: usage.mapRead | usage.copyTarget });
    const pending = [
      gpu.race(hanging()),
      gpu.race(buffer.mapAsync(MAP_MODE_READ)),
      gpu.guarded("work", hanging),
    ].map(failure);
    device.destroy();
    for (const error of await Promise.all(pending)) expect(error).toBeInstanceOf(DeviceLostError);
    expect(gpu.live).toBe(false);
    expect(() => gpu.check()).toThrow(DeviceLostError);
    expect(await failure(gpu.race(Promise.resolve(1)))).toBeInstanceOf(DeviceLostError);
    expect(await failure(gpu.guarded("late", () => 1))).toBeInstanceOf(DeviceLostError);
    await expect(gpu.guarded("late", () => 1)).rejects.toThrow(/device was lost: .*destroyed/);
    gpu.dispose();
    expect(() => gpu.check()).toThrow(DeviceLostError);
  });

  it("is what an operation that fails a moment earlier is put down to", async () => {
    const gpu = await open({ device: await rawDevice() });
    const aborted = Promise.reject(new DOMException("", "AbortError"));
    const pending = failure(gpu.race(aborted));
    setTimeout(() => gpu.device.destroy(), 5);
    expect(await pending).toBeInstanceOf(DeviceLostError);
  });

  it("is not read into a failure of a live device", async () => {
    const gpu = await open();
    const aborted = new DOMException("", "AbortError");
    expect(await failure(gpu.race(Promise.reject(aborted)))).toBe(aborted);
    expect(gpu.live).toBe(true);
  });
});

describe("disposal", () => {
  it("destroys a device of our own and fails what is pending, as no loss", async () => {
    const gpu = await open();
    const pending = failure(gpu.race(hanging()));
    gpu.dispose();
    const error = await pending;
    expect(error).not.toBeInstanceOf(DeviceLostError);
    expect((error as Error).message).toBe("webgpu: expected a live device, got a disposed one");
    expect((await gpu.device.lost).reason).toBe("destroyed");
    expect(() => gpu.check()).toThrow("disposed");
    gpu.dispose();
  });

  it("leaves a device of the user's alive, and its errors to the user", async () => {
    const device = await rawDevice();
    const gpu = await open({ device });
    expect(gpu.owned).toBe(false);
    const told = uncaptured(device);
    invalidBuffer(device);
    await told;
    gpu.check();
    gpu.dispose();
    const again = await open({ device });
    await again.guarded("work", () => device.queue.onSubmittedWorkDone());
    again.check();
  });
});
