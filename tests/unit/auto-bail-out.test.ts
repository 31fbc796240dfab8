/** When to give up, on what solves have really shown: their traces are made here. */
import { describe, expect, it } from "vitest";
import { mayMerge, type Prospect, reasonToGiveUp } from "../../src/auto/bail-out.ts";
import {
  type Cell,
  createRuntime,
  type EvaluateOptions,
  type IterationProgress,
  lorenz96,
} from "../../src/index.ts";
import { cellNamed } from "../support/cells.ts";
import { mulberry32, normal } from "../support/random.ts";
import { scaling } from "../support/sweeps.ts";

const tolerance = 1e-5;

/** What a solve on WebAssembly showed, and what became of it. */
async function trace(cell: Cell, steps: number, options: EvaluateOptions) {
  const runtime = await createRuntime({ backend: "wasm", threads: 1 });
  const seen: IterationProgress[] = [];
  const inputs = cell.inputSize > 0 ? normal(mulberry32(1), steps * cell.inputSize) : steps;
  const { report } = await runtime.evaluate(cell, inputs, {
    tolerance,
    maxIterations: 60,
    ...options,
    onIteration: (progress) => seen.push(progress),
  });
  runtime.dispose();
  return { seen, report };
}

/** A sweep costs `share` of what finishing sequentially from the start would. */
const prospect = (share: number): Prospect => ({
  tolerance,
  sweepCost: share,
  certificateCost: share,
  sequentialCost: 1,
});

/** The number of sweeps after which it would give up; Infinity if it would not. */
function givesUpAfter(seen: readonly IterationProgress[], expected: Prospect): number {
  const at = seen.findIndex((_, i) => reasonToGiveUp(seen.slice(0, i + 1), expected) !== "");
  return at < 0 ? Infinity : at;
}

const gru = cellNamed("gru-reset-after", 1, { hiddenSize: 16 });
const lstm = cellNamed("lstm-plain", 1, { hiddenSize: 16 });

describe("a solve that converges", () => {
  it.each<[string, Cell, EvaluateOptions]>([
    ["jacobi, C = 16", gru, { method: "jacobi", chunk: 16 }],
    ["jacobi, C = 4", gru, { method: "jacobi", chunk: 4 }],
    ["quasi-deer, C = 1", gru, { method: "quasi-deer" }],
    ["quasi-deer with blocks, C = 1", lstm, { method: "quasi-deer", jacobian: "block" }],
    ["deer, C = 8", gru, { method: "deer", chunk: 8 }],
    ["elk, C = 1", gru, { method: "elk" }],
    ["jacobi, slowly", scaling([0.9]), { method: "jacobi", chunk: 8 }],
  ])("%s, is not given up where sweeps are cheap", async (_, cell, options) => {
    const { seen, report } = await trace(cell, 2000, options);
    expect(report.converged && !report.fallback).toBe(true);
    // As on a GPU, where a sweep takes C steps and sequential evaluation T.
    expect(givesUpAfter(seen, prospect(0.02))).toBe(Infinity);
  });

  it("is given up all the same where its sweeps cost more than finishing sequentially", async () => {
    const { seen, report } = await trace(scaling([0.9]), 2000, { method: "jacobi", chunk: 4 });
    expect(report.iterations).toBeGreaterThan(20);
    expect(givesUpAfter(seen, prospect(1))).toBeLessThan(6);
  });
});

describe("a solve that stalls", () => {
  it.each<[string, Cell, EvaluateOptions]>([
    ["jacobi, which moves a chunk a sweep", scaling([1]), { method: "jacobi", chunk: 8 }],
    ["quasi-deer in chaos", lorenz96({ size: 12 }), { method: "quasi-deer", chunk: 64 }],
    ["jacobi in chaos", lorenz96({ size: 12 }), { method: "jacobi", chunk: 64 }],
    ["picard, which only moves a sum", gru, { method: "picard", chunk: 1 }],
  ])("%s, is given up within a few sweeps", async (_, cell, options) => {
    const initialState = normal(mulberry32(3), cell.stateSize);
    const { seen } = await trace(cell, 4000, { ...options, initialState });
    const sweeps = givesUpAfter(seen, prospect(0.1));
    expect(sweeps).toBeLessThan(10);
    const reason = reasonToGiveUp(seen.slice(0, sweeps + 1), prospect(0.1));
    expect(reason).toMatch(
      /^residual \d\.\de[-+]\d+ after \d sweeps: about \d+ more would take longer than the rest step by step$/,
    );
  });
});

describe("giving up", () => {
  const progress = (residuals: readonly number[], exact = (i: number) => i + 1, chunks = 100) =>
    residuals.map((residual, iteration) => ({
      iteration,
      residual,
      exactChunks: exact(iteration),
      chunks,
    }));
  const cheap = prospect(0.05);

  it("waits for three sweeps, whatever they show", () => {
    expect(reasonToGiveUp([], cheap)).toBe("");
    for (const count of [1, 2, 3]) {
      expect(reasonToGiveUp(progress(Array(count).fill(1)), prospect(10))).toBe("");
    }
    expect(reasonToGiveUp(progress([1, 1, 1, 1]), prospect(10))).not.toBe("");
  });

  it("leaves a solve alone that has reached its tolerance", () => {
    expect(reasonToGiveUp(progress([1, 1, 1, 1e-6]), prospect(10))).toBe("");
  });

  it("counts with the rate at which residuals fall", () => {
    // 1e-1 to 1e-4 in three sweeps: one more, and the certificate.
    expect(reasonToGiveUp(progress([1e-1, 1e-2, 1e-3, 1e-4]), prospect(0.3))).toBe("");
    // A quarter a sweep from 1: forty more.
    const slow = progress([1, 0.75, 0.56, 0.42]);
    expect(reasonToGiveUp(slow, prospect(0.3))).toContain("about 37 more");
    expect(reasonToGiveUp(slow, prospect(0.01))).toBe("");
  });

  it("does not trust residuals that rise, are infinite or not numbers", () => {
    for (const residuals of [
      [1e-3, 1e-2, 1e-1, 1],
      [1, Infinity, Infinity, Infinity],
      [Infinity, 1, 1, 1],
      [1, 1, 1, Number.NaN],
    ]) {
      expect(reasonToGiveUp(progress(residuals), prospect(0.2)), `${residuals}`).not.toBe("");
    }
  });

  it("counts from where residuals are finite", () => {
    const from = (residuals: number[]) => reasonToGiveUp(progress(residuals), prospect(0.3));
    expect(from([Infinity, 1, 1e-2, 1e-4])).toBe("");
    expect(from([Infinity, Infinity, 1, 1e-3])).toBe("");
    expect(from([Infinity, Infinity, 1, 0.9])).not.toBe("");
  });

  it("sees that exact chunks come in faster than residuals fall", () => {
    const frozen = progress([1, 1, 1, 1], (i) => 30 * i + 1);
    expect(reasonToGiveUp(frozen, prospect(0.3))).toBe("");
    const stuck = progress([1, 1, 1, 1], (i) => i + 1);
    expect(reasonToGiveUp(stuck, prospect(0.3))).not.toBe("");
  });

  it("goes on where little is left, whatever it costs", () => {
    expect(
      reasonToGiveUp(
        progress([1, 1, 1, 1], (i) => 96 + i),
        prospect(0.9),
      ),
    ).toBe("");
  });
});

describe("chunks that are run again", () => {
  const merging = { predicted: 100, chunkLength: 1000, merged: [], failed: 0 };

  it("are tried where they should merge in time", () => {
    expect(mayMerge(merging)).toBe(true);
    expect(mayMerge({ ...merging, predicted: 2000 })).toBe(false);
    expect(mayMerge({ ...merging, predicted: Infinity })).toBe(false);
  });

  it("are judged by what the others did", () => {
    expect(mayMerge({ ...merging, merged: [80, 120], failed: 1 })).toBe(true);
    expect(mayMerge({ ...merging, merged: [80], failed: 2 })).toBe(false);
    expect(mayMerge({ ...merging, predicted: 2000, merged: [500], failed: 0 })).toBe(true);
  });
});
