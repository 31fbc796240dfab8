/**
 * The paper's stability experiment and the trained layers, thinned: sweeps stay where they were
 * measured, and a certificate can be trusted. The whole tables are benches.
 */
import { describe, expect, test } from "vitest";
import {
  autoregressiveGru,
  type Cell,
  createRuntime,
  type EvaluateOptions,
  gru,
} from "../../src/index.ts";
import { largestError } from "../support/agreement.ts";
import { autoregressiveSine, autoregressiveSineFile } from "../support/autoregressive-sine.ts";
import { loadNanopore, nanoporeFile } from "../support/nanopore.ts";
import { sharedData, sharedTitle } from "../support/shared-data.ts";

const runtime = await createRuntime({ backend: "wasm", reproducible: true });

interface Setting extends EvaluateOptions {
  /** Sweeps to the certificate at 1e-5, measured; two more are allowed. */
  readonly sweeps: number;
}

async function expectTrustworthy(
  cell: Cell,
  inputs: Float32Array,
  common: EvaluateOptions,
  settings: readonly Setting[],
): Promise<void> {
  const oracle = await runtime.evaluate(cell, inputs, { ...common, backend: "reference" });
  for (const { sweeps, ...setting } of settings) {
    for (const tolerance of [1e-3, 1e-4, 1e-5]) {
      const options = { ...common, ...setting, tolerance, onFailure: "return" } as const;
      const { states, report } = await runtime.evaluate(cell, inputs, options);
      const what = JSON.stringify({ ...setting, tolerance, report });
      expect(report.converged, what).toBe(true);
      const error = largestError(states, oracle.states, cell.stateSize);
      expect(report.errorEstimate, what).toBeGreaterThanOrEqual(error / 10);
      expect(error, what).toBeLessThanOrEqual(20 * tolerance);
      expect(report.iterations, what).toBeLessThanOrEqual(sweeps + 2);
    }
  }
}

describe.skipIf(sharedData(autoregressiveSineFile) === null)(
  sharedTitle("the paper's autoregressive GRU, T = 10,000", autoregressiveSineFile),
  () => {
    test("sweeps and certificates", async () => {
      const { hiddenSize, weights, initialState, inputs } = autoregressiveSine(10_000, 1);
      const cell = autoregressiveGru({ hiddenSize, weights });
      await expectTrustworthy(cell, inputs, { initialState }, [
        { method: "deer", chunk: 8, sweeps: 4 },
        { method: "deer", chunk: 32, sweeps: 4 },
        { method: "deer", chunk: 128, sweeps: 3 },
        { method: "elk", sweeps: 11 },
        { method: "jacobi", chunk: 128, sweeps: 9 },
        { method: "jacobi", chunk: 512, sweeps: 3 },
      ]);
    });
  },
);

describe.skipIf(sharedData(nanoporeFile) === null)(
  sharedTitle("trained GRU layers, T = 3,000", nanoporeFile),
  () => {
    test("sweeps and certificates of the first two", async () => {
      const { units, features, layers } = loadNanopore();
      let inputs: Float32Array = features.slice(0, 3000 * units);
      for (const { weights, reverse } of layers.slice(0, 2)) {
        const cell = gru({ inputSize: units, hiddenSize: units, variant: "reset-before", weights });
        await expectTrustworthy(cell, inputs, { reverse }, [
          { method: "quasi-deer", chunk: 16, sweeps: 8 },
          { method: "quasi-deer", chunk: 64, sweeps: 4 },
          { method: "jacobi", chunk: 256, sweeps: 2 },
        ]);
        inputs = (await runtime.evaluate(cell, inputs, { reverse })).states;
      }
    });
  },
);
