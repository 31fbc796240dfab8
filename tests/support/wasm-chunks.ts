/** One sequence cut into chunks, laid out in the kernels' memory for tests that call the scans. */
import { Chunks } from "../../assembly/layout.ts";
import type { KernelExports } from "../../src/backend/wasm/load.ts";
import { GuardedMemory, type Span } from "./guarded-memory.ts";

/** What P_k is: one number an element (the same for all chunks if shared), blocks, or a matrix. */
export type ProductShape = "shared" | "diagonal" | "block" | "dense";

export interface ChunkProblem {
  readonly shape: ProductShape;
  readonly stateSize: number;
  /** n: elements of the state that P_k couples; 1 unless `shape` is block or dense. */
  readonly units: number;
  readonly chunks: number;
  readonly chunkLength: number;
  readonly steps: number;
  /** `[steps, stateSize]`. */
  readonly states: Float32Array;
  /** `[chunks + 1, stateSize]`. */
  readonly boundaries: Float32Array;
  /** P_0 … P_{K−1}, `[units, units, stateSize / units]` each; if shared, all one array. */
  readonly products: readonly Float32Array[];
  /** `[stateSize]`. */
  readonly low: Float32Array;
  readonly high: Float32Array;
}

/** What a kernel may write to beside its scratch memory. */
export interface Writable {
  /** The first boundary. */
  readonly boundariesFrom?: number;
  /** The first P_k. */
  readonly productsFrom?: number;
  /** Whether it stores what it has measured. */
  readonly results?: boolean;
}

const roundedUp = (count: number) => Math.ceil(count / 4) * 4;

/** Floats of scratch memory that the undamped scans get. */
export const scanScratch = (stateSize: number) => 2 * roundedUp(stateSize) + 16;
/** Floats of scratch memory that `kalmanDiagonal` gets. */
export const kalmanDiagonalScratch = (stateSize: number, chunks: number) =>
  (2 * chunks + 4) * roundedUp(stateSize) + 16;

/** A row of a dense P_k is padded with zeros to a multiple of four. */
function padded({ shape, stateSize }: ChunkProblem, product: Float32Array): Float32Array {
  if (shape !== "dense") return product;
  const pitch = roundedUp(stateSize);
  const rows = new Float32Array(stateSize * pitch);
  for (let i = 0; i < stateSize; i++) {
    rows.set(product.subarray(i * stateSize, (i + 1) * stateSize), i * pitch);
  }
  return rows;
}

/** The last rows of a span of rows. */
const from = ({ address, length }: Span, floats: number): Span => ({
  address: address + 4 * floats,
  length: length - floats,
});

type ArrayName = "chunks" | "states" | "boundaries" | "products" | "low" | "high" | "scratch";

export class ChunkMemory {
  readonly exports: KernelExports;
  readonly #memory: GuardedMemory;
  #problem!: ChunkProblem;
  #spans!: Record<ArrayName, Span>;
  #productWidth = 0;

  constructor(exports: KernelExports) {
    this.exports = exports;
    this.#memory = new GuardedMemory(exports);
  }

  /** Forgets what was there and lays out `problem`. */
  place(problem: ChunkProblem, scratchFloats: number): void {
    const products = problem.products.map((product) => padded(problem, product));
    if (problem.shape === "shared") products.length = 1;
    const arrays = {
      states: problem.states,
      boundaries: problem.boundaries,
      products: Float32Array.from(products.flatMap((product) => [...product])),
      low: problem.low,
      high: problem.high,
    };
    this.#problem = problem;
    this.#productWidth = products[0]!.length;
    this.#spans = this.#memory.allocate({
      chunks: Chunks.size / 4,
      states: arrays.states.length,
      boundaries: arrays.boundaries.length,
      products: arrays.products.length,
      low: arrays.low.length,
      high: arrays.high.length,
      scratch: scratchFloats,
    });
    for (const [name, values] of Object.entries(arrays)) {
      this.#memory.floats(this.#spans[name as keyof typeof arrays]).set(values);
    }
    this.#describe();
  }

  #describe(): void {
    const { shape, stateSize, units } = this.#problem;
    const { states, boundaries, products, low, high, scratch } = this.#spans;
    const fields: [Chunks, number][] = [
      [Chunks.states, states.address],
      [Chunks.boundaries, boundaries.address],
      [Chunks.products, products.address],
      [Chunks.productStride, shape === "shared" ? 0 : this.#productWidth * 4],
      [Chunks.productWidth, this.#productWidth],
      [Chunks.pitch, roundedUp(stateSize)],
      [Chunks.low, low.address],
      [Chunks.high, high.address],
      [Chunks.chunks, this.#problem.chunks],
      [Chunks.chunkLength, this.#problem.chunkLength],
      [Chunks.steps, this.#problem.steps],
      [Chunks.stateSize, stateSize],
      [Chunks.units, shape === "block" ? units : 1],
      [Chunks.scratch, scratch.address],
    ];
    for (const [field, value] of fields) this.#memory.kernel.words[this.#field(field)] = value;
  }

  /** Index of a field among the memory's words. */
  #field(field: Chunks): number {
    return (this.#spans.chunks.address + field) / 4;
  }

  setDamping(lambda: number, smoother: boolean): void {
    this.#memory.kernel.floats[this.#field(Chunks.lambda)] = lambda;
    this.#memory.kernel.words[this.#field(Chunks.smoother)] = smoother ? 1 : 0;
  }

  /**
   * Calls a kernel with the address of the chunks.
   *
   * @throws Error if it writes to anything but its scratch memory and what `writable` names.
   */
  run(kernel: (chunks: number) => void, writable: Writable): void {
    const { stateSize } = this.#problem;
    const { chunks, boundaries, products, scratch } = this.#spans;
    const { boundariesFrom, productsFrom, results } = writable;
    const spans = [scratch];
    if (boundariesFrom !== undefined) spans.push(from(boundaries, boundariesFrom * stateSize));
    if (productsFrom !== undefined) spans.push(from(products, productsFrom * this.#productWidth));
    if (results) {
      const length = (Chunks.finite - Chunks.residual) / 4 + 1;
      spans.push({ address: chunks.address + Chunks.residual, length });
    }
    this.#memory.run(() => kernel(chunks.address), spans);
  }

  /** `[chunks + 1, stateSize]`. */
  get boundaries(): Float32Array {
    return this.#memory.floats(this.#spans.boundaries).slice();
  }

  /** P_k as the problem has it. */
  product(k: number): Float32Array {
    const { shape, stateSize } = this.#problem;
    const start = shape === "shared" ? 0 : k * this.#productWidth;
    const products = this.#memory.floats(this.#spans.products);
    const stored = products.slice(start, start + this.#productWidth);
    const pitch = roundedUp(stateSize);
    return shape === "dense" ? stored.filter((_, i) => i % pitch < stateSize) : stored;
  }

  /** What `measure` found. */
  get defects() {
    const { floats, words } = this.#memory.kernel;
    return {
      residual: floats[this.#field(Chunks.residual)]!,
      merit: floats[this.#field(Chunks.merit)]!,
      exactChunks: words[this.#field(Chunks.exactChunks)]!,
      finite: words[this.#field(Chunks.finite)] === 1,
    };
  }
}
