/** Trained layers in chunks on threads: no less exact than on one, though they remember longer than random ones. */
import { afterAll, describe, expect, it } from "vitest";
import { createRuntime, gru } from "../../src/index.ts";
import { largestError } from "../support/agreement.ts";
import { loadNanopore, nanoporeFile } from "../support/nanopore.ts";
import { sharedData, sharedTitle } from "../support/shared-data.ts";

const STEPS = 6000;

describe.skipIf(sharedData(nanoporeFile) === null)(
  sharedTitle("nanopore layers in chunks", nanoporeFile),
  async () => {
    const one = await createRuntime({ backend: "wasm", threads: 1, reproducible: true });
    const two = await createRuntime({ backend: "wasm", threads: 2, reproducible: true });
    afterAll(() => {
      one.dispose();
      two.dispose();
    });

    it("are as exact as on one thread, merge where they forget, and are done in full elsewhere", {
      timeout: 60_000,
    }, async () => {
      const { features, layers, units } = loadNanopore();
      let inputs: Float32Array = features.slice(0, STEPS * units);
      for (const [index, { weights, reverse }] of layers.entries()) {
        const cell = gru({ inputSize: units, hiddenSize: units, variant: "reset-before", weights });
        const sequential = await one.evaluate(cell, inputs, { method: "sequential", reverse });
        const oracle = await one.evaluate(cell, inputs, { backend: "reference", reverse });
        const unavoidable = largestError(sequential.states, oracle.states, units);
        for (const chunk of [1500, 3000]) {
          const options = { method: "threads", chunk, reverse } as const;
          const { states, report } = await two.evaluate(cell, inputs, options);
          const what = `layer ${index}, chunk ${chunk}: ${JSON.stringify(report)}`;
          expect(largestError(states, oracle.states, units), what).toBeLessThanOrEqual(
            1.2 * unavoidable,
          );
          expect(report.residual, what).toBeLessThanOrEqual(2 * 2 ** -23);
          expect(report.converged, what).toBe(true);
          // Layers 2 and 3 remember for longer than a chunk, and layer 4 for up to 1,300 steps.
          const { rerun } = report.steps!;
          if (index < 2) expect(rerun, what).toBeLessThan(700);
          if (index === 2 || index === 3) expect(rerun, what).toBeGreaterThanOrEqual(STEPS - chunk);
        }
        inputs = sequential.states;
      }
    });
  },
);
