/** The reference engine's certificate: residual and error estimate against the truth. */
import { describe, expect, it } from "vitest";
import { createReferenceBackend } from "../../src/backend/reference/backend.ts";
import type { SweepEngine } from "../../src/solve/engine.ts";
import { noiseSign } from "../../src/solve/engine.ts";
import { cells } from "../support/cells.ts";
import { exactStates, problemOf, readStates, scaling } from "../support/sweeps.ts";

const backend = createReferenceBackend();

describe("the certificate", () => {
  const certify = (engine: SweepEngine) => {
    engine.beginCertificate();
    for (let t = 0; t < engine.length; t += 5) engine.certify(t, Math.min(t + 5, engine.length));
    return engine.certificate();
  };

  it("of exact states has no residual and an error near rounding", () => {
    for (const cell of cells(7)) {
      const problem = problemOf(cell, 23, { chunk: 23 });
      const engine = backend.engine(problem);
      engine.runChunks(0, 1);
      const { residual, errorEstimate } = certify(engine);
      expect(residual).toBe(0);
      expect(errorEstimate).toBeGreaterThan(2 ** -53);
      expect(errorEstimate).toBeLessThan(1e-13);
    }
  });

  it("of a linear recurrence's states is their true residual and error", () => {
    const cell = scaling([1.1, -0.9]);
    for (const reverse of [false, true]) {
      const problem = problemOf(cell, 12, { chunk: 3, reverse });
      const exact = exactStates(problem);
      const guess = exact.map((value, i) => value + 1e-3 * Math.sin(i));
      const engine = backend.engine({ ...problem, initialGuess: guess });
      engine.runChunks(0, 4);
      engine.joinSeams();
      const states = readStates(engine, problem);
      let error = 0;
      let residual = 0;
      for (let row = 0; row < 12; row++) {
        const before = reverse ? row + 1 : row - 1;
        const outside = before < 0 || before > 11;
        const of = (array: ArrayLike<number>, r: number) => [array[2 * r]!, array[2 * r + 1]!];
        const state = of(states, row);
        const previous = outside ? of(problem.initialState, 0) : of(states, before);
        const input = of(problem.inputs, row);
        const scale = 1 + Math.max(...state.map(Math.abs));
        state.forEach((value, i) => {
          const factor = i === 0 ? 1.1 : -0.9;
          const defect = Math.abs(value - (factor * previous[i]! + input[i]!));
          residual = Math.max(residual, defect / scale);
          error = Math.max(error, Math.abs(value - of(exact, row)[i]!) / scale);
        });
      }
      const certificate = certify(engine);
      expect(error).toBeGreaterThan(1e-4);
      expect(Math.abs(certificate.residual - residual)).toBeLessThan(1e-14);
      expect(Math.abs(certificate.errorEstimate - error)).toBeLessThan(1e-13);
    }
  });

  it("shows rounding errors that grow, though nothing is defective", () => {
    const problem = problemOf(scaling([2]), 40, { chunk: 40, inputs: new Float64Array(40) });
    const engine = backend.engine({ ...problem, initialState: Float64Array.of(0) });
    engine.runChunks(0, 1);
    const { residual, errorEstimate } = certify(engine);
    expect(residual).toBe(0);
    // Noise of 2 · 0.25 units in step 1, doubled 39 times, and twice the largest of three draws.
    expect(errorEstimate / 2 ** (39 - 53)).toBeGreaterThan(0.3);
    expect(errorEstimate / 2 ** (39 - 53)).toBeLessThan(2);
  });

  it("of states that are not finite is infinite", () => {
    const problem = problemOf(scaling([1]), 4, { inputs: Float64Array.of(0, 0, Infinity, 0) });
    const engine = backend.engine({ ...problem, chunk: 4 });
    engine.runChunks(0, 1);
    expect(certify(engine)).toEqual({ residual: Infinity, errorEstimate: Infinity });
  });

  it("forgets the one before it", () => {
    const problem = problemOf(scaling([0.9]), 6, { chunk: 2 });
    const engine = backend.engine(problem);
    engine.runChunks(0, 3);
    engine.joinSeams();
    expect(certify(engine).residual).toBeGreaterThan(0);
    engine.runSteps(0, 6);
    expect(certify(engine).residual).toBe(0);
  });

  it("draws signs that are balanced and differ between columns and neighbours", () => {
    const signs = [1, 2, 3].map((column) =>
      Array.from({ length: 9000 }, (_, n) => noiseSign(Math.floor(n / 9), n % 9, column, 9)),
    );
    const correlation = (a: readonly number[], b: readonly number[], lag = 0) =>
      Math.abs(a.slice(lag).reduce((sum, sign, n) => sum + sign * b[n]!, 0)) / a.length;
    const ones = signs[0]!.map(() => 1);
    for (const [c, column] of signs.entries()) {
      expect(new Set(column)).toEqual(new Set([1, -1]));
      // Four standard deviations of a fair coin.
      expect(correlation(column, ones)).toBeLessThan(4 / Math.sqrt(9000));
      for (const lag of [1, 2, 9, 18]) {
        expect(correlation(column, column, lag)).toBeLessThan(4 / Math.sqrt(9000));
      }
      expect(correlation(column, signs[(c + 1) % 3]!)).toBeLessThan(4 / Math.sqrt(9000));
    }
  });
});
