/** The hand of another thread: what it works on lies in shared memory, or is sent to and fro. */
import type { FloatArray } from "../../../types.ts";
import type { KernelMemory } from "../memory.ts";
import type { Segment, StepPrograms } from "../segments.ts";
import type { Hand } from "./hand.ts";
import type { Thread } from "./pool.ts";
import type { Replies, Request, SentSegment } from "./requests.ts";

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

/** Memory that a thread and the caller share, up to `KEPT_BYTES`: fresh pages cost more than using them. */
const kept = new WeakMap<Thread, SharedArrayBuffer>();
const KEPT_BYTES = 64e6;

/** Float32Arrays on memory that a thread can see too, of so many numbers together. */
function shareWith(thread: Thread, numbers: number): (length: number) => Float32Array {
  let buffer = kept.get(thread);
  if (!buffer || buffer.byteLength < numbers * 4) {
    buffer = new SharedArrayBuffer(numbers * 4);
    if (buffer.byteLength <= KEPT_BYTES) kept.set(thread, buffer);
  }
  const all = new Float32Array(buffer);
  let used = 0;
  return (length) => {
    used += length;
    return all.subarray(used - length, used);
  };
}

/** Whether another thread can see an array as it is. */
function isShared(array: FloatArray): array is Float32Array {
  return array instanceof Float32Array && array.buffer instanceof SharedArrayBuffer;
}

/** Nothing is waited for here: a thread does what it is asked for in order. */
export function remoteHand(
  thread: Thread,
  memory: KernelMemory,
  programs: StepPrograms,
  segments: readonly Segment[],
  shared: boolean,
): Hand {
  const transfer: ArrayBuffer[] = [];
  const numbers = segments.reduce(
    (sum, { inputs, states }) => sum + inputs.length + states.length,
    0,
  );
  const allocate = shared ? shareWith(thread, numbers) : null;
  const sent = segments.map(({ inputs, states, length, reverse, state }): SentSegment => {
    const rest = { length, reverse, state: Float32Array.from(state) };
    if (allocate) {
      const seen = isShared(inputs) ? inputs : allocate(inputs.length);
      if (seen !== inputs) seen.set(inputs);
      return { ...rest, inputs: seen, states: allocate(states.length) };
    }
    const copy = Float32Array.from(inputs);
    transfer.push(copy.buffer);
    return { ...rest, inputs: copy, states: null };
  });
  const opened = Promise.all([
    loadPrograms(thread, memory),
    ask(thread, { task: "open", programs, segments: sent }, transfer),
  ]);
  return {
    async run() {
      // The first failure is the one that tells why.
      const [, ran] = await Promise.all([opened, ask(thread, { task: "run" })]);
      return ran;
    },
    rerun: (again) => ask(thread, { task: "rerun", ...again }),
    async close() {
      const closed = ask(thread, { task: "close" });
      // Shared states are there already, and to wake a thread takes longer than to copy them.
      if (allocate) closed.catch(() => {});
      const received = allocate ? [] : [...(await closed).states];
      segments.forEach((segment, i) => {
        segment.states.set(sent[i]!.states ?? received.shift()!);
      });
    },
  };
}
