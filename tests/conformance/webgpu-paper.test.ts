/**
 * The paper's stability experiment on WebGPU: the sweeps that each method and chunk needs, against those of
 * the float64 oracle.
 */
import { describe, expect, test } from "vitest";
import { autoregressiveGru, type BackendName, type EvaluateOptions } from "../../src/index.ts";
import { largestError } from "../support/agreement.ts";
import { autoregressiveSine, autoregressiveSineFile } from "../support/autoregressive-sine.ts";
import { sharedData, sharedTitle } from "../support/shared-data.ts";
import { useWebgpuRuntime } from "../support/webgpu-runtime.ts";

const runtime = useWebgpuRuntime();

interface Setting extends EvaluateOptions {
  /** T: fewer than the paper's 10,000 where a software GPU would take too long. */
  readonly steps: number;
}

const settings: readonly Setting[] = [
  { method: "deer", chunk: 8, steps: 10_000 },
  { method: "deer", chunk: 32, steps: 10_000 },
  { method: "deer", chunk: 128, steps: 10_000 },
  { method: "jacobi", chunk: 128, steps: 10_000 },
  { method: "jacobi", chunk: 512, steps: 10_000 },
  { method: "jacobi", chunk: 1024, steps: 10_000 },
  { method: "elk", chunk: 1, steps: 1000 },
  { method: "deer", chunk: 1, steps: 1000 },
  { method: "quasi-elk", chunk: 1, steps: 300 },
];

describe.skipIf(sharedData(autoregressiveSineFile) === null)(
  sharedTitle("the paper's autoregressive GRU", autoregressiveSineFile),
  () => {
    test.each(settings)("$method, chunks of $chunk, T = $steps", async ({ steps, ...setting }) => {
      const { hiddenSize, weights, initialState, inputs } = autoregressiveSine(steps, 1);
      const cell = autoregressiveGru({ hiddenSize, weights });
      const on = (backend: BackendName, options: EvaluateOptions) =>
        runtime().evaluate(cell, inputs, { initialState, backend, ...options });
      const options = { ...setting, onFailure: "return", maxIterations: 60 } as const;
      const oracle = await on("reference", { method: "sequential" });
      const exact = await on("reference", options);
      const { states, report } = await on("webgpu", options);
      const what = JSON.stringify({ setting, oracle: exact.report, report });
      expect(exact.report.converged, what).toBe(true);
      expect(report.converged, what).toBe(true);
      expect(Math.abs(report.iterations - exact.report.iterations), what).toBeLessThanOrEqual(2);
      expect(report.residual, what).toBeLessThanOrEqual(1e-5);
      const error = largestError(states, oracle.states, cell.stateSize);
      expect(error, what).toBeLessThanOrEqual(10 * report.errorEstimate);
      expect(error, what).toBeLessThanOrEqual(2e-4);
    });
  },
);
