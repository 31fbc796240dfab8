import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { blockDiagonal, blockSize } from "../../src/cell/differentiate.ts";
import {
  add,
  type Cell,
  cos,
  defineCell,
  exp,
  linear,
  multiply,
  relu,
  split,
  sqrt,
  subtract,
  tanh,
  type Vector,
} from "../../src/cell/index.ts";
import { recurrenceOf } from "../../src/cell/recurrence.ts";
import { cellNamed, cells } from "../support/cells.ts";
import {
  derivativeErrors,
  evaluate,
  expectedJacobian,
  kinkDistance,
  nodeCounts,
  type Point,
  randomVector,
  tangentJacobian,
} from "../support/derivative-checks.ts";
import { relativeError } from "../support/finite-differences.ts";
import { cellOfPlan, programPlans } from "../support/programs.ts";
import { mulberry32, type Random } from "../support/random.ts";

const TOLERANCE = 1e-7;
/** Two exact derivatives of one function: rounding only. */
const ROUNDING = 1e-12;

/** A random state and input at which a finite difference crosses no kink. */
function smoothPoint(cell: Cell, random: Random): Point {
  for (let attempt = 0; attempt < 1000; attempt++) {
    const state = randomVector(random, cell.stateSize);
    const input = randomVector(random, cell.inputSize);
    const at = { state, input };
    // 1/16 wide steps along directions in [−1, 1]ⁿ, through weights whose rows sum to a few units.
    if (kinkDistance(cell.next, cell.weights, at) < 0.02) continue;
    return { weights: cell.weights, at, leaves: { state: cell.state, input: cell.input } };
  }
  throw new Error(`no smooth point found for ${cell.name}`);
}

/** The same point for the split form, whose leaves are the state and the drive. */
function splitPoint(cell: Cell, { weights, at }: Point): Point {
  const { drive } = recurrenceOf(cell);
  const [value] = evaluate([drive], weights, at);
  const leaves = { state: cell.state, drive: cell.graph.leaf("drive", drive.size) };
  return { weights, leaves, at: { state: at.state, drive: value } };
}

/** The blocks' diagonals out of a dense Jacobian, in the layout of `BlockDiagonal.blocks`. */
function blocksOf(jacobian: Float64Array, stateSize: number, units: number): Float64Array[][] {
  const size = stateSize / units;
  const range = Array.from({ length: units }, (_, a) => a);
  return range.map((a) =>
    range.map((b) =>
      Float64Array.from({ length: size }, (_, i) => {
        return jacobian[(a * size + i) * stateSize + b * size + i];
      }),
    ),
  );
}

function evaluateBlocks(blocks: readonly (readonly Vector[])[], point: Point, extra = {}) {
  return blocks.map((row) => evaluate(row, point.weights, { ...point.at, ...extra }));
}

const flatten = (blocks: Float64Array[][]) =>
  blocks.flatMap((row) => row.flatMap((block) => [...block]));

const estimated = new Set(["custom-three-layers"]);

describe.each(cells(7).map((cell) => [cell.name, cell] as const))(
  "derivatives of %s",
  (_, cell) => {
    const random = mulberry32(3);
    const points = Array.from({ length: 3 }, () => smoothPoint(cell, random));
    const kinds = [...new Set([1, blockSize(cell)])];

    it("agree with finite differences, for the step", () => {
      for (const point of points) {
        const errors = derivativeErrors(cell.next, point, random);
        expect(errors.tangent).toBeLessThan(TOLERANCE);
        expect(errors.cotangents).toBeLessThan(TOLERANCE);
        expect(errors.jacobian).toBeLessThan(TOLERANCE);
        expect(errors.adjointness).toBeLessThan(ROUNDING);
      }
    });

    it("agree with finite differences, for the recurrence without its drive", () => {
      const { next } = recurrenceOf(cell);
      for (const point of points) {
        const errors = derivativeErrors(next, splitPoint(cell, point), random);
        expect(errors.tangent).toBeLessThan(TOLERANCE);
        expect(errors.cotangents).toBeLessThan(TOLERANCE);
        expect(errors.jacobian).toBeLessThan(TOLERANCE);
        expect(errors.adjointness).toBeLessThan(ROUNDING);
      }
    });

    it.each(kinds)("have a diagonal of %i × %i blocks a unit", (units) => {
      const whole = blockDiagonal(cell.next, units, cell.probes);
      const split = blockDiagonal(recurrenceOf(cell).next, units, cell.probes);
      expect(whole.exact).toBe(!estimated.has(cell.name));
      expect(split.exact).toBe(whole.exact);
      if (!whole.exact) return;
      for (const point of points) {
        const expected = blocksOf(
          expectedJacobian(cell.next, point, "state"),
          cell.stateSize,
          units,
        );
        const wholeBlocks = evaluateBlocks(whole.blocks, point);
        const splitBlocks = evaluateBlocks(split.blocks, splitPoint(cell, point));
        expect(relativeError(flatten(wholeBlocks), flatten(expected))).toBeLessThan(TOLERANCE);
        expect(relativeError(flatten(splitBlocks), flatten(expected))).toBeLessThan(TOLERANCE);
      }
    });
  },
);

describe("derivatives of random programs", () => {
  const settings = { seed: 20240719, numRuns: 250 };

  it("agree with finite differences, whole and without the drive", () => {
    fc.assert(
      fc.property(programPlans(), fc.nat({ max: 1e6 }), (plan, seed) => {
        const cell = cellOfPlan(plan);
        const random = mulberry32(seed);
        const point = smoothPoint(cell, random);
        const forms: [Vector, Point][] = [
          [cell.next, point],
          [recurrenceOf(cell).next, splitPoint(cell, point)],
        ];
        for (const [output, place] of forms) {
          const errors = derivativeErrors(output, place, random);
          expect(errors.tangent).toBeLessThan(TOLERANCE);
          expect(errors.cotangents).toBeLessThan(TOLERANCE);
          expect(errors.jacobian).toBeLessThan(TOLERANCE);
          expect(errors.adjointness).toBeLessThan(ROUNDING);
        }
      }),
      settings,
    );
  });

  it("have block diagonals that are those of the dense Jacobian, wherever exact", () => {
    const seen = { exact: 0, estimated: 0 };
    fc.assert(
      fc.property(programPlans({ partsOfOneSize: true }), fc.nat({ max: 1e6 }), (plan, seed) => {
        const cell = cellOfPlan(plan);
        const point = smoothPoint(cell, mulberry32(seed));
        const jacobian = tangentJacobian(cell.next, point, "state");
        for (const units of [1, cell.parts.length]) {
          const { blocks, exact } = blockDiagonal(cell.next, units, cell.probes);
          seen[exact ? "exact" : "estimated"]++;
          if (!exact) continue;
          const expected = flatten(blocksOf(jacobian, cell.stateSize, units));
          const actual = flatten(evaluateBlocks(blocks, point));
          expect(relativeError(actual, expected)).toBeLessThan(ROUNDING);
        }
      }),
      { ...settings, numRuns: 500 },
    );
    // Both kinds came up, so that neither branch above was tested by nothing.
    expect(seen.exact).toBeGreaterThan(300);
    expect(seen.estimated).toBeGreaterThan(0);
  });

  it("have a split form with the same values", () => {
    fc.assert(
      fc.property(programPlans(), fc.nat({ max: 1e6 }), (plan, seed) => {
        const cell = cellOfPlan(plan);
        const point = smoothPoint(cell, mulberry32(seed));
        const [whole] = evaluate([cell.next], cell.weights, point.at);
        const { at } = splitPoint(cell, point);
        const [split] = evaluate([recurrenceOf(cell).next], cell.weights, at);
        expect(relativeError(split, whole)).toBeLessThan(ROUNDING);
      }),
      settings,
    );
  });
});

describe("Hutchinson's estimate", () => {
  const signs = (random: Random, length: number) =>
    Float64Array.from({ length }, () => (random() < 0.5 ? -1 : 1));

  it("has the diagonal as its mean", () => {
    const cell = cellNamed("custom-three-layers", 7);
    const random = mulberry32(11);
    const point = smoothPoint(cell, random);
    const jacobian = expectedJacobian(cell.next, point, "state");
    const [[expected]] = blocksOf(jacobian, cell.stateSize, 1);
    const { blocks, exact } = blockDiagonal(cell.next, 1, cell.probes);
    expect(exact).toBe(false);

    const runs = 4000;
    const mean = new Float64Array(cell.stateSize);
    for (let run = 0; run < runs; run++) {
      const drawn = { signs: signs(random, cell.probes * cell.stateSize) };
      evaluateBlocks(blocks, point, drawn)[0][0].forEach((value, i) => {
        mean[i] += value / runs;
      });
    }
    expected.forEach((entry, i) => {
      // Of one probe: the variance is the sum of the squares of the row's other entries.
      const row = jacobian.subarray(i * cell.stateSize, (i + 1) * cell.stateSize);
      const variance = row.reduce((sum, x) => sum + x * x, 0) - entry * entry;
      const deviation = Math.sqrt(variance / (cell.probes * runs));
      expect(deviation).toBeGreaterThan(0);
      expect(Math.abs(mean[i] - entry)).toBeLessThan(4 * deviation);
    });
  });

  it("estimates each block of a unit on its own", () => {
    const h = 2;
    const square = Float64Array.of(0.4, -0.7, 0.9, 0.2);
    const matrix = { shape: [h, h], data: square } as const;
    const cell = defineCell({
      name: "three-layers-two-parts",
      inputSize: 0,
      state: { a: h, b: h },
      weights: { w: matrix },
      step: ({ a, b }, _, { w }) => {
        const deep = linear(w, tanh(linear(w, tanh(linear(w, tanh(a))))));
        return { a: add(deep, multiply(b, b)), b: multiply(a, b) };
      },
    });
    const random = mulberry32(5);
    const point = smoothPoint(cell, random);
    const expected = blocksOf(expectedJacobian(cell.next, point, "state"), 2 * h, 2);
    const { blocks, exact } = blockDiagonal(cell.next, 2, 1);
    expect(exact).toBe(false);
    // Two units have two different sign patterns up to a factor: their average is the expectation.
    const patterns = [1, -1].map((sign) => ({ signs: Float64Array.of(1, sign, 1, sign) }));
    const [same, opposite] = patterns.map((drawn) => evaluateBlocks(blocks, point, drawn));
    const mean = flatten(same).map((value, i) => (value + flatten(opposite)[i]) / 2);
    expect(relativeError(mean, flatten(expected))).toBeLessThan(TOLERANCE);
    // Only ∂a/∂a is not a diagonal matrix, so any one pattern gives the other blocks exactly.
    for (const [a, b] of [
      [0, 1],
      [1, 0],
      [1, 1],
    ]) {
      expect(relativeError(same[a][b], expected[a][b])).toBeLessThan(TOLERANCE);
    }
    expect(relativeError(same[0][0], expected[0][0])).toBeGreaterThan(0.01);
  });

  it("is exact where the Jacobian is diagonal", () => {
    // Three layers deep for the rule, and yet diagonal: all weights are diagonal matrices.
    const data = Float64Array.of(0.9, 0, 0, 0, -1.2, 0, 0, 0, 0.7);
    const cell = defineCell({
      name: "diagonal-in-disguise",
      inputSize: 1,
      state: { h: 3 },
      weights: { w: { shape: [3, 3], data }, u: { shape: [3, 1], data: data.slice(0, 3) } },
      step: ({ h }, x, { w, u }) => ({
        h: tanh(linear(w, tanh(linear(w, tanh(add(linear(w, h), linear(u, x))))))),
      }),
    });
    const random = mulberry32(2);
    const point = smoothPoint(cell, random);
    const { blocks, exact } = blockDiagonal(cell.next, 1, 1);
    expect(exact).toBe(false);
    const [[expected]] = blocksOf(expectedJacobian(cell.next, point, "state"), 3, 1);
    for (let run = 0; run < 8; run++) {
      const [[actual]] = evaluateBlocks(blocks, point, { signs: signs(random, 3) });
      expect(relativeError(actual, expected)).toBeLessThan(TOLERANCE);
    }
  });
});

describe("the cost of a diagonal", () => {
  const costly = ["tanh", "sigmoid", "exp", "log", "softplus", "sin", "cos", "sqrt", "divide"];
  const cheap = ["negate", "relu", "step", "add", "subtract", "multiply", "where", "greater"];

  /** Nodes that the diagonal adds to the step, which a sweep evaluates anyway. */
  function added(cell: Cell, units: number) {
    const { next } = recurrenceOf(cell);
    const { blocks } = blockDiagonal(next, units, cell.probes);
    const step = nodeCounts([next]);
    const both = nodeCounts([next, ...blocks.flat()]);
    const total = (names: readonly string[], counts: Record<string, number>) =>
      names.reduce((sum, name) => sum + (counts[name] ?? 0), 0);
    return {
      stepPointwise: total([...costly, ...cheap], step),
      pointwise: total([...costly, ...cheap], both) - total([...costly, ...cheap], step),
      costly: total(costly, both) - total(costly, step),
      linear: (both.linear ?? 0) - (step.linear ?? 0),
    };
  }

  it.each([
    // cell, units, pointwise operations of the step, most that the diagonal may add, linear layers
    ["rnn-tanh", 1, 2, 3, 0],
    ["gru-reset-after", 1, 11, 18, 0],
    ["gru-reset-before", 1, 10, 16, 1],
    ["minimal-gru", 1, 8, 14, 1],
    ["diagonal-gru", 1, 13, 18, 0],
    ["lstm-plain", 1, 13, 26, 0],
    ["lstm-plain", 2, 13, 34, 0],
    ["lstm-coupled", 2, 11, 26, 0],
    ["diagonal-lstm", 2, 18, 32, 0],
  ])("of %s with blocks of %i", (name, units, step, most, layers) => {
    const cost = added(cellNamed(name, 1), units);
    expect(cost.stepPointwise).toBe(step);
    expect(cost.pointwise).toBeLessThanOrEqual(most);
    expect(cost.costly).toBe(0);
    expect(cost.linear).toBe(layers);
  });

  it("does not depend on how the step was written", () => {
    const data = Float64Array.from({ length: 48 }, (_, i) => Math.sin(i));
    const weights = { w: { shape: [12, 4], data } } as const;
    const variant = (update: (h: Vector, n: Vector, z: Vector) => Vector) =>
      defineCell({
        name: "gru-like",
        inputSize: 0,
        state: { h: 4 },
        weights,
        step: ({ h }, _, { w }) => {
          const [r, z, n] = split(linear(w, h), 3);
          return { h: update(h, tanh(multiply(tanh(r), n)), tanh(z)) };
        },
      });
    const lerp = variant((h, n, z) => add(n, multiply(z, subtract(h, n))));
    const mix = variant((h, n, z) => add(multiply(subtract(1, z), n), multiply(z, h)));
    const cost = (cell: Cell) => {
      const counts = nodeCounts(blockDiagonal(cell.next, 1, 1).blocks.flat());
      return cheap.reduce((sum, name) => sum + (counts[name] ?? 0), 0);
    };
    expect(Math.abs(cost(lerp) - cost(mix))).toBeLessThanOrEqual(2);
  });
});

describe("derivatives at the edges", () => {
  const diagonalOf = (step: (h: Vector) => Vector, state: number) => {
    const cell = defineCell({
      name: "edge",
      inputSize: 0,
      state: { h: 1 },
      step: ({ h }) => ({ h: step(h) }),
    });
    const { blocks } = blockDiagonal(cell.next, 1, 1);
    return evaluate([blocks[0][0]], {}, { state: Float64Array.of(state) })[0][0];
  };

  it("takes 0 as the slope of relu at and below 0, and 1 above", () => {
    expect(diagonalOf(relu, -1)).toBe(0);
    expect(diagonalOf(relu, 0)).toBe(0);
    expect(diagonalOf(relu, 1)).toBe(1);
  });

  it("stays finite where tanh saturates", () => {
    expect(diagonalOf(tanh, 400)).toBe(0);
    expect(diagonalOf(tanh, -400)).toBe(0);
  });

  it("is a constant for a linear step, whatever the state", () => {
    expect(diagonalOf((h) => subtract(3, multiply(0.25, h)), Number.NaN)).toBe(-0.25);
    expect(diagonalOf((h) => add(cos(multiply(0, h)), exp(multiply(h, 0))), 5)).toBe(0);
  });

  it("uses the value already computed for a root", () => {
    expect(diagonalOf(sqrt, 4)).toBe(0.25);
  });
});
