/**
 * Has other threads compute the drive ahead of the recurrence. It depends on the inputs alone, so the
 * states are the same to the bit.
 */
import type { KernelMemory } from "../memory.ts";
import type { Segment, StepPrograms } from "../segments.ts";
import type { Thread } from "./pool.ts";
import { ask, loadPrograms } from "./remote.ts";
import type { SharedMemory } from "./shared-memory.ts";

/** Windows of steps that a thread is asked for at a time. */
const WINDOWS = 2;
/** Blocks that a thread has been asked for, and that have not been used up. */
const AHEAD = 6;

/** The drive of some windows; until `release`. */
interface Block {
  readonly drive: Float32Array;
  release(): void;
}

/**
 * The drive of windows, which must be asked for in order.
 *
 * @param window steps a window.
 * @param own the share of the drives that the caller computes, 0 to 1; those are null.
 */
export function driveAhead(
  threads: readonly Thread[],
  shared: SharedMemory | null,
  memory: KernelMemory,
  programs: StepPrograms,
  { inputs, length, reverse }: Segment,
  window: number,
  own: number,
): (from: number, to: number) => Promise<Float32Array | null> | null {
  const { inputSize, driveSize } = programs;
  const size = window * WINDOWS;
  const blocks = Math.ceil(length / size);
  /** Blocks from the first to the last that are left to the threads. */
  const given = Array.from({ length: blocks }, (_, block) => block).filter(
    (block) => Math.floor((block + 1) * own) === Math.floor(block * own),
  );
  const asked = new Map<number, Promise<Block>>();
  let next = 0;

  async function request(thread: Thread, from: number, to: number): Promise<Block> {
    const [first, last] = reverse ? [length - to, length - from] : [from, to];
    const rows = inputs.subarray(first * inputSize, last * inputSize);
    const count = (to - from) * driveSize;
    const room = shared?.lend(count + rows.length);
    const loading = loadPrograms(thread, memory);
    const asked = { task: "drive", programs, reverse } as const;
    if (!room) {
      const copy = Float32Array.from(rows);
      const sent = ask(thread, { ...asked, inputs: copy, drive: null }, [copy.buffer]);
      const [, { drive }] = await Promise.all([loading, sent]);
      return { drive: drive!, release() {} };
    }
    const [drive, copy] = [room.subarray(0, count), room.subarray(count)];
    copy.set(rows);
    await Promise.all([loading, ask(thread, { ...asked, inputs: copy, drive })]);
    return { drive, release: () => shared!.giveBack(room) };
  }

  function askAhead(): void {
    while (next < given.length && asked.size < AHEAD * threads.length) {
      const block = given[next]!;
      const from = block * size;
      const thread = threads[next % threads.length]!;
      const reply = request(thread, from, Math.min(from + size, length));
      // Whoever waits for it hears of a failure; nobody may be waiting any more.
      reply.catch(() => {});
      asked.set(block, reply);
      next++;
    }
  }

  askAhead();
  return (from, to) => {
    const block = Math.floor(from / size);
    for (const [before, reply] of asked) {
      if (before >= block) break;
      asked.delete(before);
      reply.then(
        ({ release }) => release(),
        () => {},
      );
    }
    askAhead();
    const reply = asked.get(block);
    if (!reply) return null;
    const start = (from - block * size) * driveSize;
    return reply.then(({ drive }) => drive.subarray(start, start + (to - from) * driveSize));
  };
}
