/**
 * The damped boundary update as the kernels run it (assembly/kalman.ts, assembly/kalman-dense.ts),
 * called directly: Kalman filter and smoother against the float64 reference, a textbook's filter and
 * the normal equations, on the same numbers.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Damping } from "../../src/solve/method.ts";
import {
  joinChains,
  largestExcess,
  referenceUpdate,
  type UnitChain,
  type UpdateCase,
  undampedUpdate,
  updateCases,
} from "../support/chunk-problems.ts";
import { kernelBuilds } from "../support/guarded-memory.ts";
import { scalarKalmanBounds, UNIT_ROUNDOFF } from "../support/rounding-bounds.ts";
import { preparedProblem, spoil, spoiledEntries } from "../support/spoiled-chunks.ts";
import { normalEquations, textbookFilter } from "../support/textbook-kalman.ts";
import { ChunkMemory, kalmanDiagonalScratch } from "../support/wasm-chunks.ts";

const shapes = ["shared", "diagonal", "block", "dense"] as const;
const settings = shapes.flatMap((shape) =>
  (["filter", "smoother"] as const).map((estimate) => ({ shape, estimate })),
);
/** Norms of the P_k: damping is there for those that expand. */
const growth = [0.1, 0.6, 1, 1.4, 3, 10];

/**
 * Error of the float64 numbers that the kernels are compared with, relative to the largest of the
 * filter's means. The other routes to the smoother square the problem's condition: up to ‖P‖² / λ.
 */
const otherErrors = { filter: 1e-8, smoother: 1e-7 } as const;

/** λ as the kernels see it: a float32, from 1e-6 to 1e3. */
const lambdas = fc
  .double({ min: -6, max: 3, noNaN: true })
  .map((exponent) => Math.fround(10 ** exponent));

const damped = (lambda: number, estimate: Damping["estimate"]): Damping => ({
  ...undampedUpdate,
  lambda,
  estimate,
});

const hasMatrices = ({ shape }: UpdateCase["problem"]) => shape === "dense" || shape === "block";

/** Lays out a problem and runs the filter or smoother that its P_k call for. */
function update(memory: ChunkMemory, { problem, from }: UpdateCase, damping: Damping) {
  const { kalmanDiagonal, kalmanMatrices, kalmanScratch } = memory.exports;
  const { shape, stateSize, units, chunks } = problem;
  const matrices = hasMatrices(problem);
  const scratch = matrices
    ? kalmanScratch(stateSize, units, chunks)
    : kalmanDiagonalScratch(stateSize, chunks);
  memory.place(problem, scratch);
  memory.setDamping(damping.lambda, damping.estimate === "smoother");
  memory.run(
    (at) => (matrices ? kalmanMatrices(at, from, shape === "dense") : kalmanDiagonal(at, from)),
    { boundariesFrom: from },
  );
  return memory.boundaries;
}

/**
 * How far the stored boundaries may be from `expected`. With one number an element the kernels work in
 * float32; with matrices they work in float64, and only round the result.
 *
 * @param others see `otherErrors`.
 */
function boundsOf(
  given: UpdateCase,
  { lambda, estimate }: Damping,
  expected: readonly Float64Array[],
  others: number = otherErrors[estimate],
): Float64Array[] {
  const filtered = referenceUpdate(given, damped(lambda, "filter"));
  const sizes = filtered.flatMap((values) => [...values].filter(Number.isFinite).map(Math.abs));
  const largest = Math.max(1, ...sizes);
  const rounding = hasMatrices(given.problem)
    ? null
    : joinChains(given, (chain) => scalarKalmanBounds(chain, lambda, estimate === "smoother"));
  return expected.map((values, k) =>
    values.map(
      (value, i) =>
        others * largest + UNIT_ROUNDOFF * Math.abs(value) + (rounding ? rounding[k]![i]! : 0),
    ),
  );
}

/** A P_k whose blocks have rank one and largest entries of 1e6. */
function largeProduct(product: Float32Array, units: number): Float32Array {
  const count = product.length / units ** 2;
  const unitOf = (index: number) => index % count;
  const outer = product.map((_, index) => {
    const entry = Math.floor(index / count);
    const row = (entry - (entry % units)) * count + unitOf(index);
    return product[row]! * product[(entry % units) * count + unitOf(index)]!;
  });
  const largest = new Float64Array(count);
  outer.forEach((value, index) => {
    largest[unitOf(index)] = Math.max(largest[unitOf(index)]!, Math.abs(value));
  });
  return outer.map((value, index) => (value / largest[unitOf(index)]!) * 1e6);
}

describe.each(await kernelBuilds())("the Kalman update, $simd SIMD", ({ exports }) => {
  const memory = new ChunkMemory(exports);

  const expectBoundaries = (
    given: UpdateCase,
    damping: Damping,
    expected: readonly Float64Array[],
  ) => {
    const bounds = boundsOf(given, damping, expected);
    const stored = update(memory, given, damping);
    expect(largestExcess(given, stored, expected, bounds)).toBeLessThanOrEqual(1);
  };

  it.each(settings)("of $shape P_k is the reference's $estimate", ({ shape, estimate }) => {
    fc.assert(
      fc.property(updateCases(shape, growth), lambdas, (given, lambda) => {
        const damping = damped(lambda, estimate);
        expectBoundaries(given, damping, referenceUpdate(given, damping));
      }),
    );
  });

  const byChains = (
    estimate: Damping["estimate"],
    exact: (chain: UnitChain, lambda: number) => Float64Array[],
  ) => {
    for (const shape of shapes) {
      fc.assert(
        fc.property(updateCases(shape, growth), lambdas, (given, lambda) => {
          const expected = joinChains(given, (chain) => exact(chain, lambda));
          expectBoundaries(given, damped(lambda, estimate), expected);
        }),
        { numRuns: 60 },
      );
    }
  };

  it("is a textbook's filter", () => byChains("filter", textbookFilter));

  it("solves, smoothed, the normal equations", () => byChains("smoother", normalEquations));

  it.each(settings)(
    "of $shape P_k keeps old boundaries where the reference's $estimate is not finite",
    ({ shape, estimate }) => {
      fc.assert(
        fc.property(updateCases(shape), spoiledEntries, lambdas, (sound, entries, lambda) => {
          // All P_k of the shape "shared" stay as they are: one P for all chunks, and finite.
          const spoiled = spoil(sound.problem, entries);
          const { products } = shape === "shared" ? sound.problem : preparedProblem(spoiled);
          const given = { problem: { ...spoiled, products }, from: sound.from };
          const damping = damped(lambda, estimate);
          expectBoundaries(given, damping, referenceUpdate(given, damping));
        }),
      );
    },
  );

  it("keeps covariances symmetric, and so its digits, where the P_k expand", () => {
    const small = fc.double({ min: -6, max: -5, noNaN: true }).map((e) => Math.fround(10 ** e));
    fc.assert(
      fc.property(updateCases("dense", [30]), small, (given, lambda) => {
        const damping = damped(lambda, "filter");
        const expected = referenceUpdate(given, damping);
        const bounds = boundsOf(given, damping, expected, 1e-9);
        const stored = update(memory, given, damping);
        expect(largestExcess(given, stored, expected, bounds)).toBeLessThanOrEqual(1);
      }),
      // The same problems every time: with others the reference itself may be further off.
      { numRuns: 200, seed: 5 },
    );
  });

  it("of no Jacobian passes nothing on, not even what is not finite", () => {
    fc.assert(
      fc.property(updateCases("shared"), spoiledEntries, lambdas, (sound, entries, lambda) => {
        const zero = new Float32Array(sound.problem.stateSize);
        const problem = {
          ...spoil(sound.problem, entries),
          products: sound.problem.products.map(() => zero),
        };
        const given = { problem, from: sound.from };
        for (const estimate of ["filter", "smoother"] as const) {
          const damping = damped(lambda, estimate);
          const expected = referenceUpdate(given, damping);
          // b + d / (1 + λ), with d and b of a few units.
          const bounds = expected.map((values) => values.map(() => 64 * UNIT_ROUNDOFF));
          const stored = update(memory, given, damping);
          expect(largestExcess(given, stored, expected, bounds)).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  it.each(settings.filter(({ shape }) => shape !== "shared"))(
    "of $shape P_k gets past a huge one, as a $estimate",
    ({ shape, estimate }) => {
      const doublings = fc.integer({ min: 1, max: 50 });
      fc.assert(
        fc.property(
          updateCases(shape, [0.1, 1]),
          lambdas,
          doublings,
          fc.nat(),
          (sound, ...drawn) => {
            const [smallOrLarge, doubled, place] = drawn;
            const { problem, from } = sound;
            // What is compared with here is worth nothing for a smaller λ, whose condition is ‖P‖² / λ.
            const lambda = Math.max(smallOrLarge, 0.1);
            fc.pre(from < problem.chunks);
            const k = from + (place % (problem.chunks - from));
            const withProduct = (product: Float32Array) => ({
              problem: { ...problem, products: problem.products.with(k, product) },
              from,
            });
            const large = largeProduct(problem.products[0]!, problem.units);
            const given = withProduct(large.map((value) => value * 2 ** doubled));
            // Matrices are scaled down to entries of 1e6.
            const scaled = hasMatrices(problem) ? withProduct(large) : given;
            const damping = damped(lambda, estimate);
            const expected =
              estimate === "filter"
                ? referenceUpdate(scaled, damping)
                : joinChains(scaled, (chain) => normalEquations(chain, lambda));
            const bounds = boundsOf(scaled, damping, expected, 1e-2);
            const stored = update(memory, given, damping);
            expect(largestExcess(given, stored, expected, bounds)).toBeLessThanOrEqual(1);
          },
        ),
      );
    },
  );
});
