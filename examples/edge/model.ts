/** The model, and the runtime that evaluates it: one of each an isolate. */
import { type Cell, createRuntime, gru, type Runtime } from "antler";
import model from "./model.json" with { type: "json" };

const { inputSize, hiddenSize, weights } = model;
const flat = (rows: readonly (readonly number[])[]) => Float32Array.from(rows.flat());

export const cell: Cell = gru({
  inputSize,
  hiddenSize,
  weights: {
    weight_ih: flat(weights.weight_ih),
    weight_hh: flat(weights.weight_hh),
    bias_ih: Float32Array.from(weights.bias_ih),
    bias_hh: Float32Array.from(weights.bias_hh),
  },
});

let loading: Promise<Runtime> | null = null;

/** The runtime, made and warmed when it is first asked for; a failure is not remembered. */
export function loadRuntime(): Promise<Runtime> {
  loading ??= open().catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

async function open(): Promise<Runtime> {
  // WebAssembly alone: an edge has no GPU. The limit keeps a mistake from eating the isolate's 128 MB.
  const memoryLimit = 32 * 2 ** 20;
  // Reproducible: the same bits on every host and CPU.
  const runtime = await createRuntime({ backend: "wasm", reproducible: true, memoryLimit });
  // Compiles the cell's program.
  await runtime.evaluate(cell, new Float32Array(cell.inputSize));
  return runtime;
}
