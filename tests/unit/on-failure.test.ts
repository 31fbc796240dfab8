/** What happens when a method does not converge: repair, an error, or the iterate, and what is told. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ConvergenceError, createRuntime, lorenz96, type Runtime } from "../../src/index.ts";
import { identical, largestError } from "../support/agreement.ts";
import { cellNamed } from "../support/cells.ts";
import { mulberry32, normal, uniform } from "../support/random.ts";

const cell = cellNamed("gru-reset-after", 1);
const inputs = normal(mulberry32(1), 50 * cell.inputSize);
/** Chaos, which no parallel method gets through in a few sweeps. */
const chaos = lorenz96({ size: 6, forcing: 8, timeStep: 0.05 });
const chaosStart = uniform(mulberry32(2), 6, 1, 9);
const hopeless = { initialState: chaosStart, method: "quasi-deer", maxIterations: 4 } as const;

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ backend: "wasm", reproducible: true });
});
afterAll(() => runtime.dispose());

describe("onFailure", () => {
  const steps = 300;
  const exact = () => runtime.evaluate(chaos, steps, { initialState: chaosStart });

  it('"sequential", the default, repairs and says so', async () => {
    const { states, finalStates, report } = await runtime.evaluate(chaos, steps, hopeless);
    expect(report).toMatchObject({
      method: "quasi-deer",
      converged: true,
      residual: 0,
      iterations: 4,
    });
    expect(report.fallback).toMatchObject({ to: "sequential", sequence: 0 });
    expect(report.fallback!.reason).toContain("not converged after 4 sweeps");
    expect(report.fallback!.fromStep).toBeGreaterThanOrEqual(4);
    expect(report.fallback!.fromStep).toBeLessThan(steps);
    const expected = await exact();
    expect(identical(states, expected.states)).toBe(true);
    expect(identical(finalStates, expected.finalStates)).toBe(true);
  });

  it('"throw" throws what was reached', async () => {
    const run = runtime.evaluate(chaos, steps, { ...hopeless, onFailure: "throw" });
    const error: unknown = await run.catch((reason) => reason);
    expect(error).toBeInstanceOf(ConvergenceError);
    const { message, iterations, residual, name } = error as ConvergenceError;
    expect([name, iterations]).toEqual(["ConvergenceError", 4]);
    expect(residual).toBeGreaterThan(1e-5);
    expect(message).toContain("quasi-deer: not converged after 4 sweeps");
    expect(message).toMatch(/the first \d+ steps of sequence 0 are exact/);
  });

  it('"return" returns the iterate, marked', async () => {
    const options = { ...hopeless, onFailure: "return" } as const;
    const { states, report } = await runtime.evaluate(chaos, steps, options);
    expect(report.converged).toBe(false);
    expect(report.fallback).toMatchObject({ to: "none", sequence: 0 });
    expect(report.residual).toBeGreaterThan(1e-5);
    const { fromStep } = report.fallback!;
    const expected = await exact();
    const prefix = (array: Float32Array) => array.subarray(0, (fromStep - 1) * 6);
    expect(identical(prefix(states), prefix(expected.states))).toBe(true);
    expect(largestError(states, expected.states, 6)).toBeGreaterThan(1e-3);
  });

  it("tells the first sequence of a batch that needed it", async () => {
    // Four sweeps make the first five chunks exact, and there are no more in the first two.
    const lengths = [3, 5, 192];
    const options = { ...hopeless, lengths };
    const { states, report } = await runtime.evaluate(chaos, 200, options);
    expect(report.fallback).toMatchObject({ to: "sequential", sequence: 2 });
    const sequential = { initialState: chaosStart, lengths };
    const expected = await runtime.evaluate(chaos, 200, sequential);
    expect(identical(states, expected.states)).toBe(true);
  });

  it.each(["throw", "return", "sequential"] as const)(
    "%s changes nothing on success",
    async (onFailure) => {
      const { report } = await runtime.evaluate(cell, inputs, { method: "deer", onFailure });
      expect(report.converged).toBe(true);
      expect(report.fallback).toBeUndefined();
    },
  );
});
