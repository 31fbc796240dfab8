/** Boundary updates with numbers in them that are not finite, and what the guards make of the P_k. */
import fc from "fast-check";
import { ProductKind } from "../../assembly/layout.ts";
import type { ChunkProblem } from "./wasm-chunks.ts";

/** A number that is not finite, or zero, for one entry of the chunks' ends, P_k or boundaries. */
interface SpoiledEntry {
  readonly array: "end" | "product" | "boundary";
  readonly chunk: number;
  readonly entry: number;
  readonly value: number;
}

export const spoiledEntries = fc.array(
  fc.record<SpoiledEntry>({
    array: fc.constantFrom("end", "product", "boundary"),
    chunk: fc.nat({ max: 69 }),
    entry: fc.nat({ max: 255 }),
    value: fc.constantFrom(Number.NaN, Infinity, -Infinity, 0),
  }),
  { maxLength: 4 },
);

/** `problem` with some of its entries replaced; b_0, which is given, stays. */
export function spoil(problem: ChunkProblem, entries: readonly SpoiledEntry[]): ChunkProblem {
  const { stateSize, chunks, chunkLength, steps } = problem;
  const states = problem.states.slice();
  const boundaries = problem.boundaries.slice();
  const products = problem.products.map((product) => product.slice());
  for (const { array, chunk, entry, value } of entries) {
    const k = chunk % chunks;
    const end = Math.min((k + 1) * chunkLength, steps) - 1;
    if (array === "end") states[end * stateSize + (entry % stateSize)] = value;
    else if (array === "boundary") boundaries[(k + 1) * stateSize + (entry % stateSize)] = value;
    else products[k]![entry % products[k]!.length] = value;
  }
  return { ...problem, states, boundaries, products };
}

/** What the kernels' guard has to take the P_k for. */
export function productKind({ shape, units }: ChunkProblem): ProductKind {
  if (shape === "dense") return ProductKind.dense;
  return units > 1 ? ProductKind.block : ProductKind.diagonal;
}

/**
 * The problem with its P_k guarded, times 1 − scale, and clipped to [−1, 1], in float32: the identity
 * for a P_k that is not finite; one number an element is as many P_k.
 */
export function preparedProblem(problem: ChunkProblem, scale = 0, clip = false): ChunkProblem {
  const { units } = problem;
  const factor = Math.fround(1 - scale);
  const products = problem.products.map((product) => {
    const finite = product.every(Number.isFinite);
    const size = product.length / units ** 2;
    return product.map((value, index) => {
      const identity = Math.floor(index / size) % (units + 1) === 0 ? 1 : 0;
      const usable = (units === 1 ? Number.isFinite(value) : finite) ? value : identity;
      const scaled = Math.fround(factor * usable);
      return clip ? Math.min(Math.max(scaled, -1), 1) : scaled;
    });
  });
  return { ...problem, products };
}
