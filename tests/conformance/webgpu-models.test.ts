/** Trained models on WebGPU, as far as a software GPU gets in time, against ONNX Runtime. */
import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-web/wasm";
import { beforeAll, describe, expect, it, test } from "vitest";
import { BUNDLED_RECORDING } from "../../examples/vad/prompts.ts";
import { readRecording } from "../../examples/vad/recording.ts";
import {
  type Encoded,
  encode,
  speechProbabilities,
  WINDOW_SIZE,
  windowsWithContext,
} from "../../examples/vad/silero.ts";
import { HIDDEN_SIZE, readSilero, type SileroModel } from "../../examples/vad/silero-model.ts";
import { largestDifference } from "../../examples/vad/table.ts";
import { type EvaluateOptions, gru, lstm } from "../../src/index.ts";
import { largestError } from "../support/agreement.ts";
import { loadNanopore, nanoporeFile } from "../support/nanopore.ts";
import { gruModel } from "../support/onnx.ts";
import { runOnnx } from "../support/onnxruntime.ts";
import { sharedData, sharedTitle } from "../support/shared-data.ts";
import { useWebgpuRuntime } from "../support/webgpu-runtime.ts";

const runtime = useWebgpuRuntime();

describe.skipIf(sharedData(nanoporeFile) === null)(
  sharedTitle("nanopore basecaller, 400 steps", nanoporeFile),
  () => {
    it("has the states that ONNX Runtime computes, through all five layers", async () => {
      const { units, features, layers } = loadNanopore();
      let hidden = features.slice(10_000 * units, 10_400 * units);
      let expected = hidden;
      // In turn: stepwise, chunks without a Jacobian, with its diagonal, and damped.
      const methods: readonly EvaluateOptions[] = [
        { method: "sequential" },
        { method: "jacobi", chunk: 128 },
        { method: "quasi-deer", chunk: 16 },
        { method: "quasi-deer", chunk: 64 },
        { method: "quasi-elk", chunk: 16 },
      ];
      for (const [i, { weights, reverse }] of layers.entries()) {
        const sizes = { inputSize: units, hiddenSize: units };
        const variant = "reset-before";
        const direction = reverse ? "reverse" : "forward";
        const model = gruModel({ ...sizes, variant, weights, direction });
        expected = (await runOnnx(model, expected)).hidden as Float32Array<ArrayBuffer>;
        const cell = gru({ ...sizes, variant, weights });
        const options = { ...methods[i], backend: "webgpu", reverse, maxIterations: 24 } as const;
        const { states, report } = await runtime().evaluate(cell, hidden, options);
        const what = JSON.stringify(report);
        expect(report.backend, what).toBe("webgpu");
        expect(report.converged, what).toBe(true);
        expect(report.fallback, what).toBeUndefined();
        expect(report.residual, what).toBeLessThanOrEqual(1e-5);
        expect(largestError(states, expected, units), what).toBeLessThanOrEqual(1e-4);
        hidden = states as Float32Array<ArrayBuffer>;
      }
    });
  },
);

describe("Silero on the first 200 windows of the bundled recording", () => {
  const windows = 200;
  let model: SileroModel;
  let encoded: Encoded;
  let expected: Float64Array;

  beforeAll(async () => {
    model = await readSilero();
    const { samples } = await readRecording(BUNDLED_RECORDING);
    const first = samples.subarray(0, windows * WINDOW_SIZE);
    encoded = await encode(model, first);
    expected = await windowByWindow(model, first);
  });

  /** The original graph, one window at a time, the state carried from each call to the next. */
  async function windowByWindow({ path }: SileroModel, samples: Float32Array) {
    ort.env.wasm.numThreads = 1;
    const options = { logSeverityLevel: 3 } as const;
    const session = await ort.InferenceSession.create(await readFile(path), options);
    const sr = new ort.Tensor("int64", BigInt64Array.of(16_000n), []);
    let state = new ort.Tensor("float32", new Float32Array(256), [2, 1, 128]);
    const probabilities = new Float64Array(windows);
    for (let window = 0; window < windows; window++) {
      const input = new ort.Tensor("float32", windowsWithContext(samples, window, 1), [1, 576]);
      const { output, stateN } = await session.run({ input, sr, state });
      state = new ort.Tensor("float32", stateN.data as Float32Array, [2, 1, 128]);
      probabilities[window] = (output.data as Float32Array)[0];
    }
    await session.release();
    return probabilities;
  }

  test("has speech and silence in it", () => {
    const speech = expected.filter((probability) => probability > 0.5).length;
    expect(speech).toBeGreaterThan(20);
    expect(speech).toBeLessThan(windows - 20);
  });

  it.each<[string, EvaluateOptions]>([
    ["step by step", { method: "sequential" }],
    ["in chunks of 16, in blocks", { method: "quasi-deer", jacobian: "block", chunk: 16 }],
    ["in chunks of 64", { method: "quasi-deer", jacobian: "diagonal", chunk: 64 }],
  ])("has ONNX Runtime's probabilities %s", async (_, setting) => {
    const options = { ...setting, backend: "webgpu", maxIterations: 16 } as const;
    const cell = lstm({
      inputSize: HIDDEN_SIZE,
      hiddenSize: HIDDEN_SIZE,
      weights: { ...model.lstm },
    });
    const { states, report } = await runtime().evaluate(cell, encoded.inputs, options);
    const what = JSON.stringify(report);
    expect(report.converged, what).toBe(true);
    expect(report.fallback, what).toBeUndefined();
    expect(report.residual, what).toBeLessThanOrEqual(1e-5);
    const probabilities = speechProbabilities(model.head, states);
    expect(largestDifference(probabilities, expected), what).toBeLessThanOrEqual(1e-5);
  });
});
