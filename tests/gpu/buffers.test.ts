import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type BufferKind, BufferPool } from "../../src/backend/webgpu/buffers.ts";
import { type DeviceOptions, type GpuDevice, openDevice } from "../../src/backend/webgpu/device.ts";
import { Traffic } from "../../src/backend/webgpu/traffic.ts";
import { DeviceLostError, GpuError } from "../../src/errors.ts";
import { dawnGpu } from "../support/dawn.ts";

const opened: GpuDevice[] = [];
let gpu: GpuDevice;
let traffic: Traffic;
let pool: BufferPool;

async function open(options: DeviceOptions = {}): Promise<void> {
  gpu = await openDevice(options.device ? options : { gpu: await dawnGpu(), ...options });
  opened.push(gpu);
  traffic = new Traffic();
  pool = new BufferPool(gpu, traffic);
}

beforeEach(() => open());
afterEach(() => {
  for (const one of opened.splice(0)) {
    if (one.live) one.check();
    one.dispose();
    one.device.destroy();
  }
});

const caught = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => {
      throw new Error("expected a failure");
    },
    (error) => error,
  );

/** Runs copies from one buffer to others. */
function copy(source: GPUBuffer, target: GPUBuffer, bytes: number): void {
  const encoder = gpu.device.createCommandEncoder();
  encoder.copyBufferToBuffer(source, 0, target, 0, bytes);
  gpu.device.queue.submit([encoder.finish()]);
}

/** What the device has in a buffer. */
async function contents(buffer: GPUBuffer, floats: number): Promise<number[]> {
  const readback = await pool.acquire("contents", floats * 4, "readback");
  copy(buffer, readback, floats * 4);
  const values = new Float32Array(await pool.map(readback, floats * 4));
  pool.release(readback);
  return [...values];
}

describe("sizes", () => {
  it("are large enough, whole words, and waste little", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 3e6 }), async (bytes) => {
        const buffer = await pool.acquire("any", bytes, "storage");
        expect(buffer.size).toBeGreaterThanOrEqual(Math.max(bytes, 4));
        expect(buffer.size).toBeLessThanOrEqual(Math.max(bytes * 1.0625 + 4, 256));
        expect(buffer.size % 4).toBe(0);
        pool.release(buffer);
      }),
      { numRuns: 60 },
    );
  });

  it("reach the device's limit, and keep to one binding's limit if they can", async () => {
    await open({ limits: "default" });
    // Limits as some drivers have them: no powers of two, nor multiples of what sizes are rounded to.
    const limits = { ...gpu.limits, maxBindingBytes: 1_000_004, maxBufferBytes: 2_000_003 };
    Object.defineProperty(gpu, "limits", { value: limits });
    const asked: [number, BufferKind, number][] = [
      [999_999, "storage", 1_000_004],
      [1_000_001, "storage", 1_000_004],
      [1_000_003, "indirect", 1_000_004],
      [999_999, "readback", 1_015_808],
      [1_000_005, "storage", 1_015_808],
      [1_999_999, "storage", 2_000_000],
    ];
    for (const [bytes, kind, size] of asked) {
      const buffer = await pool.acquire("any", bytes, kind);
      expect([bytes, kind, buffer.size]).toEqual([bytes, kind, size]);
    }
    expect(await caught(pool.acquire("states", 2_000_001, "storage"))).toBeInstanceOf(RangeError);
  });

  it("of zero give a buffer that can be bound", async () => {
    const { device } = gpu;
    const buffer = await pool.acquire("nothing", 0, "storage");
    await gpu.guarded("bind", () => {
      const layout = device.createBindGroupLayout({
        entries: [{ binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: "storage" } }],
      });
      device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer } }] });
    });
  });

  it("beyond the limit of one buffer are refused, naming need and limit", async () => {
    const { maxBufferBytes } = gpu.limits;
    const request = pool.acquireAll([
      { label: "small", bytes: 4, kind: "storage" },
      { label: "states", bytes: maxBufferBytes + 1, kind: "storage" },
    ]);
    const error = (await caught(request)) as Error;
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).toMatch(/^states: expected at most/);
    expect(error.message).toContain(`${maxBufferBytes} bytes`);
    expect(error.message).toContain(`got a need for ${maxBufferBytes + 1}`);
    expect(pool.stats).toEqual({ liveBytes: 0, idleBytes: 0, created: 0 });
  });
});

describe("kinds", () => {
  it.each<[BufferKind, number]>([
    ["storage", 0x80 | 0x4 | 0x8],
    ["uniform", 0x40 | 0x8],
    ["indirect", 0x80 | 0x100 | 0x4 | 0x8],
    ["readback", 0x1 | 0x8],
    ["timestamps", 0x200 | 0x4],
  ])("%s is made for its uses, and is no other kind later", async (kind, flags) => {
    const buffer = await pool.acquire("any", 1000, kind);
    expect(buffer.usage).toBe(flags);
    pool.release(buffer);
    const other = await pool.acquire("any", 1000, kind === "storage" ? "indirect" : "storage");
    expect(other).not.toBe(buffer);
    expect(await pool.acquire("any", 1000, kind)).toBe(buffer);
  });
});

describe("reuse", () => {
  it("makes nothing new for the second run, nor for the thousandth", async () => {
    const run = async () => {
      const buffers = await pool.acquireAll([
        { label: "states", bytes: 40_000, kind: "storage" },
        { label: "source", bytes: 40_000, kind: "storage" },
        { label: "problem", bytes: 64, kind: "uniform" },
        { label: "results", bytes: 40_000, kind: "readback" },
      ]);
      expect(new Set(buffers).size).toBe(4);
      expect(buffers.map(({ label }) => label)).toEqual(["states", "source", "problem", "results"]);
      for (const buffer of buffers) pool.release(buffer);
    };
    await run();
    const { idleBytes, created } = pool.stats;
    expect(created).toBe(4);
    for (let i = 0; i < 1000; i++) await run();
    expect(pool.stats).toEqual({ liveBytes: 0, idleBytes, created });
    expect(traffic.buffersCreated).toBe(4);
  });

  it("keeps buffers up to the cap, and gives up the least recently used", async () => {
    pool = new BufferPool(gpu, traffic, 3000);
    const sizes = [1024, 1024, 1024];
    const [a, b, c] = await Promise.all(sizes.map((size) => pool.acquire("any", size, "storage")));
    expect(pool.stats).toEqual({ liveBytes: 3072, idleBytes: 0, created: 3 });
    for (const buffer of [b, a, c]) pool.release(buffer);
    expect(pool.stats).toEqual({ liveBytes: 0, idleBytes: 2048, created: 3 });
    const again = await Promise.all(sizes.map((size) => pool.acquire("any", size, "storage")));
    expect(again.slice(0, 2)).toEqual([a, c]);
    expect(again).not.toContain(b);
    expect(pool.stats).toEqual({ liveBytes: 3072, idleBytes: 0, created: 4 });
  });

  it("does not sacrifice all it has to one buffer beyond the cap", async () => {
    pool = new BufferPool(gpu, traffic, 3000);
    const small = await pool.acquire("small", 1024, "storage");
    const large = await pool.acquire("large", 4096, "storage");
    pool.release(small);
    pool.release(large);
    expect(pool.stats).toMatchObject({ liveBytes: 0, idleBytes: 1024 });
  });

  it("does not take a buffer back twice", async () => {
    const buffer = await pool.acquire("twice", 16, "storage");
    pool.release(buffer);
    expect(() => pool.release(buffer)).toThrow(/expected a buffer in use, got "twice"/);
  });

  it("takes back a buffer that is about to be mapped", async () => {
    const buffer = await pool.acquire("abandoned", 16, "readback");
    const pending = caught(buffer.mapAsync(GPUMapMode.READ));
    pool.release(buffer);
    await pending;
    expect(await pool.acquire("next", 16, "readback")).toBe(buffer);
    expect(buffer.label).toBe("next");
    await pool.map(buffer, 16);
  });
});

describe("a full device", () => {
  // SwiftShader cannot allocate its largest buffer; others can, until memory is full.
  const tooMuch = () =>
    Array.from({ length: 1000 }, (_, i) => ({
      label: `window ${i}`,
      bytes: gpu.limits.maxBufferBytes,
      kind: "storage" as const,
    }));

  it("is told as such, and leaves what was there", async () => {
    const kept = await pool.acquire("kept", 1024, "storage");
    pool.upload(kept, new Float32Array([5]));
    const error = await caught(pool.acquireAll(tooMuch()));
    expect(error).toBeInstanceOf(GpuError);
    expect(error).toMatchObject({ kind: "out-of-memory" });
    expect((error as Error).message).toContain(`window 0 (${gpu.limits.maxBufferBytes} bytes)`);
    expect(pool.stats).toMatchObject({ liveBytes: 1024, idleBytes: 0 });
    expect(await contents(kept, 1)).toEqual([5]);
  });

  it("has the idle buffers given up, then is asked again", async () => {
    const { device } = gpu;
    const idle = await pool.acquire("idle", 1024, "uniform");
    const used = await pool.acquire("used", 2048, "storage");
    pool.release(idle);
    pool.release(used);
    // As long as the idle buffer lives, a device that has no room: the error is a real one.
    const create = device.createBuffer.bind(device);
    let room = false;
    idle.destroy = () => {
      room = true;
    };
    Object.defineProperty(device, "createBuffer", {
      value: (request: GPUBufferDescriptor) => {
        const fill = room ? [] : tooMuch().map(({ bytes: size }) => create({ ...request, size }));
        for (const buffer of fill) buffer.destroy();
        return create(request);
      },
    });
    const requests = [
      { label: "used", bytes: 2048, kind: "storage" as const },
      { label: "new", bytes: 4096, kind: "storage" as const },
    ];
    const buffers = await pool.acquireAll(requests);
    expect(buffers.map(({ size }) => size)).toEqual([2048, 4096]);
    expect(pool.stats).toMatchObject({ liveBytes: 6144, idleBytes: 0 });
  });
});

describe("upload and map", () => {
  it("carry every bit there and back, at any offset, and count bytes", async () => {
    const buffer = await pool.acquire("data", 64, "storage");
    const tiny = 2 ** -149;
    const values = new Float32Array([1, -0, Number.POSITIVE_INFINITY, tiny, 3]);
    pool.upload(buffer, new Float32Array(16));
    pool.upload(buffer, values.subarray(1, 4), 8);
    expect(await contents(buffer, 6)).toEqual([0, 0, -0, Number.POSITIVE_INFINITY, tiny, 0]);
    expect(traffic).toMatchObject({ bytesUploaded: 76, bytesDownloaded: 24, readbacks: 1 });
  });

  it("take shared and resizable memory", async () => {
    const buffer = await pool.acquire("data", 16, "storage");
    const resizable = new (ArrayBuffer as new (size: number, options: object) => ArrayBuffer)(16, {
      maxByteLength: 32,
    });
    for (const memory of [new SharedArrayBuffer(16), resizable]) {
      const values = new Float32Array(memory, 4, 2).fill(memory === resizable ? 7 : 6);
      pool.upload(buffer, values);
      expect(await contents(buffer, 2)).toEqual([...values]);
    }
  });

  it("show what is read in place, and leave the buffer unmapped", async () => {
    const buffer = await pool.acquire("data", 8, "storage");
    const readback = await pool.acquire("data", 8, "readback");
    pool.upload(buffer, new Float32Array([1, 2]));
    copy(buffer, readback, 8);
    const seen: number[] = [];
    await pool.read(readback, 8, (data) => seen.push(...new Float32Array(data)));
    expect(seen).toEqual([1, 2]);
    const visitError = new Error("mine");
    const throwing = pool.read(readback, 8, () => {
      throw visitError;
    });
    expect(await caught(throwing)).toBe(visitError);
    expect(readback.mapState).toBe("unmapped");
    expect((await pool.map(readback, 0)).byteLength).toBe(0);
    expect((await pool.map(readback, 3)).byteLength).toBe(3);
  });

  it("do not give what a failed submission left", async () => {
    const readback = await pool.acquire("data", 16, "readback");
    const destroyed = await pool.acquire("gone", 16, "storage");
    destroyed.destroy();
    gpu.device.addEventListener("uncapturederror", (event) => event.preventDefault());
    copy(destroyed, readback, 16);
    expect(await caught(pool.map(readback, 16))).toBeInstanceOf(GpuError);
    expect(readback.mapState).toBe("unmapped");
  });

  it("tell what is wrong with a buffer", async () => {
    const buffer = await pool.acquire("states", 16, "storage");
    const error = await caught(pool.map(buffer, 16));
    expect(error).toMatchObject({ kind: "validation", label: "read states" });
  });

  it("fail when the device is lost", async () => {
    const adapter = (await (await dawnGpu()).requestAdapter())!;
    await open({ device: await adapter.requestDevice() });
    const readback = await pool.acquire("data", 16, "readback");
    const pending = caught(pool.map(readback, 16));
    gpu.device.destroy();
    expect(await pending).toBeInstanceOf(DeviceLostError);
    expect(await caught(pool.map(readback, 16))).toBeInstanceOf(DeviceLostError);
    expect(traffic.readbacks).toBe(0);
    pool.release(readback);
    pool.dispose();
  });
});

describe("disposal", () => {
  it("destroys all buffers, idle and in use, and nothing is left to give back", async () => {
    const idle = await pool.acquire("idle", 1000, "storage");
    const live = await pool.acquire("live", 2000, "storage");
    pool.release(idle);
    pool.dispose();
    expect(pool.stats).toEqual({ liveBytes: 0, idleBytes: 0, created: 2 });
    pool.release(live);
    expect(pool.stats).toMatchObject({ liveBytes: 0, idleBytes: 0 });
    const target = gpu.device.createBuffer({ size: 16, usage: 0x8 });
    for (const buffer of [idle, live]) {
      const error = await caught(gpu.guarded("use", () => copy(buffer, target, 16)));
      expect((error as Error).message).toMatch(/destroyed/);
    }
  });
});
