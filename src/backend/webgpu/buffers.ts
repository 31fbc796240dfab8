/** Buffers, kept for the next run when one is done; and the ways to and from them. */
import { GpuError, TooLargeForGpuError } from "../../errors.ts";
import { type GpuDevice, MAP_MODE_READ, usage } from "./device.ts";
import type { Traffic } from "./traffic.ts";

const { storage, uniform, copySource, copyTarget } = usage;

/** WebGPU lets a buffer that can be mapped be the target of copies, and nothing else. */
const usages = {
  storage: storage | copySource | copyTarget,
  uniform: uniform | copyTarget,
  /** Written by shaders, read by dispatches. */
  indirect: storage | usage.indirect | copySource | copyTarget,
  readback: usage.mapRead | copyTarget,
  timestamps: usage.queryResolve | copySource,
} as const;

export type BufferKind = keyof typeof usages;

export interface BufferRequest {
  /** What it holds, for messages. */
  readonly label: string;
  readonly bytes: number;
  readonly kind: BufferKind;
}

const DEFAULT_IDLE_LIMIT = 256e6;
const SMALLEST = 256;

/** Buffers come in sizes of which there are sixteen between a power of two and the next. */
function roundedSize(bytes: number): number {
  if (bytes <= SMALLEST) return SMALLEST;
  const step = 2 ** (Math.floor(Math.log2(bytes)) - 4);
  return Math.ceil(bytes / step) * step;
}

export class BufferPool {
  readonly #gpu: GpuDevice;
  readonly #traffic: Traffic;
  readonly #idleLimit: number;
  readonly #kinds = new Map<GPUBuffer, BufferKind>();
  /** The least recently used one first. */
  readonly #idle = new Set<GPUBuffer>();
  #bytes = 0;
  #idleBytes = 0;
  #created = 0;

  /** @param idleLimit how many bytes of buffers that nobody uses are kept */
  constructor(gpu: GpuDevice, traffic: Traffic, idleLimit = DEFAULT_IDLE_LIMIT) {
    this.#gpu = gpu;
    this.#traffic = traffic;
    this.#idleLimit = idleLimit;
  }

  get stats() {
    return {
      /** Of buffers in use. */
      liveBytes: this.#bytes - this.#idleBytes,
      idleBytes: this.#idleBytes,
      /** How many buffers have ever been made. */
      created: this.#created,
    };
  }

  async acquire(label: string, bytes: number, kind: BufferKind): Promise<GPUBuffer> {
    return (await this.acquireAll([{ label, bytes, kind }]))[0];
  }

  /**
   * Buffers of at least the sizes asked for, all or none; what they hold is undefined. Bytes may be
   * 0: the buffer is none the less one that can be bound.
   *
   * @throws RangeError for more than one buffer can have; `GpuError` "out-of-memory".
   */
  async acquireAll(requests: readonly BufferRequest[]): Promise<GPUBuffer[]> {
    const { maxBufferBytes } = this.#gpu.limits;
    for (const { label, bytes } of requests) {
      if (align(bytes) > maxBufferBytes) {
        throw new TooLargeForGpuError(
          `${label}: expected at most ${maxBufferBytes} bytes, the device's limit for one buffer,` +
            ` got a need for ${bytes}`,
        );
      }
    }
    try {
      return await this.#take(requests);
    } catch (error) {
      const isFull = error instanceof GpuError && error.kind === "out-of-memory";
      if (!isFull || this.#idle.size === 0) throw error;
      this.trim(0);
      // What the device still works on is freed only then.
      await this.#gpu.race(this.#gpu.device.queue.onSubmittedWorkDone());
      return this.#take(requests);
    }
  }

  /** Keeps the buffer for the next who asks, as long as there is room for it. */
  release(buffer: GPUBuffer): void {
    const kind = this.#kinds.get(buffer);
    if (!kind || this.#idle.has(buffer)) {
      // After `dispose` there is nothing to give back to.
      if (this.#kinds.size === 0) return;
      throw new Error(`buffers: expected a buffer in use, got "${buffer.label}"`);
    }
    if (buffer.size > this.#idleLimit) {
      this.#destroy(buffer);
      return;
    }
    if (buffer.mapState !== "unmapped") buffer.unmap();
    this.#idle.add(buffer);
    this.#idleBytes += buffer.size;
    this.trim(this.#idleLimit);
  }

  /** Destroys idle buffers, the least recently used ones first, until they have at most `bytes`. */
  trim(bytes: number): void {
    for (const buffer of this.#idle) {
      if (this.#idleBytes <= bytes) return;
      this.#destroy(buffer);
    }
  }

  /** Destroys all buffers, those in use too. */
  dispose(): void {
    for (const buffer of this.#kinds.keys()) this.#destroy(buffer);
  }

  /** Copies `data` into `buffer`, `offset` bytes from its start; both are multiples of 4 bytes. */
  upload(buffer: GPUBuffer, data: ArrayBufferView, offset = 0): void {
    const { byteLength } = data;
    // Deno panics on an empty array.
    if (byteLength === 0) return;
    // Browsers refuse resizable buffers, and Dawn for Node aborts on shared ones.
    const { buffer: memory } = data as { buffer: ArrayBufferLike & { resizable?: boolean } };
    const isPlain = memory instanceof ArrayBuffer && !memory.resizable;
    const [source, start] = isPlain
      ? [memory, data.byteOffset]
      : [new Uint8Array(memory, data.byteOffset, byteLength).slice().buffer, 0];
    this.#gpu.device.queue.writeBuffer(buffer, offset, source, start, byteLength);
    this.#traffic.bytesUploaded += byteLength;
  }

  /**
   * Shows the first bytes of a "readback" buffer, once the device has done what was submitted; only
   * until `visit` returns.
   *
   * @throws `DeviceLostError`; `GpuError`, also for an error outside `guarded` so far, which would
   * make what is read worthless.
   */
  async read(buffer: GPUBuffer, bytes: number, visit: (data: ArrayBuffer) => void): Promise<void> {
    if (bytes === 0) return;
    const { label } = buffer;
    const size = align(bytes);
    await this.#gpu.guarded(`read ${label}`, () => buffer.mapAsync(MAP_MODE_READ, 0, size));
    try {
      this.#gpu.check();
      visit(buffer.getMappedRange(0, size));
    } finally {
      buffer.unmap();
    }
    this.#traffic.readbacks++;
    this.#traffic.bytesDownloaded += bytes;
  }

  /** A copy of the first bytes of a "readback" buffer. @throws as `read`. */
  async map(buffer: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    let copy = new ArrayBuffer(0);
    await this.read(buffer, bytes, (data) => {
      copy = data.slice(0, bytes);
    });
    return copy;
  }

  async #take(requests: readonly BufferRequest[]): Promise<GPUBuffer[]> {
    const taken = requests.map((request) => this.#reuse(request));
    const missing = requests.filter((_, i) => !taken[i]);
    if (missing.length > 0) {
      const label = missing.map(({ label, bytes }) => `${label} (${bytes} bytes)`).join(", ");
      const made: GPUBuffer[] = [];
      try {
        await this.#gpu.guarded(label, () => {
          for (const request of missing) made.push(this.#create(request));
        });
      } catch (error) {
        for (const buffer of made) this.#destroy(buffer);
        for (const buffer of taken) if (buffer) this.release(buffer);
        throw error;
      }
      for (let i = 0; i < taken.length; i++) taken[i] ??= made.shift();
    }
    return taken as GPUBuffer[];
  }

  #size({ bytes, kind }: BufferRequest): number {
    const { maxBindingBytes, maxBufferBytes } = this.#gpu.limits;
    // What fits one binding must not be rounded out of it.
    const isBound = kind === "storage" || kind === "indirect";
    const limit = isBound && bytes <= maxBindingBytes ? maxBindingBytes : maxBufferBytes;
    return Math.max(align(bytes), Math.min(roundedSize(bytes), limit - (limit % 4)));
  }

  #reuse(request: BufferRequest): GPUBuffer | undefined {
    const size = this.#size(request);
    for (const buffer of this.#idle) {
      if (buffer.size !== size || this.#kinds.get(buffer) !== request.kind) continue;
      this.#idle.delete(buffer);
      this.#idleBytes -= buffer.size;
      buffer.label = request.label;
      return buffer;
    }
    return undefined;
  }

  #create(request: BufferRequest): GPUBuffer {
    const { label, kind } = request;
    const size = this.#size(request);
    const buffer = this.#gpu.device.createBuffer({ label, size, usage: usages[kind] });
    this.#kinds.set(buffer, kind);
    this.#bytes += buffer.size;
    this.#created++;
    this.#traffic.buffersCreated++;
    return buffer;
  }

  #destroy(buffer: GPUBuffer): void {
    if (!this.#kinds.delete(buffer)) return;
    this.#bytes -= buffer.size;
    if (this.#idle.delete(buffer)) this.#idleBytes -= buffer.size;
    buffer.destroy();
  }
}

/** Copies and mappings are in units of four bytes. */
function align(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}
