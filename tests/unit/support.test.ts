/**
 * Checks of the test support itself. The ONNX models are checked against float64 loops written here
 * from the operators' formulas, one unit at a time, that share nothing with our cells.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { autoregressiveSine, autoregressiveSineFile } from "../support/autoregressive-sine.ts";
import { type Direction, gruModel, lstmModel, type OnnxModel, rnnModel } from "../support/onnx.ts";
import { type OnnxRun, runOnnx } from "../support/onnxruntime.ts";
import { mulberry32, normal, randomWeights, uniform, type Weights } from "../support/random.ts";
import { parseSafetensors, tensorData } from "../support/safetensors.ts";
import {
  requireSharedData,
  sharedData,
  sharedDataFolder,
  sharedTitle,
} from "../support/shared-data.ts";

const steps = 50;
const batch = 2;
const inputSize = 3;
const units = 5;
const inputs = normal(mulberry32(11), steps * batch * inputSize);
const initialHidden = uniform(mulberry32(12), batch * units);
const initialCell = uniform(mulberry32(13), batch * units, -2, 2);

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const dot = (matrix: Float32Array, row: number, v: readonly number[]): number =>
  v.reduce((sum, value, i) => sum + matrix[row * v.length + i] * value, 0);

/** h and c of one sequence after one step. */
interface State {
  h: number[];
  c: number[];
}
type Step = (x: readonly number[], state: State) => State;

const overUnits = (one: (unit: number) => number): number[] =>
  Array.from({ length: units }, (_, unit) => one(unit));

function gruStep(w: Weights, resetAfter: boolean): Step {
  return (x, { h, c }) => {
    const input = (g: number, u: number) =>
      dot(w.weight_ih, g * units + u, x) + w.bias_ih[g * units + u];
    const hidden = (g: number, u: number, v: readonly number[]) =>
      dot(w.weight_hh, g * units + u, v) + w.bias_hh[g * units + u];
    const r = overUnits((u) => sigmoid(input(0, u) + hidden(0, u, h)));
    const z = overUnits((u) => sigmoid(input(1, u) + hidden(1, u, h)));
    const gated = h.map((value, u) => r[u] * value);
    const n = overUnits((u) =>
      Math.tanh(input(2, u) + (resetAfter ? r[u] * hidden(2, u, h) : hidden(2, u, gated))),
    );
    return { h: overUnits((u) => (1 - z[u]) * n[u] + z[u] * h[u]), c };
  };
}

function lstmStep(w: Weights, variant: "plain" | "peephole" | "coupled"): Step {
  return (x, { h, c }) => {
    const sum = (g: number, u: number) =>
      dot(w.weight_ih, g * units + u, x) +
      w.bias_ih[g * units + u] +
      dot(w.weight_hh, g * units + u, h) +
      w.bias_hh[g * units + u];
    const peep = (name: string, u: number, cell: readonly number[]) =>
      variant === "peephole" ? w[name][u] * cell[u] : 0;
    const i = overUnits((u) => sigmoid(sum(0, u) + peep("peephole_i", u, c)));
    const f = overUnits((u) =>
      variant === "coupled" ? 1 - i[u] : sigmoid(sum(1, u) + peep("peephole_f", u, c)),
    );
    const next = overUnits((u) => f[u] * c[u] + i[u] * Math.tanh(sum(2, u)));
    const o = overUnits((u) => sigmoid(sum(3, u) + peep("peephole_o", u, next)));
    return { h: overUnits((u) => o[u] * Math.tanh(next[u])), c: next };
  };
}

function rnnStep(w: Weights, nonlinearity: (x: number) => number): Step {
  return (x, { h, c }) => ({
    h: overUnits((u) =>
      nonlinearity(dot(w.weight_ih, u, x) + w.bias_ih[u] + dot(w.weight_hh, u, h) + w.bias_hh[u]),
    ),
    c,
  });
}

/** Runs every sequence of the batch on its own; all arrays as ONNX lays them out. */
function loop(
  step: Step,
  direction: Direction,
): Record<"hidden" | "finalHidden" | "finalCell", number[]> {
  const hidden = new Array<number>(steps * batch * units);
  const finalHidden: number[] = [];
  const finalCell: number[] = [];
  for (let b = 0; b < batch; b++) {
    let state: State = {
      h: [...initialHidden.subarray(b * units, (b + 1) * units)],
      c: [...initialCell.subarray(b * units, (b + 1) * units)],
    };
    for (let n = 0; n < steps; n++) {
      const t = direction === "forward" ? n : steps - 1 - n;
      const row = (t * batch + b) * inputSize;
      state = step([...inputs.subarray(row, row + inputSize)], state);
      for (let u = 0; u < units; u++) hidden[(t * batch + b) * units + u] = state.h[u];
    }
    finalHidden.push(...state.h);
    finalCell.push(...state.c);
  }
  return { hidden, finalHidden, finalCell };
}

function expectClose(actual: ArrayLike<number>, expected: readonly number[], bound: number): void {
  expect(actual.length).toBe(expected.length);
  // Math.max is NaN if either is, and no comparison holds for NaN.
  const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - actual[i])), 0);
  expect(worst).toBeLessThanOrEqual(bound);
}

function expectSameRun(run: OnnxRun, expected: ReturnType<typeof loop>): void {
  expectClose(run.hidden, expected.hidden, 2e-6);
  expectClose(run.finalHidden, expected.finalHidden, 2e-6);
  if (run.finalCell !== null) expectClose(run.finalCell, expected.finalCell, 5e-6);
}

function layerWeights(gates: number, seed: number): Weights {
  const rows = gates * units;
  return randomWeights(
    {
      weight_ih: [rows, inputSize],
      weight_hh: [rows, units],
      bias_ih: [rows],
      bias_hh: [rows],
      peephole_i: [units],
      peephole_f: [units],
      peephole_o: [units],
    },
    0.6,
    seed,
  );
}

describe.each(["forward", "reverse"] as const)(
  "ONNX models, %s, against a float64 loop",
  (direction) => {
    const check = async (model: OnnxModel, step: Step): Promise<void> => {
      const cell = model.operator === "LSTM" ? { initialCell } : {};
      const run = await runOnnx(model, inputs, { batch, initialHidden, ...cell });
      expect(run.finalCell === null).toBe(model.operator !== "LSTM");
      expectSameRun(run, loop(step, direction));
    };
    const shared = { inputSize, hiddenSize: units, direction };

    it.each(["reset-after", "reset-before"] as const)("GRU, %s", async (variant) => {
      const weights = layerWeights(3, 21);
      await check(
        gruModel({ ...shared, weights, variant }),
        gruStep(weights, variant === "reset-after"),
      );
    });

    it.each(["plain", "peephole", "coupled"] as const)("LSTM, %s", async (variant) => {
      const weights = layerWeights(4, 22);
      await check(lstmModel({ ...shared, weights, variant }), lstmStep(weights, variant));
    });

    it.each(["tanh", "relu"] as const)("RNN, %s", async (nonlinearity) => {
      const weights = layerWeights(1, 23);
      const activation = nonlinearity === "tanh" ? Math.tanh : (x: number) => Math.max(0, x);
      await check(rnnModel({ ...shared, weights, nonlinearity }), rnnStep(weights, activation));
    });
  },
);

describe("ONNX models", () => {
  it("start from zeros unless told otherwise", async () => {
    const weights = layerWeights(3, 24);
    const model = gruModel({ inputSize, hiddenSize: units, weights, variant: "reset-after" });
    const implicit = await runOnnx(model, inputs, { batch });
    const explicit = await runOnnx(model, inputs, {
      batch,
      initialHidden: new Float32Array(batch * units),
    });
    const elsewhere = await runOnnx(model, inputs, { batch, initialHidden });
    expect(implicit.hidden).toEqual(explicit.hidden);
    expect(implicit.hidden).not.toEqual(elsewhere.hidden);
  });

  it("name the weight of a wrong size", () => {
    const { bias_hh, ...weights } = layerWeights(3, 25);
    const options = { inputSize, hiddenSize: units, variant: "reset-after" } as const;
    expect(() => gruModel({ ...options, weights })).toThrow("weights.bias_hh: expected 15 numbers");
    expect(() =>
      gruModel({ ...options, weights: { ...weights, bias_hh, weight_ih: new Float32Array(44) } }),
    ).toThrow("weights.weight_ih: expected 45 numbers, got 44");
  });
});

describe("random numbers", () => {
  it("mulberry32 gives its published sequence", () => {
    const random = mulberry32(0);
    // First outputs of the algorithm's C source for state 0, as unsigned 32-bit integers.
    const words = Array.from({ length: 3 }, () => random() * 2 ** 32);
    expect(words).toEqual([1144304738, 1416247, 958946056]);
  });

  it("fills have the moments of their distributions and repeat", () => {
    const count = 20_001;
    const moments = (values: Float32Array): [number, number] => {
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
      return [mean, square / values.length];
    };
    const flat = uniform(mulberry32(5), count, 2, 5);
    expect(Math.min(...flat.subarray(0, 1000))).toBeGreaterThanOrEqual(2);
    expect(Math.max(...flat.subarray(0, 1000))).toBeLessThanOrEqual(5);
    expect(moments(flat)[0]).toBeCloseTo(3.5, 1);
    expect(moments(flat)[1]).toBeCloseTo(9 / 12, 1);
    const bell = normal(mulberry32(6), count, -1, 2);
    expect(bell.every(Number.isFinite)).toBe(true);
    expect(moments(bell)[0]).toBeCloseTo(-1, 1);
    expect(moments(bell)[1] / 4).toBeCloseTo(1, 1);
    expect(normal(mulberry32(6), count, -1, 2)).toEqual(bell);
    expect(normal(mulberry32(7), count, -1, 2)).not.toEqual(bell);
  });
});

describe("safetensors", () => {
  const encode = (header: unknown, payload: number): Uint8Array => {
    const text = new TextEncoder().encode(
      typeof header === "string" ? header : JSON.stringify(header),
    );
    const bytes = new Uint8Array(8 + text.length + payload);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
    bytes.set(text, 8);
    return bytes;
  };
  const entry = (shape: number[], begin: number, end: number, dtype = "F32") => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  });

  it("reads tensors at unaligned positions, and metadata", () => {
    const header = {
      __metadata__: { format: "x" },
      a: entry([2, 1], 4, 12),
      b: entry([1], 0, 4, "I32"),
    };
    const bytes = encode(header, 12);
    const view = new DataView(bytes.buffer, bytes.length - 12);
    view.setInt32(0, -7, true);
    view.setFloat32(4, 1.5, true);
    view.setFloat32(8, -0.25, true);
    const file = parseSafetensors(bytes, "x");
    expect(file.floats.get("a")).toEqual({ shape: [2, 1], data: Float32Array.of(1.5, -0.25) });
    expect(file.integers.get("b")).toEqual({ shape: [1], data: Int32Array.of(-7) });
    expect(file.metadata).toEqual({ format: "x" });
    expect(tensorData(file.floats, "a", [2, 1])).toEqual(Float32Array.of(1.5, -0.25));
    expect(() => tensorData(file.floats, "a", [1, 2])).toThrow(
      "a: expected the shape [1,2], got [2,1]",
    );
    expect(() => tensorData(file.floats, "b", [1])).toThrow("b: no such tensor; there are a");
  });

  it.each([
    ["cut short", new Uint8Array(7), "expected at least 8 bytes, got 7"],
    ["a header past the end", encode("{}", 0).subarray(0, 9), "header of 2 bytes does not fit"],
    ["no JSON", encode("{,}", 0), "the header is not JSON"],
    ["no object", encode("[]", 0), "the header is not a JSON object"],
    [
      "another dtype",
      encode({ a: entry([1], 0, 2, "F16") }, 2),
      "a: expected dtype F32 or I32, got F16",
    ],
    [
      "a negative size",
      encode({ a: entry([-1], 0, 4) }, 4),
      "a: expected a shape of sizes, got [-1]",
    ],
    [
      "one offset",
      encode({ a: { ...entry([1], 0, 4), data_offsets: [0] } }, 4),
      "two data_offsets",
    ],
    [
      "padding",
      encode({ a: entry([1], 0, 8) }, 8),
      "a: shape [1] needs 4 bytes, data_offsets give 8",
    ],
    [
      "missing data",
      encode({ a: entry([2], 0, 8) }, 4),
      "a: data_offsets end at 8, the file's data at 4",
    ],
  ])("refuses %s, naming the file", (_, bytes, message) => {
    const parse = () => parseSafetensors(bytes, "weights.safetensors");
    expect(parse).toThrow(`weights.safetensors: `);
    expect(parse).toThrow(message);
  });

  it("accepts padding when told to, never missing data", () => {
    const padded = encode({ a: entry([1], 0, 8) }, 8);
    expect(parseSafetensors(padded, "x", { allowPadding: true }).floats.get("a")?.data.length).toBe(
      1,
    );
    const short = encode({ a: entry([3], 0, 8) }, 8);
    expect(() => parseSafetensors(short, "x", { allowPadding: true })).toThrow("needs 12 bytes");
  });
});

describe("shared data", () => {
  const before = process.env.ANTLER_SHARED_DATA;
  afterEach(() => {
    if (before === undefined) delete process.env.ANTLER_SHARED_DATA;
    else process.env.ANTLER_SHARED_DATA = before;
  });

  it("is found by the environment variable, and says what is missing", () => {
    const folder = mkdtempSync(join(tmpdir(), "antler-"));
    try {
      writeFileSync(join(folder, "there"), "");
      process.env.ANTLER_SHARED_DATA = folder;
      expect(sharedDataFolder()).toBe(folder);
      expect(sharedData("there")).toBe(join(folder, "there"));
      expect(sharedTitle("a title", "there")).toBe("a title");
      expect(sharedData("absent")).toBeNull();
      expect(sharedTitle("a title", "there", "absent")).toMatch(
        /^a title \(skipped: absent is not in/,
      );
      expect(() => requireSharedData("absent")).toThrow("set ANTLER_SHARED_DATA");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe.skipIf(sharedData(autoregressiveSineFile) === null)(
  sharedTitle("the autoregressive sine", autoregressiveSineFile),
  () => {
    /** (y, h) to (y', h') in float64. */
    const step = (w: Weights, [y, ...h]: readonly number[], u: number): number[] => {
      const size = h.length;
      const input = (row: number) => w.weight_ih[row] * y + w.bias[row];
      const next = h.map((value, i) => {
        const r = sigmoid(input(i) + dot(w.weight_hh, i, h));
        const z = sigmoid(input(size + i) + dot(w.weight_hh, size + i, h));
        const n = Math.tanh(
          input(2 * size + i) + r * (dot(w.weight_hh, 2 * size + i, h) + w.bias_n[i]),
        );
        return n + z * (value - n);
      });
      const mean = dot(w.decoder_weight, 0, next) + w.decoder_bias[0];
      const scale = Math.log1p(Math.exp(dot(w.decoder_weight, 1, next) + w.decoder_bias[1]));
      return [mean + scale * u, ...next];
    };

    it("starts from y = 0 and one step of the hidden state", () => {
      const { weights, initialState } = autoregressiveSine(1);
      expect(initialState[0]).toBe(0);
      expectClose(initialState.subarray(1), step(weights, [0, 0, 0, 0], 0).slice(1), 1e-7);
    });

    it("is bounded and has the Lyapunov exponent of the trained model, −0.011", () => {
      const { weights, initialState, inputs: noise } = autoregressiveSine();
      expect(noise.length).toBe(10_000);
      const separation = 1e-7;
      let state: number[] = [...initialState];
      let neighbour = state.map((value) => value + separation / Math.sqrt(state.length));
      let logGrowth = 0;
      let largest = 0;
      for (const u of noise) {
        state = step(weights, state, u);
        neighbour = step(weights, neighbour, u);
        const offset = neighbour.map((value, i) => value - state[i]);
        const growth = Math.hypot(...offset) / separation;
        logGrowth += Math.log(growth);
        neighbour = state.map((value, i) => value + offset[i] / growth);
        largest = Math.max(largest, Math.abs(state[0]));
      }
      expect(largest).toBeGreaterThan(4);
      expect(largest).toBeLessThan(8);
      expect(Math.abs(logGrowth / noise.length + 0.011)).toBeLessThan(0.002);
    });
  },
);
