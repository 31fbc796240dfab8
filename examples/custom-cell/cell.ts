/**
 * A recurrence that Antler does not have: a ring of excitatory and inhibitory populations of neurons, after
 * Wilson and Cowan (1972), in steps of Euler's method.
 *
 *     e' = e + α_e (σ(W_ee e − W_ei i + x + b_e) − e)
 *     i' = i + α_i (σ(W_ie e − W_ii i     + b_i) − i)
 *
 * e, i are the activities, in [0, 1]; x is the stimulus that each excitatory population receives.
 */
import { add, type Cell, defineCell, linear, multiply, sigmoid, subtract } from "antler";

export function populations(size: number): Cell {
  return defineCell({
    name: "wilson-cowan-ring",
    inputSize: size,
    state: { e: { size, bounds: [0, 1] }, i: { size, bounds: [0, 1] } },
    weights: {
      w_ee: { shape: [size, size], data: ring(size, 9, 1) },
      w_ei: { shape: [size, size], data: ring(size, 8, 3) },
      w_ie: { shape: [size, size], data: ring(size, 10, 2) },
      w_ii: { shape: [size, size], data: ring(size, 2, 3) },
    },
    step: ({ e, i }, x, { w_ee, w_ei, w_ie, w_ii }) => {
      const excited = sigmoid(add(subtract(linear(w_ee, e), linear(w_ei, i)), x, -2));
      const inhibited = sigmoid(add(subtract(linear(w_ie, e), linear(w_ii, i)), -4));
      return {
        e: add(e, multiply(0.2, subtract(excited, e))),
        i: add(i, multiply(0.1, subtract(inhibited, i))),
      };
    },
  });
}

/** Connections that fall off around the ring like a bell curve of this width; each row sums to `total`. */
function ring(size: number, total: number, width: number): Float32Array {
  const bell = Array.from({ length: size }, (_, k) => {
    const distance = Math.min(k, size - k);
    return Math.exp(-((distance / width) ** 2) / 2);
  });
  const sum = bell.reduce((a, b) => a + b, 0);
  return Float32Array.from({ length: size * size }, (_, at) => {
    const [row, column] = [Math.floor(at / size), at % size];
    return (total * bell[(column - row + size) % size]) / sum;
  });
}

/** A spot of light that travels round the ring, as inputs `[steps, size]`. */
export function stimulus(size: number, steps: number): Float32Array {
  return Float32Array.from({ length: steps * size }, (_, at) => {
    const [t, unit] = [Math.floor(at / size), at % size];
    return 3 * Math.max(0, Math.cos(2 * Math.PI * (unit / size - t / 250))) ** 4;
  });
}
