/** Wrong arguments: each is refused by name, and the runtime gives right results afterwards. */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  createRuntime,
  type EvaluateOptions,
  gru,
  lorenz96,
  lstm,
  type Runtime,
  type RuntimeOptions,
} from "../../src/index.ts";
import { identical } from "../support/agreement.ts";
import { cellNamed } from "../support/cells.ts";
import { mulberry32, normal } from "../support/random.ts";

const cell = cellNamed("gru-reset-after", 1);
const { inputSize, stateSize } = cell;
const withoutInput = lorenz96({ size: 5 });
const steps = 6;
const inputs = normal(mulberry32(1), steps * inputSize);
const numbers = (length: number) => new Float32Array(length);

/** An array whose buffer has gone elsewhere. */
function detached(length: number, make: (length: number) => Float32Array | Float64Array = numbers) {
  const array = make(length);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}

let runtime: Runtime;
let expected: Float32Array;
beforeAll(async () => {
  runtime = await createRuntime({ backend: "wasm" });
  expected = (await runtime.evaluate(cell, inputs)).states;
});

afterEach(async () => {
  const { states } = await runtime.evaluate(cell, inputs, { method: "quasi-deer", chunk: steps });
  expect(identical(states, expected), "the runtime after a refusal").toBe(true);
});

type Kind = typeof TypeError | typeof RangeError;

async function refusal(run: () => unknown): Promise<Error> {
  try {
    await run();
  } catch (error) {
    return error as Error;
  }
  throw new Error("it was not refused");
}

/** The error is of `kind` and its message holds all of `parts`: the name, the expected, the actual. */
async function expectRefusal(run: () => unknown, kind: Kind, parts: readonly string[]) {
  const error = await refusal(run);
  expect(error.constructor, error.message).toBe(kind);
  for (const part of parts) expect(error.message).toContain(part);
  expect(error.message.startsWith(parts[0]!), error.message).toBe(true);
}

/** What a caller without types can pass. */
const untyped = (value: unknown) => value as never;

describe("options of evaluate", () => {
  const cases: readonly [Record<string, unknown>, Kind, ...string[]][] = [
    [{ metod: "deer" }, TypeError, "options", "method", '"metod"'],
    [{ method: "DEER" }, RangeError, "method", '"quasi-deer"', '"DEER"'],
    [{ method: null }, RangeError, "method", '"auto"'],
    [{ backend: "webgl" }, RangeError, "backend", '"wasm"', '"webgl"'],
    [{ backend: null }, RangeError, "backend", '"wasm"', "got null"],
    [{ chunk: 0 }, RangeError, "chunk", "a positive integer", "got 0"],
    [{ chunk: -3 }, RangeError, "chunk", "a positive integer", "got -3"],
    [{ chunk: 1.5 }, RangeError, "chunk", "a positive integer", "got 1.5"],
    [{ chunk: Infinity }, RangeError, "chunk", "a positive integer", "got Infinity"],
    [{ chunk: "8" }, RangeError, "chunk", "a positive integer", 'got "8"'],
    [{ maxIterations: -1 }, RangeError, "maxIterations", "a non-negative integer", "got -1"],
    [{ maxIterations: 2.5 }, RangeError, "maxIterations", "a non-negative integer", "got 2.5"],
    [{ tolerance: 0 }, RangeError, "tolerance", "a positive number", "got 0"],
    [{ tolerance: -1e-5 }, RangeError, "tolerance", "a positive number", "got -0.00001"],
    [{ tolerance: Number.NaN }, RangeError, "tolerance", "a positive number", "got NaN"],
    [{ tolerance: "1e-5" }, RangeError, "tolerance", "a positive number", 'got "1e-5"'],
    [{ jacobian: "full" }, RangeError, "jacobian", '"dense"', '"full"'],
    [{ reverse: "yes" }, TypeError, "reverse", "a boolean", 'got "yes"'],
    [{ reverse: 1 }, TypeError, "reverse", "a boolean", "got 1"],
    [{ onFailure: "ignore" }, RangeError, "onFailure", '"return"', '"ignore"'],
    [{ onIteration: "log" }, TypeError, "onIteration", "a function", 'got "log"'],
    [{ onProgress: {} }, TypeError, "onProgress", "a function", "got an object"],
    [{ output: "device" }, RangeError, "output", '"cpu", "gpu"', '"device"'],
    [{ output: true }, RangeError, "output", '"cpu", "gpu"', "got true"],
    [{ output: "gpu" }, RangeError, 'output: "gpu"', 'needs backend "webgpu"', 'got "wasm"'],
    [{ profile: 1 }, TypeError, "profile", "a boolean", "got 1"],
    [{ signal: new AbortController() }, TypeError, "signal", "an AbortSignal", "got an object"],
    [{ damping: "1" }, TypeError, "damping", "a number or an object", 'got "1"'],
    [{ damping: null }, TypeError, "damping", "a number or an object", "got null"],
    [{ damping: [1] }, TypeError, "damping", "a number or an object", "got an Array"],
    [{ damping: -1 }, RangeError, "damping", "λ ≥ 0", "got -1"],
    [{ damping: Number.NaN }, RangeError, "damping", "λ ≥ 0", "got NaN"],
    [{ damping: { lambda: "1" } }, RangeError, "damping", "λ ≥ 0", 'got "1"'],
    [{ damping: { sigma: 1 } }, TypeError, "damping", "lambda", '"sigma"'],
    [{ damping: { estimate: "mean" } }, RangeError, "damping.estimate", '"smoother"', '"mean"'],
    [{ damping: { scale: 1.5 } }, RangeError, "damping.scale", "[0, 1]", "got 1.5"],
    [{ damping: { scale: "0.5" } }, RangeError, "damping.scale", "[0, 1]", 'got "0.5"'],
    [{ damping: { clip: "yes" } }, TypeError, "damping.clip", "a boolean", 'got "yes"'],
    [{ damping: { trustRegion: 1 } }, TypeError, "damping.trustRegion", "a boolean", "got 1"],
    [
      { method: "deer", damping: { clip: true } },
      RangeError,
      "damping.clip",
      "a diagonal Jacobian",
      '"dense"',
    ],
  ];

  it.each(cases)("%o", async (options, kind, ...parts) => {
    const run = () => runtime.evaluate(cell, inputs, untyped(options));
    await expectRefusal(run, kind, parts);
  });

  it.each([null, "deer", 3, [] as unknown[]])("%o instead of an object", async (options) => {
    const run = () => runtime.evaluate(cell, inputs, untyped(options));
    await expectRefusal(run, TypeError, ["options", "an object"]);
  });
});

describe("the cell", () => {
  it.each([undefined, null, 3, "gru", {}, { next: 1, graph: 2 }])("%o", async (value) => {
    const run = () => runtime.evaluate(untyped(value), inputs);
    await expectRefusal(run, TypeError, ["cell", "made by defineCell", "got"]);
  });
});

describe("inputs", () => {
  const array = `a Float32Array or Float64Array`;
  const cases: readonly [string, unknown, Kind, ...string[]][] = [
    ["nothing", undefined, TypeError, "inputs", array, "got undefined"],
    ["null", null, TypeError, "inputs", array, "got null"],
    ["an Array", Array.from(inputs), TypeError, "inputs", array, "got an Array"],
    ["integers", new Int32Array(steps * inputSize), TypeError, "inputs", array, "a Int32Array"],
    ["bytes", inputs.buffer, TypeError, "inputs", array, "got an object"],
    ["a view", new DataView(inputs.buffer), TypeError, "inputs", array, "a DataView"],
    [
      "a number of steps",
      steps,
      TypeError,
      "inputs",
      `${inputSize} numbers a step`,
      `got ${steps}`,
    ],
    ["half a row", numbers(7), RangeError, "inputs", `inputSize ${inputSize}`, "got 7"],
    ["a detached buffer", detached(6), TypeError, "inputs", "numbers", "detached"],
    [
      "a detached buffer of float64",
      detached(6, (length) => new Float64Array(length)),
      TypeError,
      "inputs",
      "numbers",
      "detached",
    ],
  ];

  it.each(cases)("%s", async (_, value, kind, ...parts) => {
    for (const method of ["sequential", "deer"] as const) {
      await expectRefusal(() => runtime.evaluate(cell, untyped(value), { method }), kind, parts);
    }
  });

  const forNone: readonly [string, unknown, Kind, ...string[]][] = [
    ["an array", numbers(6), TypeError, "inputs", "the number of steps", "a Float32Array"],
    ["an empty array", numbers(0), TypeError, "inputs", "the number of steps", "a Float32Array"],
    ["nothing", undefined, TypeError, "inputs", "the number of steps", "got undefined"],
    ["a string", "10", TypeError, "inputs", "the number of steps", 'got "10"'],
    ["minus one", -1, RangeError, "inputs", "a non-negative integer", "got -1"],
    ["a fraction", 2.5, RangeError, "inputs", "a non-negative integer", "got 2.5"],
    ["NaN", Number.NaN, RangeError, "inputs", "a non-negative integer", "got NaN"],
  ];

  it.each(forNone)("%s for a cell that reads none", async (_, value, kind, ...parts) => {
    await expectRefusal(() => runtime.evaluate(withoutInput, untyped(value)), kind, parts);
  });

  it("that are transferred while they run give the right states or a TypeError", async () => {
    const given = inputs.slice();
    const run = runtime.evaluate(cell, given).then(({ states }) => states);
    structuredClone(given.buffer, { transfer: [given.buffer] });
    const outcome = await run.catch((error: unknown) => error);
    if (outcome instanceof Float32Array) expect(identical(outcome, expected)).toBe(true);
    else expect(outcome).toBeInstanceOf(TypeError);
  });
});

describe("lengths", () => {
  const cases: readonly [string, unknown, Kind, ...string[]][] = [
    ["too few rows", [1, 2], RangeError, "lengths", "a sum of 6", "got 3"],
    ["too many rows", [4, 4], RangeError, "lengths", "a sum of 6", "got 8"],
    ["no sequences", [], RangeError, "lengths", "a sum of 6", "got 0"],
    ["negative", [8, -2], RangeError, "lengths[1]", "a non-negative integer", "got -2"],
    ["fractions", [2.5, 3.5], RangeError, "lengths[0]", "a non-negative integer", "got 2.5"],
    ["NaN", [Number.NaN, 6], RangeError, "lengths[0]", "a non-negative integer", "got NaN"],
    ["strings", ["6"], RangeError, "lengths[0]", "a non-negative integer", 'got "6"'],
    ["holes", Array(2), RangeError, "lengths[0]", "a non-negative integer", "got undefined"],
    ["a number", 6, TypeError, "lengths", "an array of integers", "got 6"],
    ["a string", "6", TypeError, "lengths", "an array of integers", 'got "6"'],
    ["null", null, TypeError, "lengths", "an array of integers", "got null"],
    ["an object", { first: 6 }, TypeError, "lengths", "an array of integers", "got an object"],
  ];

  it.each(cases)("%s", async (_, lengths, kind, ...parts) => {
    const run = () => runtime.evaluate(cell, inputs, { lengths: untyped(lengths) });
    await expectRefusal(run, kind, parts);
  });
});

describe("states given", () => {
  const array = "a Float32Array or Float64Array";
  const row = `${stateSize}`;
  const withNumber = (value: number) => numbers(2 * stateSize).fill(value, stateSize + 3);
  const lengths = [2, 4];
  const cases: readonly [string, EvaluateOptions, Kind, ...string[]][] = [
    [
      "an initial state that is an Array",
      { initialState: untyped([1, 2, 3]) },
      TypeError,
      "initialState",
      array,
      "got an Array",
    ],
    [
      "a short initial state",
      { initialState: numbers(stateSize - 1) },
      RangeError,
      "initialState",
      `expected ${row}`,
      `got ${stateSize - 1}`,
    ],
    [
      "initial states for another batch",
      { initialState: numbers(3 * stateSize), lengths },
      RangeError,
      "initialState",
      `${row} or 2 × ${row}`,
      `got ${3 * stateSize}`,
    ],
    [
      "NaN in an initial state",
      { initialState: withNumber(Number.NaN), lengths },
      RangeError,
      "initialState",
      "finite numbers",
      "got NaN at unit 3 of sequence 1",
    ],
    [
      "infinity in an initial state",
      { initialState: numbers(stateSize).fill(-Infinity, 2) },
      RangeError,
      "initialState",
      "finite numbers",
      "got -Infinity at unit 2 of sequence 0",
    ],
    [
      "a detached initial state",
      { initialState: detached(stateSize) },
      TypeError,
      "initialState",
      "detached",
    ],
    [
      "a guess that is an Array",
      { initialGuess: untyped([1]) },
      TypeError,
      "initialGuess",
      array,
      "got an Array",
    ],
    [
      "a guess of another length",
      { initialGuess: numbers(steps) },
      RangeError,
      "initialGuess",
      `${steps} × ${row}`,
      `got ${steps}`,
    ],
    ["a detached guess", { initialGuess: detached(30) }, TypeError, "initialGuess", "detached"],
  ];

  it.each(cases)("%s", async (_, options, kind, ...parts) => {
    for (const method of ["sequential", "quasi-deer"] as const) {
      const run = () => runtime.evaluate(cell, inputs, { ...options, method });
      await expectRefusal(run, kind, parts);
    }
  });
});

describe("weights", () => {
  const sizes = { inputSize: 2, hiddenSize: 3 };
  const good = { weight_ih: numbers(18), weight_hh: numbers(27) };
  const cases: readonly [string, () => unknown, Kind, ...string[]][] = [
    [
      "NaN",
      () => gru({ ...sizes, weights: { ...good, weight_hh: numbers(27).fill(Number.NaN, 4) } }),
      RangeError,
      "weights.weight_hh",
      "finite numbers",
      "got NaN at index 4",
    ],
    [
      "infinity",
      () => gru({ ...sizes, weights: { ...good, bias_ih: numbers(9).fill(Infinity) } }),
      RangeError,
      "weights.bias_ih",
      "finite numbers",
      "got Infinity at index 0",
    ],
    [
      "a detached buffer",
      () => gru({ ...sizes, weights: { ...good, weight_ih: detached(18) } }),
      RangeError,
      "weights.weight_ih",
      "expected 18 numbers",
      "got 0",
    ],
    [
      "another size",
      () => gru({ ...sizes, hiddenSize: 4, weights: good }),
      RangeError,
      "weights.weight_ih",
      "expected 24 numbers",
      "got 18",
    ],
    [
      "an Array",
      () => gru({ ...sizes, weights: untyped({ ...good, weight_hh: [1] }) }),
      TypeError,
      "weights.weight_hh",
      "a Float32Array or Float64Array",
      "got an Array",
    ],
    [
      "a negative size",
      () => lstm({ inputSize: 2, hiddenSize: -3, weights: good }),
      RangeError,
      "hiddenSize",
      "a positive integer",
      "got -3",
    ],
    [
      "a fractional size",
      () => lstm({ inputSize: 2.5, hiddenSize: 3, weights: good }),
      RangeError,
      "inputSize",
      "a positive integer",
      "got 2.5",
    ],
  ];

  it.each(cases)("%s", async (_, make, kind, ...parts) => {
    await expectRefusal(make, kind, parts);
  });

  it("changed after the cell was made change nothing", async () => {
    const weights = { weight_ih: numbers(18).fill(0.1), weight_hh: numbers(27).fill(0.2) };
    const made = gru({ ...sizes, weights });
    const before = await runtime.evaluate(made, numbers(8).fill(1));
    weights.weight_hh.fill(Number.NaN);
    const after = await runtime.evaluate(made, numbers(8).fill(1), { method: "deer", chunk: 4 });
    expect(identical(after.states, before.states)).toBe(true);
  });
});

describe("options of createRuntime", () => {
  const cases: readonly [Record<string, unknown> | null, Kind, ...string[]][] = [
    [null, TypeError, "options", "an object", "got null"],
    [{ backends: "wasm" }, TypeError, "options", "backend", '"backends"'],
    [{ backend: "cpu" }, RangeError, "backend", '"reference"', '"cpu"'],
    [{ reproducible: "yes" }, TypeError, "reproducible", "a boolean", 'got "yes"'],
    [{ memoryLimit: 0 }, RangeError, "memoryLimit", "65536 to 4294967296 bytes", "got 0"],
    [{ memoryLimit: 2 ** 33 }, RangeError, "memoryLimit", "4294967296", "got 8589934592"],
    [{ memoryLimit: Number.NaN }, RangeError, "memoryLimit", "4294967296", "got NaN"],
    [{ memoryLimit: "1e9" }, RangeError, "memoryLimit", "4294967296", 'got "1e9"'],
    [{ gpuLimits: "all" }, RangeError, "gpuLimits", '"adapter", "default"', 'got "all"'],
    [{ gpu: 3 }, TypeError, "gpu", "navigator.gpu", "got 3"],
    [{ gpu: {} }, TypeError, "gpu", "navigator.gpu", "got an object"],
    [{ device: "gpu" }, TypeError, "device", "a GPUDevice", 'got "gpu"'],
    [{ device: {} }, TypeError, "device", "a GPUDevice", "got an object"],
    [{ wasm: 3 }, TypeError, "wasm", "a URL, bytes or a WebAssembly.Module", "got 3"],
    [{ wasm: null }, TypeError, "wasm", "a URL, bytes or a WebAssembly.Module", "got null"],
    [{ wasm: [0, 97] }, TypeError, "wasm", "WebAssembly.Module", "got an Array"],
    [{ wasm: detached(4) }, TypeError, "wasm", "bytes", "detached"],
  ];

  it.each(cases)("%o", async (options, kind, ...parts) => {
    for (const backend of ["auto", "wasm"]) {
      const given = options && !("backend" in options) ? { backend, ...options } : options;
      await expectRefusal(() => createRuntime(given as RuntimeOptions), kind, parts);
    }
  });
});
