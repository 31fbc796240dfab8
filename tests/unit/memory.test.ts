/** What runs need of the kernels' memory: told beforehand, reused, and given back. */
import { queryObjects } from "node:v8";
import { describe, expect, it, vi } from "vitest";
import { createWasmBackend } from "../../src/backend/wasm/backend.ts";
import { inlinedKernels } from "../../src/backend/wasm/inlined.ts";
import {
  type Cell,
  createRuntime,
  defineCell,
  type EvaluateOptions,
  gru,
  linear,
  lorenz96,
  type RuntimeOptions,
  tanh,
} from "../../src/index.ts";
import { Pacer } from "../../src/solve/pacing.ts";
import { identical } from "../support/agreement.ts";
import { cells } from "../support/cells.ts";
import { mulberry32, normal, randomWeights, uniform } from "../support/random.ts";
import { problemOf } from "../support/sweeps.ts";

const megabyte = 2 ** 20;

/** A runtime and the memory of its kernels. */
async function runtimeWithMemory(options: RuntimeOptions = {}) {
  const instantiate = vi.spyOn(WebAssembly, "instantiate");
  const runtime = await createRuntime({ backend: "wasm", reproducible: true, ...options });
  const instance = (await instantiate.mock.results[0]!.value) as WebAssembly.Instance;
  instantiate.mockRestore();
  const memory = instance.exports.memory as WebAssembly.Memory;
  return { runtime, bytes: () => memory.buffer.byteLength };
}

function gruOf(inputSize: number, hiddenSize: number, seed = 1): Cell {
  const shapes = {
    weight_ih: [3 * hiddenSize, inputSize],
    weight_hh: [3 * hiddenSize, hiddenSize],
  };
  const weights = randomWeights(shapes, 1 / Math.sqrt(hiddenSize), seed);
  return gru({ inputSize, hiddenSize, weights });
}

const inputsFor = ({ inputSize }: Cell, steps: number) =>
  inputSize > 0 ? normal(mulberry32(steps), steps * inputSize) : steps;

describe("the kernels' memory", () => {
  it("is reused by a thousand small calls", async () => {
    const { runtime, bytes } = await runtimeWithMemory();
    const jobs = cells(4).flatMap((cell) => [
      ...(["sequential", "jacobi", "quasi-deer", "deer", "quasi-elk", "elk"] as const).map(
        (method) => ({ cell, options: { method, chunk: 4 } as EvaluateOptions }),
      ),
      { cell, options: { method: "elk", chunk: 3, damping: { trustRegion: true } } as const },
      { cell, options: { lengths: [20, 5, 0, 5, 4, 3, 3] } },
    ]);
    const run = async ({ cell, options }: (typeof jobs)[number]) => {
      await runtime.evaluate(cell, inputsFor(cell, 40), options);
    };
    // The second time over, all programs are there.
    for (const job of [...jobs, ...jobs]) await run(job);
    const settled = bytes();
    for (let call = 0; call < 1000; call++) await run(jobs[call % jobs.length]!);
    expect(bytes()).toBe(settled);
    runtime.dispose();
  });

  it("does not grow with the length of a sequential run", async () => {
    const { runtime, bytes } = await runtimeWithMemory();
    const cell = gruOf(3, 16);
    await runtime.evaluate(cell, inputsFor(cell, 1000));
    const short = bytes();
    await runtime.evaluate(cell, inputsFor(cell, 50_000), { method: "sequential" });
    expect(bytes()).toBe(short);
    runtime.dispose();
  });

  it("never holds a Jacobian a step", async () => {
    const [steps, size, chunk] = [8192, 32, 64];
    const cell = gruOf(2, size);
    const inputs = inputsFor(cell, steps);
    const jacobians = steps * size * size * 4;
    for (const method of ["deer", "quasi-deer", "elk"] as const) {
      const { runtime, bytes } = await runtimeWithMemory({ memoryLimit: jacobians / 4 });
      const options = { method, chunk, maxIterations: 3, onFailure: "return" } as const;
      const { report } = await runtime.evaluate(cell, inputs, options);
      expect(report.chunk).toBe(chunk);
      // Drive (at most 4 D a step), states, and per chunk a few matrices.
      const expected = steps * 5 * size * 4 + (steps / chunk) * 3 * size * size * 4;
      expect(bytes()).toBeLessThan(expected + megabyte);
      runtime.dispose();
    }
  });

  it("is not used up by ever new cells", async () => {
    const { runtime, bytes } = await runtimeWithMemory();
    // A megabyte of packed weights each, and the limit for what is kept is 64.
    const size = 512;
    const data = uniform(mulberry32(3), size * size, -0.05, 0.05);
    const initialState = uniform(mulberry32(4), size);
    const make = (k: number) =>
      defineCell({
        name: `cell ${k}`,
        inputSize: 0,
        state: { h: size },
        weights: { w: { shape: [size, size], data } },
        step: ({ h }, _, { w }) => ({ h: tanh(linear(w, h)) }),
      });
    const first = make(0);
    const expected = await runtime.evaluate(first, 2, { initialState });
    for (let k = 1; k <= 150; k++) {
      const { states } = await runtime.evaluate(make(k), 2, { initialState });
      expect(identical(states, expected.states)).toBe(true);
    }
    expect(bytes()).toBeLessThan(70 * megabyte);
    // Dropped by now, and compiled anew.
    const again = await runtime.evaluate(first, 2, { initialState });
    expect(identical(again.states, expected.states)).toBe(true);
    runtime.dispose();
  });

  it("makes room for a run by dropping the programs of other cells", async () => {
    const { runtime, bytes } = await runtimeWithMemory({ memoryLimit: megabyte });
    const { runtime: roomy } = await runtimeWithMemory();
    const options: readonly EvaluateOptions[] = [
      { method: "sequential" },
      { method: "quasi-deer", chunk: 8 },
      { method: "deer", chunk: 16 },
    ];
    for (let k = 0; k < 60; k++) {
      const cell = gruOf(4, 40, k);
      const inputs = inputsFor(cell, 100);
      for (const given of options) {
        const { states } = await runtime.evaluate(cell, inputs, given);
        const expected = await roomy.evaluate(cell, inputs, given);
        expect(identical(states, expected.states), `cell ${k}, ${given.method}`).toBe(true);
      }
    }
    expect(bytes()).toBeLessThanOrEqual(megabyte);
    for (const one of [runtime, roomy]) one.dispose();
  });

  it("holds the inputs instead of the drive where that is much smaller", async () => {
    const cell = gruOf(1, 24);
    const inputs = inputsFor(cell, 4000);
    // The drive alone would take 4000 × 72 × 4 bytes, more than a quarter of this.
    const { runtime } = await runtimeWithMemory({ memoryLimit: 2 * megabyte });
    const { runtime: roomy } = await runtimeWithMemory();
    for (const method of ["jacobi", "quasi-deer", "deer"] as const) {
      const options = { method, chunk: 40, maxIterations: 1, tolerance: 1e-12 } as const;
      const small = await runtime.evaluate(cell, inputs, options);
      const large = await roomy.evaluate(cell, inputs, options);
      const sequential = await roomy.evaluate(cell, inputs);
      // Repaired, and the first chunks are those of the sweeps.
      expect(small.report.fallback?.fromStep).toBeGreaterThanOrEqual(40);
      expect(identical(small.states, sequential.states), method).toBe(true);
      expect(identical(large.states, sequential.states), method).toBe(true);
    }
    for (const one of [runtime, roomy]) one.dispose();
  });
});

describe("a run that does not fit", () => {
  const cell = gruOf(3, 16);
  const options: readonly EvaluateOptions[] = [
    ...(["jacobi", "quasi-deer", "deer", "quasi-elk", "elk"] as const).flatMap((method) => [
      { method },
      { method, chunk: 8 },
    ]),
    { method: "elk", jacobian: "block" },
    { method: "deer", damping: { trustRegion: true } },
  ];

  it.each(options)("says what it needs before it starts: %o", async (given) => {
    const { runtime } = await runtimeWithMemory({ memoryLimit: megabyte });
    const onIteration = vi.fn();
    const run = (steps: number) =>
      runtime.evaluate(cell, inputsFor(cell, steps), { ...given, onIteration });
    const error: unknown = await run(100_000).catch((reason) => reason);
    expect(error).toBeInstanceOf(RangeError);
    const { message } = error as RangeError;
    const [, needed, limit] =
      /needs ([\d.]+) MB of .* the limit is ([\d.]+) MB/.exec(message) ?? [];
    // At the least the states.
    expect(Number(needed), message).toBeGreaterThanOrEqual(6.4);
    expect(Number(limit), message).toBe(1);
    expect(message).toContain("100000 steps");
    expect(onIteration).not.toHaveBeenCalled();

    const small = await run(50);
    expect(small.report.converged).toBe(true);
    expect(onIteration).toHaveBeenCalled();
    runtime.dispose();
  });

  it("never fails in the middle, whatever the limit", async () => {
    const steps = 400;
    for (const given of options) {
      let fits = 0;
      for (let memoryLimit = 65536; memoryLimit < 2 * megabyte; memoryLimit += 65536) {
        const { runtime } = await runtimeWithMemory({ memoryLimit });
        const onIteration = vi.fn();
        const run = runtime.evaluate(cell, inputsFor(cell, steps), { ...given, onIteration });
        const outcome: unknown = await run.catch((reason) => reason);
        if (outcome instanceof RangeError) {
          expect(onIteration, outcome.message).not.toHaveBeenCalled();
          expect(outcome.message).toMatch(/\d (k|M)B/);
          expect(fits, "more memory, and it fits no more").toBe(0);
        } else {
          expect(outcome).toMatchObject({ report: { converged: true } });
          fits++;
        }
        runtime.dispose();
      }
      expect(fits).toBeGreaterThan(0);
    }
  });

  it("tells what is enough", async () => {
    for (const given of options) {
      const steps = 3000;
      const { runtime: tight } = await runtimeWithMemory({ memoryLimit: 2 ** 18 });
      const error: unknown = await tight
        .evaluate(cell, inputsFor(cell, steps), given)
        .catch((reason) => reason);
      const { message } = error as RangeError;
      const parts = /needs ([\d.]+) (k|M)B .* on top of ([\d.]+) (k|M)B/.exec(message) ?? [];
      const bytesOf = (number: string, unit: string) => Number(number) * (unit === "k" ? 1e3 : 1e6);
      const total = bytesOf(parts[1]!, parts[2]!) + bytesOf(parts[3]!, parts[4]!);
      expect(total, message).toBeGreaterThan(2 ** 18);
      // The message rounds, and memory comes in pages of 64 KiB.
      const { runtime: enough } = await runtimeWithMemory({ memoryLimit: 1.01 * total + 65536 });
      const onIteration = vi.fn();
      const run = { ...given, maxIterations: 2, onIteration };
      const { report } = await enough.evaluate(cell, inputsFor(cell, steps), run);
      expect(report.converged).toBe(true);
      expect(onIteration).toHaveBeenCalled();
      for (const one of [tight, enough]) one.dispose();
    }
  });

  it("because its weights do not fit leaves room for others", async () => {
    const { runtime } = await runtimeWithMemory({ memoryLimit: megabyte });
    const large = gruOf(8, 400);
    for (const method of ["sequential", "quasi-deer", "deer"] as const) {
      for (let attempt = 0; attempt < 3; attempt++) {
        const refused = runtime.evaluate(large, inputsFor(large, 10), { method });
        await expect(refused).rejects.toThrow(/^memory: expected at most 1.0 MB .* or more$/);
        const { report } = await runtime.evaluate(cell, inputsFor(cell, 100), { method });
        expect(report.converged).toBe(true);
      }
    }
    runtime.dispose();
  });

  it("because of its states alone is a RangeError that says how many", async () => {
    const { runtime } = await runtimeWithMemory();
    const target = lorenz96({ size: 5 });
    for (const backend of ["wasm", "reference"] as const) {
      const refused = runtime.evaluate(target, 1e15, { backend });
      await expect(refused).rejects.toThrow(RangeError);
      await expect(runtime.evaluate(target, 1e15, { backend })).rejects.toThrow(
        `memory: the states need ${1e15} × 5 numbers`,
      );
    }
    expect((await runtime.evaluate(target, 10)).report.converged).toBe(true);
    runtime.dispose();
  });
});

/** A full collection. A reference that was looked at stays until the task ends: hence the pauses. */
async function collectGarbage(): Promise<void> {
  const nextTask = () => new Promise((resolve) => setTimeout(resolve));
  await nextTask();
  queryObjects(WebAssembly.Memory);
  await nextTask();
}

describe("dispose", () => {
  it("lets go of the kernels' memory", async () => {
    const instantiate = vi.spyOn(WebAssembly, "instantiate");
    const runtime = await createRuntime({ backend: "wasm" });
    const reference = new WeakRef((await instantiate.mock.results[0]!.value).exports.memory);
    instantiate.mockRestore();
    const target = lorenz96({ size: 5 });
    await runtime.evaluate(target, 100, { method: "quasi-deer", chunk: 4 });
    await collectGarbage();
    expect(reference.deref()).toBeDefined();
    runtime.dispose();
    await collectGarbage();
    expect(reference.deref()).toBeUndefined();
    // They are still there, and so not what was let go.
    expect(runtime.backends).toHaveLength(3);
    expect(target.stateSize).toBe(5);
  });

  it("makes a backend refuse what would need it", async () => {
    const backend = await createWasmBackend({
      builtIn: inlinedKernels,
      source: undefined,
      reproducible: true,
      memoryLimit: 2 ** 24,
    });
    const problem = problemOf(lorenz96({ size: 5 }), 4, { jacobian: "diagonal" });
    const sequences = [{ offset: 0, length: 4 }];
    const { cell, inputs, reverse, initialState: initialStates } = problem;
    const states = () => backend.allocate(20);
    const sequential = { cell, inputs, sequences, reverse, initialStates, states };
    await backend.sequential(sequential, new Pacer(undefined));
    backend.engine(problem);
    backend.dispose();
    backend.release();
    expect(() => backend.engine(problem)).toThrow(/disposed/);
    const refused = async () => backend.sequential(sequential, new Pacer(undefined));
    await expect(refused).rejects.toThrow(/disposed/);
  });
});
