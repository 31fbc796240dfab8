/**
 * Where methods fail, on WebGPU: chaos, overflow, NaN, jumps, nothing to do. The outcome is the right
 * states, or an error that says where; never NaN or a wrong trajectory called converged.
 */
import { describe, expect, it } from "vitest";
import {
  add,
  type Cell,
  defineCell,
  greater,
  linear,
  lorenz96,
  multiply,
  NonFiniteError,
  tanh,
  where,
} from "../../src/index.ts";
import { identical, largestError } from "../support/agreement.ts";
import { cellNamed } from "../support/cells.ts";
import { mulberry32, normal, uniform } from "../support/random.ts";
import { scaling } from "../support/sweeps.ts";
import { expectTruth, type Problem, type Setting } from "../support/verdict.ts";
import { useWebgpuRuntime } from "../support/webgpu-runtime.ts";

const runtime = useWebgpuRuntime();
const backend = "webgpu";

const inputsOf = (cell: Cell, steps: number) =>
  cell.inputSize > 0 ? normal(mulberry32(4), steps * cell.inputSize) : steps;

const jacobi: Setting = { method: "jacobi" };
const quasi: Setting = { method: "quasi-deer" };
const few = [jacobi, quasi];
const settings: readonly Setting[] = [
  ...few,
  { method: "deer" },
  { method: "quasi-elk", damping: { lambda: 1e-2, trustRegion: true } },
  { method: "elk", damping: { lambda: 1e-2, estimate: "smoother" } },
];

describe("weights that are six times too large", () => {
  it.each([
    ["gru-reset-before", settings.slice(1)],
    ["lstm-plain", [{ method: "quasi-deer", jacobian: "block" } as const]],
  ])("%s", async (name, asked) => {
    const cell = cellNamed(name, 3, { scale: 6 / Math.sqrt(5) });
    const initialState = uniform(mulberry32(5), cell.stateSize, -0.9, 0.9);
    const problem = { name, cell, inputs: inputsOf(cell, 40), initialState };
    await expectTruth(runtime(), backend, problem, asked, { maxIterations: 8 });
  });
});

describe("Lorenz-96 in chaos", () => {
  const chaos = (steps: number, timeStep: number): Problem => ({
    name: `Lorenz-96, ${steps} steps of ${timeStep}`,
    cell: lorenz96({ size: 8, forcing: 8, timeStep }),
    inputs: steps,
    initialState: normal(mulberry32(3), 8, 4, 1),
  });

  it("is refused, and repaired to the last bit", async () => {
    const common = { maxIterations: 6 };
    const tally = await expectTruth(runtime(), backend, chaos(300, 0.02), [quasi], common);
    expect(tally).toEqual({ converged: 0, repaired: 2, refused: 0 });
  });

  it("is refused although there is next to no residual", async () => {
    // The trajectory from a start that is off by less than the tolerance.
    const problem = chaos(700, 0.02);
    const { cell, inputs, initialState } = problem;
    const elsewhere = initialState!.map((value) => value * (1 + 1e-6));
    const steps = inputs as unknown as Float32Array;
    const shadow = await runtime().evaluate(cell, steps, { backend, initialState: elsewhere });
    const exact = await runtime().evaluate(cell, steps, { backend, initialState });
    expect(largestError(shadow.states, exact.states, cell.stateSize)).toBeGreaterThan(0.5);
    const common = { initialGuess: shadow.states, maxIterations: 0 };
    const tally = await expectTruth(runtime(), backend, problem, [jacobi], common);
    expect(tally).toEqual({ converged: 0, repaired: 2, refused: 0 });
    const options = { ...common, backend, initialState, method: "jacobi" } as const;
    const { report } = await runtime().evaluate(cell, steps, { ...options, onFailure: "return" });
    expect(report.residual).toBeLessThan(1e-5);
    expect(report.errorEstimate).toBeGreaterThan(1);
  });
});

describe("numbers that overflow", () => {
  it("stop at the same step and unit under every method", async () => {
    const problem: Problem = {
      name: "growth",
      cell: scaling([1.1, 2, -1.3]),
      inputs: normal(mulberry32(1), 160 * 3),
      initialState: Float32Array.of(0.1, 0.3, 0.2),
    };
    const asked = settings.filter(({ method }) => method !== "deer");
    const tally = await expectTruth(runtime(), backend, problem, asked, { maxIterations: 12 });
    expect(tally).toEqual({ converged: 0, repaired: 0, refused: 2 * asked.length });
  });

  it("in the initial state and in weights", async () => {
    const huge = (name: string, steps: number, initialState: Float64Array): Problem => {
      const cell = cellNamed(name, 2);
      return { name, cell, inputs: inputsOf(cell, steps), initialState };
    };
    const wide = cellNamed("gru-reset-before", 2, { scale: 1e25 });
    for (const problem of [
      huge("gru-reset-after", 30, Float64Array.of(1e30, -1e30, 1e30, 0, 0)),
      huge("lstm-plain", 30, new Float64Array(10).fill(1e39, 5)),
      { name: "huge weights", cell: wide, inputs: inputsOf(wide, 30) },
    ]) {
      await expectTruth(runtime(), backend, problem, few, { maxIterations: 6 });
    }
  });
});

describe("NaN and infinity in the inputs", () => {
  const steps = 60;
  const bad = 37;
  const cell = cellNamed("gru-reset-after", 2);

  it.each([Number.NaN, Infinity, -Infinity])("%d", async (value) => {
    const inputs = normal(mulberry32(2), steps * cell.inputSize);
    inputs[bad * cell.inputSize + 1] = value;
    for (const reverse of [false, true]) {
      const problem = { name: `input ${value}`, cell, inputs, reverse };
      await expectTruth(runtime(), backend, problem, [quasi], { maxIterations: 6 });
      const options = { backend, method: "quasi-deer", chunk: 8, reverse } as const;
      const run = runtime().evaluate(cell, inputs, options);
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
    const inputs = normal(mulberry32(2), steps * cell.inputSize);
    inputs[bad * cell.inputSize] = Number.NaN;
    const lengths = [20, 30, 10];
    for (const method of ["sequential", "jacobi", "quasi-deer"] as const) {
      const options = { backend, method, lengths } as const;
      const run = runtime().evaluate(cell, inputs, options);
      const error: unknown = await run.catch((reason) => reason);
      expect(error).toBeInstanceOf(NonFiniteError);
      const location = { sequence: 1, step: bad - 20, unit: 0 };
      expect((error as NonFiniteError).location).toEqual(location);
      const marked = await runtime().evaluate(cell, inputs, { ...options, onFailure: "return" });
      expect(marked.report).toMatchObject({ converged: false, residual: Infinity });
      expect(marked.report.fallback).toMatchObject({ to: "none", sequence: 1 });
      const rows = (from: number, to: number) =>
        marked.states.slice(from * cell.stateSize, to * cell.stateSize);
      expect([...rows(0, bad), ...rows(50, 60)].every(Number.isFinite)).toBe(true);
      expect([...rows(bad, bad + 1)].some(Number.isFinite)).toBe(false);
    }
  });
});

it.each<[string, (i: number) => number]>([
  ["NaN", () => Number.NaN],
  ["infinity", (i) => (i % 2 === 0 ? Infinity : -Infinity)],
  ["NaN here and there", (i) => (i % 7 === 3 ? Number.NaN : 0.5)],
  ["huge numbers", (i) => (i % 2 === 0 ? 1e38 : -1e38)],
  ["numbers beyond float32", () => 1e300],
])("initial guesses of %s lead to the right states", async (_, value) => {
  for (const [name, asked] of [
    ["gru-reset-after", [quasi]],
    ["rnn-relu", [{ method: "deer" }]],
  ] satisfies [string, Setting[]][]) {
    const cell = cellNamed(name, 2);
    const initialGuess = Float64Array.from({ length: 50 * cell.stateSize }, (_, i) => value(i));
    const problem = { name, cell, inputs: inputsOf(cell, 50) };
    const common = { initialGuess, maxIterations: 8 };
    const tally = await expectTruth(runtime(), backend, problem, asked, common);
    expect(tally.refused).toBe(0);
  }
});

it("a comparison within the error is no convergence", async () => {
  const cell = defineCell({
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
  const steps = 40;
  const inputs = normal(mulberry32(5), steps, 0.1, 0.5);
  const options = { backend, method: "sequential" } as const;
  const exact = await runtime().evaluate(cell, inputs, options);
  for (let step = 5; step < steps - 5; step += 3) {
    // A state moved across the threshold and followed from there: one small defect.
    const guess = exact.states.slice();
    const moved = exact.states.slice(2 * step, 2 * step + 2);
    const distance = moved[0]! - 0.2;
    moved[0] = 0.2 - 0.01 * distance;
    guess.set(moved, 2 * step);
    const rest = inputs.subarray(step + 1);
    const other = await runtime().evaluate(cell, rest, { ...options, initialState: moved });
    guess.set(other.states, 2 * step + 2);
    const tolerance = 2 * Math.abs(distance) + 1e-6;
    const problem = { name: `moved at ${step}`, cell, inputs };
    const common = { initialGuess: guess, tolerance, maxIterations: 0 };
    await expectTruth(runtime(), backend, problem, [{ method: "jacobi" }], common);
  }
});

it("no steps, and one", async () => {
  const cell = cellNamed("gru-reset-after", 2);
  const initialState = uniform(mulberry32(1), cell.stateSize);
  for (const setting of [{ method: "sequential" } as const, ...settings]) {
    const options = { ...setting, backend, initialState } as const;
    const none = await runtime().evaluate(cell, new Float32Array(0), options);
    expect(none.states).toHaveLength(0);
    expect(identical(none.finalStates, initialState)).toBe(true);
    expect(none.report).toMatchObject({ converged: true, residual: 0, iterations: 0 });
    const inputs = inputsOf(cell, 1) as Float32Array;
    const one = await runtime().evaluate(cell, inputs, options);
    const exact = await runtime().evaluate(cell, inputs, { initialState, backend: "wasm" });
    expect(largestError(one.states, exact.states, cell.stateSize)).toBeLessThan(1e-6);
    expect(identical(one.states, one.finalStates)).toBe(true);
    expect(one.report).toMatchObject({ converged: true, residual: 0, iterations: 0 });
  }
});
