/**
 * How long a recurrence remembers, and whether it is chaotic, from a short look at the actual inputs: at a
 * few places a trajectory that has had some steps to settle runs beside one that starts from the guess
 * of a chunk, and the difference of the two tells how soon a wrong start is forgotten.
 */
import type { HostBackend, Sequence } from "../backend/backend.ts";
import { stateBounds } from "../solve/bounds.ts";
import type { Pacer } from "../solve/pacing.ts";
import type { FloatArray } from "../types.ts";
import type { Job } from "../validate.ts";

export interface Probe {
  /** Largest Lyapunov exponent, nats a step, the mean over the places; NaN if nothing could be told. */
  readonly exponent: number;
  /** Standard error of that mean. */
  readonly spread: number;
  /** Steps until a trajectory from a wrong start has merged with the right one: the upper median. */
  readonly merge: number;
  /** Whether all places were seen to merge; if not, `merge` is extrapolated. */
  readonly measured: boolean;
  /** Whether they came near each other by themselves at all places: where not, they may never do. */
  readonly near: boolean;
  /** Places that have told something. */
  readonly places: number;
  /** Steps run, all lanes together. */
  readonly steps: number;
}

export type ProbedJob = Pick<
  Job,
  "cell" | "inputs" | "sequences" | "reverse" | "initialStates" | "initialGuess"
>;

/** Share of the job's steps that a probe may run… */
const SHARE = 0.02;
/** …and how many it may run of a short one: two places for 32 steps. */
const LEAST_BUDGET = 160;
/** …and of any, since what has not shown by then does not pay to wait for. */
const LARGEST_BUDGET = 65_536;
/** With so many there are four places instead of two. */
const BUDGET_OF_FOUR = 512;
const LEAST_SETTLING = 16;
/** Steps until the differences are looked at for the first time; the next time after twice as many. */
const FIRST_SEGMENT = 16;
const SHORTEST_SEGMENT = 4;
/** Sequences shorter than this are not looked at. */
const SHORTEST = 64;
/** No place begins later in its sequence, so that there are steps left to follow. */
const LATEST = 0.8;
/** ‖a − b‖∞ / (1 + ‖a‖∞) at which two float32 trajectories are one: a few units in the last place. */
export const MERGED = 4 * 2 ** -23;
/** What is yet to fall takes so many times longer than the slope says: trained layers slow down. */
const SLOWING = 2;
/** A difference that is larger at half time says little of growth; it is made so small instead. */
const SATURATED = 0.05;
const SMALL = 1e-3;

/** Two trajectories of one sequence. */
interface Place {
  readonly sequence: number;
  /** Steps done before the next segment. */
  at: number;
  /** The settled trajectory's state, and the other's. */
  settled: FloatArray;
  other: FloatArray;
  /** ln of the difference after every step, as if it had never been made small. */
  readonly logs: number[];
  /** 1 + ‖s‖∞ after the last of them. */
  scale: number;
  /** What to add to ln of the actual difference for that. */
  offset: number;
  /** The first of `logs` that says how the difference changes while it is small. */
  from: number;
  merged: boolean;
  /** No longer followed: merged, out of inputs or not finite. */
  ended: boolean;
  finite: boolean;
}

/** `states` after each of `count` steps from time `from`, for each lane. */
interface Lane {
  readonly sequence: number;
  readonly from: number;
  readonly count: number;
  readonly initial: FloatArray;
}

/** @returns null where all sequences are too short to tell. */
export async function probe(
  backend: HostBackend,
  job: ProbedJob,
  pacer: Pacer,
): Promise<Probe | null> {
  const { sequences, cell } = job;
  const eligible = [...sequences.keys()].filter((i) => sequences[i]!.length >= SHORTEST);
  if (eligible.length === 0) return null;
  const rows = sequences.reduce((sum, { length }) => sum + length, 0);
  const budget = Math.min(Math.max(SHARE * rows, LEAST_BUDGET), LARGEST_BUDGET);
  const count = budget >= BUDGET_OF_FOUR ? 4 : 2;
  const settling = Math.max(LEAST_SETTLING, Math.floor(budget / (8 * count)));
  const places = Array.from({ length: count }, (_, i) =>
    makePlace(job, eligible, (i + 0.5) / count),
  );
  let steps = 0;
  const run = async (lanes: readonly Lane[]) => {
    steps += lanes.reduce((sum, lane) => sum + lane.count, 0);
    return runLanes(backend, job, lanes, pacer);
  };

  const settled = await run(
    places.map(({ sequence, at: from, settled: initial }, i) => {
      // Without inputs all places are one, but for how long the trajectories have settled.
      const most = cell.inputSize > 0 ? settling : settling * (i + 1);
      const length = Math.floor(sequences[sequence]!.length / 8);
      return { sequence, from, count: Math.min(most, length), initial };
    }),
  );
  places.forEach((place, i) => {
    place.at += settled[i]!.length;
    place.settled = settled[i]!.at(-1)!;
    place.other = guessAt(job, place.sequence, place.at);
  });
  for (const limit of [budget / 2, budget]) {
    for (let segment = FIRST_SEGMENT; ; segment *= 2) {
      const open = places.filter(({ ended }) => !ended);
      const affordable = Math.floor((limit - steps) / (2 * Math.max(open.length, 1)));
      const length = Math.min(segment, affordable);
      if (open.length === 0 || length < SHORTEST_SEGMENT) break;
      await follow(open, length, job, run);
    }
    if (limit < budget) places.forEach(makeSmall);
  }
  return summarise(places, steps);
}

/** A place so far into the batch, its settled trajectory yet to start from the initial state. */
function makePlace(job: ProbedJob, eligible: readonly number[], share: number): Place {
  const { cell, sequences, initialStates } = job;
  const { stateSize } = cell;
  const sequence = eligible[Math.floor(share * eligible.length)]!;
  const at = Math.floor(LATEST * share * sequences[sequence]!.length);
  const settled = initialStates.slice(sequence * stateSize, (sequence + 1) * stateSize);
  const rates = { logs: [], scale: 1, offset: 0, from: 0 };
  const ends = { merged: false, ended: false, finite: true };
  return { sequence, at, settled, other: settled, ...rates, ...ends };
}

/** What a chunk that begins at step `at` starts from: the initial guess, within the cell's bounds. */
function guessAt(job: ProbedJob, sequence: number, at: number): FloatArray {
  const { cell, sequences, reverse, initialStates, initialGuess } = job;
  const { stateSize } = cell;
  const { offset, length } = sequences[sequence]!;
  const bounds = stateBounds(
    cell,
    initialStates.subarray(sequence * stateSize, (sequence + 1) * stateSize),
  );
  const row = offset + (reverse ? length - at : at - 1);
  return Float32Array.from({ length: stateSize }, (_, i) => {
    const given = at > 0 && initialGuess ? initialGuess[row * stateSize + i]! : 0;
    const guess = Number.isFinite(given) ? given : 0;
    return Math.min(Math.max(guess, bounds.low[i]!), bounds.high[i]!);
  });
}

/** Runs lanes side by side, on copies of their rows in the order of time: the states of each. */
async function runLanes(
  backend: HostBackend,
  job: ProbedJob,
  lanes: readonly Lane[],
  pacer: Pacer,
): Promise<FloatArray[][]> {
  const { cell, inputs, sequences, reverse } = job;
  const { inputSize, stateSize } = cell;
  const batch: Sequence[] = [];
  let rows = 0;
  for (const { count } of lanes) {
    batch.push({ offset: rows, length: count });
    rows += count;
  }
  const copied = backend.allocate(rows * inputSize);
  const initialStates = backend.allocate(lanes.length * stateSize);
  lanes.forEach(({ sequence, from, count, initial }, lane) => {
    const { offset, length } = sequences[sequence]!;
    initialStates.set(initial, lane * stateSize);
    for (let t = 0; t < count; t++) {
      const row = (offset + (reverse ? length - 1 - from - t : from + t)) * inputSize;
      copied.set(inputs.subarray(row, row + inputSize), (batch[lane]!.offset + t) * inputSize);
    }
  });
  const states = backend.allocate(rows * stateSize);
  const shape = { cell, sequences: batch, reverse: false, threads: 1 };
  try {
    await backend.sequential(
      { ...shape, inputs: copied, initialStates, states: () => states },
      pacer,
    );
  } finally {
    backend.release();
  }
  const row = (index: number) => states.subarray(index * stateSize, (index + 1) * stateSize);
  return batch.map(({ offset, length }) => Array.from({ length }, (_, t) => row(offset + t)));
}

/** `length` more steps of both trajectories at each place, as far as there are inputs. */
async function follow(
  places: readonly Place[],
  length: number,
  { sequences }: ProbedJob,
  run: (lanes: readonly Lane[]) => Promise<FloatArray[][]>,
): Promise<void> {
  const lanes = places.flatMap(({ sequence, at, settled, other }) => {
    const count = Math.min(length, sequences[sequence]!.length - at);
    return [settled, other].map((initial) => ({ sequence, from: at, count, initial }));
  });
  const states = await run(lanes);
  places.forEach((place, i) => {
    const [settled, other] = [states[2 * i]!, states[2 * i + 1]!];
    for (let t = 0; t < settled.length && !place.ended; t++) record(place, settled[t]!, other[t]!);
    place.at += settled.length;
    place.settled = settled.at(-1) ?? place.settled;
    place.other = other.at(-1) ?? place.other;
    if (settled.length < length) place.ended = true;
  });
}

/** ‖a − b‖∞, NaN if either is not finite, and 1 + ‖a‖∞. */
function compare(a: FloatArray, b: FloatArray): { difference: number; scale: number } {
  let [difference, scale] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
    scale = Math.max(scale, Math.abs(a[i]!));
  }
  return { difference, scale: 1 + scale };
}

function record(place: Place, settled: FloatArray, other: FloatArray): void {
  const { difference, scale } = compare(settled, other);
  if (!Number.isFinite(difference / scale)) {
    place.finite = false;
  } else if (difference > MERGED * scale) {
    place.logs.push(Math.log(difference) + place.offset);
    place.scale = scale;
    return;
  }
  // One that was made small and is gone has been followed as far as float32 goes, but not merged.
  place.merged = place.finite && place.offset === 0;
  place.ended = true;
}

/** Moves the other trajectory close to the settled one, on the line between them. */
function makeSmall(place: Place): void {
  const { settled, other } = place;
  const { difference, scale } = compare(settled, other);
  if (place.ended || place.offset > 0 || !(difference > SATURATED * scale)) return;
  const factor = (SMALL * scale) / difference;
  place.other = settled.map((value: number, i: number) => value + (other[i]! - value) * factor);
  place.offset = -Math.log(factor);
  place.from = place.logs.length;
}

/** How `logs` changes a step, and where it ends, by least squares; without what was a transient. */
function line({ logs, from, offset }: Place): { slope: number; end: number } {
  const ys = logs.slice(offset > 0 ? from : Math.floor(logs.length / 2));
  const middle = (ys.length - 1) / 2;
  const mean = ys.reduce((sum, y) => sum + y, 0) / ys.length;
  let [above, below] = [0, 0];
  ys.forEach((y, x) => {
    above += (x - middle) * (y - mean);
    below += (x - middle) ** 2;
  });
  const slope = above / below;
  return { slope, end: mean + slope * middle };
}

function summarise(places: readonly Place[], steps: number): Probe {
  const told = places.filter(({ finite, logs }) => finite && logs.length > 0);
  const lines = told.map(line);
  const slopes = lines.map(({ slope }) => slope).filter(Number.isFinite);
  const count = slopes.length;
  const exponent = slopes.reduce((sum, slope) => sum + slope, 0) / count;
  const squares = slopes.reduce((sum, slope) => sum + (slope - exponent) ** 2, 0);
  const merges = told.map(({ merged, logs, scale }, i) => {
    if (merged) return logs.length + 1;
    const { slope, end } = lines[i]!;
    // A place that does not seem to forget at all, while the others do, was looked at for too short.
    const rest = (end - Math.log(MERGED * scale)) / -(slope < 0 ? slope : exponent);
    return rest >= 0 ? logs.length + SLOWING * rest : Infinity;
  });
  const all = places.every(({ finite }) => finite);
  return {
    exponent,
    spread: count > 1 ? Math.sqrt(squares / (count * (count - 1))) : Infinity,
    merge: all
      ? (merges.sort((a, b) => a - b)[Math.floor(merges.length / 2)] ?? Infinity)
      : Infinity,
    measured: places.every(({ merged }) => merged),
    near: all && places.every(({ offset }) => offset === 0),
    places: told.length,
    steps,
  };
}
