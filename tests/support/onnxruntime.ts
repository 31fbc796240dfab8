/**
 * ONNX Runtime (onnxruntime-web, WebAssembly, one thread) as the outside implementation that our
 * recurrences are compared with.
 */
import * as ort from "onnxruntime-web";
import type { OnnxModel } from "./onnx.ts";

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

export interface OnnxRunOptions {
  /** B; default 1. */
  readonly batch?: number;
  /** h_0 [B,H]; default zeros. */
  readonly initialHidden?: Float32Array;
  /** c_0 [B,H] of an LSTM; default zeros. */
  readonly initialCell?: Float32Array;
}

export interface OnnxRun {
  /** h_t [T,B,H]; row t belongs to row t of the inputs, whatever the direction. */
  readonly hidden: Float32Array;
  /** h [B,H] after the last step taken. */
  readonly finalHidden: Float32Array;
  /** c [B,H] after the last step taken; null unless the model is an LSTM. */
  readonly finalCell: Float32Array | null;
}

/** A loaded model; `release` it when done. */
export interface OnnxSession {
  /** Runs over `inputs` [T,B,I]. */
  run(inputs: Float32Array, options?: OnnxRunOptions): Promise<OnnxRun>;
  release(): Promise<void>;
}

/** Loads a model, for running it more than once. */
export async function openOnnx(model: OnnxModel): Promise<OnnxSession> {
  const session = await ort.InferenceSession.create(model.bytes, { executionProviders: ["wasm"] });
  return {
    run: (inputs, options = {}) => run(session, model, inputs, options),
    release: () => session.release(),
  };
}

/** Loads a model, runs it once over `inputs` [T,B,I], and releases it. */
export async function runOnnx(
  model: OnnxModel,
  inputs: Float32Array,
  options: OnnxRunOptions = {},
): Promise<OnnxRun> {
  const session = await openOnnx(model);
  try {
    return await session.run(inputs, options);
  } finally {
    await session.release();
  }
}

async function run(
  session: ort.InferenceSession,
  { operator, inputSize, hiddenSize }: OnnxModel,
  inputs: Float32Array,
  options: OnnxRunOptions,
): Promise<OnnxRun> {
  const { batch = 1, initialHidden, initialCell } = options;
  const steps = inputs.length / (batch * inputSize);
  if (!Number.isInteger(steps)) {
    throw new RangeError(
      `inputs: expected a multiple of ${batch} × ${inputSize} numbers, got ${inputs.length}`,
    );
  }
  const state = (values: Float32Array | undefined): ort.Tensor =>
    new ort.Tensor("float32", values ?? new Float32Array(batch * hiddenSize), [
      1,
      batch,
      hiddenSize,
    ]);
  const feeds: Record<string, ort.Tensor> = {
    X: new ort.Tensor("float32", inputs, [steps, batch, inputSize]),
    initial_h: state(initialHidden),
  };
  if (operator === "LSTM") feeds.initial_c = state(initialCell);
  else if (initialCell) throw new TypeError(`initialCell: a ${operator} has no cell state`);

  const outputs = await session.run(feeds);
  // Copied, for a tensor's data may lie in memory that the session reuses.
  const take = (name: string): Float32Array =>
    Float32Array.from(outputs[name].data as Float32Array);
  const result: OnnxRun = {
    hidden: take("Y"),
    finalHidden: take("Y_h"),
    finalCell: operator === "LSTM" ? take("Y_c") : null,
  };
  for (const tensor of [...Object.values(feeds), ...Object.values(outputs)]) tensor.dispose();
  return result;
}
