/** The shipped cells against their equations, written out again in scalar loops. */
import { describe, expect, it } from "vitest";
import type { Cell } from "../../src/cell/index.ts";
import { lorenz96 } from "../../src/cell/index.ts";
import { cellNamed, cells } from "../support/cells.ts";
import { evaluate, randomVector } from "../support/derivative-checks.ts";
import { relativeError } from "../support/finite-differences.ts";
import { mulberry32 } from "../support/random.ts";

const I = 3;
const H = 5;

/** One step in scalars: what the program is compared with. */
type ScalarStep = (
  state: number[],
  x: number[],
  w: (name: string, row: number, column?: number) => number,
) => number[];

const σ = (a: number) => 1 / (1 + Math.exp(-a));
const units = Array.from({ length: H }, (_, j) => j);
const dot = (v: number[], entry: (column: number) => number) =>
  v.reduce((sum, value, column) => sum + entry(column) * value, 0);

/** A gate's pre-activation W x + b_ih + U h + b_hh, in row `row`. */
function preactivation(
  w: Parameters<ScalarStep>[2],
  x: number[],
  h: number[],
  row: number,
): number {
  return (
    dot(x, (k) => w("weight_ih", row, k)) +
    w("bias_ih", row) +
    dot(h, (k) => w("weight_hh", row, k)) +
    w("bias_hh", row)
  );
}

function lstmStep(variant: "plain" | "peephole" | "coupled"): ScalarStep {
  return (state, x, w) => {
    const h = state.slice(0, H);
    const c = state.slice(H);
    const p = (name: string, j: number) => (variant === "peephole" ? w(name, j) : 0);
    const next = units.map((j) => {
      const i = σ(preactivation(w, x, h, j) + p("peephole_i", j) * c[j]);
      const own = σ(preactivation(w, x, h, H + j) + p("peephole_f", j) * c[j]);
      const f = variant === "coupled" ? 1 - i : own;
      return f * c[j] + i * Math.tanh(preactivation(w, x, h, 2 * H + j));
    });
    const output = units.map((j) => {
      const o = σ(preactivation(w, x, h, 3 * H + j) + p("peephole_o", j) * next[j]);
      return o * Math.tanh(next[j]);
    });
    return [...output, ...next];
  };
}

const steps: Readonly<Record<string, ScalarStep>> = {
  "rnn-tanh": (h, x, w) => units.map((j) => Math.tanh(preactivation(w, x, h, j))),

  "rnn-relu": (h, x, w) =>
    units.map((j) => {
      const a = dot(x, (k) => w("weight_ih", j, k)) + dot(h, (k) => w("weight_hh", j, k));
      return Math.max(0, a);
    }),

  "gru-reset-after": (h, x, w) =>
    units.map((j) => {
      const r = σ(preactivation(w, x, h, j));
      const z = σ(preactivation(w, x, h, H + j));
      const row = 2 * H + j;
      const inner = dot(h, (k) => w("weight_hh", row, k)) + w("bias_hh", row);
      const n = Math.tanh(dot(x, (k) => w("weight_ih", row, k)) + w("bias_ih", row) + r * inner);
      return (1 - z) * n + z * h[j];
    }),

  "gru-reset-before": (h, x, w) => {
    const gated = units.map((j) => σ(preactivation(w, x, h, j)) * h[j]);
    return units.map((j) => {
      const z = σ(preactivation(w, x, h, H + j));
      const n = Math.tanh(preactivation(w, x, gated, 2 * H + j));
      return (1 - z) * n + z * h[j];
    });
  },

  "lstm-plain": lstmStep("plain"),
  "lstm-peephole": lstmStep("peephole"),
  "lstm-coupled": lstmStep("coupled"),

  "minimal-gru": (h, x, w) => {
    const affine = (v: number[], row: number) =>
      dot(x, (k) => w("weight_ih", row, k)) +
      dot(v, (k) => w("weight_hh", row, k)) +
      w("bias", row);
    const f = units.map((j) => σ(affine(h, j)));
    const gated = units.map((j) => f[j] * h[j]);
    return units.map((j) => (1 - f[j]) * h[j] + f[j] * Math.tanh(affine(gated, H + j)));
  },

  "diagonal-gru": (h, x, w) =>
    units.map((j) => {
      const gate = (row: number, value: number) =>
        w("diagonal_hh", row) * value + dot(x, (k) => w("weight_ih", row, k)) + w("bias", row);
      const z = σ(gate(j, h[j]));
      const r = σ(gate(H + j, h[j]));
      const n = Math.tanh(gate(2 * H + j, r * h[j]));
      return (1 - z) * h[j] + z * n;
    }),

  "diagonal-lstm": (state, x, w) => {
    const pairs = units.map((j) => {
      const [h, c] = [state[j], state[H + j]];
      const gate = (row: number) =>
        w("diagonal_hh", row) * h + dot(x, (k) => w("weight_ih", row, k)) + w("bias", row);
      const f = σ(gate(j) + w("peephole_f", j) * c);
      const next = f * c + (1 - f) * Math.tanh(gate(H + j));
      const o = σ(gate(2 * H + j) + w("peephole_o", j) * next);
      return [o * Math.tanh(next), next];
    });
    return [...pairs.map(([h]) => h), ...pairs.map(([, c]) => c)];
  },

  lorenz96: (x) => rungeKutta4(x, 0.5, 0.05),

  "autoregressive-gru": ([y, ...h], [u], w) => {
    const a = (row: number) => w("weight_ih", row, 0) * y + w("bias", row);
    const g = (row: number) => dot(h, (k) => w("weight_hh", row, k));
    const next = units.map((j) => {
      const r = σ(a(j) + g(j));
      const z = σ(a(H + j) + g(H + j));
      const n = Math.tanh(a(2 * H + j) + r * (g(2 * H + j) + w("bias_n", j)));
      return n + z * (h[j] - n);
    });
    const decode = (row: number) =>
      dot(next, (k) => w("decoder_weight", row, k)) + w("decoder_bias", row);
    return [decode(0) + Math.log(1 + Math.exp(decode(1))) * u, ...next];
  },
};

function rungeKutta4(x: number[], forcing: number, timeStep: number): number[] {
  const n = x.length;
  const slope = (v: number[]) =>
    v.map((_, i) => (v[(i + 1) % n] - v[(i + n - 2) % n]) * v[(i + n - 1) % n] - v[i] + forcing);
  const along = (k: number[], step: number) => x.map((value, i) => value + step * k[i]);
  const k1 = slope(x);
  const k2 = slope(along(k1, timeStep / 2));
  const k3 = slope(along(k2, timeStep / 2));
  const k4 = slope(along(k3, timeStep));
  return x.map((value, i) => value + (timeStep / 6) * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]));
}

function weightReader({ weights }: Cell): Parameters<ScalarStep>[2] {
  return (name, row, column = 0) => {
    const { shape, data } = weights[name];
    const value = data[row * (shape[1] ?? 1) + column];
    if (value === undefined) throw new Error(`${name}[${row}, ${column}] is outside [${shape}]`);
    return value;
  };
}

describe.each(Object.keys(steps))("%s", (name) => {
  const cell = cellNamed(name, 12, { inputSize: I, hiddenSize: H, scale: 1.5 });

  it("follows its equations", () => {
    const random = mulberry32(1);
    for (let trial = 0; trial < 10; trial++) {
      const state = randomVector(random, cell.stateSize).map((value) => 1.5 * value);
      const input = randomVector(random, cell.inputSize);
      const [actual] = evaluate([cell.next], cell.weights, { state, input });
      const expected = steps[name]([...state], [...input], weightReader(cell));
      expect(relativeError(actual, expected)).toBeLessThan(1e-14);
    }
  });

  it("keeps to its bounds, from a state within them", () => {
    const random = mulberry32(2);
    const [low, high] = [0, 1].map((end) =>
      cell.parts.flatMap((part) => Array<number>(part.size).fill(part.bounds[end])),
    );
    // From a corner of the box, pushed outwards by large inputs.
    for (let trial = 0; trial < 20; trial++) {
      const state = randomVector(random, cell.stateSize).map((x, i) =>
        Math.min(Math.max(3 * x, low[i]), high[i]),
      );
      const input = randomVector(random, cell.inputSize).map((x) => 30 * x);
      const [next] = evaluate([cell.next], cell.weights, { state, input });
      next.forEach((value, i) => {
        expect(value).toBeGreaterThanOrEqual(low[i]);
        expect(value).toBeLessThanOrEqual(high[i]);
      });
    }
  });
});

describe("the list of cells for tests", () => {
  it("has every cell once, and equations for all but the custom ones", () => {
    const names = cells(1).map((cell) => cell.name);
    expect(new Set(names).size).toBe(names.length);
    const custom = names.filter((name) => name.startsWith("custom-"));
    expect(new Set(names)).toEqual(new Set([...Object.keys(steps), ...custom]));
    expect(custom).toHaveLength(2);
  });

  it("depends on its seed", () => {
    const [first, again, other] = [1, 1, 2].map((seed) => cellNamed("rnn-tanh", seed));
    expect(first.weights).toEqual(again.weights);
    expect(first.weights).not.toEqual(other.weights);
    expect(first.weights.weight_hh.data).not.toEqual(
      cellNamed("gru-reset-after", 1).weights.weight_hh.data.slice(0, 25),
    );
  });
});

describe("declared state", () => {
  const bounds = (name: string) => cellNamed(name, 1).parts.map((part) => [part.name, part.bounds]);

  it("has bounds where the step has", () => {
    const unit = [-1, 1];
    const none = [-Infinity, Infinity];
    expect(bounds("rnn-tanh")).toEqual([["h", unit]]);
    expect(bounds("rnn-relu")).toEqual([["h", [0, Infinity]]]);
    expect(bounds("gru-reset-after")).toEqual([["h", unit]]);
    expect(bounds("lstm-plain")).toEqual([
      ["h", unit],
      ["c", none],
    ]);
    expect(bounds("lstm-coupled")).toEqual([
      ["h", unit],
      ["c", unit],
    ]);
    expect(bounds("diagonal-lstm")).toEqual([
      ["h", unit],
      ["c", unit],
    ]);
    expect(bounds("autoregressive-gru")).toEqual([
      ["y", none],
      ["h", unit],
    ]);
    expect(bounds("lorenz96")).toEqual([["x", none]]);
  });
});

describe("lorenz96", () => {
  it("has F = 8 and a time step of 0.01 by default, and x = F as a fixed point", () => {
    const cell = lorenz96({ size: 6 });
    const state = Float64Array.of(1, -2, 3, 0.5, 7, -1);
    const [next] = evaluate([cell.next], {}, { state });
    expect(relativeError(next, rungeKutta4([...state], 8, 0.01))).toBeLessThan(1e-15);
    const [fixed] = evaluate([cell.next], {}, { state: new Float64Array(6).fill(8) });
    expect(Array.from(fixed)).toEqual(Array(6).fill(8));
  });

  it("is of fourth order: half the time step, a sixteenth of the error", () => {
    const state = Float64Array.of(1, -2, 3, 0.5, 7, -1, 2);
    const reach = (count: number) => {
      const cell = lorenz96({ size: 7, timeStep: 0.2 / count });
      let x: Float64Array = state;
      for (let t = 0; t < count; t++) [x] = evaluate([cell.next], {}, { state: x });
      return x;
    };
    const exact = reach(512);
    const [coarse, fine] = [8, 16].map((count) => relativeError(reach(count), exact));
    expect(Math.log2(coarse / fine)).toBeGreaterThan(3.7);
    expect(Math.log2(coarse / fine)).toBeLessThan(4.3);
  });
});
