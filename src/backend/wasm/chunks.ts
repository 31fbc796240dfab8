/**
 * One sequence cut into chunks, in the kernels' memory: its states, its boundaries, its P_k, and the
 * kernels that compare and update them.
 */
import { Chunks, ProductKind } from "../../../assembly/layout.ts";
import { stateBounds } from "../../solve/bounds.ts";
import type { Defects, EngineProblem } from "../../solve/engine.ts";
import type { Damping } from "../../solve/method.ts";
import type { KernelExports } from "./load.ts";
import type { KernelMemory } from "./memory.ts";
import { densePitch, type SweepProgram } from "./programs.ts";

/** Bytes for the structures beside the arrays, and for what their alignment leaves unused. */
const OVERHEAD = 1024;

export class ChunkMemory {
  /** Addresses, in bytes. */
  readonly source: number;
  readonly states: number;
  readonly boundaries: number;
  readonly products: number;
  /** Bytes from one P_k to the next; 0 where all are one. */
  readonly productStride: number;
  /** K. */
  readonly count: number;
  readonly #memory: KernelMemory;
  readonly #exports: KernelExports;
  readonly #problem: EngineProblem;
  readonly #stateSize: number;
  readonly #units: number;
  readonly #low: number;
  readonly #high: number;
  /** Address of the structure that the kernels read. */
  readonly #structure: number;
  #scratchFloats = 0;
  /** Address of the boundaries that `save` remembers; 0 before there are any. */
  #saved = 0;

  /**
   * @param sourceSize floats that a step reads beside the state.
   * @throws RangeError saying how many bytes are needed when they cannot be had.
   */
  constructor(
    memory: KernelMemory,
    exports: KernelExports,
    problem: EngineProblem,
    sourceSize: number,
    { productWidth, units }: SweepProgram,
  ) {
    const { cell, length, chunk, jacobian } = problem;
    const D = cell.stateSize;
    this.#memory = memory;
    this.#exports = exports;
    this.#problem = problem;
    this.#stateSize = D;
    this.#units = units;
    this.count = Math.ceil(length / chunk);
    this.productStride = productWidth * 4;
    const sizes = {
      source: length * sourceSize,
      states: length * D,
      boundaries: (this.count + 1) * D,
      products: productWidth > 0 ? this.count * productWidth : D,
    };
    // All that the run will ask for, so that one that does not fit fails before it starts.
    const scratch = this.#scratchNeeded();
    const saved = problem.damping?.trustRegion ? sizes.boundaries : 0;
    const floats = Object.values(sizes).reduce((sum, size) => sum + size, scratch + saved + 2 * D);
    const what = `${length} steps in chunks of ${chunk} with jacobian "${jacobian}"`;
    memory.require(floats * 4 + OVERHEAD, `"${cell.name}" over ${what}`);
    this.source = memory.allocateFloats(sizes.source);
    this.states = memory.allocateFloats(sizes.states);
    this.boundaries = memory.allocateFloats(sizes.boundaries);
    this.products = memory.allocateFloats(sizes.products);
    this.#low = memory.allocateFloats(D);
    this.#high = memory.allocateFloats(D);
    this.#structure = memory.allocate(Chunks.size);
    this.#describe(productWidth || D);
    this.#setBoundaries();
    this.#reserveScratch(scratch);
    if (saved > 0) this.#reserveSaved();
  }

  #describe(productWidth: number): void {
    const D = this.#stateSize;
    const fields: [Chunks, number][] = [
      [Chunks.states, this.states],
      [Chunks.boundaries, this.boundaries],
      [Chunks.products, this.products],
      [Chunks.productStride, this.productStride],
      [Chunks.productWidth, productWidth],
      [Chunks.pitch, densePitch(D)],
      [Chunks.low, this.#low],
      [Chunks.high, this.#high],
      [Chunks.chunks, this.count],
      [Chunks.chunkLength, this.#problem.chunk],
      [Chunks.steps, this.#problem.length],
      [Chunks.stateSize, D],
      [Chunks.units, this.#units],
    ];
    for (const [field, value] of fields) this.#setWord(field, value);
  }

  #setWord(field: Chunks, value: number): void {
    this.#memory.words[(this.#structure + field) / 4] = value;
  }

  #setBoundaries(): void {
    const { cell, initialState, initialGuess, chunk, length, reverse } = this.#problem;
    const { floats } = this.#memory;
    const D = this.#stateSize;
    const { low, high } = stateBounds(cell, initialState);
    floats.set(low, this.#low / 4);
    floats.set(high, this.#high / 4);
    const at = this.boundaries / 4;
    floats.set(initialState, at);
    for (let k = 1; k <= this.count; k++) {
      const step = Math.min(k * chunk, length) - 1;
      const row = (reverse ? length - 1 - step : step) * D;
      for (let i = 0; i < D; i++) {
        const given = initialGuess ? initialGuess[row + i]! : 0;
        const guess = Number.isFinite(given) ? given : 0;
        floats[at + k * D + i] = Math.min(Math.max(guess, low[i]!), high[i]!);
      }
    }
  }

  /** Floats of scratch that the updates will need. */
  #scratchNeeded(): number {
    const { damping } = this.#problem;
    const undamped = 2 * densePitch(this.#stateSize) + 16;
    if (!damping || (damping.lambda === 0 && !damping.trustRegion)) return undamped;
    return Math.max(undamped, this.#dampedScratch());
  }

  /** Scratch memory of at least `floats` floats. */
  #reserveScratch(floats: number): void {
    if (floats <= this.#scratchFloats) return;
    this.#memory.require(floats * 4, `a scan over ${this.count} chunks`);
    this.#setWord(Chunks.scratch, this.#memory.allocateFloats(floats));
    this.#scratchFloats = floats;
  }

  #reserveSaved(): void {
    if (this.#saved > 0) return;
    const floats = (this.count + 1) * this.#stateSize;
    this.#memory.require(floats * 4, "a trust region");
    this.#saved = this.#memory.allocateFloats(floats);
  }

  /** Whether the Kalman update works with matrices: of the whole state, or of each unit. */
  get #hasMatrices(): boolean {
    return this.#problem.jacobian === "dense" || this.#units > 1;
  }

  /** Floats that a damped update needs. */
  #dampedScratch(): number {
    const D = this.#stateSize;
    if (!this.#hasMatrices) return (2 * this.count + 4) * densePitch(D) + 16;
    const unit = this.#problem.jacobian === "dense" ? D : this.#units;
    return this.#exports.kalmanScratch(D, unit, this.count);
  }

  measure(from: number): Defects {
    const at = this.#structure;
    this.#exports.measure(at, from);
    const { floats, words } = this.#memory;
    return {
      residual: floats[(at + Chunks.residual) / 4]!,
      merit: floats[(at + Chunks.merit) / 4]!,
      exactChunks: words[(at + Chunks.exactChunks) / 4]!,
      finite: words[(at + Chunks.finite) / 4] === 1,
    };
  }

  update(from: number, damping: Damping): void {
    this.#guardProducts(from, damping);
    const exports = this.#exports;
    const { jacobian } = this.#problem;
    if (damping.lambda > 0) this.#updateDamped(from, damping);
    else if (jacobian === "dense") exports.scanDense(this.#structure, from);
    else if (jacobian === "block") exports.scanBlock(this.#structure, from);
    else exports.scanDiagonal(this.#structure, from);
  }

  #guardProducts(from: number, { scale, clip }: Damping): void {
    const { jacobian } = this.#problem;
    if (this.productStride === 0) {
      const value = jacobian === "identity" ? 1 - scale : 0;
      this.#memory.view(this.products, this.#stateSize).fill(value);
      return;
    }
    const blocks = this.#units > 1 ? ProductKind.block : ProductKind.diagonal;
    const kind = jacobian === "dense" ? ProductKind.dense : blocks;
    this.#exports.guardProducts(this.#structure, from, kind, 1 - scale, clip);
  }

  #updateDamped(from: number, { lambda, estimate }: Damping): void {
    const at = this.#structure;
    this.#reserveScratch(this.#dampedScratch());
    this.#memory.floats[(at + Chunks.lambda) / 4] = lambda;
    this.#setWord(Chunks.smoother, estimate === "smoother" ? 1 : 0);
    const dense = this.#problem.jacobian === "dense";
    if (this.#hasMatrices) this.#exports.kalmanMatrices(at, from, dense);
    else this.#exports.kalmanDiagonal(at, from);
  }

  save(): void {
    this.#reserveSaved();
    const start = this.boundaries / 4;
    const end = start + (this.count + 1) * this.#stateSize;
    this.#memory.floats.copyWithin(this.#saved / 4, start, end);
  }

  restore(from: number): void {
    const D = this.#stateSize;
    const start = this.#saved / 4 + (from + 1) * D;
    const end = this.#saved / 4 + (this.count + 1) * D;
    this.#memory.floats.copyWithin(this.boundaries / 4 + (from + 1) * D, start, end);
    this.#exports.setExact(this.#structure, from);
  }

  /** Exchanges b_1 … b_{K−1} with the states at the ends of the chunks. */
  swapSeams(): void {
    const { floats } = this.#memory;
    const D = this.#stateSize;
    for (let k = 1; k < this.count; k++) {
      const end = this.states / 4 + (k * this.#problem.chunk - 1) * D;
      const start = this.boundaries / 4 + k * D;
      for (let i = 0; i < D; i++) {
        const state = floats[end + i]!;
        floats[end + i] = floats[start + i]!;
        floats[start + i] = state;
      }
    }
  }
}
