/**
 * Chunks side by side on threads: no less exact than one thread, whatever the chunks, the number of
 * threads, and the way in which they share data.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { workerSource } from "../../src/backend/wasm/generated/worker.ts";
import { recurrenceOf } from "../../src/cell/recurrence.ts";
import {
  add,
  type Cell,
  createRuntime,
  defineCell,
  divide,
  type EvaluateOptions,
  type FloatArray,
  greater,
  gru,
  lorenz96,
  lstm,
  multiply,
  NonFiniteError,
  tanh,
  where,
} from "../../src/index.ts";
import { hasJumps } from "../../src/solve/jumps.ts";
import { identical, largestError } from "../support/agreement.ts";
import { cells } from "../support/cells.ts";
import { mulberry32, normal, randomWeights, uniform } from "../support/random.ts";

const [one, two, three] = await Promise.all(
  [1, 2, 3].map((threads) => createRuntime({ backend: "wasm", threads, reproducible: true })),
);
afterAll(() => {
  for (const runtime of [one, two, three]) runtime.dispose();
});
afterEach(() => vi.unstubAllGlobals());

/** Four units in the last place of float32: how far merged chunks may be apart. */
const MERGED = 4 * 2 ** -23;
const lengths = [0, 1, 2, 63, 64, 65, 1000];
const chunks = [undefined, 1, 7, 64, 500, 999, 1000, 1001];

function problem(cell: Cell, length: number) {
  const random = mulberry32(length + 1);
  const inputs = cell.inputSize > 0 ? normal(random, length * cell.inputSize) : length;
  return { inputs, initialState: uniform(random, cell.stateSize, -0.9, 0.9) };
}

function contractingGru(hiddenSize: number, scale = 1) {
  const rows = 3 * hiddenSize;
  const shapes = {
    weight_ih: [rows, 3],
    weight_hh: [rows, hiddenSize],
    bias_ih: [rows],
    bias_hh: [rows],
  };
  const weights = randomWeights(shapes, scale / Math.sqrt(hiddenSize), 5);
  return gru({ inputSize: 3, hiddenSize, weights });
}

describe.each(cells(3))("$name", (cell) => {
  test("is as exact as on one thread, for any chunk and length", async () => {
    for (const length of lengths) {
      const { inputs, initialState } = problem(cell, length);
      const oracle = await one.evaluate(cell, inputs, { initialState, backend: "reference" });
      const sequential = await one.evaluate(cell, inputs, { initialState, method: "sequential" });
      const unavoidable = largestError(sequential.states, oracle.states, cell.stateSize);
      for (const chunk of chunks) {
        const options = { initialState, method: "threads", ...(chunk && { chunk }) } as const;
        const { states, report } = await two.evaluate(cell, inputs, options);
        const what = `T = ${length}, chunk ${chunk}: ${JSON.stringify(report)}`;
        const error = largestError(states, oracle.states, cell.stateSize);
        expect(error, what).toBeLessThanOrEqual(1.2 * unavoidable + 2 ** -23);
        expect(report, what).toMatchObject({ method: "threads", converged: true });
        expect(report.residual, what).toBeLessThanOrEqual(MERGED);
        expect(report.steps!.run, what).toBe(length + report.steps!.rerun);
        expect(report.choice, what).toBe(`method "threads" was asked for`);
        if (hasJumps(cell)) expect(identical(states, sequential.states), what).toBe(true);
        const strict = await two.evaluate(cell, inputs, { ...options, exact: true });
        expect(identical(strict.states, sequential.states), `exact, ${what}`).toBe(true);
        expect(identical(strict.finalStates, sequential.finalStates), what).toBe(true);
      }
    }
  });
});

describe("the reported residual", () => {
  test("is that of the states", async () => {
    const cell = contractingGru(64);
    const inputs = normal(mulberry32(2), 3 * 4000);
    const { states, report } = await three.evaluate(cell, inputs, {
      method: "threads",
      chunk: 500,
    });
    // A step of the sequential evaluation from each returned state, all side by side as a batch.
    const previous = new Float32Array(states.length);
    previous.set(states.subarray(0, states.length - 64), 64);
    const { states: next } = await one.evaluate(cell, inputs, {
      method: "sequential",
      lengths: Array(4000).fill(1),
      initialState: previous,
    });
    const measured = largestError(next, states, 64);
    expect(report.residual).toBeGreaterThan(0);
    expect(measured).toBeGreaterThan(0.99 * report.residual);
    expect(measured).toBeLessThan(1.01 * report.residual);
    expect(report).toMatchObject({ threads: 3, iterations: 1, chunk: 500 });
  });
});

describe("the work", () => {
  test("is one pass and what it takes to merge, where the dynamics forget", async () => {
    const cell = contractingGru(32);
    const { report } = await two.evaluate(cell, normal(mulberry32(3), 3 * 20_000), {
      method: "threads",
      chunk: 10_000,
    });
    // They come within 2e-6 of each other in 35 to 45 steps; windows have 64.
    expect(report).toMatchObject({ threads: 2, chunk: 10_000, steps: { run: 20_064, rerun: 64 } });
  });

  test("of chunks that never merge is done in full, in order, and the result is that of one thread", async () => {
    const cell = contractingGru(16, 12);
    const inputs = normal(mulberry32(4), 3 * 2000);
    const sequential = await one.evaluate(cell, inputs, { method: "sequential" });
    const pair = await two.evaluate(cell, inputs, { method: "threads", chunk: 1000 });
    expect(identical(pair.states, sequential.states)).toBe(true);
    expect(pair.report.steps).toEqual({ run: 3000, rerun: 1000 });
    // All but the first run again, each from an end that is final.
    const four = await two.evaluate(cell, inputs, { method: "threads", chunk: 500 });
    expect(identical(four.states, sequential.states)).toBe(true);
    expect(four.report).toMatchObject({ iterations: 3, steps: { run: 3500, rerun: 1500 } });
  });

  test("of several sequences does not mix up those that merge and those that do not", async () => {
    const cell = contractingGru(16, 12);
    const inputs = normal(mulberry32(4), 3 * 6000);
    const lengths = [2000, 1900, 2100];
    // The gates of the first are driven hard, so that it forgets.
    for (let i = 0; i < 3 * 2000; i++) inputs[i]! *= 1000;
    const sequential = await one.evaluate(cell, inputs, { method: "sequential", lengths });
    const expected = sequential.states.subarray(2000 * 16);
    for (const chunk of [150, 200, 400, 700]) {
      const options = { method: "threads", lengths, chunk } as const;
      const { states, report } = await three.evaluate(cell, inputs, options);
      expect(largestError(states, sequential.states, 16)).toBeLessThan(1e-6);
      expect(identical(states.subarray(2000 * 16), expected), `chunk ${chunk}`).toBe(true);
      expect(report.iterations).toBe(Math.ceil(2100 / chunk) - 1);
      const inFull = 4000 - 2 * chunk;
      const chunks = Math.ceil(2000 / chunk);
      expect(report.steps!.rerun).toBeGreaterThan(inFull);
      expect(report.steps!.rerun).toBeLessThanOrEqual(inFull + 128 * chunks);
    }
  });

  test("is next to nothing from a guess that is right", async () => {
    const cell = contractingGru(16, 12);
    const inputs = normal(mulberry32(4), 3 * 2000);
    const { states } = await one.evaluate(cell, inputs, { method: "sequential" });
    const { states: again, report } = await two.evaluate(cell, inputs, {
      method: "threads",
      initialGuess: states,
    });
    expect(identical(again, states)).toBe(true);
    expect(report.steps!.rerun).toBe(64);
  });

  // The large ones never become equal, and run in shorter windows the more there are side by side.
  test.each([16, 192])(
    "does not depend on timing, nor on the number of threads: D = %i",
    async (size) => {
      const cell = contractingGru(size);
      const inputs = normal(mulberry32(5), 3 * 3000);
      const options = { method: "threads", chunk: 250 } as const;
      const first = await two.evaluate(cell, inputs, options);
      for (const runtime of [one, two, three, three]) {
        const { states, report } = await runtime.evaluate(cell, inputs, options);
        expect(identical(states, first.states)).toBe(true);
        expect(report.steps).toEqual(first.report.steps);
      }
    },
  );
});

/** All ways to hand a job over. */
const ways = [
  ["shared memory", true],
  ["transferred buffers", false],
] as const;

describe.each(ways)("with %s", (_, isolated) => {
  test("any batch, direction, chunk and number of threads agree with one thread", async () => {
    if (!isolated) vi.stubGlobal("crossOriginIsolated", false);
    const all = [contractingGru(5), cells(3).find(({ name }) => name.startsWith("lstm"))!];
    const cases = fc.record({
      cell: fc.constantFrom(...all),
      lengths: fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 12 }),
      chunk: fc.option(fc.integer({ min: 1, max: 400 }), { nil: undefined }),
      reverse: fc.boolean(),
      exact: fc.boolean(),
      runtime: fc.constantFrom(one, two, three),
      method: fc.constantFrom("threads", "sequential"),
      double: fc.boolean(),
      seed: fc.nat(),
    });
    const property = fc.asyncProperty(
      cases,
      async ({ cell, runtime, method, double, seed, ...given }) => {
        const random = mulberry32(seed);
        const rows = given.lengths.reduce((sum, length) => sum + length, 0);
        const values = normal(random, rows * 3);
        const inputs = double ? Float64Array.from(values) : values;
        const initialState = uniform(random, given.lengths.length * cell.stateSize, -0.9, 0.9);
        const { lengths, reverse } = given;
        const common: EvaluateOptions = { lengths, reverse, initialState };
        const expected = await one.evaluate(cell, inputs, { ...common, method: "sequential" });
        const { chunk, exact } = given;
        const options = { ...common, ...(chunk && { chunk }), exact, method } as EvaluateOptions;
        const { states, finalStates } = await runtime.evaluate(cell, inputs, options);
        if (exact || method === "sequential") {
          expect(identical(states, expected.states)).toBe(true);
          expect(identical(finalStates, expected.finalStates)).toBe(true);
        } else {
          expect(largestError(states, expected.states, cell.stateSize)).toBeLessThan(2e-6);
          expect(largestError(finalStates, expected.finalStates, cell.stateSize)).toBeLessThan(
            2e-6,
          );
        }
      },
    );
    await fc.assert(property, { numRuns: 60 });
  });

  test("inputs that cannot be had as Float32Arrays, or are views, are read right", async () => {
    if (!isolated) vi.stubGlobal("crossOriginIsolated", false);
    const cell = contractingGru(8);
    const buffer = new Float32Array(3 * 700 + 5);
    buffer.set(normal(mulberry32(8), 3 * 700), 5);
    const sources: FloatArray[] = [buffer.subarray(5), Float64Array.from(buffer.subarray(5))];
    const onShared = new Float32Array(new SharedArrayBuffer(3 * 700 * 4));
    onShared.set(buffer.subarray(5));
    const expected = await one.evaluate(cell, buffer.slice(5), { method: "sequential" });
    for (const inputs of [...sources, onShared]) {
      const { states } = await two.evaluate(cell, inputs, { method: "threads", exact: true });
      expect(identical(states, expected.states)).toBe(true);
      expect(states.buffer).toBeInstanceOf(ArrayBuffer);
    }
  });
});

describe("work that is large enough is shared by sequential evaluation too, with equal bits", () => {
  test("sequences of a batch", async () => {
    const cell = contractingGru(64);
    const inputs = normal(mulberry32(6), 3 * 16_000);
    const options = { method: "sequential", lengths: Array(16).fill(1000) } as const;
    const expected = await one.evaluate(cell, inputs, options);
    const { states, report } = await two.evaluate(cell, inputs, options);
    expect(identical(states, expected.states)).toBe(true);
    expect(report).toMatchObject({ threads: 2, chunk: 1000, iterations: 0, residual: 0 });
    expect(expected.report.threads).toBe(1);
  });

  test.each([false, true])("the drive of a single sequence, reverse %s", async (reverse) => {
    const rows = 4 * 48;
    const shapes = {
      weight_ih: [rows, 300],
      weight_hh: [rows, 48],
      bias_ih: [rows],
      bias_hh: [rows],
    };
    const weights = randomWeights(shapes, 0.1, 9);
    const cell = lstm({ inputSize: 300, hiddenSize: 48, weights });
    expect(recurrenceOf(cell).drive.size).toBe(rows);
    const inputs = normal(mulberry32(7), 300 * 9001);
    const expected = await one.evaluate(cell, inputs, { method: "sequential", reverse });
    for (const runtime of [two, three]) {
      const { states, report } = await runtime.evaluate(cell, inputs, {
        method: "sequential",
        reverse,
      });
      expect(identical(states, expected.states)).toBe(true);
      expect(report.threads).toBe(runtime === two ? 2 : 3);
    }
  });

  test("but not a small one", async () => {
    const runtime = await createRuntime({ backend: "wasm", threads: 2 });
    const cell = contractingGru(8);
    const { report } = await runtime.evaluate(cell, normal(mulberry32(1), 3 * 100));
    expect(report.threads).toBe(1);
    runtime.dispose();
  });
});

describe("what is not finite", () => {
  test.each([NaN, Infinity])(
    "%s among the inputs is found where one thread finds it",
    async (bad) => {
      const cell = contractingGru(4);
      const inputs = normal(mulberry32(1), 3 * 1000);
      inputs[3 * 700 + 1] = bad;
      const location = async (runtime: typeof one, options: EvaluateOptions) =>
        runtime.evaluate(cell, inputs, options).then(
          () => null,
          (error) => (error instanceof NonFiniteError ? error.location : error),
        );
      const expected = await location(one, { method: "sequential" });
      expect(await location(two, { method: "threads" })).toEqual(expected);
      expect(await location(two, { method: "threads", chunk: 100 })).toEqual(expected);
    },
  );

  test("in a chunk's first run, from a guess, leaves no trace", async () => {
    // Zero, which chunks start from, is divided by: from there, nothing is ever finite again.
    const cell = defineCell({
      name: "reciprocal",
      inputSize: 2,
      state: { s: { size: 2 } },
      step: ({ s }, input) => ({ s: add(multiply(0.1, tanh(divide(1, s))), add(2, tanh(input))) }),
    });
    const inputs = normal(mulberry32(1), 2 * 1000);
    const initialState = Float32Array.of(1, 2);
    const expected = await one.evaluate(cell, inputs, { method: "sequential", initialState });
    const { states } = await two.evaluate(cell, inputs, { method: "threads", initialState });
    expect(states.every(Number.isFinite)).toBe(true);
    expect(largestError(states, expected.states, 2)).toBeLessThan(1e-6);
  });
});

describe("dynamics that jump, or are chaotic", () => {
  test("Lorenz-96 comes out as on one thread", async () => {
    const cell = lorenz96({ size: 8 });
    const initialState = uniform(mulberry32(3), 8, 1, 2);
    const options = { initialState } as const;
    const expected = await one.evaluate(cell, 3000, { ...options, method: "sequential" });
    const { states, report } = await two.evaluate(cell, 3000, {
      ...options,
      method: "threads",
      chunk: 1500,
    });
    expect(identical(states, expected.states)).toBe(true);
    expect(report.steps!.rerun).toBe(1500);
  });

  test("a step with comparisons merges only where it is equal", async () => {
    const cell = defineCell({
      name: "switching",
      inputSize: 2,
      state: { s: { size: 2 } },
      step: ({ s }, input) => ({
        s: add(multiply(0.5, s), where(greater(s, input), multiply(0.3, input), input)),
      }),
    });
    expect(hasJumps(cell)).toBe(true);
    const inputs = normal(mulberry32(1), 2 * 4000);
    const expected = await one.evaluate(cell, inputs, { method: "sequential" });
    const { states, report } = await three.evaluate(cell, inputs, { method: "threads" });
    expect(identical(states, expected.states)).toBe(true);
    expect(report.residual).toBe(0);
    expect(report.steps!.rerun).toBeLessThan(1000);
  });
});

describe("a run", () => {
  test("can be aborted, and the threads work on afterwards", async () => {
    const cell = contractingGru(64);
    const inputs = normal(mulberry32(1), 3 * 200_000);
    const controller = new AbortController();
    const reason = new Error("enough");
    const run = two.evaluate(cell, inputs, {
      method: "threads",
      signal: controller.signal,
      onProgress: (done) => {
        if (done > 1000) controller.abort(reason);
      },
    });
    await expect(run).rejects.toBe(reason);
    const small = inputs.subarray(0, 3 * 2000);
    const expected = await one.evaluate(cell, small, { method: "sequential" });
    const { states, report } = await two.evaluate(cell, small, { method: "threads", exact: true });
    expect(identical(states, expected.states)).toBe(true);
    expect(report.threads).toBe(2);
  });

  test("tells how far it is", async () => {
    const told: number[] = [];
    const cell = contractingGru(32);
    await two.evaluate(cell, normal(mulberry32(1), 3 * 5000), {
      method: "threads",
      onProgress: (done, total) => {
        expect(total).toBe(5000);
        told.push(done);
      },
    });
    expect(told.length).toBeGreaterThan(3);
    expect(told).toEqual([...told].sort((a, b) => a - b));
    expect(told.at(-1)).toBe(5000);
  });

  test("is done by the caller's thread alone where another one dies on the way", async () => {
    const folder = mkdtempSync(join(tmpdir(), "antler-threads-"));
    const program = join(folder, "worker.cjs");
    const dying = `require("node:worker_threads").parentPort.on("message", ({ task }) => {
      if (task === "run") process.exit(3);
    });`;
    writeFileSync(program, `${dying}\n${workerSource}`);
    const runtime = await createRuntime({
      backend: "wasm",
      threads: 2,
      worker: pathToFileURL(program),
    });
    const cell = contractingGru(12);
    const inputs = normal(mulberry32(1), 3 * 900);
    const expected = await one.evaluate(cell, inputs, { method: "sequential" });
    for (const run of [1, 2]) {
      const { states, report } = await runtime.evaluate(cell, inputs, { method: "threads" });
      expect(identical(states, expected.states), `run ${run}`).toBe(true);
      expect(report.threads).toBe(1);
      expect(report.choice).toMatch(/one thread did it all: threads: a worker ended.*exit code 3/);
    }
    runtime.dispose();
    rmSync(folder, { recursive: true });
  });

  test("goes on after others have needed other programs", async () => {
    const first = contractingGru(12);
    const second = cells(3).find(({ name }) => name.startsWith("lstm"))!;
    const inputs = normal(mulberry32(1), 3 * 900);
    for (const cell of [first, second, first, second]) {
      const expected = await one.evaluate(cell, inputs, { method: "sequential" });
      const { states } = await two.evaluate(cell, inputs, { method: "threads", exact: true });
      expect(identical(states, expected.states)).toBe(true);
    }
  });
});
