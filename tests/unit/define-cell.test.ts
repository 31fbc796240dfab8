import { describe, expect, it } from "vitest";
import {
  add,
  autoregressiveGru,
  type Cell,
  concat,
  defineCell,
  diagonalGru,
  diagonalLstm,
  gru,
  linear,
  lorenz96,
  lstm,
  minimalGru,
  multiply,
  rnn,
  shift,
  slice,
  split,
  tanh,
  type Vector,
} from "../../src/cell/index.ts";
import { checkInteger } from "../../src/checks.ts";
import { show } from "../../src/show.ts";
import { evaluate } from "../support/derivative-checks.ts";

const numbers = (length: number) => Float32Array.from({ length }, (_, i) => Math.sin(i + 1));
const tensor = (...shape: [number] | [number, number]) => ({
  shape,
  data: numbers(shape.reduce((product, axis) => product * axis, 1)),
});

/** A valid cell, with some of its options replaced by anything at all. */
function define(changes: Record<string, unknown> = {}): Cell {
  return defineCell({
    name: "test",
    inputSize: 2,
    state: { h: 3 },
    weights: { w: tensor(3, 3), u: tensor(3, 2), b: tensor(3) },
    step: ({ h }: { h: Vector }, x: Vector, { w, u, b }: never) => ({
      h: tanh(add(linear(w, h), linear(u, x), b)),
    }),
    ...changes,
  } as never);
}

/** A valid cell with another step function. */
const stepping = (step: (h: Vector, x: Vector, weights: never) => unknown) =>
  define({ step: ({ h }: { h: Vector }, x: Vector, weights: never) => step(h, x, weights) });

describe("defineCell", () => {
  it("lays out the state in the order of its parts", () => {
    const cell = defineCell({
      name: "parts",
      inputSize: 0,
      state: { first: 2, second: { size: 3, bounds: [0, 1] }, third: { size: 1 } },
      step: ({ first, second, third }) => ({ third, second, first: multiply(2, first) }),
    });
    const unbounded = [-Infinity, Infinity];
    expect(cell.parts).toEqual([
      { name: "first", offset: 0, size: 2, bounds: unbounded },
      { name: "second", offset: 2, size: 3, bounds: [0, 1] },
      { name: "third", offset: 5, size: 1, bounds: unbounded },
    ]);
    expect(cell).toMatchObject({ name: "parts", inputSize: 0, stateSize: 6, probes: 4 });
    const [next] = evaluate([cell.next], {}, { state: Float64Array.of(1, 2, 3, 4, 5, 6) });
    expect(Array.from(next)).toEqual([2, 4, 3, 4, 5, 6]);
  });

  it("computes what the step says", () => {
    const cell = define();
    const state = Float64Array.of(0.1, -0.2, 0.3);
    const input = Float64Array.of(0.5, -0.5);
    const [next] = evaluate([cell.next], cell.weights, { state, input });
    const [w, u, b] = [numbers(9), numbers(6), numbers(3)];
    const expected = [0, 1, 2].map((i) => {
      let sum = b[i];
      for (let j = 0; j < 3; j++) sum += w[3 * i + j] * state[j];
      for (let j = 0; j < 2; j++) sum += u[2 * i + j] * input[j];
      return Math.tanh(sum);
    });
    expected.forEach((value, i) => {
      expect(next[i]).toBeCloseTo(value, 14);
    });
  });

  it("calls the step once, and takes a copy of the weights", () => {
    let calls = 0;
    const data = Float64Array.of(1, 2);
    const shape: [number] = [2];
    const bounds: [number, number] = [-1, 1];
    const cell = defineCell({
      name: "copy",
      inputSize: 0,
      state: { h: { size: 2, bounds } },
      weights: { b: { shape, data } },
      step: ({ h }, _, { b }) => {
        calls++;
        return { h: add(h, b) };
      },
    });
    data.fill(99);
    shape[0] = 7;
    bounds[0] = -9;
    const [next] = evaluate([cell.next], cell.weights, { state: Float64Array.of(0, 0) });
    expect(Array.from(next)).toEqual([1, 2]);
    expect(cell.weights.b.shape).toEqual([2]);
    expect(cell.parts[0].bounds).toEqual([-1, 1]);
    expect(calls).toBe(1);
  });

  it("tells tensors apart whose names look like expressions", () => {
    const transposed = { shape: [2, 2], data: Float64Array.of(5, 6, 7, 8) } as const;
    const cell = defineCell({
      name: "names",
      inputSize: 0,
      state: { h: 2 },
      weights: { w: { shape: [2, 2], data: Float64Array.of(1, 2, 3, 4) }, "w'": transposed },
      step: ({ h }, _, weights) => ({ h: add(linear(weights.w, h), linear(weights["w'"], h)) }),
    });
    const [next] = evaluate([cell.next], cell.weights, { state: Float64Array.of(1, 10) });
    expect(Array.from(next)).toEqual([21 + 65, 43 + 87]);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ["inputSize", { inputSize: -1 }, "inputSize: expected a non-negative integer, got -1"],
    ["inputSize", { inputSize: 1.5 }, "inputSize: expected a non-negative integer, got 1.5"],
    ["inputSize", { inputSize: "2" }, 'inputSize: expected a non-negative integer, got "2"'],
    ["probes", { probes: 0 }, "probes: expected a positive integer, got 0"],
    ["state", { state: {} }, "state: expected at least one part, got 0"],
    ["state", { state: { h: 0 } }, "state.h: expected a positive integer, got 0"],
    ["state", { state: { h: { size: 2.5 } } }, "state.h: expected a positive integer, got 2.5"],
    [
      "bounds",
      { state: { h: { size: 3, bounds: [1, -1] } } },
      "state.h: expected bounds [low, high], got [1,-1]",
    ],
    [
      "bounds",
      { state: { h: { size: 3, bounds: [Number.NaN, 1] } } },
      "state.h: expected bounds [low, high], got [NaN,1]",
    ],
    [
      "bounds",
      { state: { h: { size: 3, bounds: 1 } } },
      "state.h: expected bounds [low, high], got [1]",
    ],
    [
      "length",
      { weights: { w: { shape: [3, 3], data: numbers(8) } } },
      "weights.w: expected 9 numbers for shape [3, 3], got 8",
    ],
    [
      "axes",
      { weights: { w: { shape: [3, 3, 1], data: numbers(9) } } },
      "weights.w: expected a shape with one or two axes, got 3,3,1",
    ],
    [
      "axis",
      { weights: { w: { shape: [-3, 3], data: numbers(9) } } },
      "weights.w: shape: expected a positive integer, got -3",
    ],
    [
      "NaN",
      { weights: { w: { shape: [2], data: Float32Array.of(1, Number.NaN) } } },
      "weights.w: expected finite numbers, got NaN at index 1",
    ],
    [
      "Infinity",
      { weights: { w: { shape: [2], data: Float64Array.of(-Infinity, 1) } } },
      "weights.w: expected finite numbers, got -Infinity at index 0",
    ],
  ])("refuses a wrong %s with a RangeError: %o", (_, changes, message) => {
    expect(() => define(changes)).toThrow(new RangeError(message));
  });

  it.each<[string, Record<string, unknown>, string]>([
    [
      "option",
      { inputsize: 3 },
      'defineCell: expected only name, inputSize, state, weights, step, probes, got "inputsize"',
    ],
    ["state", { state: null }, "state: expected an object of named parts, got null"],
    ["part", { state: { h: null } }, "state.h: expected an object, got null"],
    [
      "part option",
      { state: { h: { size: 3, bound: [0, 1] } } },
      'state.h: expected only size, bounds, got "bound"',
    ],
    ["step", { step: undefined }, "step: expected a function, got undefined"],
    [
      "array",
      { weights: { w: { shape: [2], data: [1, 2] } } },
      "weights.w: expected a Float32Array or Float64Array, got an Array",
    ],
    [
      "tensor",
      { weights: { w: null } },
      "weights.w: expected a Float32Array or Float64Array, got undefined",
    ],
  ])("refuses a wrong %s with a TypeError: %o", (_, changes, message) => {
    expect(() => define(changes)).toThrow(new TypeError(message));
  });

  it("refuses a detached buffer", () => {
    const data = numbers(9);
    structuredClone(data.buffer, { transfer: [data.buffer] });
    expect(() => define({ weights: { w: { shape: [3, 3], data } } })).toThrow(
      new RangeError("weights.w: expected 9 numbers for shape [3, 3], got 0"),
    );
  });

  it("refuses a step that returns something else than the state's parts", () => {
    const prefix = 'step of cell "test": expected';
    expect(() => stepping(() => undefined)).toThrow(
      new TypeError(`${prefix} a vector for state part "h", got undefined`),
    );
    expect(() => stepping((h) => h)).toThrow(
      new TypeError(`${prefix} a vector for state part "h", got undefined`),
    );
    expect(() => stepping(() => ({ h: 1 }))).toThrow(
      new TypeError(`${prefix} a vector for state part "h", got 1`),
    );
    expect(() => stepping((_, x) => ({ h: x }))).toThrow(
      new RangeError(`${prefix} 3 elements for state part "h", got 2`),
    );
    expect(() => stepping((h) => ({ h, g: h }))).toThrow(
      new TypeError(`${prefix} only the state's parts, got "g"`),
    );
  });
});

describe("the vocabulary in a step", () => {
  it.each<[string, (h: Vector, x: Vector, weights: Record<string, never>) => unknown, string]>([
    ["lengths", (h, x) => add(h, x), "add: expected vectors of equal length, got 3 and 2"],
    [
      "columns",
      (_, x, { w }) => linear(w, x),
      'linear: expected a vector of 3 for weight "w" of shape [3, 3], got 2',
    ],
    ["slice", (h) => slice(h, 2, 2), "slice: expected an end within 3, got 4"],
    [
      "slice",
      (h) => slice(h, -1, 2),
      "slice: expected non-negative integers, got start -1, size 2",
    ],
    ["split", (h) => split(h, 2), "split: expected a divisor of 3, got 2"],
    ["split", (h) => split(h, 0), "split: expected a divisor of 3, got 0"],
    ["shift", (h) => shift(h, 0.5), "shift: expected an integer, got 0.5"],
  ])("refuses wrong %s with a RangeError", (_, step, message) => {
    expect(() => stepping(step as never)).toThrow(new RangeError(message));
  });

  it.each<[string, (h: Vector, x: Vector, weights: Record<string, never>) => unknown, string]>([
    [
      "a missing operand",
      (h) => add(h, undefined as never),
      "add: expected a vector, got undefined",
    ],
    ["numbers alone", () => multiply(2, 3), "multiply: expected at least one vector, got 2,3"],
    ["a matrix as a vector", (h, _, { w }) => add(h, w), "add: expected a vector, got a matrix"],
    [
      "a vector as a matrix",
      (h, _, { b }) => linear(b, h),
      "linear: expected a weight with two axes, got a vector of 3",
    ],
    [
      "a weight that is not there",
      (h, _, { nothing }) => linear(nothing, h),
      "linear: expected a weight with two axes, got undefined",
    ],
    ["a number to view", () => slice(1 as never, 0, 1), "slice: expected a vector, got 1"],
    ["nothing to concatenate", () => concat(), "concat: expected a vector, got undefined"],
  ])("refuses %s with a TypeError", (_, step, message) => {
    expect(() => stepping(step as never)).toThrow(new TypeError(message));
  });

  it("refuses vectors of another cell", () => {
    const other = define().state;
    const message = "expected vectors of one cell, got vectors of two";
    expect(() => stepping((h) => ({ h: add(h, other) }))).toThrow(new TypeError(`add: ${message}`));
    expect(() => stepping((h) => ({ h: slice(concat(h, other), 0, 3) }))).toThrow(
      new TypeError(`concat: ${message}`),
    );
    expect(() => stepping(() => ({ h: other }))).toThrow(TypeError);
  });
});

describe("the shipped cells' options", () => {
  const sizes = { inputSize: 2, hiddenSize: 3 };
  const gates = (count: number) => ({
    weight_ih: numbers(count * 6),
    weight_hh: numbers(count * 9),
  });
  const diagonals = { weight_ih: numbers(18), diagonal_hh: numbers(9) };
  const peepholes = { peephole_i: numbers(3), peephole_f: numbers(3), peephole_o: numbers(3) };
  const decoder = {
    weight_ih: numbers(9),
    weight_hh: numbers(27),
    bias: numbers(9),
    bias_n: numbers(3),
    decoder_weight: numbers(6),
    decoder_bias: numbers(2),
  };
  const makers: Record<string, [(options: never) => Cell, Record<string, unknown>]> = {
    rnn: [rnn, { ...sizes, weights: gates(1) }],
    gru: [gru, { ...sizes, weights: gates(3) }],
    lstm: [lstm, { ...sizes, weights: gates(4) }],
    minimalGru: [minimalGru, { ...sizes, weights: gates(2) }],
    diagonalGru: [diagonalGru, { ...sizes, weights: diagonals }],
    diagonalLstm: [
      diagonalLstm,
      { ...sizes, weights: { ...diagonals, peephole_f: numbers(3), peephole_o: numbers(3) } },
    ],
    autoregressiveGru: [autoregressiveGru, { hiddenSize: 3, weights: decoder }],
  };
  const make = (name: string, changes: Record<string, unknown> = {}) => {
    const [maker, options] = makers[name];
    return maker({ ...options, ...changes } as never);
  };

  describe.each(Object.entries(makers))("of %s", (name, [, options]) => {
    const weights = options.weights as Record<string, Float32Array>;
    const [required] = Object.keys(weights);

    it("are enough without biases, in float32 or float64", () => {
      expect(make(name).stateSize).toBeGreaterThanOrEqual(3);
      const wide = Object.entries(weights).map(([key, data]) => [key, Float64Array.from(data)]);
      expect(make(name, { weights: Object.fromEntries(wide) }).parts).toEqual(make(name).parts);
    });

    it.each([-3, 0, 1.5, "3", undefined])("refuse %s as hiddenSize", (hiddenSize) => {
      expect(() => make(name, { hiddenSize })).toThrow(
        new RangeError(`hiddenSize: expected a positive integer, got ${show(hiddenSize)}`),
      );
    });

    it("refuse a wrong length, naming the weight, its shape and both lengths", () => {
      for (const [key, data] of Object.entries(weights)) {
        const { shape } = make(name).weights[key];
        expect(() => make(name, { weights: { ...weights, [key]: data.slice(1) } })).toThrow(
          new RangeError(
            `weights.${key}: expected ${data.length} numbers for shape [${shape.join(", ")}],` +
              ` got ${data.length - 1}`,
          ),
        );
      }
    });

    it("refuse a missing, an unknown and an untyped weight", () => {
      expect(() => make(name, { weights: { ...weights, [required]: undefined } })).toThrow(
        new TypeError(
          `weights.${required}: missing, expected shape` +
            ` [${make(name).weights[required].shape.join(", ")}]`,
        ),
      );
      expect(() => make(name, { weights: { ...weights, weight_xx: numbers(3) } })).toThrow(
        /^weights\.weight_xx: unknown weight, expected weight_ih, /,
      );
      expect(() => make(name, { weights: { ...weights, weight_xx: numbers(3) } })).toThrow(
        TypeError,
      );
      expect(() =>
        make(name, { weights: { ...weights, [required]: [...weights[required]] } }),
      ).toThrow(
        new TypeError(`weights.${required}: expected a Float32Array or Float64Array, got an Array`),
      );
      for (const wrong of [undefined, null, numbers(3)]) {
        expect(() => make(name, { weights: wrong })).toThrow(
          new TypeError(`weights: expected an object of named arrays, got ${show(wrong)}`),
        );
      }
    });

    it("refuse an unknown option and no options at all", () => {
      expect(() => make(name, { hidden_size: 3 })).toThrow(
        new RegExp(`^${name}: expected only .*, got "hidden_size"$`),
      );
      expect(() => make(name, { hidden_size: 3 })).toThrow(TypeError);
      const [maker] = makers[name] as [(options?: unknown) => Cell, unknown];
      expect(() => maker()).toThrow(new TypeError(`${name}: expected an object, got undefined`));
    });
  });

  it.each(Object.keys(makers).filter((name) => name !== "autoregressiveGru"))(
    "of %s need an input",
    (name) => {
      expect(() => make(name, { inputSize: 0 })).toThrow(
        new RangeError("inputSize: expected a positive integer, got 0"),
      );
    },
  );

  it("name the wrong size as asked: 95 numbers where 96 are due", () => {
    const weights = { weight_ih: numbers(95), weight_hh: numbers(24 * 8) };
    expect(() => gru({ inputSize: 4, hiddenSize: 8, weights })).toThrow(
      new RangeError("weights.weight_ih: expected 96 numbers for shape [24, 4], got 95"),
    );
  });

  it("have variants, and no others", () => {
    expect(() => make("rnn", { nonlinearity: "sigmoid" })).toThrow(
      new RangeError('nonlinearity: expected one of "tanh", "relu", got "sigmoid"'),
    );
    expect(() => make("gru", { variant: "reset" })).toThrow(
      new RangeError('variant: expected one of "reset-after", "reset-before", got "reset"'),
    );
    expect(() => make("lstm", { variant: 1 })).toThrow(
      new RangeError('variant: expected one of "plain", "peephole", "coupled", got 1'),
    );
    expect(make("rnn").name).toBe("rnn-tanh");
    expect(make("gru").name).toBe("gru-reset-after");
    expect(make("lstm").name).toBe("lstm-plain");
  });

  it("take peepholes for the peephole variant only, and then all of them", () => {
    const weights = { ...gates(4), ...peepholes };
    expect(make("lstm", { variant: "peephole", weights }).weights).toHaveProperty("peephole_o");
    expect(() => make("lstm", { weights })).toThrow(/^weights\.peephole_i: unknown weight/);
    expect(() => make("lstm", { variant: "peephole" })).toThrow(
      new TypeError("weights.peephole_i: missing, expected shape [3]"),
    );
  });

  it("take one bias of two", () => {
    const one = make("gru", { weights: { ...gates(3), bias_hh: numbers(9) } });
    expect(Object.keys(one.weights).sort()).toEqual(["bias_hh", "weight_hh", "weight_ih"]);
  });

  it("of lorenz96 are checked", () => {
    const lorenz = (options: unknown) => () => lorenz96(options as never);
    expect(lorenz({ size: 3 })).toThrow(
      new RangeError("size: expected an integer of at least 4, got 3"),
    );
    expect(lorenz({ size: 5, forcing: Number.NaN })).toThrow(
      new RangeError("forcing: expected a finite number, got NaN"),
    );
    expect(lorenz({ size: 5, timeStep: 0 })).toThrow(
      new RangeError("timeStep: expected a positive number, got 0"),
    );
    expect(lorenz({ size: 5, dt: 0.1 })).toThrow(
      new TypeError('lorenz96: expected only size, forcing, timeStep, got "dt"'),
    );
    expect(lorenz96({ size: 4 })).toMatchObject({ inputSize: 0, stateSize: 4 });
  });
});

describe("checkInteger", () => {
  it("takes positive integers only, if told so", () => {
    expect(() => checkInteger("n", 1, 1)).not.toThrow();
    for (const wrong of [0, -1, 0.5, Number.NaN, Infinity, "1", null]) {
      expect(() => checkInteger("n", wrong, 1)).toThrow(
        new RangeError(`n: expected a positive integer, got ${show(wrong)}`),
      );
    }
  });
});
