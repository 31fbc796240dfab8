/**
 * One sequence cut into chunks, in the kernels' memory: its states, its boundaries, its P_k, and the
 * kernels that compare and update them.
 */
import { Chunks, ProductKind } from "../../../assembly/layout.ts";
import { stateBounds } from "../../solve/bounds.ts";
import type { EngineProblem, SweepEngine } from "../../solve/engine.ts";
import type { KernelExports } from "./load.ts";
import type { KernelMemory } from "./memory.ts";
import { densePitch, type SweepProgram } from "./programs.ts";

/** Bytes for the structures beside the arrays, and for what their alignment leaves unused. */
const OVERHEAD = 1024;

/** Addresses, in bytes. */
export interface ChunkArrays {
  /** What the steps read beside the state. */
  readonly source: number;
  readonly states: number;
  /** s_0 first. */
  readonly boundaries: number;
  readonly products: number;
  /** Bytes from one P_k to the next; 0 where all are one. */
  readonly productStride: number;
}

/** The part of an engine that compares and updates boundaries. */
export interface ChunkMemory extends Pick<SweepEngine, "measure" | "update" | "save" | "restore"> {
  readonly arrays: ChunkArrays;
  /** Exchanges b_1 … b_{K−1} with the states at the ends of the chunks. */
  swapSeams(): void;
}

/**
 * Lays out all that the run will ask for, so that one that does not fit fails before it starts.
 *
 * @param sourceSize floats that a step reads beside the state.
 * @throws RangeError saying how many bytes are needed when they cannot be had.
 */
export function allocateChunks(
  memory: KernelMemory,
  exports: KernelExports,
  problem: EngineProblem,
  sourceSize: number,
  { productWidth, units }: SweepProgram,
): ChunkMemory {
  const { cell, length, chunk, jacobian, damping: planned } = problem;
  const D = cell.stateSize;
  const count = Math.ceil(length / chunk);
  const isDense = jacobian === "dense";
  /** Whether the Kalman update works with matrices: of the whole state, or of each unit. */
  const hasMatrices = isDense || units > 1;
  const isDamped = planned.lambda > 0 || planned.trustRegion;
  const sizes = {
    source: length * sourceSize,
    states: length * D,
    boundaries: (count + 1) * D,
    products: productWidth > 0 ? count * productWidth : D,
    low: D,
    high: D,
    saved: planned.trustRegion ? (count + 1) * D : 0,
    scratch: Math.max(2 * densePitch(D) + 16, isDamped ? dampedScratch() : 0),
  };
  const floats = Object.values(sizes).reduce((sum, size) => sum + size);
  const what = `${length} steps in chunks of ${chunk} with jacobian "${jacobian}"`;
  memory.require(floats * 4 + OVERHEAD, `"${cell.name}" over ${what}`);
  const source = memory.allocateFloats(sizes.source);
  const states = memory.allocateFloats(sizes.states);
  const boundaries = memory.allocateFloats(sizes.boundaries);
  const products = memory.allocateFloats(sizes.products);
  const low = memory.allocateFloats(sizes.low);
  const high = memory.allocateFloats(sizes.high);
  const saved = memory.allocateFloats(sizes.saved);
  const scratch = memory.allocateFloats(sizes.scratch);
  const productStride = productWidth * 4;
  /** What the kernels read. */
  const structure = memory.allocate(Chunks.size);
  memory.setFields(structure, [
    [Chunks.states, states],
    [Chunks.boundaries, boundaries],
    [Chunks.products, products],
    [Chunks.productStride, productStride],
    [Chunks.productWidth, productWidth || D],
    [Chunks.pitch, densePitch(D)],
    [Chunks.low, low],
    [Chunks.high, high],
    [Chunks.chunks, count],
    [Chunks.chunkLength, chunk],
    [Chunks.steps, length],
    [Chunks.stateSize, D],
    [Chunks.units, units],
    [Chunks.scratch, scratch],
  ]);
  setBoundaries();

  /** Floats that a damped update needs. */
  function dampedScratch(): number {
    if (!hasMatrices) return (2 * count + 4) * densePitch(D) + 16;
    return exports.kalmanScratch(D, isDense ? D : units, count);
  }

  function setBoundaries(): void {
    const { initialState, initialGuess, reverse } = problem;
    const { floats } = memory;
    const bounds = stateBounds(cell, initialState);
    floats.set(bounds.low, low / 4);
    floats.set(bounds.high, high / 4);
    const at = boundaries / 4;
    floats.set(initialState, at);
    for (let k = 1; k <= count; k++) {
      const step = Math.min(k * chunk, length) - 1;
      const row = (reverse ? length - 1 - step : step) * D;
      for (let i = 0; i < D; i++) {
        const given = initialGuess ? initialGuess[row + i]! : 0;
        const guess = Number.isFinite(given) ? given : 0;
        floats[at + k * D + i] = Math.min(Math.max(guess, bounds.low[i]!), bounds.high[i]!);
      }
    }
  }

  /** Copies the boundaries from b_`from` on to an address, or back from there. */
  function copyBoundaries(source: number, target: number, from: number): void {
    const start = from * D;
    const end = source / 4 + (count + 1) * D;
    memory.floats.copyWithin(target / 4 + start, source / 4 + start, end);
  }

  return {
    arrays: { source, states, boundaries, products, productStride },
    measure(from) {
      exports.measure(structure, from);
      const { floats, words } = memory;
      return {
        residual: floats[(structure + Chunks.residual) / 4]!,
        merit: floats[(structure + Chunks.merit) / 4]!,
        exactChunks: words[(structure + Chunks.exactChunks) / 4]!,
        finite: words[(structure + Chunks.finite) / 4] === 1,
      };
    },
    update(from, { lambda, estimate, scale, clip }) {
      if (productStride === 0) {
        memory.view(products, D).fill(jacobian === "identity" ? 1 - scale : 0);
      } else {
        const blocks = units > 1 ? ProductKind.block : ProductKind.diagonal;
        const kind = isDense ? ProductKind.dense : blocks;
        exports.guardProducts(structure, from, kind, 1 - scale, clip);
      }
      if (lambda > 0) {
        memory.floats[(structure + Chunks.lambda) / 4] = lambda;
        memory.setFields(structure, [[Chunks.smoother, estimate === "smoother" ? 1 : 0]]);
        if (hasMatrices) exports.kalmanMatrices(structure, from, isDense);
        else exports.kalmanDiagonal(structure, from);
      } else if (isDense) exports.scanDense(structure, from);
      else if (jacobian === "block") exports.scanBlock(structure, from);
      else exports.scanDiagonal(structure, from);
    },
    save: () => copyBoundaries(boundaries, saved, 0),
    restore(from) {
      copyBoundaries(saved, boundaries, from + 1);
      exports.setExact(structure, from);
    },
    swapSeams() {
      const { floats } = memory;
      for (let k = 1; k < count; k++) {
        const end = states / 4 + (k * chunk - 1) * D;
        const start = boundaries / 4 + k * D;
        const state = floats.slice(end, end + D);
        floats.copyWithin(end, start, start + D);
        floats.set(state, start);
      }
    },
  };
}
