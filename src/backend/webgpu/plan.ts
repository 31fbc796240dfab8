/**
 * Cuts a batch into windows, each small enough for the device's buffers. Windows run one after the
 * other; a sequence that goes on in the next window starts there from the last state of this one.
 */
import type { Sequence } from "../backend.ts";

/** Consecutive steps of one sequence. */
export interface Segment {
  /** Index in the batch. */
  readonly sequence: number;
  /** Its first step, in the direction of time. */
  readonly fromStep: number;
  readonly length: number;
  /** Where its rows lie in the window. */
  readonly firstRow: number;
}

/** How much a window holds, all its segments together. */
export interface Shape {
  readonly segments: number;
  readonly rows: number;
  readonly chunks: number;
  readonly errorChunks: number;
}

export interface Window extends Shape {
  readonly parts: readonly Segment[];
  /** C_e, steps a chunk of the certificate. */
  readonly errorChunkLength: number;
}

/** Shortest chunk of a certificate. */
const SHORTEST_ERROR_CHUNK = 32;

/**
 * C_e. The certificate's chunks settle one after the other if they must, so few and long ones bound its
 * depth, and many short ones keep it parallel: both are near √T. Never shorter than C, so that there are
 * no more of them than of the sweep's.
 */
export function errorChunkFor(length: number, chunk: number): number {
  const balanced = 2 ** Math.ceil(Math.log2(1.5 * Math.sqrt(length)));
  return Math.max(chunk, SHORTEST_ERROR_CHUNK, balanced);
}

/** One more segment beside those that a window of this shape has; its error chunks at most. */
function extended(shape: Shape, length: number, chunk: number): Shape {
  return {
    segments: shape.segments + 1,
    rows: shape.rows + length,
    chunks: shape.chunks + Math.ceil(length / chunk),
    errorChunks: shape.errorChunks + Math.ceil(length / Math.max(chunk, SHORTEST_ERROR_CHUNK)),
  };
}

const empty: Shape = { segments: 0, rows: 0, chunks: 0, errorChunks: 0 };

/**
 * Windows in the order in which they must run. Sequences without steps are in none. A sequence is cut
 * only if it does not fit a window of its own, and then at multiples of `chunk` as long as one fits.
 *
 * @param fits whether the device can hold a window of this shape.
 * @returns null when not even a single step fits.
 */
export function planWindows(
  sequences: readonly Pick<Sequence, "length">[],
  chunk: number,
  fits: (shape: Shape) => boolean,
): Window[] | null {
  const windows: Window[] = [];
  let parts: Segment[] = [];
  let shape = empty;
  const close = () => {
    if (parts.length > 0) windows.push(finished(parts, shape, chunk));
    parts = [];
    shape = empty;
  };
  const add = (sequence: number, fromStep: number, length: number) => {
    parts.push({ sequence, fromStep, length, firstRow: shape.rows });
    shape = extended(shape, length, chunk);
  };
  for (let sequence = 0; sequence < sequences.length; sequence++) {
    const { length } = sequences[sequence]!;
    for (let from = 0; from < length; ) {
      const left = length - from;
      const holds = (steps: number) => fits(extended(shape, steps, chunk));
      if (holds(left)) {
        add(sequence, from, left);
        break;
      }
      if (parts.length > 0) {
        close();
        continue;
      }
      const whole = chunk * largest(Math.floor(left / chunk), (chunks) => holds(chunks * chunk));
      const steps = whole || largest(Math.min(left, chunk), holds);
      if (steps === 0) return null;
      add(sequence, from, steps);
      close();
      from += steps;
    }
  }
  close();
  return windows;
}

function finished(parts: readonly Segment[], shape: Shape, chunk: number): Window {
  const longest = parts.reduce((most, { length }) => Math.max(most, length), 0);
  const errorChunkLength = errorChunkFor(longest, chunk);
  const errorChunks = parts.reduce(
    (sum, { length }) => sum + Math.ceil(length / errorChunkLength),
    0,
  );
  return { ...shape, parts, errorChunks, errorChunkLength };
}

/** The largest n ≤ `most` for which `holds`, which is monotone; 0 if there is none. */
function largest(most: number, holds: (n: number) => boolean): number {
  let low = 0;
  for (let high = most; low < high; ) {
    const middle = Math.ceil((low + high) / 2);
    if (holds(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}
