/**
 * The golden states, from a few of their rows. Golden vectors are key frames: every few steps the
 * oracle's state, to twelve decimals. The rows between them follow from the cell's step in float64, as
 * every key frame must from the one before, or the oracle of this very machine is not to be trusted.
 */
import { interpreter } from "../cell/interpret.ts";
import type { FloatArray } from "../types.ts";
import type { Problem } from "./problems.ts";

/** Steps between key frames; a sequence's last state is one too. */
const INTERVAL = 8;
/** Decimals of a key frame. */
export const DECIMALS = 12;
/**
 * How far the oracle may be from a key frame: the rounding of the one before, grown over `INTERVAL`
 * steps (by a factor of at most ten in this suite), and as much again for the last bits of an engine's exp.
 */
export const LARGEST_DRIFT = 1e-11;

/** Whether the state after step `t` of `length` is a key frame. */
export function isKeyFrame(t: number, length: number): boolean {
  return t % INTERVAL === INTERVAL - 1 || t === length - 1;
}

/** Calls `visit` for all steps of all sequences in the direction of time. */
export function forEachStep(
  { lengths, reverse }: Problem,
  visit: (step: { sequence: number; t: number; length: number; row: number }) => void,
): void {
  let offset = 0;
  lengths.forEach((length, sequence) => {
    for (let t = 0; t < length; t++) {
      visit({ sequence, t, length, row: offset + (reverse ? length - 1 - t : t) });
    }
    offset += length;
  });
}

/** A step of `forEachStep` in words. */
export function placeOf(
  { reverse }: Problem,
  { sequence, t, length }: { sequence: number; t: number; length: number },
): string {
  return `step ${reverse ? length - 1 - t : t} of sequence ${sequence}`;
}

/** f(before, x_row) in float64; the array is overwritten by the next call. */
export type Step = (before: Float64Array, row: number) => Float64Array;

/** The problem's step, by the interpreter that no backend but the oracle uses. */
export function stepOf({ cell, inputs }: Problem): Step {
  const step = interpreter([cell.next], cell.weights);
  const size = cell.inputSize;
  const rowOf = (row: number) =>
    typeof inputs === "number" ? [] : inputs.subarray(row * size, (row + 1) * size);
  return (before, row) => step({ state: before, input: Float64Array.from(rowOf(row)) })[0]!;
}

/** Row `index` of rows of `size` numbers, in float64. */
export function rowAt(array: FloatArray, index: number, size: number): Float64Array {
  return Float64Array.from(array.subarray(index * size, (index + 1) * size));
}

/** ‖a − b‖∞ / (1 + ‖b‖∞), as everywhere in reports; Infinity if that is no number. */
export function scaledDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let magnitude = 0;
  for (let i = 0; i < b.length; i++) {
    // Math.max keeps NaN.
    difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
    magnitude = Math.max(magnitude, Math.abs(b[i]!));
  }
  const scaled = difference / (1 + magnitude);
  return Number.isNaN(scaled) ? Infinity : scaled;
}

/** The golden states of a problem, all rows, and how far this machine's oracle is from the key frames. */
export interface Trajectory {
  /** `[sum(lengths), stateSize]`. */
  readonly states: Float64Array;
  readonly drift: number;
}

/** @param frames the key frames one after the other, in the direction of time. */
export function trajectoryOf(problem: Problem, frames: readonly number[]): Trajectory {
  const { cell, lengths, initialState } = problem;
  const { stateSize } = cell;
  const step = stepOf(problem);
  const rows = lengths.reduce((sum, length) => sum + length, 0);
  const states = new Float64Array(rows * stateSize);
  let state: Float64Array = new Float64Array(stateSize);
  let drift = 0;
  let frame = 0;
  forEachStep(problem, ({ sequence, t, length, row }) => {
    if (t === 0) state = rowAt(initialState, sequence, stateSize);
    state = step(state, row).slice();
    if (isKeyFrame(t, length)) {
      const golden = Float64Array.from(frames.slice(frame, frame + stateSize));
      frame += stateSize;
      drift = Math.max(drift, scaledDifference(state, golden));
      state = golden;
    }
    states.set(state, row * stateSize);
  });
  return { states, drift: frame === frames.length ? drift : Infinity };
}
