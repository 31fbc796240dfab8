/** The cells, inputs and settings that the GPU benches run on: random weights, one Gaussian input. */
import type { Cell, EvaluateOptions } from "../../src/index.ts";
import { mulberry32, normal } from "../../tests/support/random.ts";
import { cellOf, INPUT_SIZE, type LayerName, randomLayer } from "./layers.ts";

export { checkLayers, INPUT_SIZE, type LayerName as Layer } from "./layers.ts";

/** A layer with PyTorch's initialisation: dynamics that contract. */
export function randomCell(layer: LayerName, hiddenSize: number): Cell {
  return cellOf(randomLayer(layer, hiddenSize));
}

/** `[rows, INPUT_SIZE]`. */
export function randomInputs(rows: number): Float32Array {
  return normal(mulberry32(1), rows * INPUT_SIZE);
}

export type MethodOptions = Pick<EvaluateOptions, "method" | "jacobian" | "chunk">;

/** The dense Jacobian takes a tangent for every number of the state. */
const LARGEST_DENSE_STATE = 32;

/** The methods that make sense for a cell, with chunks of the given steps. */
export function gpuMethods(
  layer: LayerName,
  cell: Cell,
  chunks: readonly number[],
): MethodOptions[] {
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
