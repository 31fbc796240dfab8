/** What does not fit the memory at once is solved in windows of steps, with the same result. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Cell,
  ConvergenceError,
  createRuntime,
  type EvaluateOptions,
  type Evaluation,
  type IterationProgress,
  type Runtime,
} from "../../src/index.ts";
import { identical, largestError } from "../support/agreement.ts";
import { cellNamed } from "../support/cells.ts";
import { dawnGpu } from "../support/dawn.ts";
import { mulberry32, normal, uniform } from "../support/random.ts";
import { scaling } from "../support/sweeps.ts";

/** Units of two parts, so that all Jacobians are different; of contracting dynamics. */
const cell = cellNamed("diagonal-lstm", 1);
const { inputSize, stateSize } = cell;
const steps = 600;
const inputs = normal(mulberry32(1), steps * inputSize);
const initialState = uniform(mulberry32(2), stateSize, -0.5, 0.5);

let tight: Runtime;
let roomy: Runtime;
beforeAll(async () => {
  const gpu = await dawnGpu();
  tight = await createRuntime({ gpu, backend: "webgpu", memoryLimit: 65536 });
  roomy = await createRuntime({ gpu, backend: "webgpu" });
});
afterAll(() => {
  tight?.dispose();
  roomy?.dispose();
});

const exactStates = async (target: Cell, x: Float32Array, options: EvaluateOptions) => {
  const { initialState: start, lengths, reverse } = options;
  const rest = { ...(start && { initialState: start }), ...(lengths && { lengths }) };
  return roomy.evaluate(target, x, { ...rest, reverse: reverse ?? false, backend: "reference" });
};

/** Evaluates with and without windows, and compares both with the oracle. */
async function inWindows(options: EvaluateOptions, target = cell, x = inputs): Promise<Evaluation> {
  const windowed = await tight.evaluate(target, x, options);
  const whole = await roomy.evaluate(target, x, options);
  const exact = await exactStates(target, x, options);
  expect(windowed.report.windows).toBeGreaterThan(1);
  expect(whole.report.windows).toBe(1);
  for (const { states, finalStates, report } of [windowed, whole]) {
    expect(report).toMatchObject({ backend: "webgpu", converged: true });
    expect(report.fallback).toBeUndefined();
    expect(report.traffic!.readbacks).toBe(1);
    expect(report.residual).toBeLessThanOrEqual(options.tolerance ?? 1e-5);
    const error = largestError(states, exact.states, target.stateSize);
    expect(error).toBeLessThan(1e-5);
    // The estimate holds, within the rounding that it takes for granted.
    expect(error).toBeLessThan(report.errorEstimate + 1e-6);
    expect(largestError(finalStates, exact.finalStates, target.stateSize)).toBeLessThan(1e-5);
  }
  return windowed;
}

const jacobians = ["none", "identity", "diagonal", "block", "dense"] as const;
const quick = { tolerance: 1e-6, maxIterations: 30, initialState } as const;

describe.each(jacobians)("with Jacobian %s", (jacobian) => {
  it.each([1, 7, 64])("C = %i", async (chunk) => {
    const parallel = { ...quick, method: "quasi-deer", jacobian, chunk } as const;
    // The identity is so bad a guess that only exactness ends it: after as many sweeps as there are chunks.
    const lengths = jacobian === "identity" ? Array(30).fill(steps / 30) : [steps];
    await inWindows({ ...parallel, lengths });
  });
});

describe("in windows", () => {
  const options = { ...quick, method: "quasi-deer", chunk: 7 } as const;

  it("time may run backwards", async () => {
    await inWindows({ ...options, reverse: true });
    await inWindows({ ...options, reverse: true, method: "sequential" });
  });

  it("sequences of a batch share one, or have many", async () => {
    const lengths = [3, 0, 440, 1, 1, 140, 0, 15];
    for (const reverse of [false, true]) await inWindows({ ...options, lengths, reverse });
    const initialStates = uniform(mulberry32(3), lengths.length * stateSize, -0.5, 0.5);
    await inWindows({ ...options, lengths, initialState: initialStates });
  });

  it("a guess is cut up, too", async () => {
    const exact = await exactStates(cell, inputs, options);
    const guess = Float32Array.from(exact.states);
    const { report } = await inWindows({ ...options, initialGuess: guess });
    const unguessed = await tight.evaluate(cell, inputs, options);
    expect(report.iterations).toBeLessThan(unguessed.report.iterations);
    await inWindows({ ...options, initialGuess: guess.fill(Number.NaN, 70, 2900) });
  });

  it.each(["filter", "smoother"] as const)("updates may be damped: %s", async (estimate) => {
    const damping = { lambda: 1e-3, estimate };
    await inWindows({ ...options, method: "quasi-elk", damping, maxIterations: 60 });
  });

  it("a trust region starts anew in each", async () => {
    const damping = { lambda: 1e-2, trustRegion: true };
    await inWindows({ ...options, method: "quasi-elk", damping, maxIterations: 60 });
  });

  it("a sequential run takes one after the other, bit for bit", async () => {
    const windowed = await inWindows({ method: "sequential", initialState });
    const whole = await roomy.evaluate(cell, inputs, { method: "sequential", initialState });
    expect(identical(windowed.states, whole.states)).toBe(true);
    expect(identical(windowed.finalStates, whole.finalStates)).toBe(true);
  });

  it("all that is held stays within the limit", async () => {
    const own = await createRuntime({
      gpu: await dawnGpu(),
      backend: "webgpu",
      memoryLimit: 2 ** 18,
    });
    const sizes: number[] = [];
    const device = own.device as GPUDevice;
    const createBuffer = device.createBuffer.bind(device);
    device.createBuffer = (descriptor) => {
      sizes.push(descriptor.size);
      return createBuffer(descriptor);
    };
    const lengths = Array(24).fill(100);
    const many = normal(mulberry32(4), 2400 * inputSize);
    for (const given of [options, { ...options, lengths }, { method: "sequential" } as const]) {
      sizes.length = 0;
      const { report } = await own.evaluate(cell, many, given);
      expect(report).toMatchObject({ converged: true });
      expect(report.windows).toBeGreaterThan(1);
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(2 ** 18);
    }
    own.dispose();
  });
});

describe("an error of one window", () => {
  /** Nothing is forgotten: an error made early is there to the end. */
  const integrator = scaling([1, 0.999]);
  const x = normal(mulberry32(5), 1500 * 2, 0, 0.01);
  const options = { method: "quasi-deer", chunk: 5, tolerance: 1e-4 } as const;

  it("is part of the next one's estimate", async () => {
    const windowed = await tight.evaluate(integrator, x, options);
    const exact = await exactStates(integrator, x, options);
    expect(windowed.report.windows).toBeGreaterThan(2);
    const error = largestError(windowed.states, exact.states, 2);
    expect(error).toBeLessThan(windowed.report.errorEstimate + 1e-6);
    expect(windowed.report.converged).toBe(true);
  });
});

describe("windows that fail", () => {
  const failing = { method: "jacobi", chunk: 7, tolerance: 1e-6, initialState } as const;

  it.each([0, 1, 2])("are repaired after %i sweeps, as exactly as all at once", async (most) => {
    const options = { ...failing, maxIterations: most };
    const { states, report } = await tight.evaluate(cell, inputs, options);
    const exact = await tight.evaluate(cell, inputs, { method: "sequential", initialState });
    expect(report.windows).toBeGreaterThan(1);
    expect(report).toMatchObject({ converged: true, residual: 0, iterations: most });
    expect(report.fallback).toMatchObject({ to: "sequential", sequence: 0 });
    expect(report.fallback!.fromStep).toBe(7 * (most + 1));
    expect(report.fallback!.reason).toContain(`after ${most} sweeps`);
    expect(largestError(states, exact.states, stateSize)).toBeLessThan(1e-6);
  });

  it("behind good ones are repaired from where they fail", async () => {
    // Nothing happens at first, so that no sweep is needed; then the inputs begin.
    const quiet = 450;
    const target = scaling([0.5, 0.9, -0.7, 0.2, 0.1, 0.3, 0.4, 0.6]);
    const late = normal(mulberry32(6), steps * 8).fill(0, 0, quiet * 8);
    const options = { method: "jacobi", chunk: 7, maxIterations: 1, tolerance: 1e-6 } as const;
    const { states, report } = await tight.evaluate(target, late, options);
    expect(report.windows).toBeGreaterThan(1);
    expect(report).toMatchObject({ converged: true, residual: 0 });
    expect(report.fallback!.to).toBe("sequential");
    expect(report.fallback!.fromStep).toBeGreaterThan(quiet);
    expect(report.fallback!.fromStep).toBeLessThan(quiet + 5 * 7);
    const exact = await exactStates(target, late, {});
    expect(largestError(states, exact.states, 8)).toBeLessThan(1e-6);
  });

  it("of a batch leave the other sequences alone", async () => {
    const lengths = [7, 550, 14, 29];
    const options = { ...failing, lengths, maxIterations: 1 };
    const { states, report } = await tight.evaluate(cell, inputs, options);
    expect(report.fallback).toMatchObject({ to: "sequential", sequence: 1, fromStep: 14 });
    const exact = await exactStates(cell, inputs, options);
    expect(largestError(states, exact.states, stateSize)).toBeLessThan(1e-6);
    expect(report.converged).toBe(true);
  });

  it("throw where that is asked for", async () => {
    const options = { ...failing, maxIterations: 1, onFailure: "throw" } as const;
    const error: unknown = await tight.evaluate(cell, inputs, options).catch((reason) => reason);
    expect(error).toBeInstanceOf(ConvergenceError);
    expect((error as Error).message).toMatch(
      /jacobi: not converged after 1 sweeps.*first 14 steps/,
    );
  });

  it("are returned where that is asked for, with what is wrong with the worst", async () => {
    // The inputs grow, and so do the defects, from window to window.
    const growing = inputs.map((value, i) => (value * i) / inputs.length);
    const options = { ...failing, maxIterations: 1, onFailure: "return" } as const;
    const { states, report } = await tight.evaluate(cell, growing, options);
    expect(report.windows).toBeGreaterThan(1);
    expect(report).toMatchObject({ converged: false, fallback: { to: "none", fromStep: 14 } });
    // The residual is that of the states that are returned: each against the step before it.
    const starts = new Float32Array(states.length);
    starts.set(initialState);
    starts.set(states.subarray(0, -stateSize), stateSize);
    const lengths = Array(steps).fill(1);
    const stepped = await roomy.evaluate(cell, growing, {
      backend: "reference",
      lengths,
      initialState: starts,
    });
    const residual = largestError(stepped.states, Float64Array.from(states), stateSize);
    expect(report.residual).toBeGreaterThan(0.9 * residual);
    expect(report.residual).toBeLessThan(1.1 * residual);
  });
});

describe("onIteration", () => {
  it("is told all sweeps of all windows, sequence by sequence", async () => {
    const lengths = [550, 50];
    const calls: IterationProgress[] = [];
    const options = { ...quick, method: "quasi-deer", chunk: 7, lengths } as const;
    const onIteration = (progress: IterationProgress) => calls.push(progress);
    const { report } = await tight.evaluate(cell, inputs, { ...options, onIteration });
    expect(report.windows).toBeGreaterThan(1);
    const first = calls.filter(({ sequence }) => sequence === 0);
    expect(calls.slice(0, first.length)).toEqual(first);
    for (const { sequence, chunks, exactChunks, iteration, residual } of calls) {
      // Windows are cut at whole chunks, so there are as many as without.
      expect(chunks).toBe(Math.ceil(lengths[sequence]! / 7));
      expect(exactChunks).toBeLessThanOrEqual(chunks);
      expect(exactChunks).toBeGreaterThan(0);
      expect(iteration).toBeLessThanOrEqual(report.iterations);
      expect(Number.isFinite(residual)).toBe(true);
    }
    expect(Math.max(...calls.map(({ iteration }) => iteration))).toBe(report.iterations);
    // Each window begins to count anew.
    const begun = first.filter(({ iteration }) => iteration === 0).length;
    expect(begun).toBeGreaterThan(1);
    expect(begun).toBeLessThanOrEqual(report.windows!);
  });

  it("does not disturb a sequential run, nor a repair", async () => {
    const calls: number[] = [];
    const onIteration = ({ iteration }: IterationProgress) => calls.push(iteration);
    const sequential = { method: "sequential", onIteration, initialState } as const;
    const exact = await tight.evaluate(cell, inputs, sequential);
    expect(calls).toEqual([]);
    const failing = { method: "jacobi", chunk: 5, maxIterations: 1, initialState } as const;
    const { states, report } = await tight.evaluate(cell, inputs, { ...failing, onIteration });
    expect(report.fallback).toMatchObject({ to: "sequential", fromStep: 10 });
    expect(calls).toEqual([0, 1]);
    expect(largestError(states, exact.states, stateSize)).toBeLessThan(1e-6);
  });
});

it("chunks of many slices, of which each is a dispatch, need no windows", async () => {
  const length = 600_000;
  const target = scaling([0.5, -0.3]);
  const x = normal(mulberry32(3), 2 * length);
  const options = { method: "jacobi", chunk: 560_000, maxIterations: 2 } as const;
  const { states, report } = await roomy.evaluate(target, x, options);
  const exact = await exactStates(target, x, {});
  expect(report).toMatchObject({ windows: 1, converged: true });
  expect(report.fallback).toBeUndefined();
  expect(largestError(states, exact.states, 2)).toBeLessThan(1e-5);
});
