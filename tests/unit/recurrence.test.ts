import { describe, expect, it } from "vitest";
import { blockDiagonal, blockSize } from "../../src/cell/differentiate.ts";
import { topologicalOrder, type Vector } from "../../src/cell/expression.ts";
import {
  add,
  type Cell,
  concat,
  defineCell,
  linear,
  multiply,
  tanh,
} from "../../src/cell/index.ts";
import {
  diagonalProduct,
  probeSigns,
  recurrenceOf,
  SIGNS_PERIOD,
  stateTangent,
} from "../../src/cell/recurrence.ts";
import type { Matrix } from "../../src/cell/weight.ts";
import { cellNamed, cells } from "../support/cells.ts";
import {
  evaluate,
  nodeCounts,
  randomVector,
  tangentJacobian,
} from "../support/derivative-checks.ts";
import { relativeError } from "../support/finite-differences.ts";
import { mulberry32 } from "../support/random.ts";

const all = cells(4).map((cell) => [cell.name, cell] as const);

function tensorOf(matrix: Matrix): string {
  if (matrix.kind === "named") return matrix.name;
  return tensorOf(matrix.kind === "hadamardTranspose" ? matrix.left : matrix.of);
}

const linearTensors = (output: Vector) =>
  topologicalOrder([output]).flatMap((node) =>
    node.kind === "linear" ? [tensorOf(node.matrix)] : [],
  );

const weightKeys = (output: Vector) =>
  topologicalOrder([output]).flatMap((node) => (node.kind === "weight" ? [node.weight.key] : []));

const leafNames = (output: Vector) =>
  topologicalOrder([output]).flatMap((node) => (node.kind === "leaf" ? [node.name] : []));

function randomPoint(cell: Cell, seed: number) {
  const random = mulberry32(seed);
  const state = randomVector(random, cell.stateSize);
  const input = randomVector(random, cell.inputSize);
  const [drive] = evaluate([recurrenceOf(cell).drive], cell.weights, { state, input });
  return { state, input, drive };
}

describe.each(all)("the split of %s", (_, cell) => {
  const { drive, next } = recurrenceOf(cell);

  it("gives the same next state", () => {
    for (let seed = 0; seed < 5; seed++) {
      const point = randomPoint(cell, seed);
      const [whole] = evaluate([cell.next], cell.weights, point);
      const [split] = evaluate([next], cell.weights, point);
      expect(relativeError(split, whole)).toBeLessThan(1e-14);
    }
  });

  it("reads the input in the drive alone, and the state in the recurrence alone", () => {
    expect(leafNames(drive)).not.toContain("state");
    expect(leafNames(next)).not.toContain("input");
    expect(leafNames(next)).toContain("state");
  });

  it("is made once", () => {
    expect(recurrenceOf(cell)).toBe(recurrenceOf(cell));
  });
});

describe("what the drive takes along", () => {
  it.each(["gru-reset-after", "gru-reset-before", "lstm-plain", "lstm-peephole", "lstm-coupled"])(
    "%s: every product with the input, and the biases of all gates",
    (name) => {
      const cell = cellNamed(name, 4);
      const { drive, next } = recurrenceOf(cell);
      expect(new Set(linearTensors(drive))).toEqual(new Set(["weight_ih"]));
      expect(new Set(linearTensors(next))).toEqual(new Set(["weight_hh"]));
      const left = {
        // b_hn stands inside r ∘ (U_n h + b_hn), which the state decides.
        "gru-reset-after": ["bias_hh[10+5]"],
        "lstm-peephole": ["peephole_i", "peephole_f", "peephole_o"],
      }[name];
      expect(new Set(weightKeys(next))).toEqual(new Set(left ?? []));
    },
  );

  it.each([
    // cell, gates in the drive, additions left in the step
    ["rnn-tanh", 1, 1],
    // r, z, n and n + z (h − n); U_n h + b_hn too.
    ["gru-reset-after", 3, 5],
    ["gru-reset-before", 3, 4],
    // Four gates and f c + i g.
    ["lstm-plain", 4, 5],
    ["lstm-coupled", 3, 4],
    ["minimal-gru", 2, 3],
  ])("%s: one drive a gate and no addition twice", (name, gates, additions) => {
    const cell = cellNamed(name, 4);
    const { drive, next } = recurrenceOf(cell);
    expect(drive.size).toBe(gates * 5);
    expect(nodeCounts([next]).add).toBe(additions);
  });

  it("nonlinear functions of the input, but not what only looks like them", () => {
    const cell = defineCell({
      name: "test",
      inputSize: 2,
      state: { h: 2 },
      weights: { u: { shape: [2, 2], data: Float64Array.of(1, 2, 3, 4) } },
      step: ({ h }, x, { u }) => ({
        h: multiply(tanh(linear(u, tanh(linear(u, x)))), tanh(linear(u, add(h, x)))),
      }),
    });
    const { drive, next } = recurrenceOf(cell);
    expect(nodeCounts([drive])).toMatchObject({ tanh: 2, linear: 2 });
    expect(nodeCounts([next])).toMatchObject({ tanh: 1, linear: 1, multiply: 1, add: 1 });
    expect(drive.size).toBe(4);
  });

  it("everything, where the step ignores the state, and nothing, where it ignores the input", () => {
    const make = (step: (h: Vector, x: Vector) => Vector) =>
      recurrenceOf(
        defineCell({
          name: "t",
          inputSize: 2,
          state: { h: 2 },
          step: ({ h }, x) => ({ h: step(h, x) }),
        }),
      );
    const feedForward = make((_, x) => tanh(x));
    expect(feedForward.drive.size).toBe(2);
    expect(nodeCounts([feedForward.next])).toEqual({ leaf: 1 });
    const autonomous = make((h) => tanh(h));
    expect(autonomous.drive.size).toBe(0);
    expect(leafNames(autonomous.next)).toEqual(["state"]);
  });

  it("keeps a sum that two others share in one piece", () => {
    const data = Float64Array.of(1, 2, 3, 4);
    const cell = defineCell({
      name: "shared",
      inputSize: 2,
      state: { h: 2, g: 2 },
      weights: { w: { shape: [2, 2], data }, u: { shape: [2, 2], data } },
      step: ({ h, g }, x, { w, u }) => {
        const shared = add(linear(w, h), linear(u, x));
        return { h: tanh(add(shared, g)), g: tanh(add(shared, multiply(g, g))) };
      },
    });
    expect(nodeCounts([recurrenceOf(cell).next]).add).toBe(3);
  });

  it("only the part of a concatenated vector that is the input", () => {
    const data = Float64Array.from({ length: 8 }, (_, i) => Math.cos(i));
    const cell = defineCell({
      name: "concatenated",
      inputSize: 2,
      state: { h: 2 },
      weights: { w: { shape: [2, 4], data } },
      step: ({ h }, x, { w }) => ({ h: tanh(linear(w, concat(x, h))) }),
    });
    const point = randomPoint(cell, 1);
    expect(point.drive).toEqual(point.input);
    const { next } = recurrenceOf(cell);
    const [split, whole] = evaluate([next, cell.next], cell.weights, point);
    expect(Array.from(split)).toEqual(Array.from(whole));
  });
});

describe.each(all)("one step of what a sweep carries, for %s", (_, cell) => {
  const recurrence = recurrenceOf(cell);
  const point = randomPoint(cell, 9);
  const leaves = { state: cell.state };
  const jacobian = tangentJacobian(
    recurrence.next,
    { weights: cell.weights, leaves, at: point },
    "state",
  );

  it("pushes a tangent through the Jacobian", () => {
    const seed = randomVector(mulberry32(1), cell.stateSize);
    const leaf = cell.graph.leaf("tangent", cell.stateSize);
    const [image] = evaluate([stateTangent(recurrence, leaf)], cell.weights, {
      ...point,
      tangent: seed,
    });
    const expected = Array.from({ length: cell.stateSize }, (_, i) =>
      seed.reduce((sum, x, j) => sum + jacobian[i * cell.stateSize + j] * x, 0),
    );
    expect(relativeError(image, expected)).toBeLessThan(1e-13);
  });

  it.each(["diagonal", "block"] as const)("multiplies the %s product from the left", (kind) => {
    const { units, next, identity } = diagonalProduct(recurrence, kind);
    expect(units).toBe(kind === "block" ? blockSize(cell) : 1);
    const size = cell.stateSize / units;
    const signs = Float64Array.from(probeSigns(cell).subarray(0, cell.probes * cell.stateSize));
    const { blocks, exact } = blockDiagonal(recurrence.next, units, cell.probes);
    const entries = blocks.map((row) => evaluate(row, cell.weights, { ...point, signs }));
    if (exact) {
      entries.forEach((row, a) => {
        row.forEach((entry, b) => {
          const expected = Float64Array.from({ length: size }, (_, i) => {
            return jacobian[(a * size + i) * cell.stateSize + b * size + i];
          });
          expect(relativeError(entry, expected)).toBeLessThan(1e-12);
        });
      });
    }

    const step = (product: Float64Array) =>
      evaluate([next], cell.weights, { ...point, signs, product })[0];
    const flat = entries.flatMap((row) => row.flatMap((entry) => [...entry]));
    expect(relativeError(step(identity), flat)).toBeLessThan(1e-14);

    const product = randomVector(mulberry32(6), units * units * size);
    const expected = new Float64Array(product.length);
    for (let a = 0; a < units; a++) {
      for (let b = 0; b < units; b++) {
        for (let i = 0; i < size; i++) {
          for (let c = 0; c < units; c++) {
            expected[(a * units + b) * size + i] +=
              entries[a][c][i] * product[(c * units + b) * size + i];
          }
        }
      }
    }
    expect(relativeError(step(product), expected)).toBeLessThan(1e-13);
  });
});

describe("the blocks of a unit", () => {
  it.each([
    ["gru-reset-after", 1],
    ["lstm-plain", 2],
    ["custom-two-layers", 2],
    ["autoregressive-gru", 1],
    ["lorenz96", 1],
  ])("of %s have %i rows", (name, rows) => {
    expect(blockSize(cellNamed(name, 1))).toBe(rows);
  });
});

describe("the signs of Hutchinson's probes", () => {
  it("average over probes, each with signs of its own", () => {
    const cell = cellNamed("custom-three-layers", 4);
    const { next } = recurrenceOf(cell);
    const point = randomPoint(cell, 2);
    const random = mulberry32(8);
    const draw = () => Float64Array.from({ length: 5 }, () => (random() < 0.5 ? -1 : 1));
    const probes = [draw(), draw(), draw()];
    const estimate = (signs: Float64Array[]) => {
      const { blocks } = blockDiagonal(next, 1, signs.length);
      const values = { ...point, signs: Float64Array.from(signs.flatMap((probe) => [...probe])) };
      return evaluate(blocks[0], cell.weights, values)[0];
    };
    const single = probes.map((probe) => estimate([probe]));
    expect(relativeError(single[0], single[1])).toBeGreaterThan(0.01);
    const mean = single[0].map((_, i) => (single[0][i] + single[1][i] + single[2][i]) / 3);
    expect(relativeError(estimate(probes), mean)).toBeLessThan(1e-14);
  });

  it.each([
    [4, 5],
    [1, 64],
    [4, 96],
  ])("%i probes of %i: fair coins, independent of one another", (probes, stateSize) => {
    const signs = probeSigns({ probes, stateSize } as Cell);
    const row = probes * stateSize;
    expect(signs).toHaveLength(SIGNS_PERIOD * row);
    expect(signs.every((sign) => sign === 1 || sign === -1)).toBe(true);
    expect(probeSigns({ probes, stateSize } as Cell)).toEqual(signs);
    const deviations = (sum: number, count: number) => Math.abs(sum) / Math.sqrt(count);
    expect(
      deviations(
        signs.reduce((sum, sign) => sum + sign, 0),
        signs.length,
      ),
    ).toBeLessThan(4);
    // Correlation at distances that matter: neighbours, probes of one step, steps of one probe.
    for (const lag of [1, 2, 3, stateSize, 2 * stateSize, row, 2 * row]) {
      let sum = 0;
      for (let i = 0; i + lag < signs.length; i++) sum += signs[i] * signs[i + lag];
      expect(deviations(sum, signs.length - lag)).toBeLessThan(4);
    }
  });
});
