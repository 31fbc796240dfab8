/**
 * One fixed job, run in whatever host this module is loaded by: Node with other flags, a page, a
 * worker. Hosts then compare what they got.
 */
import type * as Antler from "../../src/index.ts";

/** What a host made of the job; plain data, so that it can be sent anywhere. */
export interface HostResult {
  readonly simd: string | undefined;
  /** By "CELL METHOD": the states, as numbers. */
  readonly states: Readonly<Record<string, readonly number[]>>;
  readonly converged: readonly boolean[];
}

/** A GRU and an LSTM over 200 steps, sequentially and with two parallel methods. */
export async function evaluateEverywhere(
  antler: typeof Antler,
  options: Antler.RuntimeOptions,
): Promise<HostResult> {
  // Its own generator (a linear congruence), for a page has no other modules to import.
  let seed = 12345;
  const numbers = (length: number, scale: number) =>
    Float32Array.from({ length }, () => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return scale * (seed / 2 ** 31 - 1);
    });
  const [inputSize, hiddenSize, steps] = [3, 13, 200];
  const weights = (gates: number) => ({
    weight_ih: numbers(gates * hiddenSize * inputSize, 0.3),
    weight_hh: numbers(gates * hiddenSize * hiddenSize, 0.3),
    bias_ih: numbers(gates * hiddenSize, 0.3),
    bias_hh: numbers(gates * hiddenSize, 0.3),
  });
  const cells = [
    antler.gru({ inputSize, hiddenSize, weights: weights(3) }),
    antler.lstm({ inputSize, hiddenSize, weights: weights(4) }),
  ];
  const inputs = numbers(steps * inputSize, 1);
  const runtime = await antler.createRuntime(options);
  const states: Record<string, readonly number[]> = {};
  const converged: boolean[] = [];
  let simd: string | undefined;
  for (const cell of cells) {
    for (const method of ["sequential", "quasi-deer", "deer"] as const) {
      const result = await runtime.evaluate(cell, inputs, { method, chunk: 4 });
      states[`${cell.name} ${method}`] = Array.from(result.states);
      converged.push(result.report.converged);
      simd = result.report.simd;
    }
  }
  runtime.dispose();
  return { simd, states, converged };
}
