/** Compiled programs against the float64 interpreter, and what the compiler makes of them. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Opcode } from "../../assembly/opcode.ts";
import type { ProgramSource } from "../../src/backend/wasm/lower.ts";
import type { Leaf } from "../../src/cell/expression.ts";
import {
  add,
  type Cell,
  concat,
  defineCell,
  greater,
  linear,
  type Matrix,
  multiply,
  sigmoid,
  slice,
  split,
  subtract,
  tanh,
  type Vector,
  where,
} from "../../src/cell/index.ts";
import { interpreter } from "../../src/cell/interpret.ts";
import {
  diagonalProduct,
  recurrenceOf,
  stateTangent,
  wholeRecurrenceOf,
} from "../../src/cell/recurrence.ts";
import { identical } from "../support/agreement.ts";
import { cellNamed } from "../support/cells.ts";
import { type Compiled, compileAlone, countOf, type LaneValues } from "../support/compiled.ts";
import { cellOfPlan, programPlans } from "../support/programs.ts";
import { mulberry32, type Random, randomWeights, uniform } from "../support/random.ts";

const laneWidths = [1, 4, 8];
const columnCount = 4;
/** Of the value, plus one: up to fourteen float32 operations, some of which magnify by ten. */
const accuracy = 1e-5;

function stepSource(cell: Cell, lanes: number): ProgramSource {
  const { next, source } = recurrenceOf(cell);
  return { carried: [{ leaf: cell.state, next }], inputs: [source], lanes };
}

function tangentSource(cell: Cell): ProgramSource {
  const recurrence = recurrenceOf(cell);
  const tangent = cell.graph.leaf("tangent", cell.stateSize);
  const { carried, inputs } = stepSource(cell, 1);
  return {
    carried: [...carried, { leaf: tangent, next: stateTangent(recurrence, tangent) }],
    inputs,
    lanes: 1,
    columns: { leaf: "tangent", count: columnCount },
  };
}

function productSource(cell: Cell, lanes: number): ProgramSource {
  const { next, identity, signs } = diagonalProduct(recurrenceOf(cell), "diagonal");
  const product = cell.graph.leaf("product", identity.length);
  const { carried, inputs } = stepSource(cell, lanes);
  return {
    carried: [...carried, { leaf: product, next }],
    inputs: signs ? [...inputs, signs] : inputs,
    lanes,
  };
}

/** A value for each leaf and lane: ±1 for signs, else within [−1, 1], or the drive of such inputs. */
function randomValues(
  cell: Cell,
  source: ProgramSource,
  lanes: number,
  random: Random,
): LaneValues {
  const { drive } = recurrenceOf(cell);
  const runDrive = interpreter([drive], cell.weights);
  const valuesOf = ({ name, size }: Leaf) => {
    if (name === "signs") return uniform(random, size).map((x) => (x < 0 ? -1 : 1));
    if (name !== "drive") return uniform(random, size);
    const input = Float64Array.from(uniform(random, cell.inputSize));
    return Float32Array.from(runDrive({ input })[0]!);
  };
  const leaves = [...source.carried.map(({ leaf }) => leaf), ...source.inputs];
  return Object.fromEntries(
    leaves.map((leaf) => [leaf.name, Array.from({ length: lanes }, () => valuesOf(leaf))]),
  );
}

const lanesIn = (values: LaneValues) => Object.values(values)[0]!.length;

/** What the interpreter makes of each lane of `values`, for each carried leaf. */
function interpreted({ carried }: ProgramSource, cell: Cell, values: LaneValues) {
  const run = interpreter(
    carried.map(({ next }) => next),
    cell.weights,
  );
  return Array.from({ length: lanesIn(values) }, (_, lane) => {
    const leaves = Object.entries(values).map(([name, lanes]) => [name, lanes[lane]!] as const);
    const results = run(
      Object.fromEntries(leaves.map(([name, row]) => [name, Float64Array.from(row)])),
    );
    return Object.fromEntries(carried.map(({ leaf }, i) => [leaf.name, results[i]!.slice()]));
  });
}

function worstError(actual: Float32Array, expected: Float64Array): number {
  const errors = expected.map((value, i) => Math.abs(actual[i]! - value) / (1 + Math.abs(value)));
  return errors.reduce((worst, error) => Math.max(worst, error), 0);
}

/** Lanes `first` … `first + count − 1` of `values`. */
const lanesOf = (values: LaneValues, first: number, count: number): LaneValues =>
  Object.fromEntries(
    Object.entries(values).map(([name, lanes]) => [name, lanes.slice(first, first + count)]),
  );

/** Compares all lane widths with the interpreter, and bit by bit with one another. */
function expectAgreement(cell: Cell, sourceFor: (lanes: number) => ProgramSource): void {
  const most = Math.max(...laneWidths);
  const values = randomValues(cell, sourceFor(1), most, mulberry32(cell.stateSize + 7));
  const expected = interpreted(sourceFor(1), cell, values);
  const bits = new Map<string, Float32Array>();
  for (const lanes of laneWidths) {
    const compiled = compileAlone(sourceFor(lanes), cell.weights);
    for (let first = 0; first < most; first += lanes) {
      const results = compiled.run(lanesOf(values, first, lanes));
      for (const [name, rows] of Object.entries(results)) {
        rows.forEach((row, lane) => {
          const what = `${name} in lane ${first + lane} of ${lanes}`;
          expect(worstError(row, expected[first + lane]![name]!), what).toBeLessThan(accuracy);
          const key = `${name} ${first + lane}`;
          const known = bits.get(key) ?? row;
          bits.set(key, known);
          expect(identical(row, known), `${what}, bits`).toBe(true);
        });
      }
    }
  }
}

/** Checks 400 random cells; a failure prints the smallest plan that fails. */
function forRandomCells(check: (cell: Cell) => void): void {
  const property = fc.property(programPlans(), (plan) => check(cellOfPlan(plan)));
  fc.assert(property, { numRuns: 400, seed: 20 });
}

describe("random programs", () => {
  it("step like the interpreter, with the same bits in every lane", () => {
    forRandomCells((cell) => {
      expectAgreement(cell, (lanes) => stepSource(cell, lanes));
    });
  });

  it("compute their drive like the interpreter", () => {
    forRandomCells((cell) => {
      const { drive } = recurrenceOf(cell);
      if (drive.size === 0) return;
      const leaf = cell.graph.leaf("driven", drive.size);
      expectAgreement(cell, (lanes) => ({
        carried: [{ leaf, next: drive }],
        inputs: [cell.input],
        lanes,
      }));
    });
  });

  it("multiply the diagonals of their Jacobians like the interpreter", () => {
    forRandomCells((cell) => {
      expectAgreement(cell, (lanes) => productSource(cell, lanes));
    });
  });

  it("push tangents along like the interpreter, all columns at once", () => {
    forRandomCells((cell) => {
      const source = tangentSource(cell);
      const { stateSize } = cell;
      const one = randomValues(cell, source, 1, mulberry32(3));
      const tangents = Array.from({ length: columnCount }, (_, c) =>
        uniform(mulberry32(c), stateSize),
      );
      const columns = new Float32Array(stateSize * columnCount);
      tangents.forEach((column, c) => {
        for (let i = 0; i < stateSize; i++) columns[i * columnCount + c] = column[i]!;
      });
      const compiled = compileAlone(source, cell.weights);
      const results = compiled.run({ ...one, tangent: [columns] });
      tangents.forEach((tangent, c) => {
        const [expected] = interpreted(source, cell, { ...one, tangent: [tangent] });
        const column = tangent.map((_, i) => results.tangent![0]![i * columnCount + c]!);
        expect(worstError(results.state![0]!, expected!.state!)).toBeLessThan(accuracy);
        expect(worstError(column, expected!.tangent!)).toBeLessThan(10 * accuracy);
      });
    });
  });

  it("give the states the same bits whether the drive is split off or not", () => {
    forRandomCells((cell) => {
      const random = mulberry32(6);
      const state = [uniform(random, cell.stateSize)];
      const input = [uniform(random, cell.inputSize)];
      const { drive } = recurrenceOf(cell);
      if (drive.size === 0) return;
      const driven = cell.graph.leaf("driven", drive.size);
      const driveSource = {
        carried: [{ leaf: driven, next: drive }],
        inputs: [cell.input],
      };
      const run = (source: ProgramSource, values: LaneValues) =>
        compileAlone(source, cell.weights).run(values);
      const computed = run({ ...driveSource, lanes: 1 }, { input }).driven!;
      const split = run(stepSource(cell, 1), { state, drive: computed }).state![0]!;
      const { next, source } = wholeRecurrenceOf(cell);
      const carried = [{ leaf: cell.state, next }];
      const together = { carried, inputs: [source], lanes: 1 };
      expect(identical(run(together, { state, input }).state![0]!, split)).toBe(true);
    });
  });

  it("give the states the same bits whatever is computed beside them", () => {
    forRandomCells((cell) => {
      const values = randomValues(cell, productSource(cell, 1), 1, mulberry32(5));
      const tangent = [new Float32Array(cell.stateSize * columnCount)];
      const stateOf = (source: ProgramSource) =>
        compileAlone(source, cell.weights).run({ ...values, tangent }).state![0]!;
      const alone = stateOf(stepSource(cell, 1));
      expect(identical(stateOf(productSource(cell, 1)), alone), "with a diagonal").toBe(true);
      expect(identical(stateOf(tangentSource(cell)), alone), "with tangents").toBe(true);
    });
  });
});

describe("fusion", () => {
  const size = 6;
  const square = [size, size] as const;
  const data = randomWeights({ w: square, b: [size] }, 0.4, 1);
  type Step = (h: Vector, weights: { readonly w: Matrix; readonly b: Vector }) => Vector;

  /** The compiled step of a cell whose weights are w `[6, 6]` and b `[6]`, checked on the way. */
  function compileStep(step: Step): Compiled {
    const cell = defineCell({
      name: "fused",
      inputSize: 0,
      state: { h: size },
      weights: { w: { shape: square, data: data.w! }, b: { shape: [size], data: data.b! } },
      step: ({ h }, _, handles) => ({ h: step(h, handles) }),
    });
    expectAgreement(cell, (lanes) => stepSource(cell, lanes));
    return compileAlone(stepSource(cell, 4), cell.weights);
  }
  it("adds to a product while it is computed", () => {
    const either = [
      compileStep((h, { w, b }) => add(linear(w, h), b)),
      compileStep((h, { w, b }) => add(b, linear(w, h))),
      compileStep((h, { w }) => add(h, linear(w, tanh(h)))),
    ];
    expect(either.map(({ opcodes }) => opcodes)).toEqual([
      [Opcode.Linear],
      [Opcode.Linear],
      [Opcode.Tanh, Opcode.Linear],
    ]);
  });

  it("multiplies and adds or subtracts in one instruction", () => {
    const only = (step: Step) => compileStep(step).opcodes;
    expect(only((h, { b }) => add(multiply(h, b), h))).toEqual([Opcode.MultiplyAdd]);
    expect(only((h, { b }) => add(h, multiply(b, h)))).toEqual([Opcode.MultiplyAdd]);
    expect(only((h, { b }) => subtract(multiply(h, b), h))).toEqual([Opcode.MultiplySubtract]);
    expect(only((h, { b }) => subtract(h, multiply(h, b)))).toEqual([Opcode.NegateMultiplyAdd]);
    expect(only((h) => subtract(1, multiply(h, h)))).toEqual([Opcode.NegateMultiplyAdd]);
  });

  it("computes chains of operations in one instruction", () => {
    const only = (step: Step) => compileStep(step).opcodes;
    const mixed = (h: Vector, b: Vector) => add(b, multiply(h, subtract(h, b)));
    expect(only((h, { b }) => tanh(add(multiply(h, b), h)))).toEqual([Opcode.MultiplyAddTanh]);
    expect(only((h, { b }) => multiply(tanh(h), b))).toEqual([Opcode.MultiplyTanh]);
    expect(only((h, { b }) => mixed(h, b))).toEqual([Opcode.Interpolate]);
    expect(only((h, { b }) => add(multiply(h, h), multiply(h, b)))).toEqual([Opcode.AddProducts]);
    expect(only((h, { b }) => add(multiply(h, tanh(h)), multiply(b, h)))).toEqual([
      Opcode.Tanh,
      Opcode.AddProducts,
    ]);
  });

  it("leaves a sum within tanh to the product that can start from it", () => {
    const { opcodes } = compileStep((h, { w, b }) => tanh(add(multiply(h, b), linear(w, h))));
    expect(opcodes).toEqual([Opcode.Multiply, Opcode.Linear, Opcode.Tanh]);
  });

  it("does not change a bit by it", () => {
    const chains: readonly ((h: Vector, b: Vector) => { part: Vector; whole: Vector })[] = [
      (h, b) => {
        const part = add(multiply(h, b), h);
        return { part, whole: tanh(part) };
      },
      (h, b) => {
        const part = tanh(h);
        return { part, whole: multiply(b, part) };
      },
      (h, b) => {
        const part = subtract(h, b);
        return { part, whole: add(b, multiply(h, part)) };
      },
      (h, b) => {
        const part = multiply(h, b);
        return { part, whole: add(multiply(h, h), part) };
      },
    ];
    for (const chain of chains) {
      const run = (keepsPart: boolean) => {
        const cell = defineCell({
          name: "chain",
          inputSize: 0,
          state: { h: size, kept: size },
          weights: { b: { shape: [size], data: data.b! } },
          step: ({ h }, _, { b }) => {
            const { part, whole } = chain(h, b);
            return { h: whole, kept: keepsPart ? part : h };
          },
        });
        const state = [uniform(mulberry32(2), 2 * size)];
        const compiled = compileAlone(stepSource(cell, 1), cell.weights);
        const next = compiled.run({ state, drive: [[]] }).state![0]!;
        return { opcodes: compiled.opcodes, h: next.subarray(0, size) };
      };
      const [fused, apart] = [run(false), run(true)];
      expect(
        fused.opcodes.every((opcode) => !apart.opcodes.includes(opcode) || opcode === Opcode.Copy),
      ).toBe(true);
      expect(identical(fused.h, apart.h)).toBe(true);
    }
  });

  it("keeps a product that is needed twice", () => {
    const twice = compileStep((h, { w }) => {
      const product = linear(w, h);
      return add(product, tanh(product));
    });
    expect(countOf(twice, Opcode.Linear)).toBe(1);
    expect(twice.instructions).toBe(3);
  });

  it("scales the columns of tangents by rows", () => {
    const cell = cellNamed("gru-reset-after", 2);
    const compiled = compileAlone(tangentSource(cell), cell.weights);
    expect(countOf(compiled, Opcode.ScaleRows)).toBeGreaterThan(0);
    expect(countOf(compiled, Opcode.ScaleRowsAdd)).toBeGreaterThan(0);
  });
});

describe("merging", () => {
  // Instructions of a step, which a sequence pays for at every step whatever its size.
  it.each([
    ["rnn-tanh", 2],
    ["rnn-relu", 2],
    ["gru-reset-after", 5],
    ["gru-reset-before", 6],
    ["minimal-gru", 6],
    ["lstm-plain", 6],
    ["lstm-coupled", 7],
    ["diagonal-gru", 6],
  ])("%s takes at most %i instructions", (name, most) => {
    for (const lanes of laneWidths) {
      const cell = cellNamed(name, 1);
      const { instructions } = compileAlone(stepSource(cell, lanes), cell.weights);
      expect(instructions).toBeLessThanOrEqual(most);
    }
  });

  it("keeps apart what needs the result of its neighbour", () => {
    const chains: readonly ((h: Vector) => Vector)[] = [
      (h) => sigmoid(sigmoid(sigmoid(h))),
      (h) => add(add(h, 1), add(add(h, 1), add(h, 2))),
      (h) => multiply(tanh(tanh(h)), add(tanh(h), tanh(tanh(tanh(h))))),
    ];
    for (const size of [1, 4, 5]) {
      for (const chain of chains) {
        const state = { h: size };
        const step = ({ h }: { h: Vector }) => ({ h: chain(h) });
        const cell = defineCell({ name: "chain", inputSize: 0, state, step });
        expectAgreement(cell, (lanes) => stepSource(cell, lanes));
      }
    }
  });

  it("makes one product of the gates' matrices", () => {
    const cell = cellNamed("lstm-plain", 1);
    expect(countOf(compileAlone(stepSource(cell, 1), cell.weights), Opcode.Linear)).toBe(1);
  });
});

describe("copies and constants", () => {
  const check = (cell: Cell) => expectAgreement(cell, (lanes) => stepSource(cell, lanes));

  it("exchange parts of the state without overwriting them", () => {
    const cell = defineCell({
      name: "exchange",
      inputSize: 0,
      state: { a: 3, b: 3, c: 3 },
      step: ({ a, b, c }) => ({ a: b, b: c, c: a }),
    });
    check(cell);
    expect(countOf(compileAlone(stepSource(cell, 4), {}), Opcode.Copy)).toBeGreaterThan(0);
  });

  it("write one vector to several places", () => {
    check(
      defineCell({
        name: "repeated",
        inputSize: 2,
        state: { a: 2, b: 2, c: 4 },
        step: ({ a, b }, x) => {
          const sum = tanh(add(a, x));
          return { a: sum, b: sum, c: concat(sum, multiply(sum, b)) };
        },
      }),
    );
  });

  it("pass the input and constants through", () => {
    check(
      defineCell({
        name: "passing",
        inputSize: 3,
        state: { a: 3, b: 3, c: 2 },
        weights: { w: { shape: [3], data: Float32Array.of(1, 2, 3) } },
        step: ({ a }, x, { w }) => ({ a: x, b: w, c: slice(add(a, 1), 1, 2) }),
      }),
    );
  });

  it("read views of views, concatenated and cut anew", () => {
    check(
      defineCell({
        name: "views",
        inputSize: 1,
        state: { a: 5, b: 3 },
        step: ({ a, b }, x) => {
          const row = concat(slice(a, 1, 3), b, x, slice(a, 0, 1));
          const [first, second] = split(row, 2) as [Vector, Vector];
          const chosen = where(greater(first, second), second, multiply(first, 0.5));
          return { a: concat(chosen, x), b: slice(row, 2, 3) };
        },
      }),
    );
  });
});
