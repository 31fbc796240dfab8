/**
 * Where methods fail: divergence, chaos, overflow, NaN, jumps. Whatever is asked for, the outcome is
 * the right states, or an error that says where; never NaN or a wrong trajectory called converged.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  add,
  createRuntime,
  defineCell,
  divide,
  greater,
  linear,
  lorenz96,
  lstm,
  maximum,
  multiply,
  NonFiniteError,
  type Runtime,
  slice,
  subtract,
  tanh,
  where,
} from "../../src/index.ts";
import { largestError } from "../support/agreement.ts";
import { cellNamed, cells } from "../support/cells.ts";
import { mulberry32, normal, randomWeights, uniform } from "../support/random.ts";
import { scaling } from "../support/sweeps.ts";
import { allSettings, expectTruth, namedSettings, type Problem } from "../support/verdict.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ reproducible: true });
});
afterAll(() => runtime.dispose());

const backends = ["wasm", "reference"] as const;
/** The reference is slow, and lies where wasm does: fewer cells and settings are enough for it. */
const settingsFor = (backend: string) => (backend === "wasm" ? allSettings : namedSettings);

const inputsOf = (cell: Problem["cell"], steps: number) =>
  cell.inputSize > 0 ? normal(mulberry32(4), steps * cell.inputSize) : steps;

describe("weights that are six times too large", () => {
  const names = cells(3).map(({ name }) => name);
  const cases = [
    ...names.map((name) => ["wasm", name, 120] as const),
    ...["gru-reset-before", "lstm-plain", "diagonal-lstm"].map(
      (name) => ["reference", name, 40] as const,
    ),
  ];

  it.each(cases)("%s: %s", async (backend, name, steps) => {
    const cell = cellNamed(name, 3, { scale: 6 / Math.sqrt(5) });
    const initialState = uniform(mulberry32(5), cell.stateSize, -0.9, 0.9);
    const problem = { name, cell, inputs: inputsOf(cell, steps), initialState };
    await expectTruth(runtime, backend, problem, settingsFor(backend), { maxIterations: 15 });
  });
});

it.each(backends)("an LSTM that forgets nothing: %s", async (backend) => {
  const [inputSize, hiddenSize, steps] = [3, 6, backend === "wasm" ? 300 : 60];
  const shapes = {
    weight_ih: [4 * hiddenSize, inputSize],
    weight_hh: [4 * hiddenSize, hiddenSize],
    bias_ih: [4 * hiddenSize],
  };
  const weights = randomWeights(shapes, 1 / Math.sqrt(hiddenSize), 6);
  weights.bias_ih!.fill(6, hiddenSize, 2 * hiddenSize);
  const cell = lstm({ inputSize, hiddenSize, weights });
  const problem = { name: "forget bias 6", cell, inputs: inputsOf(cell, steps) };
  await expectTruth(runtime, backend, problem, settingsFor(backend), { maxIterations: 15 });
});

describe("Lorenz-96 in chaos", () => {
  const chaos = (steps: number, timeStep: number, forcing = 8): Problem => ({
    name: `Lorenz-96, F = ${forcing}, ${steps} steps of ${timeStep}`,
    cell: lorenz96({ size: 8, forcing, timeStep }),
    inputs: steps,
    initialState: normal(mulberry32(3), 8, forcing / 2, 1),
  });

  it("of 2000 steps is refused by every method, and repaired to the last bit", async () => {
    const tally = await expectTruth(runtime, "wasm", chaos(2000, 0.01), namedSettings, {
      maxIterations: 12,
    });
    expect(tally).toEqual({ converged: 0, repaired: 16, refused: 0 });
  });

  it.each(backends)("is refused although there is next to no residual: %s", async (backend) => {
    // The trajectory from a start that is off by less than the tolerance: an almost perfect guess,
    // with one small defect, and all wrong in the end.
    const problem = chaos(700, 0.02);
    const { cell, inputs, initialState } = problem;
    const elsewhere = initialState!.map((value) => value * (1 + 1e-6));
    const shadow = await runtime.evaluate(cell, inputs, { backend, initialState: elsewhere });
    const exact = await runtime.evaluate(cell, inputs, { backend, initialState });
    expect(largestError(shadow.states, exact.states, cell.stateSize)).toBeGreaterThan(0.5);
    const common = { initialGuess: shadow.states, maxIterations: 0 };
    const settings = namedSettings.slice(0, backend === "wasm" ? 8 : 3);
    const tally = await expectTruth(runtime, backend, problem, settings, common);
    expect(tally).toEqual({ converged: 0, repaired: 2 * settings.length, refused: 0 });
    const options = { ...common, backend, initialState, method: "jacobi" } as const;
    const { report } = await runtime.evaluate(cell, inputs, { ...options, onFailure: "return" });
    expect(report.residual).toBeLessThan(1e-5);
    expect(report.errorEstimate).toBeGreaterThan(1);
  });

  // Between harmless and hopeless: some of these converge, and must then be right.
  it.each([
    [100, 0.01, 8],
    [200, 0.01, 8],
    [80, 0.05, 8],
    [300, 0.02, 4],
  ])("on wasm over %i steps of %f, F = %i", async (steps, timeStep, forcing) => {
    for (const tolerance of [1e-5, 1e-3]) {
      const common = { maxIterations: 8, tolerance };
      await expectTruth(runtime, "wasm", chaos(steps, timeStep, forcing), allSettings, common);
    }
  });

  it("on the reference", async () => {
    const common = { maxIterations: 8 };
    await expectTruth(runtime, "reference", chaos(40, 0.05), namedSettings, common);
  });
});

describe("numbers that overflow", () => {
  it.each(backends)("stop at the same step and unit under every method: %s", async (backend) => {
    // The second unit grows fastest: past 3.4e38 in float32 and 1.8e308 in float64.
    const steps = backend === "wasm" ? 160 : 1100;
    const problem: Problem = {
      name: "growth",
      cell: scaling([1.1, 2, -1.3]),
      inputs: normal(mulberry32(1), steps * 3),
      initialState: Float32Array.of(0.1, 0.3, 0.2),
    };
    const common = { maxIterations: backend === "wasm" ? 20 : 4 };
    const settings = settingsFor(backend);
    const tally = await expectTruth(runtime, backend, problem, settings, common);
    expect(tally).toEqual({ converged: 0, repaired: 0, refused: 2 * settings.length });
    const run = runtime.evaluate(problem.cell, problem.inputs, {
      ...problemOptions(problem),
      backend,
    });
    const error: NonFiniteError = await run.catch((reason) => reason);
    expect(error.location).toMatchObject({ sequence: 0, unit: 1 });
    expect(error.location.step).toBeGreaterThan(steps * 0.75);
    expect(error.cause).toContain("its input is finite");
  });

  it.each(backends)("do not stop what stays below: %s", async (backend) => {
    const problem: Problem = {
      name: "growth that fits",
      cell: scaling([1.4, -1.2]),
      inputs: normal(mulberry32(1), 200),
      initialState: Float32Array.of(1, 1),
    };
    const tally = await expectTruth(runtime, backend, problem, settingsFor(backend), {
      maxIterations: 10,
    });
    expect(tally.refused).toBe(0);
  });

  it.each(backends)("in the initial state: %s", async (backend) => {
    const name = "huge start";
    for (const [cell, initialState] of [
      [cellNamed("gru-reset-after", 2), Float64Array.of(1e30, -1e30, 1e30, 0, 0)],
      [cellNamed("rnn-tanh", 2), Float64Array.of(1e300, 0, 0, 0, -1e300)],
      [cellNamed("lstm-plain", 2), new Float64Array(10).fill(1e39, 5)],
      [scaling([0.5, 0.5]), Float64Array.of(1e39, 1)],
    ] as const) {
      const problem = { name, cell, inputs: inputsOf(cell, 30), initialState };
      await expectTruth(runtime, backend, problem, namedSettings, { maxIterations: 6 });
    }
  });

  it.each(backends)("in weights: %s", async (backend) => {
    for (const name of ["rnn-relu", "gru-reset-before", "custom-two-layers"]) {
      const cell = cellNamed(name, 2, { scale: 1e25 });
      const problem = { name, cell, inputs: inputsOf(cell, 30) };
      await expectTruth(runtime, backend, problem, namedSettings, { maxIterations: 6 });
    }
  });
});

const problemOptions = ({ initialState, reverse }: Problem) => ({ initialState, reverse });

describe("NaN and infinity in the inputs", () => {
  const steps = 60;
  const bad = 37;
  const names = ["gru-reset-after", "lstm-peephole", "rnn-relu", "diagonal-lstm"];
  const cases = backends.flatMap((backend) =>
    (backend === "wasm" ? names : names.slice(0, 1)).flatMap((name) =>
      [Number.NaN, Infinity, -Infinity].map((value) => [backend, name, value] as const),
    ),
  );

  it.each(cases)("%s: %s, %d", async (backend, name, value) => {
    const cell = cellNamed(name, 4);
    const inputs = normal(mulberry32(2), steps * cell.inputSize);
    inputs[bad * cell.inputSize + 1] = value;
    for (const reverse of [false, true]) {
      const problem = { name: `${name}, ${value}`, cell, inputs, reverse };
      await expectTruth(runtime, backend, problem, namedSettings, { maxIterations: 6 });
      const run = runtime.evaluate(cell, inputs, { reverse, backend, method: "deer", chunk: 8 });
      const outcome: unknown = await run.catch((reason) => reason);
      // Infinity saturates a gate; NaN has nowhere to hide.
      if (Number.isNaN(value)) expect(outcome).toBeInstanceOf(NonFiniteError);
      if (outcome instanceof NonFiniteError) {
        expect(outcome.location).toMatchObject({ sequence: 0, step: bad });
        expect(outcome.cause).toBe(`element 1 of its input is ${value}`);
      }
    }
  });

  it("are told with their sequence, and spare the others", async () => {
    const cell = cellNamed("gru-reset-after", 4);
    const inputs = normal(mulberry32(2), steps * cell.inputSize);
    inputs[bad * cell.inputSize] = Number.NaN;
    const lengths = [20, 30, 10];
    for (const backend of backends) {
      for (const method of ["sequential", "quasi-deer", "elk"] as const) {
        const options = { backend, method, lengths };
        const error: unknown = await runtime
          .evaluate(cell, inputs, options)
          .catch((reason) => reason);
        expect(error).toBeInstanceOf(NonFiniteError);
        const location = { sequence: 1, step: bad - 20, unit: 0 };
        expect((error as NonFiniteError).location).toEqual(location);
        const marked = await runtime.evaluate(cell, inputs, { ...options, onFailure: "return" });
        expect(marked.report).toMatchObject({ converged: false, residual: Infinity });
        expect(marked.report.fallback).toMatchObject({ to: "none", sequence: 1 });
        const rows = (from: number, to: number) =>
          marked.states.slice(from * cell.stateSize, to * cell.stateSize);
        expect([...rows(0, bad), ...rows(50, 60)].every(Number.isFinite)).toBe(true);
        expect([...rows(bad, bad + 1)].some(Number.isFinite)).toBe(false);
      }
    }
  });

  it.each(backends)("that the cell hides are not missed, nor imagined: %s", async (backend) => {
    // NaN in the state for one step only: `where` then takes the other branch.
    const cell = defineCell({
      name: "forgetful",
      inputSize: 2,
      state: { h: 1 },
      step: ({ h }, x) => {
        const [value, reset] = [multiply(x, 1), multiply(x, 0)] as const;
        const first = add(multiply(0.5, h), tanh(slice(value, 0, 1)));
        return { h: where(greater(slice(x, 1, 1), 0), slice(reset, 1, 1), first) };
      },
    });
    const inputs = new Float32Array(2 * steps).fill(0.3);
    for (let t = 0; t < steps; t++) inputs[2 * t + 1] = t % 10 === 9 ? 1 : -1;
    inputs[2 * 33] = Number.NaN;
    const problem = { name: "forgetful", cell, inputs };
    const tally = await expectTruth(runtime, backend, problem, namedSettings, { maxIterations: 6 });
    expect(tally.refused).toBe(2 * namedSettings.length);
    // Where the NaN is not even looked at, there is nothing to refuse.
    const unseen = inputs.slice();
    unseen[2 * 33] = 0.3;
    unseen[2 * 39] = Number.NaN;
    const fine = { name: "unseen", cell, inputs: unseen };
    const other = await expectTruth(runtime, backend, fine, namedSettings, { maxIterations: 6 });
    expect(other.refused).toBe(0);
  });
});

describe("initial guesses", () => {
  const steps = 50;
  const guesses: readonly [string, (i: number) => number][] = [
    ["NaN", () => Number.NaN],
    ["infinity", (i) => (i % 2 === 0 ? Infinity : -Infinity)],
    ["NaN here and there", (i) => (i % 7 === 3 ? Number.NaN : 0.5)],
    ["huge numbers", (i) => (i % 2 === 0 ? 1e38 : -1e38)],
    ["numbers beyond float32", () => 1e300],
  ];
  const cases = backends.flatMap((backend) =>
    guesses.map(([what, value]) => [backend, what, value] as const),
  );

  it.each(cases)("%s: of %s lead to the right states", async (backend, _, value) => {
    const names = ["gru-reset-after", "rnn-relu", "lstm-plain", "custom-three-layers"];
    for (const name of backend === "wasm" ? names : names.slice(0, 2)) {
      const cell = cellNamed(name, 5);
      const initialGuess = Float64Array.from({ length: steps * cell.stateSize }, (_, i) =>
        value(i),
      );
      const problem = { name, cell, inputs: inputsOf(cell, steps) };
      const common = { initialGuess, maxIterations: 8 };
      const tally = await expectTruth(runtime, backend, problem, namedSettings, common);
      expect(tally.refused).toBe(0);
    }
  });
});

describe("cells that a linear estimate does not understand", () => {
  /** One unit's comparison halves both: a jump of up to a half wherever it turns over. */
  const switching = defineCell({
    name: "switching",
    inputSize: 1,
    state: { h: 2 },
    weights: {
      w: { shape: [2, 2], data: Float32Array.of(0.5, 0.3, -0.3, 0.6) },
      u: { shape: [2, 1], data: Float32Array.of(1, 0.7) },
    },
    step: ({ h }, x, { w, u }) => {
      const next = tanh(add(linear(w, h), linear(u, x)));
      return { h: where(greater(h, 0.2), next, multiply(0.5, next)) };
    },
  });

  it("jump: a comparison within the error is no convergence", async () => {
    // Seeds and settings under which residual and first-order error pass with an error of 0.1.
    for (const seed of [1, 3]) {
      const inputs = normal(mulberry32(seed), 50_000, 0.1, 0.5);
      const problem = { name: `switching, seed ${seed}`, cell: switching, inputs };
      const settings = [{ method: "quasi-elk" }] as const;
      const tally = await expectTruth(runtime, "wasm", problem, settings, { tolerance: 1e-3 });
      expect(tally.repaired).toBeGreaterThan(0);
    }
  });

  it.each(backends)("jump: a guess that took the other way is refused: %s", async (backend) => {
    const steps = 40;
    const inputs = normal(mulberry32(5), steps, 0.1, 0.5);
    const options = { backend, method: "sequential" } as const;
    const exact = await runtime.evaluate(switching, inputs, options);
    for (let step = 5; step < steps - 5; step++) {
      // A state moved across the threshold and followed from there: one defect, as small as the
      // threshold was near, and a first-order error no larger.
      const guess = exact.states.slice();
      const moved = exact.states.slice(2 * step, 2 * step + 2);
      const distance = moved[0]! - 0.2;
      moved[0] = 0.2 - 0.01 * distance;
      guess.set(moved, 2 * step);
      const rest = inputs.subarray(step + 1);
      const other = await runtime.evaluate(switching, rest, { ...options, initialState: moved });
      guess.set(other.states, 2 * step + 2);
      const tolerance = 2 * Math.abs(distance) + 1e-6;
      const problem = { name: `moved at ${step}`, cell: switching, inputs };
      const common = { initialGuess: guess, tolerance, maxIterations: 0 };
      await expectTruth(runtime, backend, problem, [{ method: "jacobi" }], common);
    }
  });

  it.each(backends)("jump, exactly where it matters: %s", async (backend) => {
    const steps = 120;
    const inputs = normal(mulberry32(8), steps);
    const leaky = (threshold: number) =>
      defineCell({
        name: `threshold ${threshold}`,
        inputSize: 1,
        state: { h: 1 },
        step: ({ h }, x) => {
          const next = tanh(add(multiply(0.9, h), x));
          return { h: subtract(next, multiply(0.4, greater(next, threshold))) };
        },
      });
    // Thresholds that the 100th state misses by less than an iterate's error.
    const calm = await runtime.evaluate(leaky(5), inputs, { backend });
    const touched = calm.states.reduce((most, value) => Math.max(most, value), -1);
    for (const miss of [1e-3, 1e-4, 1e-5, 1e-6, -1e-6, -1e-5]) {
      const problem = { name: `miss ${miss}`, cell: leaky(touched + miss), inputs };
      for (const tolerance of [1e-2, 1e-3, 1e-5]) {
        await expectTruth(runtime, backend, problem, namedSettings, { tolerance });
      }
    }
  });

  it("kinks are no jumps", async () => {
    const cell = defineCell({
      name: "kinks",
      inputSize: 1,
      state: { h: 1 },
      step: ({ h }, x) => {
        const sum = add(multiply(-0.8, h), x);
        return { h: add(where(greater(sum, 0), sum, multiply(0.3, sum)), maximum(h, 0.1), -0.1) };
      },
    });
    const inputs = normal(mulberry32(9), 2000);
    const { report } = await runtime.evaluate(cell, inputs, { method: "deer" });
    expect(report.converged).toBe(true);
    expect(report.fallback).toBeUndefined();
    const problem = { name: "kinks", cell, inputs };
    await expectTruth(runtime, "wasm", problem, namedSettings, { maxIterations: 20 });
  });

  it("two attractors: the right one", async () => {
    const cell = defineCell({
      name: "bistable",
      inputSize: 1,
      state: { h: { size: 1, bounds: [-1, 1] } },
      step: ({ h }, x) => ({ h: tanh(add(multiply(3, h), x)) }),
    });
    for (const seed of [1, 2]) {
      const inputs = normal(mulberry32(seed), 1000);
      const problem = { name: `bistable ${seed}`, cell, inputs };
      for (const tolerance of [1e-2, 1e-5]) {
        await expectTruth(runtime, "wasm", problem, namedSettings, { tolerance });
      }
    }
  });

  it("poles: what divides by almost nothing", async () => {
    const cell = defineCell({
      name: "poles",
      inputSize: 1,
      state: { h: 1 },
      step: ({ h }, x) => ({ h: divide(x, add(multiply(h, h), 0.001)) }),
    });
    const problem = { name: "poles", cell, inputs: normal(mulberry32(2), 200, 0, 0.1) };
    await expectTruth(runtime, "wasm", problem, allSettings, { maxIterations: 10 });
  });

  it.each(backends)("bounds that the cell does not keep: %s", async (backend) => {
    const cell = defineCell({
      name: "out of bounds",
      inputSize: 1,
      state: { h: { size: 1, bounds: [-0.1, 0.1] } },
      step: ({ h }, x) => ({ h: tanh(add(multiply(0.5, h), x)) }),
    });
    const problem = { name: "out of bounds", cell, inputs: normal(mulberry32(2), 60) };
    await expectTruth(runtime, backend, problem, namedSettings, { maxIterations: 8 });
  });
});
