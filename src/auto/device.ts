/** What a GPU takes: a fixed price a job, depth, and throughput, measured with small jobs. */
import type { DeviceBackend } from "../backend/backend.ts";
import type { Cell } from "../cell/define-cell.ts";
import { Pacer } from "../solve/pacing.ts";
import type { EvaluateOptions } from "../types.ts";
import { checkJob } from "../validate.ts";
import { fitRates, typical } from "./fit.ts";
import { type CellWork, cellWork, type Work } from "./work.ts";

/** Nanoseconds each. */
export interface DeviceRates {
  /** A job, whatever its size: recording it, and waiting for its end. */
  readonly submit: number;
  /** A sweep, whatever its size: its dispatches. */
  readonly sweep: number;
  /** A vector operation of one step after the other: latency. */
  readonly instruction: number;
  /** A multiply–add of one chunk alone. */
  readonly multiplyAdd: number;
  /** A multiply–add with as many chunks as keep the GPU busy. */
  readonly throughput: number;
  /** Sending or fetching a byte. */
  readonly byte: number;
}

/** A large card by way of a browser, roughly: nothing is decided by these without measuring. */
export const nominalDeviceRates: DeviceRates = {
  submit: 3e6,
  sweep: 5e4,
  instruction: 100,
  multiplyAdd: 0.1,
  throughput: 2e-4,
  byte: 0.1,
};

/** A job for a GPU. */
export interface DeviceWork {
  readonly work: CellWork;
  /** A step with its Jacobian. */
  readonly step: Work;
  readonly rows: number;
  /** Steps a chunk; those of the longest sequence for sequential evaluation. */
  readonly chunk: number;
  /** Boundary updates; 0 for sequential evaluation, which is not certified either. */
  readonly sweeps: number;
}

/** The certificate is a sweep of five steps' work, about, and takes two. */
const CERTIFICATE = 10;

/** Nanoseconds of a job, linear in the rates. */
export function deviceTime(
  rates: DeviceRates,
  { work, step, rows, chunk, sweeps }: DeviceWork,
): number {
  const { instructions, multiplyAdds } = step;
  const depth = chunk * (instructions * rates.instruction + multiplyAdds * rates.multiplyAdd);
  const pass = rates.sweep + depth + rows * multiplyAdds * rates.throughput;
  const passes = sweeps > 0 ? sweeps + 1 + CERTIFICATE : 1;
  const bytes = 4 * rows * (work.inputSize + work.stateSize);
  return rates.submit + bytes * rates.byte + passes * pass;
}

export interface CalibrateDeviceOptions {
  readonly now?: () => number;
  /** How often each job is timed, after once that compiles. */
  readonly repeats?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Measures the rates by jobs of two sizes.
 *
 * @param small a cell of which a step is latency, and `large` one of which it is multiply–adds.
 * @throws what the backend's `run` throws.
 */
export async function calibrateDevice(
  backend: DeviceBackend,
  small: Cell,
  large: Cell,
  { now = () => performance.now(), repeats = 3, signal }: CalibrateDeviceOptions = {},
): Promise<DeviceRates> {
  const wide: EvaluateOptions = {
    method: "jacobi",
    chunk: 16,
    maxIterations: 1,
    onFailure: "return",
  };
  const trials: [Cell, number, EvaluateOptions][] = [
    [small, 16, { method: "sequential" }],
    [small, 512, { method: "sequential" }],
    [large, 512, { method: "sequential" }],
    [small, 1024, wide],
    [large, 16_384, wide],
  ];
  const times: number[] = [];
  for (const [cell, steps, options] of trials) {
    const job = checkJob(cell, new Float32Array(steps * cell.inputSize), options);
    const samples: number[] = [];
    for (let i = 0; i <= repeats; i++) {
      const before = now();
      const run = await backend.run(job, options !== wide, new Pacer(signal));
      try {
        await run.output();
      } finally {
        run.release();
      }
      if (i > 0) samples.push((now() - before) * 1e6);
    }
    times.push(typical(samples));
  }
  const predictions = trials.map(([cell, rows, { chunk = rows, method }]) => {
    const work = cellWork(cell);
    const sweeps = method === "sequential" ? 0 : 1;
    return (rates: DeviceRates) =>
      deviceTime(rates, { work, step: work.step, rows, chunk, sweeps });
  });
  const names = Object.keys(nominalDeviceRates) as (keyof DeviceRates)[];
  return fitRates(nominalDeviceRates, names, predictions, times);
}
