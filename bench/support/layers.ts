/** The recurrent layers that benches run on: random ones, and what a trained one is in the same terms. */
import { type Cell, gru, lstm } from "../../src/index.ts";
import { randomWeights, type Weights } from "../../tests/support/random.ts";

/** The input size of every random layer. */
export const INPUT_SIZE = 3;

const gates = { GRU: 3, LSTM: 4 } as const;
export type LayerName = keyof typeof gates;

/** One layer of one kind, with PyTorch's names, shapes and gate order. */
export interface Layer {
  readonly operator: LayerName;
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly weights: Weights;
  /** Where a GRU's reset gate acts; an LSTM has none. */
  readonly variant: "reset-after" | "reset-before";
  /** Whether it runs from the last step to the first. */
  readonly reverse: boolean;
}

/** @throws RangeError for any other name. */
export function checkLayers(names: readonly string[]): readonly LayerName[] {
  const unknown = names.find((name) => !(name in gates));
  if (unknown === undefined) return names as readonly LayerName[];
  throw new RangeError(`layers: expected some of ${Object.keys(gates).join(", ")}, got ${unknown}`);
}

/**
 * A layer with PyTorch's initialisation, uniform on ±`gain`/√D. At the default gain of 1 its dynamics
 * contract: what it was long ago does not matter.
 */
export function randomLayer(operator: LayerName, hiddenSize: number, gain = 1): Layer {
  const rows = gates[operator] * hiddenSize;
  const shapes = {
    weight_ih: [rows, INPUT_SIZE],
    weight_hh: [rows, hiddenSize],
    bias_ih: [rows],
    bias_hh: [rows],
  };
  const weights = randomWeights(shapes, gain / Math.sqrt(hiddenSize), 100 * rows + hiddenSize);
  const sizes = { inputSize: INPUT_SIZE, hiddenSize };
  return { operator, ...sizes, weights, variant: "reset-after", reverse: false };
}

/** The layer as our cell. */
export function cellOf({ operator, variant, inputSize, hiddenSize, weights }: Layer): Cell {
  const options = { inputSize, hiddenSize, weights: weights as never };
  return operator === "GRU" ? gru({ ...options, variant }) : lstm(options);
}

type Sizes = Pick<Layer, "operator" | "inputSize" | "hiddenSize">;

/** Multiply–adds of a step's matrix products, those with the input included. */
export function multiplyAdds({ operator, inputSize, hiddenSize }: Sizes): number {
  return gates[operator] * hiddenSize * (hiddenSize + inputSize);
}

/** exp and tanh that a step takes for each unit. */
export const functionsPerUnit = { GRU: 3, LSTM: 5 } as const;

/** Numbers of state that a step leaves for each unit. */
export const partsPerUnit = { GRU: 1, LSTM: 2 } as const;

/** Numbers of weights and biases that every step reads. */
export function weightCount(layer: Sizes): number {
  return multiplyAdds(layer) + gates[layer.operator] * layer.hiddenSize;
}
