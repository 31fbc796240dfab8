/**
 * The scans over chunks as the kernels run them (assembly/scan.ts), called directly: the undamped
 * update, the guards and what is measured, against the float64 reference on the same numbers.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ProductKind } from "../../assembly/layout.ts";
import {
  chunkEnd,
  guardedBoundaries,
  joinChains,
  largestExcess,
  oldBoundary,
  referenceUpdate,
  type UpdateCase,
  undampedUpdate,
  updateCases,
} from "../support/chunk-problems.ts";
import { kernelBuilds } from "../support/guarded-memory.ts";
import { affineBounds, UNIT_ROUNDOFF } from "../support/rounding-bounds.ts";
import { preparedProblem, productKind, spoil, spoiledEntries } from "../support/spoiled-chunks.ts";
import {
  ChunkMemory,
  type ChunkProblem,
  type ProductShape,
  scanScratch,
} from "../support/wasm-chunks.ts";

const shapes = ["shared", "diagonal", "block", "dense"] as const;
/** What a float32 result may come to before the chain counts as having overflowed. */
const LARGEST = 1e36;

function scan(memory: ChunkMemory, shape: ProductShape, from: number): void {
  const { scanBlock, scanDense, scanDiagonal } = memory.exports;
  const kernels = {
    shared: scanDiagonal,
    diagonal: scanDiagonal,
    block: scanBlock,
    dense: scanDense,
  };
  memory.run((chunks) => kernels[shape](chunks, from), { boundariesFrom: from });
}

/** The reference's boundaries of the undamped update, unguarded, and how far float32 may be from them. */
function expectation(given: UpdateCase): readonly [Float64Array[], Float64Array[]] {
  const updated = referenceUpdate(given, undampedUpdate);
  const bounds = joinChains(given, (chain) =>
    affineBounds(
      chain,
      updated.map((values) => Float64Array.from(chain.indices, (index) => values[index]!)),
    ),
  );
  return [updated, bounds];
}

const isTame = (rows: readonly Float64Array[]) =>
  rows.every((values) =>
    values.every((value) => !Number.isFinite(value) || Math.abs(value) < LARGEST),
  );

describe.each(await kernelBuilds())("the scans, $simd SIMD", ({ exports }) => {
  const memory = new ChunkMemory(exports);

  it.each(shapes)("of %s P_k give the reference's boundaries", (shape) => {
    fc.assert(
      fc.property(updateCases(shape), (given) => {
        const wanted = expectation(given);
        fc.pre(wanted.every(isTame));
        memory.place(given.problem, scanScratch(given.problem.stateSize));
        scan(memory, shape, given.from);
        expect(largestExcess(given, memory.boundaries, ...wanted)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it.each(["diagonal", "block", "dense"] as const)(
    "of %s P_k keep, replace and clip what is not finite as the reference does",
    (shape) => {
      fc.assert(
        fc.property(
          updateCases(shape),
          spoiledEntries,
          fc.constantFrom(0, 0.25, 1),
          fc.boolean(),
          ({ problem: sound, from }, entries, scale, wish) => {
            const problem = spoil(sound, entries);
            const kind = productKind(problem);
            const clip = wish && kind === ProductKind.diagonal;
            const prepared = { problem: preparedProblem(problem, scale, clip), from };
            const wanted = expectation(prepared);
            fc.pre(wanted.every(isTame));
            memory.place(problem, scanScratch(problem.stateSize));
            memory.run((chunks) => exports.guardProducts(chunks, from, kind, 1 - scale, clip), {
              productsFrom: from,
            });
            for (let k = 0; k < problem.chunks; k++) {
              const { products } = k < from ? problem : prepared.problem;
              expect(memory.product(k)).toEqual(products[k]!);
            }
            scan(memory, shape, from);
            expect(largestExcess(prepared, memory.boundaries, ...wanted)).toBeLessThanOrEqual(1);
            // The reference itself prepares the P_k too, and comes to the same.
            const alone = referenceUpdate({ problem, from }, { ...undampedUpdate, scale, clip });
            const finite = (rows: readonly Float64Array[]) =>
              rows.map((values) => [...values].map(Number.isFinite));
            expect(finite(alone)).toEqual(finite(wanted[0]));
          },
        ),
      );
    },
  );

  it("of no Jacobian pass nothing on, not even what is not finite", () => {
    fc.assert(
      fc.property(updateCases("shared"), spoiledEntries, ({ problem: sound, from }, entries) => {
        const zero = new Float32Array(sound.stateSize);
        const problem = {
          ...spoil(sound, entries),
          products: sound.products.map(() => zero),
        };
        memory.place(problem, scanScratch(problem.stateSize));
        scan(memory, "shared", from);
        const ends = Array.from({ length: problem.chunks - from }, (_, i) =>
          chunkEnd(problem, from + i),
        );
        expect(referenceUpdate({ problem, from }, undampedUpdate)).toEqual(ends);
        const expected = guardedBoundaries({ problem, from }, ends).flatMap((b) => [...b]);
        expect([...memory.boundaries]).toEqual(expected);
      }),
    );
  });

  it.each(shapes)(
    "of %s P_k store a chunk's end to the last bit if it needs no correction",
    (shape) => {
      fc.assert(
        fc.property(updateCases(shape), ({ problem: sound, from }) => {
          const { stateSize, chunks } = sound;
          fc.pre(from < chunks);
          // A sum with these loses the last digits, should one be formed.
          const boundaries = sound.boundaries.map((value) => 1e9 * value);
          boundaries.set(chunkEnd(sound, from - 1), from * stateSize);
          const problem = { ...sound, boundaries };
          memory.place(problem, scanScratch(stateSize));
          scan(memory, shape, from);
          const stored = memory.boundaries.subarray((from + 1) * stateSize, (from + 2) * stateSize);
          const end = chunkEnd(problem, from).map((value, i) =>
            Math.min(Math.max(value, problem.low[i]!), problem.high[i]!),
          );
          expect([...stored]).toEqual([...end]);
        }),
      );
    },
  );
});

describe.each(await kernelBuilds())("what is measured, $simd SIMD", ({ exports }) => {
  const memory = new ChunkMemory(exports);

  /** Makes the boundaries meet the ends of some chunks exactly. */
  function meet(problem: ChunkProblem, chunks: readonly number[]): ChunkProblem {
    const boundaries = problem.boundaries.slice();
    for (const k of chunks) boundaries.set(chunkEnd(problem, k), (k + 1) * problem.stateSize);
    return { ...problem, boundaries };
  }

  /** By the definitions of `Defects`. */
  function defectsOf({ problem, from }: UpdateCase) {
    const largest = (values: Float64Array) => Math.max(...values.map(Math.abs));
    const ks = Array.from({ length: problem.chunks - from }, (_, i) => from + i);
    const defects = ks.map((k) =>
      chunkEnd(problem, k).map((value, i) => value - oldBoundary(problem, k + 1)[i]!),
    );
    const residuals = defects.map(
      (defect, i) => largest(defect) / (1 + largest(oldBoundary(problem, ks[i]! + 1))),
    );
    const finite = residuals.every(Number.isFinite);
    const met = defects.findIndex((defect) => defect.some((value) => value !== 0));
    const exactChunks = Math.min(from + 1 + (met < 0 ? defects.length : met), problem.chunks);
    const end = chunkEnd(problem, exactChunks - 1);
    return {
      residual: finite ? Math.max(0, ...residuals) : Infinity,
      merit: finite
        ? defects.reduce((sum, d) => d.reduce((s, x) => s + x * x, sum), 0) / 2
        : Infinity,
      exactChunks,
      finite: end.every(Number.isFinite),
    };
  }

  const check = (given: UpdateCase) => {
    const { problem, from } = given;
    memory.place(problem, scanScratch(problem.stateSize));
    memory.run((chunks) => exports.measure(chunks, from), { results: true });
    const actual = memory.defects;
    const expected = defectsOf(given);
    expect({ ...actual, residual: 0, merit: 0 }).toEqual({ ...expected, residual: 0, merit: 0 });
    if (Number.isFinite(expected.residual)) {
      // A subtraction, a sum and a quotient; then the squares' sums.
      const closeTo = (value: number, units: number) => units * UNIT_ROUNDOFF * value;
      expect(Math.abs(actual.residual - expected.residual)).toBeLessThanOrEqual(
        closeTo(expected.residual, 4),
      );
      expect(Math.abs(actual.merit - expected.merit)).toBeLessThanOrEqual(
        closeTo(expected.merit, problem.stateSize + 8),
      );
    } else {
      expect([actual.residual, actual.merit]).toEqual([Infinity, Infinity]);
    }
  };

  it("are the definitions' numbers", () => {
    const met = fc.array(fc.nat({ max: 69 }), { maxLength: 12 });
    fc.assert(
      fc.property(
        updateCases("diagonal"),
        met,
        spoiledEntries,
        ({ problem, from }, ks, entries) => {
          const some = ks.filter((k) => k < problem.chunks);
          check({ problem: meet(problem, some), from: from - 1 });
          check({ problem: spoil(meet(problem, some), entries), from: from - 1 });
        },
      ),
    );
  });

  it("counts the chunks that meet, from the first one on", () => {
    const [given] = fc
      .sample(updateCases("diagonal"), { numRuns: 200, seed: 1 })
      .filter(({ problem }) => problem.chunks > 8);
    const { problem } = given!;
    const cases: [number[], number][] = [
      [[], 3],
      [[2], 4],
      [[2, 3, 4], 6],
      [[3, 4], 3],
      [[1, 2, 4], 4],
      [Array.from({ length: problem.chunks }, (_, k) => k), problem.chunks],
    ];
    for (const [ks, exactChunks] of cases) {
      const met = { problem: meet(problem, ks), from: 2 };
      check(met);
      expect(memory.defects.exactChunks).toBe(exactChunks);
    }
  });

  it("setExact moves a chunk's end to the boundary after it, and nothing else", () => {
    fc.assert(
      fc.property(updateCases("diagonal"), spoiledEntries, ({ problem: sound, from }, entries) => {
        const problem = spoil(sound, entries);
        memory.place(problem, scanScratch(problem.stateSize));
        memory.run((chunks) => exports.setExact(chunks, from), { boundariesFrom: from });
        const expected = problem.boundaries.slice();
        expected.set(chunkEnd(problem, from - 1), from * problem.stateSize);
        expect(memory.boundaries).toEqual(expected);
      }),
    );
  });
});
