/** The threads of a runtime, the caller's included, and what they do together. */
import { recurrenceOf } from "../../../cell/recurrence.ts";
import type { Pacer } from "../../../solve/pacing.ts";
import type { HostRun, SequentialProblem, ThreadsProblem, ThreadsRun } from "../../backend.ts";
import type { DriveElsewhere, StepKit } from "../sequential.ts";
import { driveAhead } from "./drive-ahead.ts";
import { cutIntoPieces } from "./pieces.ts";
import { type PoolOptions, type Thread, ThreadPool } from "./pool.ts";
import { runPieces } from "./run-pieces.ts";
import { SharedMemory } from "./shared-memory.ts";

/** Longest time for which answers of other threads wait while the caller's works. */
const HEAR_AFTER_MS = 2;

export class Crew {
  readonly #pool: ThreadPool;
  readonly #shared = new SharedMemory();
  #threads: readonly Thread[] = [];

  constructor(options: PoolOptions) {
    this.#pool = new ThreadPool(options);
  }

  /**
   * Evaluates every sequence one step after the other, with the very results of a single thread:
   * sequences are shared out among the threads; of a single one, the others compute the drive.
   */
  sequential(kit: StepKit, problem: SequentialProblem, pacer: Pacer): Promise<HostRun> {
    const filled = problem.sequences.filter(({ length }) => length > 0);
    if (filled.length > 1) {
      const whole = {
        chunk: Number.MAX_SAFE_INTEGER,
        initialGuess: null,
        exact: true,
        tolerance: 0,
      };
      // A whole sequence starts from no guess that would have to be within bounds.
      const boundsOf = () => ({ low: new Float64Array(0), high: new Float64Array(0) });
      return this.inChunks(kit, { ...problem, ...whole, boundsOf }, pacer);
    }
    return this.#withThreads(kit, problem, pacer, async (others) => {
      const own = ownShare(problem, others.length);
      const elsewhere: DriveElsewhere = (programs, segment, window) =>
        driveAhead(others, this.#sharedMemory, kit.memory, programs, segment, window, own);
      const share = own < 1 && others.length > 0 ? elsewhere : undefined;
      const finite = await kit.runSequentially(problem, pacer, share);
      return { finite, threads: share ? others.length + 1 : 1 };
    });
  }

  /** Evaluates chunks side by side; those that continue others, again until they merge. */
  inChunks(kit: StepKit, problem: ThreadsProblem, pacer: Pacer): Promise<ThreadsRun> {
    return this.#withThreads(kit, problem, pacer, (others) => {
      const { memory } = kit;
      const cut = cutIntoPieces(problem.sequences, problem.chunk, others.length + 1);
      const most = cut.groups.reduce((n, group) => Math.max(n, group.length), 0);
      const prepared = kit.prepare(problem.cell, most);
      const shared = this.#sharedMemory;
      // Other threads should not wait for long until they hear what to do next.
      const pause = () => pacer.pause(others.length > 0 ? HEAR_AFTER_MS : undefined);
      return runPieces({ problem, cut, others, shared, memory, ...prepared, pause });
    });
  }

  /** Null where threads cannot share any. */
  get #sharedMemory(): SharedMemory | null {
    return this.#pool.shared ? this.#shared : null;
  }

  /** Whether there are other threads already. */
  get running(): boolean {
    return this.#threads.length > 0;
  }

  start(): Promise<readonly Thread[]> {
    return this.#pool.start().then((threads) => {
      this.#threads = threads;
      return threads;
    });
  }

  /** An empty task for another thread. */
  ping(): Promise<object> {
    return this.#threads[0]!.call({ task: "ping" });
  }

  dispose(): void {
    this.#pool.terminate();
  }

  /** Where a thread fails, the caller's does all of the work, and says so. */
  async #withThreads<Run extends HostRun>(
    kit: StepKit,
    { threads }: SequentialProblem,
    pacer: Pacer,
    work: (others: readonly Thread[]) => Promise<Run>,
  ): Promise<Run> {
    // Work that has been posted cannot be taken back.
    const stopListening = pacer.onAbort(() => this.#pool.terminate());
    try {
      if (threads === 1) return await work([]);
      const others = (await this.start()).slice(0, threads && threads - 1);
      const run = await work(others);
      const { reason } = this.#pool;
      const only = others.length > 0 ? `only ${others.length + 1} threads` : "only one thread";
      return reason ? { ...run, fewer: `${only}: ${reason}` } : run;
    } catch (error) {
      await pacer.pause();
      this.#pool.terminate();
      this.#threads = [];
      kit.memory.release();
      const run = await work([]);
      return { ...run, fewer: `one thread did it all: ${(error as Error).message}` };
    } finally {
      stopListening();
    }
  }
}

/** Multiply–adds of a row of the drive from which it is worth sending, and its share of a step's. */
const DRIVE_WORTH_SENDING = 4096;
const SHARE_WORTH_SENDING = 1 / 4;

/**
 * The share of the drives that the caller computes, so that it has done with them and the recurrence when
 * the others have done the rest; 1 where sending them costs more than it saves.
 *
 * Of a layer, the drive takes about inputSize / hiddenSize of what the recurrence takes.
 */
function ownShare({ cell }: SequentialProblem, others: number): number {
  const { inputSize, stateSize, parts } = cell;
  const drive = (inputSize * parts.length) / stateSize;
  const multiplyAdds = inputSize * recurrenceOf(cell).drive.size;
  if (drive < SHARE_WORTH_SENDING || multiplyAdds < DRIVE_WORTH_SENDING) return 1;
  return Math.max(0, (drive - others) / ((others + 1) * drive));
}
