/** From the work, the machine's rates and the recurrence's memory to the method that should be fastest. */
import { lanesFor } from "../backend/wasm/lanes.ts";
import type { BackendName, JacobianKind, MethodName } from "../types.ts";
import {
  type Calibration,
  driveTime,
  type HostRates,
  type Lanes,
  moveTime,
  nominalRates,
  predict,
  stepTime,
} from "./calibration.ts";
import { type DeviceRates, deviceTime } from "./device.ts";
import type { Probe } from "./probe.ts";
import type { CellWork } from "./work.ts";

/** One way to do the job. */
export interface Candidate {
  readonly method: MethodName;
  readonly backend: BackendName;
  /** Steps a chunk; the longest sequence for sequential evaluation. */
  readonly chunk: number;
  /** Chunks of the longest sequence. */
  readonly chunks: number;
  readonly jacobian: JacobianKind | null;
  readonly threads: number;
  /** Sequences or chunks side by side on a thread. */
  readonly lanes: number;
  /** Boundary updates that it should take; 0 where there are none. */
  readonly sweeps: number;
  /** Steps in which its chunks should merge; 0 where they do not. */
  readonly merge: number;
  /** Predicted. */
  readonly milliseconds: number;
}

/** All that the choice depends on. */
export interface Situation {
  readonly work: CellWork;
  /** T of each sequence. */
  readonly lengths: readonly number[];
  readonly calibration: Pick<Calibration, "threads" | "rates">;
  /** Whether the threads have been started already. */
  readonly running: boolean;
  /** Null where nothing is known: then nothing runs that would have to forget. */
  readonly probe: Probe | null;
  /** Whether chunks may only merge where they are equal in every bit, which hardly ever happens. */
  readonly exact: boolean;
  /** A real GPU that may be used for this job, or null. */
  readonly gpu: DeviceRates | null;
  /** k, if the state consists of units of k parts. */
  readonly blockSize: number;
  /** More predicted sweeps rule a method out. */
  readonly maxIterations: number;
  /** How many times longer than predicted such a candidate has taken so far. Default: once. */
  readonly slowdown?: (candidate: Candidate) => number;
}

export interface Choice {
  readonly best: Candidate;
  /** Fastest first. */
  readonly candidates: readonly Candidate[];
  /** Whether threads would have been chosen, had they been running: a reason to start them. */
  readonly wantsThreads: boolean;
  /** Why, for the report. */
  readonly words: string;
}

/** Predicted milliseconds of sequential evaluation below which nothing else is considered. */
const SMALL = 2;
/** What may go wrong must promise so much: a sixth less than sequential evaluation. */
const WORTHWHILE = 0.85;
/** What cannot go wrong must promise less. */
const SAFE = 0.95;
/** Two trajectories must be near for a quarter of the steps that it took, and for at least so many. */
const HOLD = 1.25;
const SHORTEST_HOLD = 8;
/** A chunk shorter than this is mostly overhead on a CPU. */
const SHORTEST_CHUNK = 64;
/** A drive of a smaller part of a step is computed where the steps are. */
const LEAST_DRIVE = 4;
/** Messages to another thread and back: to run, and that it has. */
const ROUND_TRIPS = 2;
/**
 * Nanoseconds until all threads are at work that have been at rest, and that they are late: a message soon after
 * another one, as the one that is timed, is no measure of that.
 */
const WAKING = 1.5e6;
const sweepChunks = [16, 32, 64, 128, 256, 512, 1024] as const;

/** What matters of a batch. */
interface Shape {
  readonly rows: number;
  readonly longest: number;
  /** Sequences that have steps. */
  readonly filled: number;
}

function shapeOf(lengths: readonly number[]): Shape {
  let [rows, longest, filled] = [0, 0, 0];
  for (const length of lengths) {
    rows += length;
    longest = Math.max(longest, length);
    if (length > 0) filled++;
  }
  return { rows, longest, filled };
}

/** Whether a job is too small for any look at it to pay, by what is usual of machines. */
export function isSmall(work: CellWork, lengths: readonly number[]): boolean {
  return sequentialTime(nominalRates, work, shapeOf(lengths), 1) < SMALL * 1e6;
}

/** Nanoseconds of sequential evaluation on so many threads. */
function sequentialTime(
  rates: HostRates,
  work: CellWork,
  { rows, longest, filled }: Shape,
  threads: number,
): number {
  const used = Math.min(threads, filled);
  const step = stepTime(rates, work.step, 1) + moveTime(rates, work);
  const drive = driveTime(rates, work);
  // Other threads compute the drive of a single sequence, if it is not too little to be sent around.
  if (filled === 1 && drive * LEAST_DRIVE > step) {
    return rows * Math.max(step, (step + drive) / threads);
  }
  // Up to eight sequences side by side on each thread; the longest one ends last, alone.
  const lanes = lanesFor(Math.ceil(filled / Math.max(used, 1)), work.stateSize);
  const steps = rows / Math.max(used * lanes, 1);
  const rest = Math.max(longest - steps, 0);
  return predict({ rates }, work, steps, lanes) + predict({ rates }, work, rest, 1);
}

/** Nanoseconds of `lanes` chunks on each thread, with what must be run again until they merge. */
function threadsTime(
  { work, calibration, probe }: Situation,
  rows: number,
  threads: number,
  lanes: Lanes,
  chunk: number,
): number {
  const { rates } = calibration;
  const again = Math.min(HOLD * probe!.merge + SHORTEST_HOLD, chunk);
  const chunks = Math.ceil(rows / chunk) - 1;
  // Those that merge run again on all threads, the others in order, but for one lane each.
  const inOrder = again < chunk ? Math.ceil(chunks / threads) * again : chunks * chunk;
  return predict({ rates }, work, chunk, lanes) + predict({ rates }, work, inOrder, 1);
}

/**
 * Boundary updates until defects are forgotten. Without a Jacobian a defect travels a chunk a sweep, until
 * it has been forgotten. What the other approximations save is what they saved on trained layers
 * (docs/methods.md): about the square root of that many, and the logarithm.
 */
function sweepsFor(jacobian: JacobianKind, forgotten: number): number {
  const plain = Math.ceil(forgotten) + 1;
  if (jacobian === "none") return plain;
  const saved = jacobian === "dense" ? 2 + Math.log2(1 + forgotten) : 1 + 2 * Math.sqrt(forgotten);
  return Math.min(plain, Math.ceil(saved));
}

/**
 * Nanoseconds that sweeps take on one CPU thread at least: chunks side by side, and the certificate in the
 * order of time, both without their Jacobians. Those would have to be derived first, and this is more
 * than sequential evaluation already.
 */
function hostSweepTime(
  { work, calibration: { rates } }: Situation,
  rows: number,
  lanes: Lanes,
  sweeps: number,
): number {
  const sweep = stepTime(rates, work.step, lanes) / lanes;
  const certificate = stepTime(rates, work.step, 1);
  const row = driveTime(rates, work) + moveTime(rates, work);
  return rows * ((sweeps + 1) * sweep + certificate + row);
}

/** Nanoseconds that sweeps take on a GPU. */
function deviceSweepTime(
  { work, gpu }: Situation,
  rows: number,
  jacobian: JacobianKind,
  chunk: number,
  sweeps: number,
): number {
  const extra = work.jacobian(jacobian);
  const multiplyAdds = work.step.multiplyAdds + extra.multiplyAdds;
  const instructions = work.step.instructions + extra.instructions;
  const step = { ...work.step, multiplyAdds, instructions };
  return deviceTime(gpu!, { work, step, rows, chunk, sweeps });
}

function* candidatesOf(situation: Situation): Generator<Candidate> {
  const { work, lengths, calibration, running, probe, gpu, blockSize } = situation;
  const { rates } = calibration;
  const shape = shapeOf(lengths);
  const { rows, longest } = shape;
  const plain = {
    jacobian: null,
    threads: 1,
    lanes: 1,
    sweeps: 0,
    merge: 0,
    chunk: longest,
    chunks: 1,
  };
  // All of them, half of them, and so on: fewer chunks are longer, and have more time to merge.
  const threadCounts: number[] = [];
  for (let n = calibration.threads; n >= 1; n = Math.floor(n / 2)) threadCounts.push(n);
  const fixed = (threads: number) =>
    threads > 1 ? WAKING + ROUND_TRIPS * rates.roundTrip + (running ? 0 : rates.start) : 0;
  for (const threads of threadCounts) {
    const time = sequentialTime(rates, work, shape, threads) + fixed(threads);
    const lanes = lanesFor(Math.ceil(shape.filled / threads), work.stateSize);
    const milliseconds = time / 1e6;
    yield { ...plain, method: "sequential", backend: "wasm", threads, lanes, milliseconds };
  }
  if (!probe || isChaotic(probe) || !Number.isFinite(probe.merge)) return;
  for (const threads of threadCounts) {
    // Chunks that do not merge cost no more than sequential evaluation as long as each has its thread.
    for (const lanes of probe.near ? ([1, 8] as const) : ([1] as const)) {
      const chunk = Math.ceil(rows / (threads * lanes));
      const chunks = Math.ceil(longest / chunk);
      if (situation.exact || chunks < 2 || chunk < SHORTEST_CHUNK) continue;
      const time = threadsTime(situation, rows, threads, lanes, chunk) + fixed(threads);
      const merge = HOLD * probe.merge + SHORTEST_HOLD;
      const sizes = { ...plain, chunk, chunks, threads, lanes, merge };
      yield { ...sizes, method: "threads", backend: "wasm", milliseconds: time / 1e6 };
    }
  }
  const methods: [MethodName, JacobianKind][] = [
    ["jacobi", "none"],
    ["quasi-deer", blockSize > 1 ? "block" : "diagonal"],
    ["deer", "dense"],
  ];
  for (const chunk of sweepChunks) {
    const chunks = Math.ceil(longest / chunk);
    for (const [method, jacobian] of methods) {
      const sweeps = sweepsFor(jacobian, probe.merge / chunk);
      if (chunks < 2 || sweeps > Math.min(situation.maxIterations, chunks - 1)) continue;
      const found = { ...plain, method, jacobian, sweeps, chunk, chunks };
      const lanes = jacobian === "dense" ? 1 : 8;
      const host = hostSweepTime(situation, rows, lanes, sweeps) / 1e6;
      yield { ...found, backend: "wasm", lanes, milliseconds: host };
      if (!gpu) continue;
      const device = deviceSweepTime(situation, rows, jacobian, chunk, sweeps) / 1e6;
      yield { ...found, backend: "webgpu", milliseconds: device };
    }
  }
}

function isChaotic({ exponent, spread }: Probe): boolean {
  return exponent > spread;
}

/** What a candidate's promise is worth beside plain sequential evaluation. */
function handicap({ method, backend, threads }: Candidate): number {
  if (method === "sequential" && backend === "wasm") return threads > 1 ? SAFE : 1;
  return WORTHWHILE;
}

/** @param started milliseconds that starting threads no longer takes. */
function fastest(candidates: readonly Candidate[], started = 0): Candidate {
  const cost = (candidate: Candidate) => {
    const spared = candidate.threads > 1 ? started : 0;
    return (candidate.milliseconds - spared) / handicap(candidate);
  };
  return candidates.reduce((best, other) => (cost(other) < cost(best) ? other : best));
}

/** The candidates ranked, and the one to run: sequential evaluation, unless another is clearly faster. */
export function choose(situation: Situation): Choice {
  const { slowdown = () => 1 } = situation;
  const candidates = [...candidatesOf(situation)]
    .map((one) => ({ ...one, milliseconds: one.milliseconds * slowdown(one) }))
    .sort((a, b) => a.milliseconds - b.milliseconds);
  const best = fastest(candidates);
  const start = situation.running ? 0 : situation.calibration.rates.start / 1e6;
  const wantsThreads = fastest(candidates, start).threads > 1;
  return { best, candidates, wantsThreads, words: describe(situation, best, candidates) };
}

const round = (value: number) => (value < 10 ? value.toPrecision(2) : `${Math.round(value)}`);

function inWords(candidate: Candidate): string {
  const { method, backend, threads, chunk, chunks, lanes, sweeps } = candidate;
  const on = threads > 1 ? ` on ${threads} threads` : "";
  const time = `${round(candidate.milliseconds)} ms`;
  if (sweeps > 0) {
    const least = backend === "wasm" ? "at least " : "";
    return `${method} on ${backend} in chunks of ${chunk}, ${sweeps} sweeps, predicted ${least}${time}`;
  }
  const inChunks = threads > 1 ? ` in ${chunks} chunks` : `: ${lanes} chunks side by side`;
  return `${method}${on}${method === "threads" ? inChunks : ""} predicted ${time}`;
}

function describe({ probe }: Situation, best: Candidate, all: readonly Candidate[]): string {
  const another = all.find(({ method }) => method !== best.method);
  const rival = another ?? all.find((candidate) => candidate !== best);
  const words = [best, ...(rival ? [rival] : [])].map(inWords).join(", ");
  return probe ? `${memoryInWords(probe)}: ${words}` : words;
}

function memoryInWords(probe: Probe): string {
  const { exponent, merge, measured, places } = probe;
  if (places === 0) return "states that are not finite";
  const rate = `Lyapunov exponent ${exponent.toPrecision(2)} a step`;
  if (isChaotic(probe)) return `chaotic (${rate})`;
  if (!Number.isFinite(merge)) return `no end of its memory in sight (${rate})`;
  const steps = measured ? Math.round(merge) : Number(merge.toPrecision(1));
  return `memory of about ${steps} steps (${rate})`;
}
