/** What the mathematics promises, on the backend that ships. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  add,
  type BackendName,
  createRuntime,
  defineCell,
  type EvaluateOptions,
  linear,
} from "../../src/index.ts";
import { identical, largestError } from "../support/agreement.ts";
import { cellNamed, cells } from "../support/cells.ts";
import { mulberry32, normal, uniform } from "../support/random.ts";

const runtime = await createRuntime({ backend: "wasm", reproducible: true });
const backends: readonly BackendName[] = ["wasm", "reference"];

/** What to ask for so that the iterate itself comes back after `maxIterations` sweeps. */
const unrepaired = { onFailure: "return", tolerance: 1e-30 } as const;

describe.each(backends)("%s", (backend) => {
  test.each(cells(5))(
    "prefix: after i sweeps the first i chunks are exact ($name)",
    async (cell) => {
      const length = 120;
      const chunk = 10;
      const inputs = cell.inputSize > 0 ? normal(mulberry32(1), length * cell.inputSize) : length;
      const exact = await runtime.evaluate(cell, inputs, { backend, method: "sequential" });
      for (const method of [
        "jacobi",
        "picard",
        "quasi-deer",
        "deer",
        "quasi-elk",
        "elk",
      ] as const) {
        for (const sweeps of [1, 4, 7]) {
          const options = { backend, method, chunk, maxIterations: sweeps, ...unrepaired };
          const { states } = await runtime.evaluate(cell, inputs, options);
          // The last state of the last exact chunk is a seam, where the iterate holds its boundary.
          const rows = sweeps * chunk;
          const prefix = (array: typeof states) => array.subarray(0, rows * cell.stateSize);
          expect(identical(prefix(states), prefix(exact.states)), `${method}, ${sweeps}`).toBe(
            true,
          );
        }
      }
    },
  );

  test("a linear recurrence is solved by DEER in one sweep", async () => {
    const size = 6;
    const random = mulberry32(4);
    const cell = defineCell({
      name: "linear",
      inputSize: size,
      state: { h: size },
      weights: { w: { shape: [size, size], data: uniform(random, size * size, -0.3, 0.3) } },
      step: ({ h }, x, { w }) => ({ h: add(linear(w, h), x) }),
    });
    const inputs = normal(random, 500 * size);
    const initialState = uniform(random, size);
    for (const chunk of [1, 9]) {
      const options = { backend, method: "deer", chunk, initialState } as const;
      const { report } = await runtime.evaluate(cell, inputs, options);
      expect(report).toMatchObject({ iterations: 1, converged: true });
      expect(report.fallback).toBeUndefined();
    }
  });

  test.each([
    ["diagonal-gru", "diagonal"],
    ["diagonal-lstm", "block"],
  ] as const)("%s: the %s Jacobian is the whole one", async (name, jacobian) => {
    const cell = cellNamed(name, 2);
    const inputs = normal(mulberry32(2), 300 * cell.inputSize);
    for (const sweeps of [1, 2, 3]) {
      const common = { backend, maxIterations: sweeps, ...unrepaired } as const;
      const quasi = await runtime.evaluate(cell, inputs, {
        ...common,
        method: "quasi-deer",
        jacobian,
      });
      const full = await runtime.evaluate(cell, inputs, { ...common, method: "deer" });
      const largest = backend === "wasm" ? 2e-6 : 1e-12;
      expect(largestError(quasi.states, full.states, cell.stateSize)).toBeLessThan(largest);
    }
  });

  test("σ² → ∞: ELK is DEER, quasi-ELK is quasi-DEER, with filter and smoother", async () => {
    const cell = cellNamed("gru-reset-after", 3);
    const inputs = normal(mulberry32(3), 200 * cell.inputSize);
    for (const [damped, plain] of [
      ["elk", "deer"],
      ["quasi-elk", "quasi-deer"],
    ] as const) {
      for (const estimate of ["filter", "smoother"] as const) {
        for (const chunk of [1, 8]) {
          const common = { backend, chunk, maxIterations: 2, ...unrepaired } as const;
          const damping = { lambda: 1e-12, estimate };
          const elk = await runtime.evaluate(cell, inputs, { ...common, method: damped, damping });
          const deer = await runtime.evaluate(cell, inputs, { ...common, method: plain });
          const error = largestError(elk.states, deer.states, cell.stateSize);
          expect(error, `${damped} ${estimate} ${chunk}`).toBeLessThan(
            backend === "wasm" ? 2e-6 : 1e-9,
          );
        }
      }
    }
  });

  test.each(cells(7))("one chunk is sequential evaluation, bit for bit ($name)", async (cell) => {
    const length = 77;
    const inputs = cell.inputSize > 0 ? normal(mulberry32(8), length * cell.inputSize) : length;
    const initialState = uniform(mulberry32(9), cell.stateSize, -0.5, 0.5);
    const sequential = await runtime.evaluate(cell, inputs, { backend, initialState });
    for (const method of ["jacobi", "quasi-deer", "deer", "elk"] as const) {
      for (const chunk of [length, length + 1, 1000]) {
        const options = { backend, method, chunk, initialState };
        const { states, report } = await runtime.evaluate(cell, inputs, options);
        expect(identical(states, sequential.states)).toBe(true);
        expect(report).toMatchObject({ residual: 0, converged: true });
      }
    }
  });

  test("a row of a ragged batch is the same sequence alone, bit for bit", async () => {
    const run = fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 12 }),
      fc.constantFrom("gru-reset-after", "lstm-plain", "custom-three-layers"),
      fc.constantFrom("sequential", "quasi-deer", "deer"),
      fc.boolean(),
      async (lengths, name, method, reverse) => {
        const cell = cellNamed(name, 4);
        const { inputSize, stateSize } = cell;
        const rows = lengths.reduce((sum, length) => sum + length, 0);
        const inputs = normal(mulberry32(rows), rows * inputSize);
        const initialState = uniform(mulberry32(rows + 1), lengths.length * stateSize);
        const common = { backend, method, reverse, chunk: 3 } as const;
        const batch = await runtime.evaluate(cell, inputs, { ...common, lengths, initialState });
        let offset = 0;
        for (const [i, length] of lengths.entries()) {
          const alone = await runtime.evaluate(
            cell,
            inputs.subarray(offset * inputSize, (offset + length) * inputSize),
            { ...common, initialState: initialState.subarray(i * stateSize, (i + 1) * stateSize) },
          );
          const part = batch.states.subarray(offset * stateSize, (offset + length) * stateSize);
          expect(identical(part, alone.states)).toBe(true);
          const final = batch.finalStates.subarray(i * stateSize, (i + 1) * stateSize);
          expect(identical(final, alone.finalStates)).toBe(true);
          offset += length;
        }
      },
    );
    await fc.assert(run, { numRuns: backend === "wasm" ? 60 : 15, seed: 1 });
  });

  test("split and resume is the whole, bit for bit", async () => {
    const run = fc.asyncProperty(
      fc.integer({ min: 0, max: 600 }),
      fc.integer({ min: 0, max: 600 }),
      fc.constantFrom(...cells(6).filter((cell) => cell.inputSize > 0)),
      async (first, second, cell) => {
        const inputs = normal(mulberry32(first + 7), (first + second) * cell.inputSize);
        const cut = first * cell.inputSize;
        const whole = await runtime.evaluate(cell, inputs, { backend });
        const head = await runtime.evaluate(cell, inputs.subarray(0, cut), { backend });
        const tail = await runtime.evaluate(cell, inputs.subarray(cut), {
          backend,
          initialState: head.finalStates,
        });
        const at = first * cell.stateSize;
        expect(identical(whole.states.subarray(0, at), head.states)).toBe(true);
        expect(identical(whole.states.subarray(at), tail.states)).toBe(true);
        expect(identical(whole.finalStates, tail.finalStates)).toBe(true);
      },
    );
    await fc.assert(run, { numRuns: backend === "wasm" ? 60 : 10, seed: 2 });
  });

  test.each([
    ["rnn-tanh", "diagonal"],
    ["autoregressive-gru", "diagonal"],
    ["lstm-plain", "block"],
  ] as const)("blocks of one element are the diagonal, and reported so: %s", async (name, ran) => {
    const cell = cellNamed(name, 2);
    const inputs = normal(mulberry32(2), 50 * cell.inputSize);
    const options = { backend, method: "quasi-deer", jacobian: "block" } as const;
    expect((await runtime.evaluate(cell, inputs, options)).report.jacobian).toBe(ran);
  });

  test("running in reverse is running forward on reversed rows", async () => {
    const cell = cellNamed("lstm-peephole", 3);
    const { inputSize, stateSize } = cell;
    const length = 301;
    const inputs = normal(mulberry32(5), length * inputSize);
    const reverseRows = (array: Float32Array, width: number) =>
      array.map((_, i) => array[(length - 1 - Math.floor(i / width)) * width + (i % width)]!);
    for (const options of [
      { method: "sequential" },
      { method: "quasi-deer", chunk: 16 },
      { method: "deer", chunk: 7 },
    ] satisfies EvaluateOptions[]) {
      const backward = await runtime.evaluate(cell, inputs, { backend, reverse: true, ...options });
      const forward = await runtime.evaluate(cell, reverseRows(inputs, inputSize), {
        backend,
        ...options,
      });
      const flipped = reverseRows(Float32Array.from(forward.states), stateSize);
      expect(identical(Float32Array.from(backward.states), flipped)).toBe(true);
      expect(identical(backward.finalStates, forward.finalStates)).toBe(true);
    }
  });
});

test.each(["gru-reset-after", "lstm-plain", "rnn-tanh"])(
  "sequential at T = 10,000 stays within 1e-5 of the oracle (%s)",
  async (name) => {
    const cell = cellNamed(name, 11, { hiddenSize: 32 });
    const inputs = normal(mulberry32(6), 10_000 * cell.inputSize);
    const oracle = await runtime.evaluate(cell, inputs, { backend: "reference" });
    const { states } = await runtime.evaluate(cell, inputs, { method: "sequential" });
    expect(largestError(states, oracle.states, cell.stateSize)).toBeLessThanOrEqual(1e-5);
  },
);
