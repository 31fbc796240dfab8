/**
 * A trained network on a real recording: five GRU layers (reset before, 96 units, alternating
 * directions) over 36,285 steps, judged by the classes that the network's own C library calls.
 */
import { describe, expect, it } from "vitest";
import { createRuntime, type EvaluateOptions, gru, type Runtime } from "../../src/index.ts";
import { dawnGpu } from "../support/dawn.ts";
import { loadNanopore, type Nanopore, nanoporeFile } from "../support/nanopore.ts";
import { gruModel } from "../support/onnx.ts";
import { runOnnx } from "../support/onnxruntime.ts";
import { sharedData, sharedTitle } from "../support/shared-data.ts";

const timeout = 300_000;
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
      const runtime = await createRuntime({ backend: "wasm" });
      const states = await evaluateLayers(runtime, "wasm", () => ({ method: "sequential" }));
      const { classify, agreement } = network();
      expect(agreement(classify(states))).toBeGreaterThanOrEqual(0.9999);
    });

    it("calls the same on WebGPU, in parallel where the layer forgets", { timeout }, async () => {
      const runtime = await createRuntime({ backend: "webgpu", gpu: await dawnGpu() });
      const states = await evaluateLayers(runtime, "webgpu", (layer) =>
        // Layers 2 and 3 have long memories, which a GPU in software has no time for.
        layer === 2 || layer === 3
          ? { method: "sequential" }
          : { method: layer === 4 ? "quasi-deer" : "jacobi", chunk: 1024, maxIterations: 36 },
      );
      const { classify, agreement } = network();
      expect(agreement(classify(states))).toBeGreaterThanOrEqual(0.9999);
    });
  },
);

/** Runs the recording through all layers on the runtime's backend, and disposes of the runtime. */
async function evaluateLayers(
  runtime: Runtime,
  backend: "wasm" | "webgpu",
  optionsFor: (layer: number) => EvaluateOptions,
): Promise<Float32Array> {
  const { units, features, layers } = network();
  try {
    let hidden: Float32Array = features;
    for (const [i, { weights, reverse }] of layers.entries()) {
      const sizes = { inputSize: units, hiddenSize: units };
      const cell = gru({ ...sizes, variant: "reset-before", weights });
      const options = { ...optionsFor(i), reverse };
      const { states, report } = await runtime.evaluate(cell, hidden, options);
      const what = `layer ${i}: ${JSON.stringify(report)}`;
      expect(report.backend, what).toBe(backend);
      expect(report.converged, what).toBe(true);
      expect(report.fallback, what).toBeUndefined();
      hidden = states;
    }
    return hidden;
  } finally {
    runtime.dispose();
  }
}
