/** onnxruntime-web (WebAssembly, one thread) as a rival: as little as possible around its own run. */
import * as ort from "onnxruntime-web/wasm";
import type { OnnxModel } from "../../tests/support/onnx.ts";

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

export interface OnnxRival {
  /** All hidden states [T, hiddenSize] of one sequence `inputs` [T, inputSize] from a zero state. */
  run(inputs: Float32Array): Promise<Float32Array>;
  release(): Promise<void>;
}

/** Loads a model of one recurrent layer. */
export async function openRival(model: OnnxModel): Promise<OnnxRival> {
  const { operator, inputSize, hiddenSize, bytes } = model;
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  const zeros = () => new ort.Tensor("float32", new Float32Array(hiddenSize), [1, 1, hiddenSize]);
  return {
    run: async (inputs) => {
      const shape = [inputs.length / inputSize, 1, inputSize];
      const feeds: Record<string, ort.Tensor> = {
        X: new ort.Tensor("float32", inputs, shape),
        initial_h: zeros(),
        ...(operator === "LSTM" && { initial_c: zeros() }),
      };
      const { Y } = await session.run(feeds, ["Y"]);
      return Y.data as Float32Array;
    },
    release: () => session.release(),
  };
}

/** The version that is installed. */
export const onnxruntimeVersion: string = ort.env.versions.web ?? ort.env.versions.common;
