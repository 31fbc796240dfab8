/**
 * Silero VAD around its recurrence: samples to LSTM inputs (the encoder never sees the state, so all
 * windows are encoded in blocks), and LSTM states to speech probabilities.
 */
import * as ort from "onnxruntime-web/wasm";
import { type Head, HIDDEN_SIZE, type SileroModel } from "./silero-graph.ts";

export const SAMPLE_RATE = 16_000;
/** New samples a window: 32 ms. */
export const WINDOW_SIZE = 512;
/** Samples of the window before that the encoder sees again. */
export const CONTEXT_SIZE = 64;
/** Seconds from one window to the next. */
export const SECONDS_PER_WINDOW = WINDOW_SIZE / SAMPLE_RATE;

const WINDOWS_PER_BLOCK = 64;

export interface Encoded {
  /** The LSTM's inputs, `[windows, 128]`. */
  readonly inputs: Float32Array;
  readonly windows: number;
  readonly milliseconds: number;
}

/**
 * Runs the encoder over every whole window of `samples`; a rest of less than 32 ms is left out.
 *
 * @param samples mono at 16 kHz, in [-1, 1].
 * @param onProgress called with the number of windows done, of all windows; waited for, so that it may
 *   let others work, or throw to end it.
 * @throws {RangeError} when there is not a single whole window.
 */
export async function encode(
  model: SileroModel,
  samples: Float32Array,
  onProgress: (done: number, total: number) => void | Promise<void> = () => {},
): Promise<Encoded> {
  const windows = Math.floor(samples.length / WINDOW_SIZE);
  if (windows === 0) {
    throw new RangeError(
      `samples: expected at least one window of ${WINDOW_SIZE}, got ${samples.length}`,
    );
  }
  // One thread: workers would keep the process alive, and the convolutions are small.
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(model.encoder);
  try {
    const started = performance.now();
    const inputs = new Float32Array(windows * HIDDEN_SIZE);
    for (let first = 0; first < windows; first += WINDOWS_PER_BLOCK) {
      const count = Math.min(WINDOWS_PER_BLOCK, windows - first);
      const width = CONTEXT_SIZE + WINDOW_SIZE;
      const block = windowsWithContext(samples, first, count);
      const result = await session.run({ input: new ort.Tensor("float32", block, [count, width]) });
      inputs.set(result[model.encoderOutput].data as Float32Array, first * HIDDEN_SIZE);
      await onProgress(first + count, windows);
    }
    return { inputs, windows, milliseconds: performance.now() - started };
  } finally {
    await session.release();
  }
}

/** Windows `first` to `first + count`, each with the end of the one before in front: `[count, 576]`. */
export function windowsWithContext(
  samples: Float32Array,
  first: number,
  count: number,
): Float32Array {
  const width = CONTEXT_SIZE + WINDOW_SIZE;
  const block = new Float32Array(count * width);
  for (let row = 0; row < count; row++) {
    const start = (first + row) * WINDOW_SIZE;
    const from = Math.max(0, start - CONTEXT_SIZE);
    const piece = samples.subarray(from, start + WINDOW_SIZE);
    block.set(piece, (row + 1) * width - piece.length);
  }
  return block;
}

/**
 * Speech probability of every window: p_t = sigmoid(w · relu(h_t) + b).
 *
 * @param states `[windows, 256]`, a row is h then c.
 * @returns `[windows]`
 */
export function speechProbabilities(
  { weight, bias }: Head,
  states: Float32Array | Float64Array,
): Float64Array {
  const stateSize = 2 * HIDDEN_SIZE;
  const probabilities = new Float64Array(states.length / stateSize);
  for (let window = 0; window < probabilities.length; window++) {
    let sum = bias;
    for (let unit = 0; unit < HIDDEN_SIZE; unit++) {
      const hidden = states[window * stateSize + unit];
      sum += weight[unit] * Math.max(0, hidden);
    }
    probabilities[window] = 1 / (1 + Math.exp(-sum));
  }
  return probabilities;
}
