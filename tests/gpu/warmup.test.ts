/** After `warmup` an evaluation of that shape compiles nothing. */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { createRuntime, type EvaluateOptions, type Runtime } from "../../src/index.ts";
import { cellNamed } from "../support/cells.ts";
import { dawnGpu } from "../support/dawn.ts";
import { mulberry32, normal } from "../support/random.ts";
import { hardware, wrappedGpu } from "../support/wrapped-gpu.ts";

const cell = cellNamed("diagonal-lstm", 1);
const { inputSize } = cell;
const steps = 60;
const inputs = normal(mulberry32(1), steps * inputSize);

let gpu: GPU;
let runtime: Runtime;
beforeAll(async () => {
  gpu = await dawnGpu();
});
afterEach(() => runtime.dispose());

const cases: readonly [string, EvaluateOptions][] = [
  ["sequential", { method: "sequential" }],
  ["jacobi", { method: "jacobi", chunk: 20 }],
  ["quasi-deer", { method: "quasi-deer", chunk: 20 }],
  ["blocks, damped", { method: "quasi-elk", chunk: 20, jacobian: "block" }],
  ["a ragged batch", { method: "quasi-deer", chunk: 20, lengths: [40, 0, 20] }],
  ["a trace", { method: "jacobi", chunk: 20, onIteration: () => {} }],
  ["states on the device", { method: "jacobi", chunk: 20, output: "gpu" }],
];

describe("evaluate after warmup", () => {
  it.each(cases)("compiles nothing: %s", async (_, given) => {
    runtime = await createRuntime({ gpu, backend: "webgpu" });
    const options = { ...given, maxIterations: 3 };
    await runtime.warmup(cell, { steps, ...options });
    for (const _ of [1, 2]) {
      const { report } = await runtime.evaluate(cell, inputs, options);
      expect(report.backend).toBe("webgpu");
      expect(report.traffic!.pipelinesCompiled).toBe(0);
    }
    // Without it there would have been something to compile.
    using other = await createRuntime({ gpu, backend: "webgpu" });
    const { report } = await other.evaluate(cell, inputs, options);
    expect(report.traffic!.pipelinesCompiled).toBeGreaterThan(1);
  });

  it("repairs with what a sequential run compiles", async () => {
    runtime = await createRuntime({ gpu, backend: "webgpu" });
    const options = { method: "jacobi", chunk: 10, maxIterations: 1 } as const;
    await runtime.warmup(cell, { steps, ...options });
    await runtime.warmup(cell, { steps, method: "sequential" });
    const { report } = await runtime.evaluate(cell, inputs, options);
    expect(report.fallback!.to).toBe("sequential");
    expect(report.traffic!.pipelinesCompiled).toBe(0);
  });

  it("compiles for windows, too", async () => {
    runtime = await createRuntime({ gpu, backend: "webgpu", memoryLimit: 65536 });
    const [many, options] = [800, { method: "quasi-deer", chunk: 16, maxIterations: 3 } as const];
    await runtime.warmup(cell, { steps: many, ...options });
    const x = normal(mulberry32(2), many * inputSize);
    const { report } = await runtime.evaluate(cell, x, options);
    expect(report.windows).toBeGreaterThan(1);
    expect(report.traffic!.pipelinesCompiled).toBe(0);
  });
});

describe("warmup", () => {
  it("of the method that would be chosen, on the backend that would be", async () => {
    runtime = await createRuntime({ gpu: wrappedGpu(gpu, { info: hardware }) });
    await runtime.warmup(cell, { steps: 8192 });
    const x = normal(mulberry32(3), 8192 * inputSize);
    const options = { backend: "webgpu", onFailure: "return" } as const;
    const { report } = await runtime.evaluate(cell, x, options);
    expect(report).toMatchObject({ backend: "webgpu", method: "quasi-deer", jacobian: "block" });
    expect(report.traffic!.pipelinesCompiled).toBe(0);
  });

  it("has nothing to do on the other backends", async () => {
    runtime = await createRuntime({ backend: "wasm" });
    await runtime.warmup(cell, { steps });
    await runtime.warmup(cell, { steps, backend: "reference", method: "deer" });
  });

  it("refuses what evaluate would refuse", async () => {
    runtime = await createRuntime({ gpu });
    const refused: readonly [object, RegExp][] = [
      [{}, /shape.steps: expected a non-negative integer, got undefined/],
      [{ steps: 1.5 }, /shape.steps: expected a non-negative integer, got 1.5/],
      [{ steps, chunk: 0 }, /chunk: expected a positive integer, got 0/],
      [{ steps, lengths: [3] }, /lengths: expected a sum of 60/],
      [{ steps, method: "fast" }, /method: expected one of/],
      [{ steps, batch: 3 }, /shape: expected only steps, .*got "batch"/],
      [{ steps, output: "gpu", backend: "wasm" }, /output: "gpu" needs backend "webgpu"/],
    ];
    for (const [shape, message] of refused) {
      await expect(runtime.warmup(cell, shape as never)).rejects.toThrow(message);
    }
  });
});
