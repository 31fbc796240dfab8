/** The cells, inputs and settings that the GPU benches run on: random weights, one Gaussian input. */
import { type Cell, type EvaluateOptions, gru, lstm } from "../../src/index.ts";
import { mulberry32, normal, randomWeights } from "../../tests/support/random.ts";

export const INPUT_SIZE = 3;

const gates = { GRU: 3, LSTM: 4 } as const;
export type Layer = keyof typeof gates;

/** @throws RangeError for any other name. */
export function checkLayers(names: readonly string[]): readonly Layer[] {
  const unknown = names.find((name) => !(name in gates));
  if (unknown === undefined) return names as readonly Layer[];
  throw new RangeError(`layers: expected some of ${Object.keys(gates).join(", ")}, got ${unknown}`);
}

/** A layer with PyTorch's initialisation, uniform on ±1/√D: dynamics that contract. */
export function randomCell(layer: Layer, hiddenSize: number): Cell {
  const rows = gates[layer] * hiddenSize;
  const shapes = {
    weight_ih: [rows, INPUT_SIZE],
    weight_hh: [rows, hiddenSize],
    bias_ih: [rows],
    bias_hh: [rows],
  };
  const weights = randomWeights(shapes, 1 / Math.sqrt(hiddenSize), 100 * rows + hiddenSize);
  const options = { inputSize: INPUT_SIZE, hiddenSize, weights };
  return layer === "GRU" ? gru(options) : lstm(options);
}

/** `[rows, INPUT_SIZE]`. */
export function randomInputs(rows: number): Float32Array {
  return normal(mulberry32(1), rows * INPUT_SIZE);
}

export type MethodOptions = Pick<EvaluateOptions, "method" | "jacobian" | "chunk">;

/** The dense Jacobian takes a tangent for every number of the state. */
const LARGEST_DENSE_STATE = 32;

/** The methods that make sense for a cell, with chunks of the given steps. */
export function gpuMethods(layer: Layer, cell: Cell, chunks: readonly number[]): MethodOptions[] {
  const at = (options: Omit<MethodOptions, "chunk">, sizes: readonly number[]) =>
    sizes.map((chunk): MethodOptions => ({ ...options, chunk }));
  const longer = chunks.filter((chunk) => chunk > 1);
  return [
    ...at({ method: "jacobi", jacobian: "none" }, longer),
    ...at({ method: "quasi-deer", jacobian: "diagonal" }, chunks),
    ...(layer === "LSTM" ? at({ method: "quasi-deer", jacobian: "block" }, chunks) : []),
    ...at({ method: "quasi-elk", jacobian: "diagonal" }, chunks),
    ...(cell.stateSize <= LARGEST_DENSE_STATE
      ? at({ method: "deer", jacobian: "dense" }, longer)
      : []),
  ];
}

/** Such as "quasi-deer, block". */
export function describeMethod({ method, jacobian }: MethodOptions): string {
  const implied = { jacobi: "none", "quasi-deer": "diagonal", "quasi-elk": "diagonal" } as const;
  const usual = (implied as Record<string, string>)[method!] ?? "dense";
  return jacobian === undefined || jacobian === usual ? method! : `${method}, ${jacobian}`;
}
