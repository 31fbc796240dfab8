/** Random boundary updates for the scans, and the float64 reference's answers to them. */
import fc from "fast-check";
import { updatedBoundaries } from "../../src/backend/reference/update.ts";
import type { Damping } from "../../src/solve/method.ts";
import type { JacobianKind } from "../../src/types.ts";
import { mulberry32, normal } from "./random.ts";
import type { ChunkProblem, ProductShape } from "./wasm-chunks.ts";

/** A problem, and the first chunk whose start is not exact. */
export interface UpdateCase {
  readonly problem: ChunkProblem;
  readonly from: number;
}

interface Sizes {
  /** Elements of the state, or of a block's diagonal. */
  readonly size: number;
  readonly units: number;
  readonly chunks: number;
  readonly chunkLength: number;
  /** Steps that the last chunk is shorter. */
  readonly missing: number;
  readonly first: number;
  /** Deviation of a P_k's entries times √n. */
  readonly growth: number;
  readonly bounded: boolean;
  readonly seed: number;
}

const sizes = fc.record<Omit<Sizes, "growth">>({
  size: fc.integer({ min: 1, max: 13 }),
  units: fc.integer({ min: 1, max: 4 }),
  chunks: fc.integer({ min: 1, max: 70 }),
  chunkLength: fc.integer({ min: 1, max: 5 }),
  missing: fc.nat({ max: 4 }),
  first: fc.nat({ max: 69 }),
  bounded: fc.boolean(),
  seed: fc.nat({ max: 1e6 }),
});

/**
 * Updates with P_k that contract, or expand, over ragged chunks, and often with bounds that bite.
 *
 * @param growth norm of the P_k, roughly.
 */
export function updateCases(
  shape: ProductShape,
  growth: readonly number[] = [0.1, 0.6, 1, 1.4, 3],
): fc.Arbitrary<UpdateCase> {
  return fc.tuple(sizes, fc.constantFrom(...growth)).map(([drawn, norm]) => ({
    problem: randomProblem(shape, { ...drawn, growth: norm }),
    from: 1 + (drawn.first % drawn.chunks),
  }));
}

function randomProblem(shape: ProductShape, drawn: Sizes): ChunkProblem {
  const { chunks, chunkLength, growth, bounded, seed } = drawn;
  const units = shape === "block" ? drawn.units : shape === "dense" ? drawn.size : 1;
  // Blocks of up to 4 × 4 on states of up to 16 elements, all remainders of a vector among them.
  const stateSize = shape === "block" ? units * Math.ceil(drawn.size / units) : drawn.size;
  const steps = chunks * chunkLength - (drawn.missing % chunkLength);
  const random = mulberry32(seed);
  const product = () => normal(random, units * stateSize, 0, growth / Math.sqrt(units));
  const one = product();
  return {
    shape,
    stateSize,
    units,
    chunks,
    chunkLength,
    steps,
    states: normal(random, steps * stateSize),
    boundaries: normal(random, (chunks + 1) * stateSize),
    products: Array.from({ length: chunks }, () => (shape === "shared" ? one : product())),
    low: bound(stateSize, bounded ? -0.9 : -Infinity),
    high: bound(stateSize, bounded ? 0.6 : Infinity),
  };
}

/** Every third element of a state has no bounds. */
function bound(stateSize: number, value: number): Float32Array {
  return Float32Array.from({ length: stateSize }, (_, i) =>
    i % 3 === 2 ? Math.sign(value) * Infinity : value,
  );
}

export const undampedUpdate: Damping = {
  lambda: 0,
  estimate: "filter",
  scale: 0,
  clip: false,
  trustRegion: false,
};

const row = (values: Float32Array, k: number, width: number) =>
  Float64Array.from(values.subarray(k * width, (k + 1) * width));

/** Φ_k. */
export function chunkEnd(problem: ChunkProblem, k: number): Float64Array {
  const last = Math.min((k + 1) * problem.chunkLength, problem.steps) - 1;
  return row(problem.states, last, problem.stateSize);
}

/** b_k before the update. */
export function oldBoundary(problem: ChunkProblem, k: number): Float64Array {
  return row(problem.boundaries, k, problem.stateSize);
}

/** Whether there is no Jacobian: all P_k are one and zero. */
function hasNoJacobian({ shape, products }: ChunkProblem): boolean {
  return shape === "shared" && products[0]!.every((value) => value === 0);
}

const jacobianKinds = {
  shared: "identity",
  diagonal: "diagonal",
  block: "block",
  dense: "dense",
} as const satisfies Record<ProductShape, JacobianKind>;

/** The reference's b'_{from+1} … b'_K, in float64 and not guarded. */
export function referenceUpdate({ problem, from }: UpdateCase, damping: Damping): Float64Array[] {
  const { shape, units, chunks, products } = problem;
  const jacobian = hasNoJacobian(problem) ? "none" : jacobianKinds[shape];
  const ks = Array.from({ length: chunks - from }, (_, i) => from + i);
  const boundaries = [from - 1, ...ks].map((k) => oldBoundary(problem, k + 1));
  let start = chunkEnd(problem, from - 1);
  // Without a Jacobian what changed the first boundary does not matter, finite or not.
  if (jacobian === "none") boundaries[0] = start = new Float64Array(problem.stateSize);
  return updatedBoundaries(
    {
      jacobian,
      units,
      products: ks.map((k) => Float64Array.from(products[k]!)),
      ends: ks.map((k) => chunkEnd(problem, k)),
      boundaries,
      start,
    },
    damping,
  );
}

/**
 * The boundaries after an update whose unguarded b'_{from+1} … b'_K are given: what is not finite
 * keeps its old value, or zero if that is not finite either, and all is clipped.
 */
export function guardedBoundaries(
  { problem, from }: UpdateCase,
  updated: readonly Float64Array[],
): Float64Array[] {
  const { chunks, low, high } = problem;
  return Array.from({ length: chunks + 1 }, (_, k) => {
    const old = oldBoundary(problem, k);
    if (k < from) return old;
    if (k === from) return chunkEnd(problem, k - 1);
    return updated[k - from - 1]!.map((value, i) => {
      const kept = Number.isFinite(old[i]!) ? old[i]! : 0;
      const usable = Number.isFinite(value) ? value : kept;
      return Math.min(Math.max(usable, low[i]!), high[i]!);
    });
  });
}

/** One unit's chain of equations δ_{k+1} = P_k δ_k + d_k, k = from … K − 1, and the old boundaries. */
export interface UnitChain {
  /** Where the unit's elements lie in the state. */
  readonly indices: readonly number[];
  /** δ_from. */
  readonly start: Float64Array;
  /** P_from …, `[n, n]` each. */
  readonly matrices: readonly Float64Array[];
  /** Φ_from … and b_{from+1} …, `[n]` each. */
  readonly ends: readonly Float64Array[];
  readonly old: readonly Float64Array[];
}

/** The chains that an update falls into: one for all of the state if P_k is dense. */
export function chainsOf({ problem, from }: UpdateCase): UnitChain[] {
  const { stateSize, units, chunks, products } = problem;
  const count = stateSize / units;
  return Array.from({ length: count }, (_, unit) => {
    const indices = Array.from({ length: units }, (_, a) => a * count + unit);
    const gather = (state: Float64Array) => Float64Array.from(indices, (index) => state[index]!);
    const ks = Array.from({ length: chunks - from }, (_, i) => from + i);
    const before = gather(oldBoundary(problem, from));
    return {
      indices,
      start: gather(chunkEnd(problem, from - 1)).map((value, a) => value - before[a]!),
      matrices: ks.map((k) =>
        Float64Array.from({ length: units ** 2 }, (_, ab) => products[k]![ab * count + unit]!),
      ),
      ends: ks.map((k) => gather(chunkEnd(problem, k))),
      old: ks.map((k) => gather(oldBoundary(problem, k + 1))),
    };
  });
}

/** Puts what `ofChain` gives for each of the chain's links together to states, `[links][stateSize]`. */
export function joinChains(
  { problem, from }: UpdateCase,
  ofChain: (chain: UnitChain) => readonly Float64Array[],
): Float64Array[] {
  const joined = Array.from(
    { length: problem.chunks - from },
    () => new Float64Array(problem.stateSize),
  );
  for (const chain of chainsOf({ problem, from })) {
    ofChain(chain).forEach((values, k) => {
      chain.indices.forEach((index, a) => {
        joined[k]![index] = values[a]!;
      });
    });
  }
  return joined;
}

/**
 * Largest |stored − expected| / bound. What the reference could not compute is not computed by the
 * kernels either: there the boundaries must be just what the guards say.
 *
 * @param updated the reference's b'_{from+1} …, unguarded, and how far from them float32 may be.
 */
export function largestExcess(
  given: UpdateCase,
  stored: Float32Array,
  updated: readonly Float64Array[],
  bounds: readonly Float64Array[],
): number {
  const { problem, from } = given;
  const expected = guardedBoundaries(given, updated);
  let largest = 0;
  for (let k = 0; k <= problem.chunks; k++) {
    for (let i = 0; i < problem.stateSize; i++) {
      const value = expected[k]![i]!;
      const actual = stored[k * problem.stateSize + i]!;
      if (Object.is(actual, value)) continue;
      const isComputed = k > from && Number.isFinite(updated[k - from - 1]![i]!);
      const excess = Math.abs(actual - value) / (isComputed ? bounds[k - from - 1]![i]! : 0);
      largest = Number.isNaN(excess) ? Infinity : Math.max(largest, excess);
    }
  }
  return largest;
}
