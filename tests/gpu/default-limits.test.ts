/** Hidden sizes of 512 on the limits that every WebGPU has: 16 KiB of memory and 256 threads a workgroup. */
import { expect, it } from "vitest";
import { type Cell, gru, lstm } from "../../src/index.ts";
import { largestError } from "../support/agreement.ts";
import { mulberry32, normal } from "../support/random.ts";
import { useWebgpuRuntime } from "../support/webgpu-runtime.ts";

const runtime = useWebgpuRuntime({ gpuLimits: "default" });
const hiddenSize = 512;
const inputSize = 2;
const steps = 6;

function weightsOf(gates: number) {
  const random = mulberry32(gates);
  const rows = gates * hiddenSize;
  return {
    weight_ih: normal(random, rows * inputSize, 0, 0.5),
    weight_hh: normal(random, rows * hiddenSize, 0, 0.5 / Math.sqrt(hiddenSize)),
    bias_ih: normal(random, rows, 0, 0.1),
    bias_hh: normal(random, rows, 0, 0.1),
  };
}

it.each<[string, () => Cell]>([
  // Its certificate has room for one draw of rounding errors only.
  [
    "GRU, reset before",
    () => gru({ inputSize, hiddenSize, variant: "reset-before", weights: weightsOf(3) }),
  ],
  ["LSTM", () => lstm({ inputSize, hiddenSize, weights: weightsOf(4) })],
])("%s", async (_, make) => {
  const cell = make();
  const inputs = normal(mulberry32(1), steps * inputSize, 0, 1);
  const exact = await runtime().evaluate(cell, inputs, { backend: "wasm", method: "sequential" });
  for (const method of ["sequential", "jacobi", "quasi-deer"] as const) {
    const { states, report } = await runtime().evaluate(cell, inputs, {
      backend: "webgpu",
      method,
      chunk: 2,
      tolerance: 1e-2,
      maxIterations: 3,
    });
    const told = JSON.stringify(report);
    expect(report.converged, told).toBe(true);
    expect(report.fallback, told).toBeUndefined();
    const error = largestError(states, exact.states, cell.stateSize);
    expect(error, told).toBeLessThanOrEqual(Math.max(10 * report.errorEstimate, 1e-5));
  }
});
