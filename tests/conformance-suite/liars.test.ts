/** The suite fails whenever a backend lies, says in words how, and does not stop for it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runConformance } from "../../src/conformance/index.ts";
import { createRuntime, DeviceLostError, type Runtime } from "../../src/index.ts";
import { liars, lyingRuntime } from "../support/conformance-liars.ts";

/** A batch with a sequence of one step and one of none, and a single sequence in blocks. */
const cells = ["gru-reset-after", "lstm-plain"];
const options = { cells, backends: ["wasm"] } as const;

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ backend: "wasm", threads: 2 });
});
afterAll(() => runtime.dispose());

it("the truth passes through the same wrapper", async () => {
  const told = lyingRuntime(runtime, ({ evaluate }) => evaluate());
  const { passed, results } = await runConformance(told, options);
  expect(results.flatMap(({ failures }) => failures)).toEqual([]);
  expect(passed).toBe(true);
  expect(results.length).toBeGreaterThan(25);
});

describe("a runtime that", () => {
  it.each(liars)("$name", async ({ lie, failure, fails = () => true }) => {
    const { passed, results } = await runConformance(lyingRuntime(runtime, lie), options);
    expect(passed).toBe(false);
    expect(results.length).toBeGreaterThan(25);
    const caught = results.filter((result) => !result.passed);
    expect(results.filter((result) => fails(result) && result.passed)).toEqual([]);
    const words = caught.flatMap(({ failures }) => failures);
    expect(
      words.find((text) => failure.test(text)),
      words.slice(0, 5).join("\n"),
    ).toBeDefined();
    for (const { failures, largestError } of results) {
      expect(failures.every((text) => text.length > 10)).toBe(true);
      expect(largestError).not.toBeNaN();
    }
    for (const result of results) expect(result.passed).toBe(result.failures.length === 0);
  });

  it("lies about one evaluation of all is caught in that one", async () => {
    const one = lyingRuntime(runtime, async ({ evaluate, cell, options: asked }) => {
      const result = await evaluate();
      const isIt = cell.name === "lstm-plain" && asked.method === "picard" && asked.chunk === 7;
      if (isIt) result.states[40]! += 1e-3;
      return result;
    });
    const { passed, results } = await runConformance(one, options);
    expect(passed).toBe(false);
    const caught = results.filter((result) => !result.passed);
    expect(caught).toMatchObject([{ cell: "lstm-plain", method: "picard", chunk: 7 }]);
  });

  it("loses its device midway is told so, and goes on", async () => {
    const lost = lyingRuntime(runtime, ({ evaluate, cell, options: asked }) => {
      if (cell.name === "lstm-plain" && asked.method === "elk" && !asked.damping)
        throw new DeviceLostError("the driver was reset");
      return evaluate();
    });
    const { passed, results } = await runConformance(lost, options);
    expect(passed).toBe(false);
    const failed = results.filter((result) => !result.passed);
    expect(failed).toHaveLength(2);
    for (const { failures, residual, iterations, largestError } of failed) {
      expect(failures).toEqual([
        "the GPU's device was lost during the evaluation:" +
          " the WebGPU device was lost: the driver was reset",
      ]);
      expect([residual, iterations, largestError]).toEqual([Number.NaN, Number.NaN, Infinity]);
    }
  });

  it("repairs what did not converge, and says so, tells the truth", async () => {
    const honest = lyingRuntime(runtime, ({ evaluate }) => evaluate({ maxIterations: 1 }));
    const { passed, results } = await runConformance(honest, options);
    expect(results.flatMap(({ failures }) => failures)).toEqual([]);
    expect(passed).toBe(true);
    const repaired = results.filter(({ fallback }) => fallback);
    expect(repaired.length).toBeGreaterThan(15);
    for (const { fallback } of repaired) expect(fallback).toMatch(/not converged after 1 sweeps/);
  });
});

it("the reference is held to float64", async () => {
  const blurred = lyingRuntime(runtime, async ({ evaluate }) => {
    const result = await evaluate();
    const single = (values: Float64Array) => values.map(Math.fround);
    const { states, finalStates } = result as unknown as Record<string, Float64Array>;
    return { ...result, states: single(states!), finalStates: single(finalStates!) };
  });
  const { results } = await runConformance(blurred, { cells, backends: ["reference"] });
  // A parallel method is asked for 1e-6 only; what became exact is exact in float64.
  const exact = results.filter(({ method, residual }) => method === "sequential" || residual === 0);
  expect(exact.length).toBeGreaterThan(5);
  expect(exact.filter(({ passed }) => passed)).toEqual([]);
});
