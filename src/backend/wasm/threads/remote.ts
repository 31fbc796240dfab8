/** What other threads are asked for: what they work on lies in shared memory, or is sent to and fro. */
import type { FloatArray } from "../../../types.ts";
import type { KernelMemory } from "../memory.ts";
import type { Segment, StepPrograms } from "../segments.ts";
import type { Rerun } from "./merge.ts";
import type { Thread } from "./pool.ts";
import type { Replies, Request, SentSegment } from "./requests.ts";
import type { SharedMemory } from "./shared-memory.ts";

/** Which programs a thread has. */
const loaded = new WeakMap<Thread, { memory: KernelMemory; version: number }>();

/** Brings a thread's programs and weights up to date. */
export async function loadPrograms(thread: Thread, memory: KernelMemory): Promise<void> {
  const { version, limit } = memory;
  const before = loaded.get(thread);
  if (before?.memory === memory && before.version === version) return;
  const image = memory.image();
  loaded.set(thread, { memory, version });
  try {
    await ask(thread, { task: "load", image, memoryLimit: limit }, [image]);
  } catch (error) {
    loaded.delete(thread);
    throw error;
  }
}

export function ask<Task extends Request["task"]>(
  thread: Thread,
  request: Extract<Request, { task: Task }>,
  transfer: ArrayBuffer[] = [],
): Promise<Replies[Task]> {
  return thread.call(request, transfer);
}

/** Whether another thread can see an array as it is. */
function isShared(array: FloatArray): array is Float32Array<SharedArrayBuffer> {
  return array instanceof Float32Array && array.buffer instanceof SharedArrayBuffer;
}

/** What another thread has made of some segments. */
export interface RanRemotely {
  /** As they were sent, with their states; valid until `release`. */
  readonly segments: readonly Segment[];
  /** Whether those of each are all finite. */
  readonly finite: readonly boolean[];
  release(): void;
}

/** Runs segments on another thread, which does what it is asked for in order. */
export async function runRemotely(
  thread: Thread,
  memory: KernelMemory,
  shared: SharedMemory | null,
  programs: StepPrograms,
  segments: readonly Omit<Segment, "states">[],
): Promise<RanRemotely> {
  const transfer: ArrayBuffer[] = [];
  const statesOf = ({ length }: { length: number }) => length * programs.stateSize;
  const lent = (one: (typeof segments)[number]) =>
    statesOf(one) + (isShared(one.inputs) ? 0 : one.inputs.length);
  const room = shared?.lend(segments.reduce((sum, one) => sum + lent(one), 0));
  let used = 0;
  const take = (numbers: number) => {
    used += numbers;
    return room!.subarray(used - numbers, used);
  };
  const sent = segments.map(({ inputs, length, reverse, state }): SentSegment => {
    const rest = { length, reverse, state };
    if (!room) {
      const copy = Float32Array.from(inputs);
      transfer.push(copy.buffer);
      return { ...rest, inputs: copy, states: null };
    }
    const states = take(statesOf({ length }));
    if (isShared(inputs)) return { ...rest, inputs, states };
    const copy = take(inputs.length);
    copy.set(inputs);
    return { ...rest, inputs: copy, states };
  });
  // The first failure is the one that tells why.
  const [, ran] = await Promise.all([
    loadPrograms(thread, memory),
    ask(thread, { task: "run", programs, segments: sent }, transfer),
  ]);
  const made = ran.states.values();
  return {
    segments: sent.map((one) => ({ ...one, states: one.states ?? made.next().value! })),
    finite: ran.finite,
    release() {
      if (room) shared!.giveBack(room);
    },
  };
}

/** What another thread has found of a segment that it has run again. */
export interface RanAgain extends Rerun {
  /** Its states, up to where it has merged; until `release`. */
  readonly states: Float32Array;
  release(): void;
}

/** Runs a segment on shared memory again on another thread. */
export async function rerunRemotely(
  thread: Thread,
  shared: SharedMemory,
  programs: StepPrograms,
  segment: Segment,
  state: Float32Array,
  tolerance: number,
): Promise<RanAgain> {
  const states = shared.lend(segment.states.length);
  const again = { ...segment, state, states };
  const stored = segment.states as Float32Array;
  const rerun = await ask(thread, { task: "rerun", programs, segment: again, stored, tolerance });
  return { ...rerun, states, release: () => shared.giveBack(states) };
}
