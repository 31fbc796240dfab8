/**
 * The kernels' memory for tests that call them directly. All of it around the arrays, and what the
 * arrays hold at first, is one NaN: a kernel that reads what it should not gives itself away in its
 * results, and one that writes where it should not is found out.
 */
import { inlinedKernels } from "../../src/backend/wasm/inlined.ts";
import { type KernelExports, type Kernels, loadKernels } from "../../src/backend/wasm/load.ts";
import { KernelMemory } from "../../src/backend/wasm/memory.ts";

/** The plain kernels, and the relaxed ones where the host has relaxed SIMD. */
export async function kernelBuilds(): Promise<Kernels[]> {
  const plain = await loadKernels(inlinedKernels, undefined, true);
  const fastest = await loadKernels(inlinedKernels, undefined, false);
  return fastest.simd === "relaxed" ? [plain, fastest] : [plain];
}

/** An array in memory. */
export interface Span {
  /** In bytes. */
  readonly address: number;
  /** 32-bit words. */
  readonly length: number;
}

const SENTINEL = 0x7fc5a5a5;
/** Bytes between two arrays, at least. */
const GAP = 48;

export class GuardedMemory {
  /** What has been compiled into it and kept lies below the arrays. */
  readonly kernel: KernelMemory;
  #start = 0;

  constructor(exports: KernelExports) {
    this.kernel = new KernelMemory(exports.memory, exports.heapBase(), 2 ** 26);
  }

  /** Gives up the arrays there were, for one of each of these lengths, in 32-bit words. */
  allocate<Name extends string>(lengths: Readonly<Record<Name, number>>): Record<Name, Span> {
    const { kernel } = this;
    kernel.release();
    this.#start = kernel.used;
    const spans: Partial<Record<Name, Span>> = {};
    for (const [name, length] of Object.entries<number>(lengths)) {
      kernel.allocate(GAP);
      spans[name as Name] = { address: kernel.allocateFloats(length), length };
    }
    kernel.allocate(GAP);
    kernel.words.fill(SENTINEL, Math.ceil(this.#start / 4));
    return spans as Record<Name, Span>;
  }

  /** The array's floats; the view does not survive a growth of the memory. */
  floats({ address, length }: Span): Float32Array {
    return this.kernel.view(address, length);
  }

  /**
   * Runs a kernel.
   *
   * @throws Error if it changes any word above the programs but these arrays'.
   */
  run(kernel: () => void, writable: readonly Span[]): void {
    const before = this.kernel.words.slice();
    kernel();
    const { words } = this.kernel;
    for (const { address, length } of writable) {
      before.set(words.subarray(address / 4, address / 4 + length), address / 4);
    }
    for (let i = Math.ceil(this.#start / 4); i < words.length; i++) {
      if (words[i] === before[i]) continue;
      throw new Error(`a kernel wrote to address ${4 * i}, where it has nothing to write`);
    }
  }
}
