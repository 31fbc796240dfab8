/**
 * A trained network on a real recording: five GRU layers (reset before, 96 units, alternating
 * directions) over 36,285 steps, judged by the classes that the network's own C library calls.
 */
import { describe, expect, it } from "vitest";
import { createRuntime, gru } from "../../src/index.ts";
import { loadNanopore, type Nanopore, nanoporeFile } from "../support/nanopore.ts";
import { gruModel } from "../support/onnx.ts";
import { runOnnx } from "../support/onnxruntime.ts";
import { sharedData, sharedTitle } from "../support/shared-data.ts";

const timeout = 120_000;
let loaded: Nanopore | undefined;
const network = (): Nanopore => {
  loaded ??= loadNanopore();
  return loaded;
};

describe.skipIf(sharedData(nanoporeFile) === null)(
  sharedTitle("nanopore basecaller", nanoporeFile),
  () => {
    it("as we load it, calls what the C library calls, through ONNX Runtime", {
      timeout,
    }, async () => {
      const { units, steps, features, layers, classify, agreement } = network();
      expect(steps).toBe(36_285);
      let hidden = features;
      for (const { weights, reverse } of layers) {
        const model = gruModel({
          inputSize: units,
          hiddenSize: units,
          variant: "reset-before",
          weights,
          direction: reverse ? "reverse" : "forward",
        });
        hidden = (await runOnnx(model, hidden)).hidden;
      }
      expect(agreement(classify(hidden))).toBeGreaterThanOrEqual(0.9999);
    });

    it("calls the same through Antler, sequentially on wasm", { timeout }, async () => {
      const { units, features, layers, classify, agreement } = network();
      const runtime = await createRuntime({ backend: "wasm" });
      try {
        let hidden = features;
        for (const { weights, reverse } of layers) {
          const cell = gru({
            inputSize: units,
            hiddenSize: units,
            variant: "reset-before",
            weights,
          });
          const { states, report } = await runtime.evaluate(cell, hidden, {
            method: "sequential",
            reverse,
          });
          expect(report.backend).toBe("wasm");
          expect(report.converged).toBe(true);
          hidden = states as Float32Array;
        }
        expect(agreement(classify(hidden))).toBeGreaterThanOrEqual(0.9999);
      } finally {
        runtime.dispose();
      }
    });
  },
);
