/**
 * Evaluates a batch in pieces on several threads. Whoever has time takes the next pieces and runs them:
 * those that continue others from a guess. In the order of time the caller's thread then runs these
 * again from where their predecessor has ended, until they merge with what is stored (merge.ts), as
 * soon as both are there. Where nothing merges, it is so on its way from the start to the end without
 * ever waiting for the others.
 *
 * Who takes what depends on timing, but no result does: a piece's states are those from its guess, behind
 * where those from its predecessor's end have met them.
 */
import type { ThreadsProblem, ThreadsRun } from "../../backend.ts";
import type { KernelMemory } from "../memory.ts";
import type { Segment, SegmentRunner, StepPrograms } from "../segments.ts";
import { MERGE_TOLERANCE, type Rerun, runAgain } from "./merge.ts";
import type { Cut, Piece } from "./pieces.ts";
import type { Thread } from "./pool.ts";
import { type RanAgain, type RanRemotely, rerunRemotely, runRemotely } from "./remote.ts";
import type { SharedMemory } from "./shared-memory.ts";

export interface PiecesOptions {
  readonly problem: ThreadsProblem;
  readonly cut: Cut;
  /** Threads beside the caller's. */
  readonly others: readonly Thread[];
  /** Null if they cannot share memory with the caller. */
  readonly shared: SharedMemory | null;
  readonly memory: KernelMemory;
  readonly programs: StepPrograms;
  /** For what the caller's thread does. */
  readonly runner: SegmentRunner;
  /** Pauses now and then, and lets answers come in. @throws to end it all. */
  readonly pause: () => Promise<void>;
}

/** The steps of a piece, where they lie in the arrays of the batch, and the state that it runs from at first. */
function segmentOf(problem: ThreadsProblem, { sequence, from, to }: Piece): Segment {
  const { cell, inputs, sequences, reverse } = problem;
  const { offset, length } = sequences[sequence]!;
  const first = offset + (reverse ? length - to : from);
  const rows = (array: typeof inputs, width: number) =>
    array.subarray(first * width, (first + to - from) * width);
  return {
    inputs: rows(inputs, cell.inputSize),
    get states() {
      return rows(problem.states(), cell.stateSize);
    },
    length: to - from,
    reverse,
    state: startOf(problem, sequence, from),
  };
}

/** A guess, but for the first piece of a sequence. */
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

/** The last state of a segment in the direction of time. */
function endOf({ states, reverse }: Segment, stateSize: number): Float32Array {
  return Float32Array.from(
    reverse ? states.subarray(0, stateSize) : states.subarray(states.length - stateSize),
  );
}

/** Groups that another thread has been asked for at a time, so that it need not wait for the next. */
const ASKED = 2;

/** A piece that has been run for the first time. */
interface Ran {
  /** With its states: those of the result, or another thread's. */
  readonly segment: Segment;
  readonly finite: boolean;
  /** To be called when another thread's states are no longer needed. */
  readonly release?: () => void;
}

/** @throws RangeError when memory cannot be had; what `pause` throws; Error when a thread ends. */
export async function runPieces(options: PiecesOptions): Promise<ThreadsRun> {
  const { problem, cut, others, memory, shared, programs, runner, pause } = options;
  const { onProgress, cell, exact, tolerance } = problem;
  const { pieces } = cut;
  const { stateSize } = cell;
  const closeness = exact ? 0 : Math.min(MERGE_TOLERANCE, tolerance);
  const segments = pieces.map((piece) => segmentOf(problem, piece));
  const startsSequence = (index: number) => pieces[index]!.from === 0;
  const total = segments.reduce((sum, { length }) => sum + length, 0);
  const waiting = [...cut.groups];
  /** By their indices, until they are settled. */
  const ran = new Map<number, Ran>();
  /** What others have found when they ran a piece again from where its predecessor had ended at first. */
  const ahead = new Map<number, Promise<RanAgain>>();
  const working = new Map<Thread, number>();
  let failure: { readonly error: unknown } | null = null;
  /** Wakes the caller's thread when it waits. */
  let heard = () => {};
  /** Steps run for the first time, together with steps whose states are final. */
  let done = 0;

  const tell = () => onProgress?.(Math.floor(done / 2), total);
  const check = () => {
    if (failure) throw failure.error;
  };
  const afterWindow = (steps: number) => {
    check();
    done += steps;
    tell();
    return pause();
  };
  const afterFinalWindow = (steps: number) => afterWindow(2 * steps);

  /** Has a thread do something, and when it has done it, something else. */
  function occupy<Result>(thread: Thread, work: Promise<Result>): Promise<Result> {
    working.set(thread, (working.get(thread) ?? 0) + 1);
    const settled = (error: unknown) => {
      if (error) failure ??= { error };
      working.set(thread, working.get(thread)! - 1);
      if (!failure) askFor(thread);
      heard();
    };
    work.then(() => settled(null), settled);
    return work;
  }

  function askFor(thread: Thread): void {
    const group = waiting.shift();
    if (!group) {
      if (working.get(thread) === 0) lookAhead(thread);
      return;
    }
    const some = group.map((index) => segments[index]!);
    const arrived = (answer: RanRemotely) => {
      let left = group.length;
      const release = () => --left === 0 && answer.release();
      group.forEach((index, i) => {
        ran.set(index, { segment: answer.segments[i]!, finite: answer.finite[i]!, release });
        done += segments[index]!.length * (startsSequence(index) ? 2 : 1);
      });
    };
    occupy(thread, runRemotely(thread, memory, shared, programs, some).then(arrived));
  }

  /** Has a thread without work run a piece again that the caller's will come to, as if all before merged. */
  function lookAhead(thread: Thread): void {
    if (!shared) return;
    for (const [index, { segment, release }] of ran) {
      const before = ran.get(index - 1);
      if (startsSequence(index) || !release || !before || ahead.has(index)) continue;
      const state = endOf(before.segment, stateSize);
      const work = rerunRemotely(thread, shared, programs, segment, state, closeness);
      ahead.set(index, occupy(thread, work));
      return;
    }
  }

  async function runHere(group: readonly number[]): Promise<void> {
    const some = group.map((index) => segments[index]!);
    const final = group.every(startsSequence);
    const options = { afterWindow: final ? afterFinalWindow : afterWindow };
    const finite = await runner.run(some, options);
    group.forEach((index, i) => {
      ran.set(index, { segment: segments[index]!, finite: finite[i]! });
      if (startsSequence(index) && !final) done += segments[index]!.length;
    });
  }

  let finite = true;
  let residual = 0;
  let stepsAgain = 0;
  /** Chunks in a row that have not merged, by sequence. */
  const apart = problem.sequences.map(() => 0);
  let iterations = 0;

  /** Runs a piece from its predecessor's end until it merges, unless another thread has done it. */
  async function again(index: number, stored: Segment["states"]): Promise<Rerun> {
    const segment = segments[index]!;
    // That its predecessor has ended where it had ended at first was taken for granted.
    const found = apart[pieces[index]!.sequence] === 0 ? await ahead.get(index) : undefined;
    if (found) {
      const kept = (found.merged ? found.steps - 1 : segment.length) * stateSize;
      copyFirst(found.states, segment, kept);
      return found;
    }
    const before = done;
    const state = endOf(segments[index - 1]!, stateSize);
    const from = { ...segment, state };
    const rerun = await runAgain(runner, from, stored, stateSize, closeness, afterWindow);
    done = before;
    return rerun;
  }

  /** Makes the states of a piece those that follow its predecessor's, which are final. */
  async function settle(index: number): Promise<void> {
    const { segment: first, finite: wasFinite, release } = ran.get(index)!;
    const segment = segments[index]!;
    const { sequence } = pieces[index]!;
    let kept = 0;
    if (startsSequence(index)) {
      finite &&= wasFinite;
    } else {
      const rerun = await again(index, first.states);
      done += segment.length;
      stepsAgain += rerun.steps;
      residual = Math.max(residual, rerun.residual);
      iterations = Math.max(iterations, apart[sequence]! + 1);
      apart[sequence] = rerun.merged ? 0 : apart[sequence]! + 1;
      finite &&= rerun.finite && (wasFinite || !rerun.merged);
      // The last step that was run again has been met, and stays as it was.
      kept = rerun.merged ? rerun.steps - 1 : segment.length;
    }
    if (first !== segment) copyLast(first.states, segment, (segment.length - kept) * stateSize);
    ran.delete(index);
    // Only here is it known to be of no use to those who look ahead.
    const unused = ahead.get(index);
    ahead.delete(index);
    unused?.then(
      (found) => found.release(),
      () => {},
    );
    release?.();
    tell();
  }

  /** Pieces that are next in their sequences. */
  const next = new Set([...pieces.keys()].filter(startsSequence));
  const own = waiting.shift();
  for (let turn = 0; turn < ASKED; turn++) for (const thread of others) askFor(thread);
  if (own) await runHere(own);
  while (next.size > 0) {
    check();
    const ready = [...next].find((index) => ran.has(index));
    const group = ready === undefined ? waiting.shift() : undefined;
    if (ready !== undefined) {
      await settle(ready);
      next.delete(ready);
      if (ready + 1 < pieces.length && !startsSequence(ready + 1)) next.add(ready + 1);
    } else if (group) {
      await runHere(group);
    } else {
      await new Promise<void>((resolve) => {
        heard = resolve;
      });
    }
    await pause();
  }
  return {
    finite,
    threads: working.size + 1,
    chunk: pieces.reduce((most, { from, to }) => Math.max(most, to - from), 0),
    iterations,
    residual,
    steps: { run: total + stepsAgain, rerun: stepsAgain },
  };
}

/** Copies the first `count` numbers, in the direction of time, to a segment's states. */
function copyFirst(from: Segment["states"], { states, reverse }: Segment, count: number): void {
  if (reverse) states.set(from.subarray(from.length - count), states.length - count);
  else states.set(from.subarray(0, count));
}

/** Likewise, the last. */
function copyLast(from: Segment["states"], { states, reverse }: Segment, count: number): void {
  if (reverse) states.set(from.subarray(0, count));
  else states.set(from.subarray(from.length - count), states.length - count);
}
