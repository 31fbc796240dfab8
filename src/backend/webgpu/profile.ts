/** How long the device takes for each stage of a solve, by timestamps around compute passes. */
import { type GpuDevice, MAP_MODE_READ, usage } from "./device.ts";

/** A query set has at most 4096 queries, two for each pass. */
const LARGEST_CAPACITY = 2048;
const BYTES_PER_PASS = 16;

/** Use: begin passes with `pass`, `resolve` once after the last one, submit, `read`. */
export class StageTimer {
  /** Why there are no times; null when there are. */
  readonly reason: string | null = null;
  readonly #gpu: GpuDevice;
  readonly #capacity: number;
  /** The stage of every timed pass. */
  #stages: string[] = [];
  /** How many of them `resolve` has recorded. */
  #resolved = 0;
  #objects: { queries: GPUQuerySet; resolved: GPUBuffer; readback: GPUBuffer } | null = null;
  #created: Promise<void> = Promise.resolve();

  /** @param capacity how many passes are timed between two calls of `read`; further ones are not. */
  constructor(gpu: GpuDevice, capacity: number) {
    this.#gpu = gpu;
    this.#capacity = Math.min(capacity, LARGEST_CAPACITY);
    if (!gpu.timestamps) {
      this.reason = `the device (${gpu.adapter.name}) lacks the feature "timestamp-query"`;
      return;
    }
    const { device } = gpu;
    const size = this.#capacity * BYTES_PER_PASS;
    this.#created = gpu.guarded("timestamps", () => {
      this.#objects = {
        queries: device.createQuerySet({ type: "timestamp", count: this.#capacity * 2 }),
        resolved: device.createBuffer({ size, usage: usage.queryResolve | usage.copySource }),
        readback: device.createBuffer({ size, usage: usage.mapRead | usage.copyTarget }),
      };
    });
    this.#created.catch(() => {}); // `read` tells it.
  }

  /** What to begin a compute pass with. */
  pass(stage: string): GPUComputePassDescriptor {
    const index = this.#stages.length;
    if (!this.#objects || index >= this.#capacity) return { label: stage };
    this.#stages.push(stage);
    const { queries: querySet } = this.#objects;
    const timestampWrites = {
      querySet,
      beginningOfPassWriteIndex: 2 * index,
      endOfPassWriteIndex: 2 * index + 1,
    };
    return { label: stage, timestampWrites };
  }

  /** Records the copying of all times since the last `read`; those of earlier submits are included. */
  resolve(encoder: GPUCommandEncoder): void {
    const count = this.#stages.length;
    if (!this.#objects || count === 0) return;
    this.#resolved = count;
    const { queries, resolved, readback } = this.#objects;
    encoder.resolveQuerySet(queries, 0, 2 * count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, readback, 0, count * BYTES_PER_PASS);
  }

  /**
   * The milliseconds of each stage, summed over its passes, which implementations may round to
   * tenths; null where there are none, see `reason`. Starts anew.
   */
  async read(): Promise<Record<string, number> | null> {
    await this.#created;
    if (!this.#objects) return null;
    const stages = this.#stages.slice(0, this.#resolved);
    this.#stages = [];
    this.#resolved = 0;
    const milliseconds: Record<string, number> = {};
    if (stages.length === 0) return milliseconds;
    const { readback } = this.#objects;
    await this.#gpu.guarded("read timestamps", () => readback.mapAsync(MAP_MODE_READ));
    const times = new BigUint64Array(readback.getMappedRange());
    for (const [i, stage] of stages.entries()) {
      // Nanoseconds; a driver may set its clock back in between.
      const elapsed = Math.max(0, Number(times[2 * i + 1] - times[2 * i]) / 1e6);
      milliseconds[stage] = (milliseconds[stage] ?? 0) + elapsed;
    }
    readback.unmap();
    return milliseconds;
  }

  dispose(): void {
    for (const object of Object.values(this.#objects ?? {})) object.destroy();
    this.#objects = null;
  }
}
