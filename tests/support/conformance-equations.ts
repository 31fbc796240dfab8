/**
 * The steps of the cells that no outside runtime has, from their papers' equations in plain float64
 * vectors: independent of how cells are written, traced and interpreted here.
 */
import type { Cell } from "../../src/index.ts";

type Vector = number[];
type Step = (state: Vector, input: Vector, cell: Cell) => Vector;

const σ = (v: Vector) => v.map((a) => 1 / (1 + Math.exp(-a)));
const tanh = (v: Vector) => v.map(Math.tanh);
const plus = (...all: Vector[]) => all[0]!.map((_, i) => all.reduce((sum, v) => sum + v[i]!, 0));
const times = (a: Vector, b: Vector) => a.map((value, i) => value * b[i]!);
/** a + g (b − a). */
const blend = (a: Vector, g: Vector, b: Vector) => a.map((v, i) => v + g[i]! * (b[i]! - v));

/** Weight `name`, its rows from `part`/`parts` on: as a vector, and times one. */
function rows(cell: Cell, name: string, part = 0, parts = 1) {
  const { shape, data } = cell.weights[name]!;
  const [count, width = 1] = shape;
  const size = count / parts;
  const entry = (i: number, j: number) => data[(part * size + i) * width + j]!;
  const indices = Array.from({ length: size }, (_, i) => i);
  return {
    vector: indices.map((i) => entry(i, 0)),
    dot: (v: Vector) =>
      indices.map((i) => v.reduce((sum, value, j) => sum + entry(i, j) * value, 0)),
  };
}

const minimalGru: Step = (h, x, cell) => {
  const affine = (part: number, v: Vector) =>
    plus(
      rows(cell, "weight_ih", part, 2).dot(x),
      rows(cell, "weight_hh", part, 2).dot(v),
      rows(cell, "bias", part, 2).vector,
    );
  const f = σ(affine(0, h));
  return blend(h, f, tanh(affine(1, times(f, h))));
};

const diagonalGru: Step = (h, x, cell) => {
  const gate = (part: number, v: Vector) =>
    plus(
      times(rows(cell, "diagonal_hh", part, 3).vector, v),
      rows(cell, "weight_ih", part, 3).dot(x),
      rows(cell, "bias", part, 3).vector,
    );
  const z = σ(gate(0, h));
  const r = σ(gate(1, h));
  return blend(h, z, tanh(gate(2, times(r, h))));
};

const diagonalLstm: Step = (state, x, cell) => {
  const [h, c] = [state.slice(0, state.length / 2), state.slice(state.length / 2)];
  const gate = (part: number) =>
    plus(
      times(rows(cell, "diagonal_hh", part, 3).vector, h),
      rows(cell, "weight_ih", part, 3).dot(x),
      rows(cell, "bias", part, 3).vector,
    );
  const f = σ(plus(gate(0), times(rows(cell, "peephole_f").vector, c)));
  const next = blend(tanh(gate(1)), f, c);
  const o = σ(plus(gate(2), times(rows(cell, "peephole_o").vector, next)));
  return [...times(o, tanh(next)), ...next];
};

/** Runge and Kutta's classical method on dx_i/dt = (x_{i+1} − x_{i−2}) x_{i−1} − x_i + 8, by 1/64. */
const lorenz96: Step = (x) => {
  const n = x.length;
  const slope = (v: Vector) =>
    v.map((own, i) => (v[(i + 1) % n]! - v[(i + n - 2) % n]!) * v[(i + n - 1) % n]! - own + 8);
  const along = (k: Vector, time: number) => x.map((value, i) => value + time * k[i]!);
  const k1 = slope(x);
  const k2 = slope(along(k1, 1 / 128));
  const k3 = slope(along(k2, 1 / 128));
  const k4 = slope(along(k3, 1 / 64));
  return x.map((value, i) => value + (k1[i]! + 2 * k2[i]! + 2 * k3[i]! + k4[i]!) / 384);
};

const autoregressiveGru: Step = ([y, ...h], [u], cell) => {
  const a = (part: number) =>
    plus(rows(cell, "weight_ih", part, 3).dot([y!]), rows(cell, "bias", part, 3).vector);
  const g = (part: number) => rows(cell, "weight_hh", part, 3).dot(h);
  const r = σ(plus(a(0), g(0)));
  const z = σ(plus(a(1), g(1)));
  const n = tanh(plus(a(2), times(r, plus(g(2), rows(cell, "bias_n").vector))));
  const next = blend(n, z, h);
  const decoded = plus(
    rows(cell, "decoder_weight").dot(next),
    rows(cell, "decoder_bias").vector,
  ) as [number, number];
  return [decoded[0] + Math.log(1 + Math.exp(decoded[1])) * u!, ...next];
};

const custom: Step = (state, x, cell) => {
  const b = state.slice(4);
  const drive = plus(rows(cell, "input").dot(x), rows(cell, "bias").vector);
  const hidden = tanh(plus(rows(cell, "inner").dot(state), drive));
  const mixed = rows(cell, "outer").dot(hidden);
  const next = b.map((value, i) => {
    const [p, own] = [mixed[i]!, state[i]!];
    const [gate] = σ([b[(i + 1) % 4]! + Math.exp(Math.tanh(drive[i]!))]) as [number];
    const a = Math.tanh(p > 0 ? p : p / 4) + gate * Math.sin(own / 2);
    const q = Math.max(mixed[4 + i]!, -mixed[4 + i]! / 8) / Math.hypot(1, hidden[2 + i]!);
    const soft = Math.log(1 + Math.exp(value)) - Math.log(2 + Math.cos(value));
    return [a, q + soft / 4] as const;
  });
  return [...next.map(([a]) => a), ...next.map(([, value]) => value)];
};

/** By the cell's name in the suite. */
export const equations: Readonly<Record<string, Step>> = {
  "minimal-gru": minimalGru,
  "diagonal-gru": diagonalGru,
  "diagonal-lstm": diagonalLstm,
  lorenz96,
  "autoregressive-gru": autoregressiveGru,
  custom,
};
