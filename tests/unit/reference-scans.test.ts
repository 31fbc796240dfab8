/** The reference backend's boundary updates: recursions, associative scans and textbooks agree. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { affineUpdate, type Chain } from "../../src/backend/reference/affine.ts";
import {
  type Affine,
  associativeScan,
  combineAffine,
  combineDenseFilter,
  combineDiagonalAffine,
  combineScalarFilter,
  combineSmoother,
  denseFilterElement,
  firstDenseFilterElement,
  firstScalarFilterElement,
  reverseAssociativeScan,
  scalarFilterElement,
  smootherElements,
} from "../../src/backend/reference/associative.ts";
import {
  apply,
  divide,
  multiply,
  scaledIdentity,
  solve,
} from "../../src/backend/reference/dense.ts";
import { type Gaussian, kalmanFilter, rtsSmoother } from "../../src/backend/reference/kalman.ts";
import { mulberry32, normal, type Random } from "../support/random.ts";

const lengths = fc.integer({ min: 1, max: 33 });
const sizes = fc.integer({ min: 1, max: 4 });
const seeds = fc.integer({ min: 0, max: 1e6 });
const lambdas = fc.constantFrom(1e-6, 0.01, 0.3, 1, 20, 1e4);

const draw = (random: Random, length: number, deviation = 1) =>
  Float64Array.from(normal(random, length, 0, deviation));

interface Problem extends Chain {
  /** d_0 … d_{K−1}. */
  readonly defects: readonly Float64Array[];
}

/** A chain whose matrices neither vanish nor explode. */
function randomProblem(length: number, size: number, seed: number): Problem {
  const random = mulberry32(seed);
  const many = (n: number, deviation: number) =>
    Array.from({ length }, () => draw(random, n, deviation));
  return {
    start: draw(random, size),
    matrices: many(size * size, 0.9 / Math.sqrt(size)),
    defects: many(size, 1),
  };
}

/** Largest difference of two lists of vectors, relative to 1 + their size. */
function difference(a: readonly Float64Array[], b: readonly Float64Array[]): number {
  expect(a.map((vector) => vector.length)).toEqual(b.map((vector) => vector.length));
  let largest = 0;
  a.forEach((vector, k) => {
    vector.forEach((value, i) => {
      const error = Math.abs(value - b[k]![i]!) / (1 + Math.abs(value));
      largest = Number.isNaN(error) ? Infinity : Math.max(largest, error);
    });
  });
  return largest;
}

/** δ_1 … δ_K by the recursion itself. */
function affineDifferences({ start, matrices, defects }: Problem): Float64Array[] {
  const zeros = defects.map((defect) => new Float64Array(defect.length));
  return affineUpdate({ start, matrices }, defects, zeros);
}

const meansOf = (gaussians: readonly Gaussian[]) => gaussians.map(({ mean }) => mean);
const covariancesOf = (gaussians: readonly Gaussian[]) =>
  gaussians.map(({ covariance }) => covariance);

const filteredMeans = (problem: Problem, lambda: number) =>
  meansOf(kalmanFilter(problem, problem.defects, lambda).filtered);

describe("dense linear algebra", () => {
  it("solves systems whose pivots are zero or small", () => {
    const a = Float64Array.of(0, 2, 1, 1e-20, 1, 1, 3, 0, 1);
    const x = Float64Array.of(1, -2, 0.5);
    expect(difference([solve(a, apply(a, x), 3, 1)], [x])).toBeLessThan(1e-14);
  });

  it("divides and solves as inverses of multiplication", () => {
    fc.assert(
      fc.property(sizes, seeds, (n, seed) => {
        const random = mulberry32(seed);
        // Far enough from singular by its diagonal.
        const a = draw(random, n * n).map((value, i) => value + (i % (n + 1) === 0 ? 9 : 0));
        const b = draw(random, n * n);
        expect(difference([solve(a, multiply(a, b, n), n)], [b])).toBeLessThan(1e-12);
        expect(difference([divide(multiply(b, a, n), a, n)], [b])).toBeLessThan(1e-12);
      }),
    );
  });

  it("gives what is not finite for a singular system", () => {
    const x = solve(Float64Array.of(1, 2, 2, 4), Float64Array.of(1, 1), 2, 1);
    expect([...x].some(Number.isFinite)).toBe(false);
  });
});

describe("associativeScan", () => {
  it("combines every prefix and suffix in order", () => {
    const letters = [..."abcdefghijklmnopqrstuvwxyz"];
    const join = (earlier: string, later: string) => earlier + later;
    for (let length = 0; length <= letters.length; length++) {
      const some = letters.slice(0, length);
      const prefixes = some.map((_, i) => some.slice(0, i + 1).join(""));
      const suffixes = some.map((_, i) => some.slice(i).join(""));
      expect(associativeScan(some, join)).toEqual(prefixes);
      expect(reverseAssociativeScan(some, join)).toEqual(suffixes);
    }
  });

  it("has logarithmic depth and linear work", () => {
    let work = 0;
    const elements = Array.from({ length: 1000 }, () => 0);
    const depths = associativeScan(elements, (a, b) => {
      work++;
      return Math.max(a, b) + 1;
    });
    expect(Math.max(...depths)).toBeLessThanOrEqual(2 * 10);
    expect(work).toBeLessThan(2 * 1000);
  });
});

describe("affine scans", () => {
  it("equal the recursion for dense matrices", () => {
    fc.assert(
      fc.property(lengths, sizes, seeds, (length, size, seed) => {
        const problem = randomProblem(length, size, seed);
        const elements = problem.matrices.map((matrix, k): Affine => {
          const offset = problem.defects[k]!;
          if (k > 0) return { matrix, offset };
          const first = apply(matrix, problem.start).map((value, i) => value + offset[i]!);
          return { matrix: new Float64Array(size * size), offset: first };
        });
        const scanned = associativeScan(elements, combineAffine).map(({ offset }) => offset);
        expect(difference(scanned, affineDifferences(problem))).toBeLessThan(1e-12);
      }),
    );
  });

  it("equal the recursion of every unit for diagonal matrices", () => {
    fc.assert(
      fc.property(lengths, sizes, seeds, (length, size, seed) => {
        const units = Array.from({ length: size }, (_, u) => randomProblem(length, 1, seed + u));
        const gather = (pick: (unit: Problem) => Float64Array) =>
          Float64Array.from(units, (unit) => pick(unit)[0]!);
        const elements = Array.from({ length }, (_, k) => ({
          matrix: gather((unit) => unit.matrices[k]!),
          offset: gather((unit) => unit.defects[k]!),
        }));
        const start = { matrix: new Float64Array(size), offset: gather((unit) => unit.start) };
        const scanned = associativeScan([start, ...elements], combineDiagonalAffine);
        const separate = units.map(affineDifferences);
        const together = elements.map((_, k) =>
          Float64Array.from(separate, (differences) => differences[k]![0]!),
        );
        const offsets = scanned.slice(1).map(({ offset }) => offset);
        expect(difference(offsets, together)).toBeLessThan(1e-12);
      }),
    );
  });

  it("return a chunk's end to the last bit where nothing is to be corrected", () => {
    const chain = { start: Float64Array.of(0), matrices: [Float64Array.of(3), Float64Array.of(5)] };
    const ends = [Float64Array.of(0.1), Float64Array.of(0.7)];
    const [first] = affineUpdate(chain, ends, [Float64Array.of(1e9), Float64Array.of(1e9)]);
    expect(first![0]).toBe(0.1);
  });
});

/** State z_{k+1} = F_k z_k + c_k + N(0, 1), seen as y_{k+1} = z_{k+1} + N(0, σ²); z_0 is known. */
interface ScalarModel {
  readonly factors: readonly number[];
  readonly constants: readonly number[];
  readonly seen: readonly number[];
  readonly start: number;
}

/** The filter of the textbooks, by its gain. */
function textbookFilter({ factors, constants, seen, start }: ScalarModel, variance: number) {
  let mean = start;
  let uncertainty = 0;
  return factors.map((factor, k) => {
    mean = factor * mean + constants[k]!;
    uncertainty = factor * uncertainty * factor + 1;
    const gain = uncertainty / (uncertainty + variance);
    mean += gain * (seen[k]! - mean);
    uncertainty *= 1 - gain;
    return { mean, uncertainty };
  });
}

describe("the Kalman filter", () => {
  it("is the textbook's scalar filter around the old boundaries", () => {
    fc.assert(
      fc.property(lengths, seeds, lambdas, (length, seed, lambda) => {
        const random = mulberry32(seed);
        const [factors, constants, seen] = [0, 1, 2].map(() => [...draw(random, length)]) as [
          number[],
          number[],
          number[],
        ];
        const start = 0.7;
        const origin = -0.4;
        const model = { factors, constants, seen, start };
        const expected = textbookFilter(model, 1 / lambda);
        // δ = z − y: the old boundaries are what is seen, and `origin` is the first one.
        const before = [origin, ...seen];
        const chain = {
          start: Float64Array.of(start - origin),
          matrices: factors.map((factor) => Float64Array.of(factor)),
        };
        const defects = factors.map((factor, k) =>
          Float64Array.of(factor * before[k]! + constants[k]! - seen[k]!),
        );
        const { filtered } = kalmanFilter(chain, defects, lambda);
        const means = filtered.map(({ mean }, k) => Float64Array.of(seen[k]! + mean[0]!));
        const variances = covariancesOf(filtered);
        const textbookMeans = expected.map(({ mean }) => Float64Array.of(mean));
        const textbookVariances = expected.map(({ uncertainty }) => Float64Array.of(uncertainty));
        expect(difference(means, textbookMeans)).toBeLessThan(1e-10);
        expect(difference(variances, textbookVariances)).toBeLessThan(1e-10);
      }),
    );
  });

  it("equals the scan of dense elements", () => {
    fc.assert(
      fc.property(lengths, sizes, seeds, lambdas, (length, size, seed, lambda) => {
        const { start, matrices, defects } = randomProblem(length, size, seed);
        const elements = matrices.map((matrix, k) =>
          k === 0
            ? firstDenseFilterElement(matrix, defects[k]!, lambda, start)
            : denseFilterElement(matrix, defects[k]!, lambda),
        );
        const scanned = associativeScan(elements, combineDenseFilter);
        const { filtered } = kalmanFilter({ start, matrices }, defects, lambda);
        const means = scanned.map(({ b }) => b);
        const covariances = scanned.map(({ C }) => C);
        expect(difference(means, meansOf(filtered))).toBeLessThan(1e-9);
        expect(difference(covariances, covariancesOf(filtered))).toBeLessThan(1e-9);
      }),
    );
  });

  it("equals the scan of scalar elements", () => {
    fc.assert(
      fc.property(lengths, seeds, lambdas, (length, seed, lambda) => {
        const { start, matrices, defects } = randomProblem(length, 1, seed);
        const elements = matrices.map(([factor], k) =>
          k === 0
            ? firstScalarFilterElement(factor!, defects[k]![0]!, lambda, start[0]!)
            : scalarFilterElement(factor!, defects[k]![0]!, lambda),
        );
        const scanned = associativeScan(elements, combineScalarFilter);
        const { filtered } = kalmanFilter({ start, matrices }, defects, lambda);
        const means = scanned.map(({ b }) => Float64Array.of(b));
        const variances = scanned.map(({ C }) => Float64Array.of(C));
        expect(difference(means, meansOf(filtered))).toBeLessThan(1e-9);
        expect(difference(variances, covariancesOf(filtered))).toBeLessThan(1e-9);
      }),
    );
  });

  it("has elements whose combination is associative in all five parts", () => {
    fc.assert(
      fc.property(sizes, seeds, lambdas, (size, seed, lambda) => {
        const { matrices, defects } = randomProblem(3, size, seed);
        const [a, b, c] = matrices.map((m, k) => denseFilterElement(m, defects[k]!, lambda));
        const left = combineDenseFilter(combineDenseFilter(a!, b!), c!);
        const right = combineDenseFilter(a!, combineDenseFilter(b!, c!));
        for (const key of ["A", "b", "C", "eta", "J"] as const) {
          expect(difference([left[key]], [right[key]])).toBeLessThan(1e-9);
        }
      }),
    );
  });

  it("is the affine update as λ goes to zero", () => {
    fc.assert(
      fc.property(lengths, sizes, seeds, (length, size, seed) => {
        const problem = randomProblem(length, size, seed);
        const undamped = affineDifferences(problem);
        const zeros = undamped.map((vector) => new Float64Array(vector.length));
        const growth = 1 + difference(undamped, zeros);
        expect(difference(filteredMeans(problem, 1e-14), undamped)).toBeLessThan(1e-8 * growth);
      }),
    );
  });

  it("keeps the old boundaries as λ goes to infinity", () => {
    const problem = randomProblem(20, 3, 5);
    const zeros = problem.defects.map((defect) => new Float64Array(defect.length));
    expect(difference(filteredMeans(problem, 1e14), zeros)).toBeLessThan(1e-12);
  });
});

/** arg min Σ‖δ_{k+1} − P_k δ_k − d_k‖² + λ Σ‖δ_{k+1}‖², by its dense normal equations. */
function leastSquares({ start, matrices, defects }: Problem, lambda: number): Float64Array[] {
  const n = start.length;
  const unknowns = n * matrices.length;
  // Rows of J δ = r, where J is block bidiagonal: I on the diagonal, −P_k below it.
  const jacobian = scaledIdentity(unknowns);
  const right = new Float64Array(unknowns);
  matrices.forEach((matrix, k) => {
    for (let a = 0; a < n; a++) {
      right[k * n + a] = defects[k]![a]!;
      for (let b = 0; b < n; b++) {
        const entry = matrix[a * n + b]!;
        if (k === 0) right[a]! += entry * start[b]!;
        else jacobian[(k * n + a) * unknowns + (k - 1) * n + b] = -entry;
      }
    }
  });
  const normalMatrix = scaledIdentity(unknowns, lambda);
  const gradient = new Float64Array(unknowns);
  for (let i = 0; i < unknowns; i++) {
    for (let row = 0; row < unknowns; row++) {
      gradient[i]! += jacobian[row * unknowns + i]! * right[row]!;
      for (let j = 0; j < unknowns; j++) {
        normalMatrix[i * unknowns + j]! +=
          jacobian[row * unknowns + i]! * jacobian[row * unknowns + j]!;
      }
    }
  }
  const solution = solve(normalMatrix, gradient, unknowns, 1);
  return matrices.map((_, k) => solution.slice(k * n, (k + 1) * n));
}

describe("the smoother", () => {
  it("solves the Levenberg–Marquardt problem that the filter only approximates", () => {
    const few = fc.integer({ min: 1, max: 12 });
    fc.assert(
      fc.property(few, sizes, seeds, lambdas, (length, size, seed, lambda) => {
        const problem = randomProblem(length, size, seed);
        const smoothed = rtsSmoother(problem, kalmanFilter(problem, problem.defects, lambda));
        expect(difference(smoothed, leastSquares(problem, lambda))).toBeLessThan(1e-8);
      }),
      { numRuns: 50 },
    );
    const problem = randomProblem(12, 2, 1);
    expect(difference(filteredMeans(problem, 1), leastSquares(problem, 1))).toBeGreaterThan(1e-2);
  });

  it("equals the reverse scan of its elements", () => {
    fc.assert(
      fc.property(lengths, sizes, seeds, lambdas, (length, size, seed, lambda) => {
        const problem = randomProblem(length, size, seed);
        const filtered = kalmanFilter(problem, problem.defects, lambda);
        const elements = smootherElements(problem, filtered);
        const scanned = reverseAssociativeScan(elements, combineSmoother);
        const means = scanned.map(({ offset }) => offset);
        expect(difference(means, rtsSmoother(problem, filtered))).toBeLessThan(1e-10);
      }),
    );
  });
});
