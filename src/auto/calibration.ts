/**
 * How fast this machine is, in a few rates that are measured in milliseconds and can be kept as JSON;
 * and what they predict of a cell's work. Predictions are linear in the rates, so that fitting is easy.
 */
import type { HostBackend } from "../backend/backend.ts";
import type { lanesFor } from "../backend/wasm/lanes.ts";
import { gru } from "../cell/cells/gru.ts";
import { type Cell, defineCell } from "../cell/define-cell.ts";
import type { Vector } from "../cell/expression.ts";
import { add, linear, multiply, relu, sigmoid, tanh } from "../cell/vocabulary.ts";
import { checkInteger, checkKeys, checkOneOf, requireValue } from "../checks.ts";
import { Pacer } from "../solve/pacing.ts";
import type { BackendName } from "../types.ts";
import { type DeviceRates, nominalDeviceRates } from "./device.ts";
import { clamp, fitRates, typical } from "./fit.ts";
import { type CellWork, cellWork, type Work } from "./work.ts";

/** Nanoseconds each. */
export interface HostRates {
  /** A multiply–add of a matrix product with one lane, where every weight is loaded for it alone… */
  readonly multiplyAdd1: number;
  /** …and with eight, which share the load. */
  readonly multiplyAdd8: number;
  /** Four elements of an addition; other operations count as several. */
  readonly pointwise: number;
  /** Starting on a vector operation, however short. */
  readonly instruction: number;
  /** Reading or writing a byte of inputs, drive or states. */
  readonly byte: number;
  /** A job to another thread and back. */
  readonly roundTrip: number;
  /** Starting the threads. */
  readonly start: number;
}

export type Lanes = ReturnType<typeof lanesFor>;

/** What a machine can do, as plain JSON: `runtime.calibration()`, and an option of `createRuntime`. */
export interface Calibration {
  readonly version: 1;
  readonly backend: BackendName;
  readonly simd?: "plain" | "relaxed";
  /** Most threads that work may be spread over, the caller's included. */
  readonly threads: number;
  readonly rates: HostRates;
  /** Of the GPU, if it has been measured. */
  readonly device?: DeviceRates;
}

/** Of a server of 2023, one thread; what cannot be measured stays at that. */
export const nominalRates: HostRates = {
  multiplyAdd1: 0.05,
  multiplyAdd8: 0.045,
  pointwise: 0.2,
  instruction: 2,
  byte: 0.06,
  roundTrip: 1e5,
  start: 3e7,
};

const measured = ["multiplyAdd1", "multiplyAdd8", "pointwise", "instruction", "byte"] as const;
/** What goes on around a step's program, in instructions. */
const CALLED = 10;
/** Every cell is run twice, the second time with so many times the steps. */
const LONGER = 8;
const PINGS = 4;

/** Nanoseconds of one run of a program with so many lanes. */
export function programTime(rates: HostRates, work: Work, lanes: Lanes): number {
  const multiplyAdd = lanes === 1 ? rates.multiplyAdd1 : rates.multiplyAdd8;
  return (
    work.multiplyAdds * lanes * multiplyAdd +
    (work.pointwise * lanes * rates.pointwise) / 4 +
    work.instructions * rates.instruction
  );
}

/** Nanoseconds of one step of `lanes` sequences side by side: the program and what calls it. */
export function stepTime(rates: HostRates, work: Work, lanes: Lanes): number {
  return programTime(rates, work, lanes) + CALLED * rates.instruction;
}

/** Nanoseconds of a row of the drive, where eight are computed side by side. */
export function driveTime(rates: HostRates, work: CellWork): number {
  return programTime(rates, work.drive, 8) / 8;
}

/** Nanoseconds of moving a row in and out, whatever the lanes. */
export function moveTime(rates: HostRates, { inputSize, driveSize, stateSize }: CellWork): number {
  return 4 * (inputSize + 2 * driveSize + 2 * stateSize) * rates.byte;
}

/** Nanoseconds of `steps` steps of `lanes` sequences side by side, on one thread. */
export function predict(
  { rates }: Pick<Calibration, "rates">,
  work: CellWork,
  steps: number,
  lanes: Lanes,
): number {
  const row = driveTime(rates, work) + moveTime(rates, work);
  return steps * (stepTime(rates, work.step, lanes) + lanes * row);
}

/** One run of `lanes` sequences of `steps` steps. */
interface Trial {
  readonly cell: Cell;
  readonly steps: number;
  readonly lanes: Lanes;
}

function someWeights(length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(i * i) / 8);
}

/** A GRU with weights that never change. */
export function trialGru(hiddenSize: number): Cell {
  const weight_ih = someWeights(3 * hiddenSize);
  const weight_hh = someWeights(3 * hiddenSize ** 2);
  return gru({ inputSize: 1, hiddenSize, weights: { weight_ih, weight_hh } });
}

/** Runs of some 40 µs, on cells of which each has much of what the others have little of. */
function trials(): Trial[] {
  const small = trialGru(8);
  // No shipped cell, so that an app which uses none but its own is not given another.
  const large = defineCell({
    name: "product",
    inputSize: 0,
    state: { h: 128 },
    weights: { w: { shape: [128, 128], data: someWeights(16_384) } },
    step: ({ h }, _, { w }) => ({ h: relu(linear(w, h)) }),
  });
  const pointwise = (inputSize: number, next: (h: Vector, x: Vector) => Vector) =>
    defineCell({
      name: "pointwise",
      inputSize,
      state: { h: 256 },
      step: ({ h }, x) => ({ h: next(h, x) }),
    });
  const squashed = pointwise(0, (h) => sigmoid(tanh(h)));
  const copied = pointwise(256, (h, x) => add(multiply(0.5, h), x));
  return [
    { cell: small, steps: 256, lanes: 1 },
    { cell: small, steps: 64, lanes: 8 },
    { cell: large, steps: 64, lanes: 1 },
    { cell: large, steps: 8, lanes: 8 },
    { cell: squashed, steps: 64, lanes: 1 },
    { cell: copied, steps: 64, lanes: 1 },
  ];
}

export interface CalibrateOptions {
  /** Milliseconds, for tests with a clock of their own. Default `performance.now`. */
  readonly now?: () => number;
  /** Milliseconds after which no more is measured, but that each run is measured once. */
  readonly budget?: number;
  readonly threads?: number;
  /** Sends an empty job to another thread of a running pool and waits for it. */
  readonly ping?: () => Promise<unknown>;
  readonly signal?: AbortSignal | undefined;
}

/** Measures the rates: about `budget` milliseconds on a backend that is idle, and as long to set up. */
export async function calibrate(
  backend: HostBackend,
  options: CalibrateOptions = {},
): Promise<Calibration> {
  const { now = () => performance.now(), budget = 4, threads = 1, ping, signal } = options;
  const all = trials();
  const runs = all.flatMap((trial) => [
    prepare(backend, { ...trial, steps: trial.steps / LONGER }, signal),
    prepare(backend, trial, signal),
  ]);
  const times = runs.map((): number[] => []);
  // The first run of a program compiles it, and does not count.
  for (const run of runs) await run();
  const deadline = now() + budget;
  do {
    for (const [i, run] of runs.entries()) {
      const before = now();
      await run();
      times[i]!.push((now() - before) * 1e6);
    }
  } while (now() < deadline);
  // A longer run less a shorter one: what a call costs beside its steps is in both.
  const typicals = times.map(typical);
  const predictions = all.map(({ cell, steps, lanes }) => (rates: HostRates) => {
    return predict({ rates }, cellWork(cell), steps - steps / LONGER, lanes);
  });
  const differences = all.map((_, i) => typicals[2 * i + 1]! - typicals[2 * i]!);
  const fitted = fitRates(nominalRates, measured, predictions, differences);
  const rates = { ...fitted, ...(ping && { roundTrip: await roundTripOf(ping, now) }) };
  const { name, simd } = backend;
  return { version: 1, backend: name, ...(simd && { simd }), threads, rates };
}

/** Nanoseconds to another thread and back. */
export async function roundTripOf(
  ping: () => Promise<unknown>,
  now = () => performance.now(),
): Promise<number> {
  await ping();
  const before = now();
  for (let i = 0; i < PINGS; i++) await ping();
  return clamp(((now() - before) * 1e6) / PINGS, nominalRates.roundTrip);
}

function prepare(
  backend: HostBackend,
  { cell, steps, lanes }: Trial,
  signal: AbortSignal | undefined,
): () => Promise<void> {
  const { inputSize, stateSize } = cell;
  const states = backend.allocate(lanes * steps * stateSize);
  const problem = {
    cell,
    inputs: someWeights(lanes * steps * inputSize),
    sequences: Array.from({ length: lanes }, (_, i) => ({ offset: i * steps, length: steps })),
    reverse: false,
    initialStates: new Float32Array(lanes * stateSize),
    states: () => states,
    threads: 1,
  };
  return async () => {
    try {
      await backend.sequential(problem, new Pacer(signal));
    } finally {
      backend.release();
    }
  };
}

/**
 * A calibration that a caller hands in.
 *
 * @throws TypeError, RangeError naming the field.
 */
export function checkCalibration(given: unknown): Calibration {
  const fields = ["version", "backend", "simd", "threads", "rates", "device"];
  checkKeys("calibration", given, fields);
  const { version, backend, simd, threads, rates, device } = given as Partial<Calibration>;
  checkOneOf("calibration.version", version, [1] as const);
  checkOneOf("calibration.backend", backend, ["wasm"] as const);
  checkOneOf("calibration.simd", simd, ["plain", "relaxed", undefined] as const);
  checkInteger("calibration.threads", threads, 1);
  checkRates("calibration.rates", rates, nominalRates);
  if (device !== undefined) checkRates("calibration.device", device, nominalDeviceRates);
  return given as Calibration;
}

function checkRates(what: string, given: unknown, names: object): void {
  checkKeys(what, given, Object.keys(names));
  for (const name of Object.keys(names)) {
    const rate = (given as Record<string, unknown>)[name];
    const isRate = typeof rate === "number" && rate > 0 && rate < Infinity;
    requireValue(isRate, `${what}.${name}`, "a positive number of nanoseconds", rate);
  }
}
