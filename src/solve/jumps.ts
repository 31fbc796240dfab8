/**
 * Whether errors as large as a certificate allows could make the recurrence jump: turn a comparison of
 * the state over, so that it goes another way than the trajectory found.
 */
import type { Cell } from "../cell/define-cell.ts";
import { tangent } from "../cell/differentiate.ts";
import { interpreter, type LeafValues } from "../cell/interpret.ts";
import { jumpsOf } from "../cell/jumps.ts";
import { wholeRecurrenceOf } from "../cell/recurrence.ts";
import type { FloatArray } from "../types.ts";
import { noiseSign } from "./engine.ts";
import type { Pacer } from "./pacing.ts";

/** Random directions in which the error is assumed. */
const DIRECTIONS = 3;
/** The error may lie in a worse direction than those, and was only estimated. */
const SAFETY = 4;

/** Margins, heights, and what an error of the state changes them by. */
type Program = (leaves: LeafValues) => readonly Float64Array[];

const programs = new WeakMap<Cell, Program | null>();

function programOf(cell: Cell): Program | null {
  let program = programs.get(cell);
  if (program === undefined) {
    const jumps = jumpsOf(wholeRecurrenceOf(cell));
    const state = cell.graph.leaf("error", cell.stateSize);
    program =
      jumps &&
      interpreter(
        [
          jumps.margins,
          jumps.heights,
          tangent(jumps.margins, { state }),
          tangent(jumps.heights, { state }),
        ],
        cell.weights,
      );
    programs.set(cell, program);
  }
  return program;
}

/** A trajectory of one sequence. */
export interface Trajectory {
  readonly cell: Cell;
  /** `[length, inputSize]`. */
  readonly inputs: FloatArray;
  /** `[length, stateSize]`, in the order of the inputs' rows. */
  readonly states: FloatArray;
  readonly length: number;
  readonly reverse: boolean;
}

/** Whether the cell's step compares anything that depends on the state. */
export function hasJumps(cell: Cell): boolean {
  return programOf(cell) !== null;
}

/**
 * The first row from step `from` ≥ 1 on (in the direction of time) at which an error of the state
 * before it, of `error` (1 + ‖s‖∞), could make the step jump by more than it could change anyway;
 * null if there is none.
 */
export async function findJump(
  trajectory: Trajectory,
  from: number,
  error: number,
  pacer: Pacer,
): Promise<number | null> {
  const { cell, inputs, states, length, reverse } = trajectory;
  const { inputSize, stateSize } = cell;
  const program = programOf(cell);
  if (!program) return null;
  const rowOf = (t: number) => (reverse ? length - 1 - t : t);
  const rowsAt = (array: FloatArray, row: number, width: number) =>
    Float64Array.from(array.subarray(row * width, (row + 1) * width));
  let found: number | null = null;
  await pacer.slices(from, length, 100 * DIRECTIONS * (stateSize + 10), (start, end) => {
    for (let t = start; t < end && found === null; t++) {
      const state = rowsAt(states, rowOf(t - 1), stateSize);
      const input = rowsAt(inputs, rowOf(t), inputSize);
      if (mayJump(program, state, input, error, t)) found = rowOf(t);
    }
  });
  return found;
}

function mayJump(
  program: Program,
  state: Float64Array,
  input: Float64Array,
  error: number,
  t: number,
): boolean {
  const size = error * (1 + state.reduce((norm, value) => Math.max(norm, Math.abs(value)), 0));
  for (let direction = 1; direction <= DIRECTIONS; direction++) {
    const seed = state.map((_, i) => size * noiseSign(t, i, direction, state.length));
    const [margins, heights, marginErrors, heightErrors] = program({ state, input, error: seed });
    for (let i = 0; i < margins!.length; i++) {
      const marginError = SAFETY * Math.abs(marginErrors![i]!);
      const changeAnyway = marginError + SAFETY * Math.abs(heightErrors![i]!);
      // Negated, so that NaN counts as a jump.
      const holds = Math.abs(margins![i]!) >= marginError || Math.abs(heights![i]!) <= changeAnyway;
      if (!holds) return true;
    }
  }
  return false;
}
