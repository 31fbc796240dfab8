/** The kernels' memory: what stays (programs and weights) below what one run needs. */
import type { FloatArray } from "../../types.ts";

const PAGE = 65536;
/** Kernels read whole tiles and may look a little past the end of the last array: three rows of eight. */
const SLACK = 256;

export class KernelMemory {
  readonly #memory: WebAssembly.Memory;
  readonly #limit: number;
  readonly #base: number;
  /** End of what stays. */
  #kept: number;
  /** End of all. */
  #top: number;
  #version = 0;
  #floats = new Float32Array(0);
  #words = new Int32Array(0);

  constructor(memory: WebAssembly.Memory, base: number, limit: number) {
    this.#memory = memory;
    // The memory grows by whole pages.
    this.#limit = Math.floor(limit / PAGE) * PAGE;
    this.#base = base;
    this.#kept = base;
    this.#top = base;
  }

  /** Bytes that the memory may have. */
  get limit(): number {
    return this.#limit;
  }

  /** Bytes in use, including what stays. */
  get used(): number {
    return this.#top;
  }

  /** Bytes that stay until `forget`. */
  get kept(): number {
    return this.#kept - this.#base;
  }

  /** Another number whenever what stays has changed. */
  get version(): number {
    return this.#version;
  }

  /** The whole memory as floats; a new view after the memory has grown. */
  get floats(): Float32Array {
    if (this.#floats.buffer !== this.#memory.buffer) {
      this.#floats = new Float32Array(this.#memory.buffer);
    }
    return this.#floats;
  }

  /** The whole memory as 32-bit words. */
  get words(): Int32Array {
    if (this.#words.buffer !== this.#memory.buffer) {
      this.#words = new Int32Array(this.#memory.buffer);
    }
    return this.#words;
  }

  /** Fills in the fields of a structure at `address`, each given by its offset in bytes. */
  setFields(address: number, fields: readonly (readonly [offset: number, value: number])[]): void {
    for (const [offset, value] of fields) this.words[(address + offset) / 4] = value;
  }

  /** `count` floats at `address`. The view does not survive a growth of the memory. */
  view(address: number, count: number): Float32Array {
    return this.floats.subarray(address / 4, address / 4 + count);
  }

  /** The address of `bytes` bytes, aligned to sixteen; what they hold is undefined. */
  allocate(bytes: number): number {
    const address = Math.ceil(this.#top / 16) * 16;
    const top = address + Math.ceil(bytes / 16) * 16;
    this.#grow(top + SLACK);
    this.#top = top;
    return address;
  }

  /** Like `allocateFloats`, but right behind the last allocation: aligned to four bytes only. */
  allocatePacked(count: number): number {
    const address = this.#top;
    this.#grow(address + count * 4 + SLACK);
    this.#top = address + count * 4;
    return address;
  }

  allocateFloats(count: number): number {
    return this.allocate(count * 4);
  }

  /** Makes sure that `bytes` more can be had. @throws RangeError saying what is needed, and the limit. */
  require(bytes: number, what: string): void {
    const needed = this.#top + bytes + SLACK;
    try {
      this.#grow(needed);
    } catch {
      throw new RangeError(
        `memory: ${what} needs ${format(bytes)} of WebAssembly memory on top of ${format(this.#top)}` +
          ` in use; the limit is ${format(this.#limit)}`,
      );
    }
  }

  #grow(end: number): void {
    const have = this.#memory.buffer.byteLength;
    if (end <= have) return;
    if (end > this.#limit) {
      throw new RangeError(
        `memory: expected at most ${format(this.#limit)} of WebAssembly memory, got a need for ${format(end)} or more`,
      );
    }
    try {
      this.#memory.grow(Math.ceil((end - have) / PAGE));
    } catch (cause) {
      throw new RangeError(`memory: cannot get ${format(end)} of WebAssembly memory`, { cause });
    }
  }

  /** Whatever has been allocated so far stays when a run ends. */
  keep(): void {
    if (this.#kept !== this.#top) this.#version++;
    this.#kept = this.#top;
  }

  /** Gives up what the last run allocated. */
  release(): void {
    this.#top = this.#kept;
  }

  /** Gives up everything. */
  forget(): void {
    this.#version++;
    this.#kept = this.#base;
    this.#top = this.#base;
  }

  /** A copy of what stays. */
  image(): ArrayBuffer {
    return this.#memory.buffer.slice(this.#base, this.#kept) as ArrayBuffer;
  }

  /** Takes what stays from another memory of the same kernels, in place of all that is here. */
  load(image: ArrayBuffer): void {
    this.forget();
    const end = this.#base + image.byteLength;
    this.#grow(end + SLACK);
    new Uint8Array(this.#memory.buffer, this.#base).set(new Uint8Array(image));
    this.#top = end;
    this.keep();
  }
}

function format(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Copies rows of `width` numbers, the last one first if `reverse`. */
export function copyRows(
  source: FloatArray,
  target: FloatArray,
  width: number,
  reverse: boolean,
): void {
  if (!reverse) {
    target.set(source);
    return;
  }
  const rows = source.length / width;
  for (let row = 0; row < rows; row++) {
    const from = (rows - 1 - row) * width;
    const to = row * width;
    for (let i = 0; i < width; i++) target[to + i] = source[from + i]!;
  }
}
