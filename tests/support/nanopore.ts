/**
 * A trained DNA basecaller and one real read: convolution + ELU, five GRU layers of 96 units in
 * alternating directions, and a linear layer over 1,025 classes, of which the largest is the call.
 * Weights: scrappie's `rgrgr_r94` (Oxford Nanopore Technologies, MPL-2.0).
 *
 * The GRU layers are ours with `variant: "reset-before"`; the file has their gate rows as z, r, n,
 * one bias, and the recurrent rows of n apart.
 */
import type { Weights } from "./random.ts";
import { readSafetensors, type Safetensors, tensorData } from "./safetensors.ts";
import { requireSharedData } from "./shared-data.ts";

export const nanoporeFile = "nanopore-r94.safetensors";

const units = 96;
const classes = 1025;
const layerCount = 5;
const taps = 19;
const stride = 5;
const padding = 9;

export interface NanoporeLayer {
  /** weight_ih, weight_hh [3·96,96], bias_ih, bias_hh [3·96]; gate rows r, z, n. */
  readonly weights: Weights;
  /** True for layers 0, 2 and 4, which run backwards in time. */
  readonly reverse: boolean;
}

export interface Nanopore {
  /** Both the input size and the hidden size of every layer. */
  readonly units: number;
  /** T, the steps that every layer takes. */
  readonly steps: number;
  /** The inputs of the first layer [T,96]. */
  readonly features: Float32Array;
  readonly layers: readonly NanoporeLayer[];
  /** The classes called from the states of the last layer [T,96]. */
  classify(hidden: Float32Array): Int32Array;
  /** The share of steps at which `called` is what the original C library calls. */
  agreement(called: Int32Array): number;
}

/**
 * Loads the network and the read, and applies the convolution.
 * @throws Error if the shared file is missing or is not this network
 */
export function loadNanopore(path = requireSharedData(nanoporeFile)): Nanopore {
  // The file stores softmax.bias padded to a multiple of four numbers.
  const file = readSafetensors(path, { allowPadding: true });
  const features = convolve(file);
  const steps = features.length / units;
  const expected = tensorData(file.integers, "expected.argmax", [steps]);
  const headWeight = tensorData(file.floats, "softmax.weight", [classes, units]);
  const headBias = tensorData(file.floats, "softmax.bias", [classes]);
  return {
    units,
    steps,
    features,
    layers: Array.from({ length: layerCount }, (_, index) => ({
      weights: layerWeights(file, index),
      reverse: index % 2 === 0,
    })),
    classify: (hidden) => argmaxLinear(hidden, steps, headWeight, headBias),
    agreement: (called) => {
      if (called.length !== steps) {
        throw new RangeError(`called: expected ${steps} classes, got ${called.length}`);
      }
      return called.reduce((same, call, t) => same + Number(call === expected[t]), 0) / steps;
    },
  };
}

/** ELU of the convolution of the signal: [T,96], T = ⌊(samples + 2·9 − 19) / 5⌋ + 1. */
function convolve({ floats }: Safetensors): Float32Array {
  const samples = floats.get("signal")?.shape[0] ?? 0;
  const signal = tensorData(floats, "signal", [samples]);
  const weight = tensorData(floats, "conv.weight", [units, taps]);
  const bias = tensorData(floats, "conv.bias", [units]);
  const steps = Math.floor((samples + 2 * padding - taps) / stride) + 1;
  const features = new Float32Array(steps * units);
  for (let t = 0; t < steps; t++) {
    const start = t * stride - padding;
    const first = Math.max(0, -start);
    const last = Math.min(taps, samples - start);
    for (let unit = 0; unit < units; unit++) {
      let sum = bias[unit];
      for (let tap = first; tap < last; tap++)
        sum += weight[unit * taps + tap] * signal[start + tap];
      features[t * units + unit] = sum > 0 ? sum : Math.expm1(sum);
    }
  }
  return features;
}

function layerWeights({ floats }: Safetensors, index: number): Weights {
  const tensor = (name: string, ...shape: number[]): Float32Array =>
    tensorData(floats, `gru.${index}.${name}`, shape);
  const recurrent = new Float32Array(3 * units * units);
  recurrent.set(tensor("weight_hh_zr", 2 * units, units));
  recurrent.set(tensor("weight_hh_n", units, units), 2 * units * units);
  return {
    weight_ih: resetFirst(tensor("weight_ih", 3 * units, units), units),
    weight_hh: resetFirst(recurrent, units),
    bias_ih: resetFirst(tensor("bias_ih", 3 * units), 1),
    bias_hh: new Float32Array(3 * units),
  };
}

/** Gate rows z, r, n to r, z, n. */
function resetFirst(rows: Float32Array, columns: number): Float32Array {
  const block = units * columns;
  const reordered = rows.slice();
  reordered.copyWithin(0, block, 2 * block);
  reordered.set(rows.subarray(0, block), block);
  return reordered;
}

/** For each row of hidden [T,96], the class whose weight · row + bias is largest (the first, on a tie). */
function argmaxLinear(
  hidden: Float32Array,
  steps: number,
  weight: Float32Array,
  bias: Float32Array,
): Int32Array {
  if (hidden.length !== steps * units) {
    throw new RangeError(`hidden: expected ${steps} × ${units} numbers, got ${hidden.length}`);
  }
  const weightRows = Array.from({ length: classes }, (_, k) =>
    Float64Array.from(weight.subarray(k * units, (k + 1) * units)),
  );
  // Four steps at a time, so that a weight is read once for four products: there are 3.6 billion.
  const block = 4;
  const [row0, row1, row2, row3] = Array.from({ length: block }, () => new Float64Array(units));
  const rows = [row0, row1, row2, row3];
  const logits = new Float64Array(block);
  const largest = new Float64Array(block);
  const best = new Int32Array(steps);
  for (let t = 0; t < steps; t += block) {
    const count = Math.min(block, steps - t);
    for (let j = 0; j < count; j++) {
      rows[j].set(hidden.subarray((t + j) * units, (t + j + 1) * units));
    }
    largest.fill(Number.NEGATIVE_INFINITY);
    for (let k = 0; k < classes; k++) {
      const weights = weightRows[k];
      let a = bias[k];
      let b = a;
      let c = a;
      let d = a;
      for (let i = 0; i < units; i++) {
        const factor = weights[i];
        a += factor * row0[i];
        b += factor * row1[i];
        c += factor * row2[i];
        d += factor * row3[i];
      }
      logits[0] = a;
      logits[1] = b;
      logits[2] = c;
      logits[3] = d;
      for (let j = 0; j < count; j++) {
        if (logits[j] > largest[j]) {
          largest[j] = logits[j];
          best[t + j] = k;
        }
      }
    }
  }
  return best;
}
