/**
 * GRU and LSTM as a web developer would write them without a library: loops over Float32Arrays, the
 * weights with PyTorch's names, shapes and gate order. Rivals to be timed, not part of the product.
 */
import type { Weights } from "../../tests/support/random.ts";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** All hidden states [T, hiddenSize] of a GRU (reset-after) from a zero state. */
export function plainGru(
  { weight_ih, weight_hh, bias_ih, bias_hh }: Weights,
  inputs: Float32Array,
  inputSize: number,
  hiddenSize: number,
): Float32Array {
  const steps = inputs.length / inputSize;
  const states = new Float32Array(steps * hiddenSize);
  let h = new Float32Array(hiddenSize);
  let next = new Float32Array(hiddenSize);
  for (let t = 0; t < steps; t++) {
    for (let i = 0; i < hiddenSize; i++) {
      // Rows of the three gates side by side: their sums do not wait for each other.
      const rowZ = hiddenSize + i;
      const rowN = 2 * hiddenSize + i;
      let r = bias_ih[i] + bias_hh[i];
      let z = bias_ih[rowZ] + bias_hh[rowZ];
      let n = bias_ih[rowN];
      for (let j = 0; j < inputSize; j++) {
        const x = inputs[t * inputSize + j];
        r += weight_ih[i * inputSize + j] * x;
        z += weight_ih[rowZ * inputSize + j] * x;
        n += weight_ih[rowN * inputSize + j] * x;
      }
      let recurrent = bias_hh[rowN];
      const atR = i * hiddenSize;
      const atZ = rowZ * hiddenSize;
      const atN = rowN * hiddenSize;
      for (let j = 0; j < hiddenSize; j++) {
        const value = h[j];
        r += weight_hh[atR + j] * value;
        z += weight_hh[atZ + j] * value;
        recurrent += weight_hh[atN + j] * value;
      }
      const candidate = Math.tanh(n + sigmoid(r) * recurrent);
      next[i] = candidate + sigmoid(z) * (h[i] - candidate);
    }
    [h, next] = [next, h];
    states.set(h, t * hiddenSize);
  }
  return states;
}

/** The same with the reset gate before the product, as ONNX has it by default. */
export function plainGruResetBefore(
  { weight_ih, weight_hh, bias_ih, bias_hh }: Weights,
  inputs: Float32Array,
  inputSize: number,
  hiddenSize: number,
): Float32Array {
  const steps = inputs.length / inputSize;
  const states = new Float32Array(steps * hiddenSize);
  const h = new Float32Array(hiddenSize);
  const update = new Float32Array(hiddenSize);
  const kept = new Float32Array(hiddenSize);
  for (let t = 0; t < steps; t++) {
    for (let i = 0; i < hiddenSize; i++) {
      const rowZ = hiddenSize + i;
      let r = bias_ih[i] + bias_hh[i];
      let z = bias_ih[rowZ] + bias_hh[rowZ];
      for (let j = 0; j < inputSize; j++) {
        const x = inputs[t * inputSize + j];
        r += weight_ih[i * inputSize + j] * x;
        z += weight_ih[rowZ * inputSize + j] * x;
      }
      for (let j = 0; j < hiddenSize; j++) {
        r += weight_hh[i * hiddenSize + j] * h[j];
        z += weight_hh[rowZ * hiddenSize + j] * h[j];
      }
      update[i] = sigmoid(z);
      kept[i] = sigmoid(r) * h[i];
    }
    for (let i = 0; i < hiddenSize; i++) {
      const rowN = 2 * hiddenSize + i;
      let n = bias_ih[rowN] + bias_hh[rowN];
      for (let j = 0; j < inputSize; j++) {
        n += weight_ih[rowN * inputSize + j] * inputs[t * inputSize + j];
      }
      for (let j = 0; j < hiddenSize; j++) n += weight_hh[rowN * hiddenSize + j] * kept[j];
      const candidate = Math.tanh(n);
      h[i] = candidate + update[i] * (h[i] - candidate);
    }
    states.set(h, t * hiddenSize);
  }
  return states;
}

/** All hidden states [T, hiddenSize] of an LSTM from a zero state. */
export function plainLstm(
  { weight_ih, weight_hh, bias_ih, bias_hh }: Weights,
  inputs: Float32Array,
  inputSize: number,
  hiddenSize: number,
): Float32Array {
  const steps = inputs.length / inputSize;
  const states = new Float32Array(steps * hiddenSize);
  const c = new Float32Array(hiddenSize);
  let h = new Float32Array(hiddenSize);
  let next = new Float32Array(hiddenSize);
  for (let t = 0; t < steps; t++) {
    for (let k = 0; k < hiddenSize; k++) {
      const rowF = hiddenSize + k;
      const rowG = 2 * hiddenSize + k;
      const rowO = 3 * hiddenSize + k;
      let i = bias_ih[k] + bias_hh[k];
      let f = bias_ih[rowF] + bias_hh[rowF];
      let g = bias_ih[rowG] + bias_hh[rowG];
      let o = bias_ih[rowO] + bias_hh[rowO];
      for (let j = 0; j < inputSize; j++) {
        const x = inputs[t * inputSize + j];
        i += weight_ih[k * inputSize + j] * x;
        f += weight_ih[rowF * inputSize + j] * x;
        g += weight_ih[rowG * inputSize + j] * x;
        o += weight_ih[rowO * inputSize + j] * x;
      }
      const atI = k * hiddenSize;
      const atF = rowF * hiddenSize;
      const atG = rowG * hiddenSize;
      const atO = rowO * hiddenSize;
      for (let j = 0; j < hiddenSize; j++) {
        const value = h[j];
        i += weight_hh[atI + j] * value;
        f += weight_hh[atF + j] * value;
        g += weight_hh[atG + j] * value;
        o += weight_hh[atO + j] * value;
      }
      c[k] = sigmoid(f) * c[k] + sigmoid(i) * Math.tanh(g);
      next[k] = sigmoid(o) * Math.tanh(c[k]);
    }
    [h, next] = [next, h];
    states.set(h, t * hiddenSize);
  }
  return states;
}
