/**
 * The standard recurrent layers against ONNX Runtime, on the same weights, inputs and initial state:
 * every hidden state, and the final cell state of an LSTM, the only one that ONNX returns.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Cell, createRuntime, gru, lstm, type Runtime, rnn } from "../../src/index.ts";
import type { BackendName } from "../../src/types.ts";
import { type Direction, gruModel, lstmModel, type OnnxModel, rnnModel } from "../support/onnx.ts";
import { type OnnxRun, runOnnx } from "../support/onnxruntime.ts";
import { mulberry32, normal, randomWeights, uniform, type Weights } from "../support/random.ts";

const steps = 300;
const inputSize = 3;
/** Of |difference| / (1 + |value|): two float32 evaluations of a contracting recurrence. */
const tolerance = 1e-5;
const sizes = [1, 3, 8, 32];
const directions: readonly Direction[] = ["forward", "reverse"];
const backends: readonly BackendName[] = ["wasm", "reference"];

interface Layer {
  readonly name: string;
  readonly gates: number;
  readonly peepholes?: boolean;
  readonly cell: (hiddenSize: number, weights: Weights) => Cell;
  readonly model: (hiddenSize: number, weights: Weights, direction: Direction) => OnnxModel;
}

const layers: readonly Layer[] = [
  ...(["reset-after", "reset-before"] as const).map(
    (variant): Layer => ({
      name: `GRU, ${variant}`,
      gates: 3,
      cell: (hiddenSize, weights) => gru({ inputSize, hiddenSize, variant, weights }),
      model: (hiddenSize, weights, direction) =>
        gruModel({ inputSize, hiddenSize, variant, weights, direction }),
    }),
  ),
  ...(["plain", "peephole", "coupled"] as const).map(
    (variant): Layer => ({
      name: `LSTM, ${variant}`,
      gates: 4,
      peepholes: variant === "peephole",
      cell: (hiddenSize, weights) => lstm({ inputSize, hiddenSize, variant, weights }),
      model: (hiddenSize, weights, direction) =>
        lstmModel({ inputSize, hiddenSize, variant, weights, direction }),
    }),
  ),
  ...(["tanh", "relu"] as const).map(
    (nonlinearity): Layer => ({
      name: `RNN, ${nonlinearity}`,
      gates: 1,
      cell: (hiddenSize, weights) => rnn({ inputSize, hiddenSize, nonlinearity, weights }),
      model: (hiddenSize, weights, direction) =>
        rnnModel({ inputSize, hiddenSize, nonlinearity, weights, direction }),
    }),
  ),
];

function layerWeights({ gates, peepholes }: Layer, hiddenSize: number): Weights {
  const rows = gates * hiddenSize;
  const shapes: Record<string, number[]> = {
    weight_ih: [rows, inputSize],
    weight_hh: [rows, hiddenSize],
    bias_ih: [rows],
    bias_hh: [rows],
  };
  if (peepholes) {
    for (const gate of "ifo") shapes[`peephole_${gate}`] = [hiddenSize];
  }
  return randomWeights(shapes, 1 / Math.sqrt(hiddenSize), 100 * gates + hiddenSize);
}

/** The largest |difference| / (1 + |value|); NaN if any number is NaN. */
function worst(actual: ArrayLike<number>, expected: Float32Array): number {
  expect(actual.length).toBe(expected.length);
  return expected.reduce((most, value, i) => {
    // Math.max is NaN if either is, and no comparison holds for NaN.
    return Math.max(most, Math.abs(actual[i] - value) / (1 + Math.abs(value)));
  }, 0);
}

/** The first `columns` numbers of every row of `width`. */
function leading(rows: ArrayLike<number>, width: number, columns: number): Float64Array {
  const count = rows.length / width;
  return Float64Array.from(
    { length: count * columns },
    (_, i) => rows[Math.floor(i / columns) * width + (i % columns)],
  );
}

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime();
});
afterAll(() => runtime.dispose());

describe.each(layers)("$name against ONNX Runtime", (layer) => {
  describe.each(sizes)("%i units", (hiddenSize) => {
    it.each(directions)("%s", async (direction) => {
      const weights = layerWeights(layer, hiddenSize);
      const cell = layer.cell(hiddenSize, weights);
      const model = layer.model(hiddenSize, weights, direction);
      const inputs = normal(mulberry32(hiddenSize), steps * inputSize);
      const initialState = uniform(mulberry32(hiddenSize + 1), cell.stateSize, -0.9, 0.9);
      const hasCell = model.operator === "LSTM";
      expect(cell.stateSize).toBe(hasCell ? 2 * hiddenSize : hiddenSize);
      const expected: OnnxRun = await runOnnx(model, inputs, {
        initialHidden: initialState.slice(0, hiddenSize),
        initialCell: hasCell ? initialState.slice(hiddenSize) : undefined,
      });
      // A dead relu unit would agree with anything that returns zeros.
      const alive = expected.hidden.filter((value) => value !== 0).length;
      expect(alive / expected.hidden.length).toBeGreaterThan(0.1);

      for (const backend of backends) {
        const { states, finalStates, report } = await runtime.evaluate(cell, inputs, {
          method: "sequential",
          backend,
          initialState,
          reverse: direction === "reverse",
        });
        expect(report.backend).toBe(backend);
        const hidden = leading(states, cell.stateSize, hiddenSize);
        expect(worst(hidden, expected.hidden)).toBeLessThanOrEqual(tolerance);
        const finalHidden = finalStates.slice(0, hiddenSize);
        expect(worst(finalHidden, expected.finalHidden)).toBeLessThanOrEqual(tolerance);
        if (expected.finalCell !== null) {
          const finalCell = finalStates.slice(hiddenSize);
          expect(worst(finalCell, expected.finalCell)).toBeLessThanOrEqual(tolerance);
        }
      }
    });
  });
});
