/**
 * Evaluates a batch in pieces on several threads. Pieces that continue others run from a guess first,
 * all side by side, and then again from where their predecessor has ended, until they merge with what is
 * stored (merge.ts).
 */
import type { ThreadsProblem, ThreadsRun } from "../../backend.ts";
import type { KernelMemory } from "../memory.ts";
import type { Segment, SegmentRunner, StepPrograms } from "../segments.ts";
import { type Hand, localHand } from "./hand.ts";
import { MERGE_TOLERANCE } from "./merge.ts";
import { type Piece, sharePieces } from "./pieces.ts";
import type { Thread } from "./pool.ts";
import { remoteHand } from "./remote-hand.ts";

export interface PiecesOptions {
  readonly problem: ThreadsProblem;
  readonly pieces: readonly Piece[];
  /** Threads beside the caller's. */
  readonly others: readonly Thread[];
  /** Whether they can share memory with the caller. */
  readonly shared: boolean;
  readonly memory: KernelMemory;
  readonly programs: StepPrograms;
  /** For the caller's own share. */
  readonly runner: SegmentRunner;
  /** Pauses now and then. @throws to end it all. */
  readonly pause: () => Promise<void>;
}

/** The steps of a piece, where they lie in the arrays of the batch. */
function segmentOf(problem: ThreadsProblem, { sequence, from, to }: Piece): Segment {
  const { cell, inputs, states, sequences, reverse } = problem;
  const { offset, length } = sequences[sequence]!;
  const first = offset + (reverse ? length - to : from);
  const rows = (array: typeof inputs, width: number) =>
    array.subarray(first * width, (first + to - from) * width);
  return {
    inputs: rows(inputs, cell.inputSize),
    states: rows(states, cell.stateSize),
    length: to - from,
    reverse,
    state: startOf(problem, sequence, from),
  };
}

/** The state that a piece runs from at first: a guess, but for the first one of a sequence. */
function startOf(problem: ThreadsProblem, sequence: number, from: number): Float32Array {
  const { cell, sequences, reverse, initialStates, initialGuess, boundsOf } = problem;
  const { stateSize } = cell;
  const initial = initialStates.subarray(sequence * stateSize, (sequence + 1) * stateSize);
  if (from === 0) return Float32Array.from(initial);
  const { offset, length } = sequences[sequence]!;
  const row = offset + (reverse ? length - from : from - 1);
  const { low, high } = boundsOf(sequence);
  return Float32Array.from({ length: stateSize }, (_, i) => {
    const given = initialGuess ? initialGuess[row * stateSize + i]! : 0;
    const guess = Number.isFinite(given) ? given : 0;
    return Math.min(Math.max(guess, low[i]!), high[i]!);
  });
}

/** @throws RangeError when memory cannot be had; what `pause` throws; Error when a thread ends. */
export async function runPieces(options: PiecesOptions): Promise<ThreadsRun> {
  const { problem, pieces, others, programs, memory, shared, runner, pause } = options;
  const { onProgress, cell } = problem;
  const { stateSize } = cell;
  const segments = pieces.map((piece) => segmentOf(problem, piece));
  const shares = sharePieces(pieces, others.length + 1);
  const lengthOf = (indices: readonly number[]) =>
    indices.reduce((sum, index) => sum + segments[index]!.length, 0);
  const total = lengthOf(pieces.map((_, index) => index));
  const own = lengthOf(shares.at(-1) ?? []);
  let done = 0;
  const afterWindow = (steps: number) => {
    // The others are about as far.
    done = Math.min(done + steps, own);
    onProgress?.(Math.floor((done / own) * total), total);
    return pause();
  };
  // The caller's thread comes last, as it would let the others wait while it works.
  const hands = shares.map((share, thread): Hand => {
    const some = share.map((index) => segments[index]!);
    return thread < shares.length - 1
      ? remoteHand(others[thread]!, memory, programs, some, shared)
      : localHand(runner, some, stateSize, afterWindow);
  });
  const pool: Share[] = hands.map((hand, thread) => ({ hand, indices: shares[thread]! }));
  const ran = await runAndMerge(pool, pieces, problem);
  await allDone(hands.map((hand) => hand.close()));
  return {
    ...ran,
    threads: Math.max(hands.length, 1),
    chunk: pieces.reduce((most, { from, to }) => Math.max(most, to - from), 0),
    steps: { run: total + ran.stepsAgain, rerun: ran.stepsAgain },
  };
}

/** A thread's pieces. */
interface Share {
  readonly hand: Hand;
  readonly indices: readonly number[];
}

async function runAndMerge(
  shares: readonly Share[],
  pieces: readonly Piece[],
  { cell: { stateSize }, exact, tolerance, patience }: ThreadsProblem,
) {
  const closeness = exact ? 0 : Math.min(MERGE_TOLERANCE, tolerance);
  const ends: Float32Array[] = [];
  const finite: boolean[] = [];
  let stepsAgain = 0;
  let residual = 0;
  const row = (rows: Float32Array, i: number) => rows.subarray(i * stateSize, (i + 1) * stateSize);

  await allDone(
    shares.map(async ({ hand, indices }) => {
      const ran = await hand.run();
      indices.forEach((index, i) => {
        ends[index] = row(ran.ends, i);
        finite[index] = ran.finite[i]!;
      });
    }),
  );

  /** Where pieces go on that were stopped. */
  const stops = new Map<number, { readonly offset: number; readonly state: Float32Array }>();

  /**
   * Runs pieces again from the ends of their predecessors, or on from where they were stopped.
   *
   * @returns those that end elsewhere now.
   */
  async function rerun(turn: readonly number[], limit: number): Promise<number[]> {
    const moved: number[] = [];
    const begun = new Map(
      turn.map((index) => [index, stops.get(index) ?? { offset: 0, state: ends[index - 1]! }]),
    );
    await allDone(
      shares.map(async ({ hand, indices }) => {
        const mine = indices.filter((index) => begun.has(index));
        if (mine.length === 0) return;
        const starts = new Float32Array(mine.length * stateSize);
        mine.forEach((index, i) => {
          starts.set(begun.get(index)!.state, i * stateSize);
        });
        const offsets = mine.map((index) => begun.get(index)!.offset);
        const places = mine.map((index) => indices.indexOf(index));
        const again = { indices: places, offsets, starts, tolerance: closeness, limit };
        const { reruns, ends: reached, finite: newOnes } = await hand.rerun(again);
        mine.forEach((index, i) => {
          const { steps, ended, residual: seam } = reruns[i]!;
          stepsAgain += steps;
          residual = Math.max(residual, seam);
          stops.delete(index);
          if (ended === "stopped") {
            stops.set(index, { offset: offsets[i]! + steps, state: row(reached, i) });
          }
          // What was stored first is left where they have not come to, or have met it.
          finite[index] =
            newOnes[i]! && (ended === null ? offsets[i] === 0 || finite[index]! : finite[index]!);
          if (ended) return;
          ends[index] = row(reached, i);
          moved.push(index);
        });
      }),
    );
    return moved;
  }

  const continues = (index: number) => (pieces[index]?.from ?? 0) > 0;
  /** Pieces whose predecessor has ended elsewhere since they ran, or that were stopped. */
  const stale = new Set([...pieces.keys()].filter(continues));
  let iterations = 0;
  while (stale.size > 0) {
    // Behind a piece that has not merged, others would run in vain, from ends that will move again.
    const isFirst = iterations === 0;
    const turn = isFirst ? [...stale] : firstOfEach(stale, pieces);
    const moved = await rerun(turn, isFirst ? patience : Number.POSITIVE_INFINITY);
    for (const index of turn) if (!stops.has(index)) stale.delete(index);
    for (const index of moved) {
      if (!continues(index + 1)) continue;
      stale.add(index + 1);
      stops.delete(index + 1);
    }
    iterations++;
  }
  return { finite: finite.every(Boolean), iterations, residual, stepsAgain };
}

/** The first of the given pieces in each sequence. */
function firstOfEach(indices: ReadonlySet<number>, pieces: readonly Piece[]): number[] {
  const first = new Map<number, number>();
  for (const index of [...indices].sort((a, b) => a - b)) {
    const { sequence } = pieces[index]!;
    if (!first.has(sequence)) first.set(sequence, index);
  }
  return [...first.values()];
}

/** Like `Promise.all`, but when it rejects, nothing is at work any more. */
async function allDone(work: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  const failure = results.find((result) => result.status === "rejected");
  if (failure) throw failure.reason;
}
