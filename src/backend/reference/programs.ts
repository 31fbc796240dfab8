/** A cell's programs, ready to be evaluated in float64. */
import type { Cell } from "../../cell/define-cell.ts";
import { blockSize } from "../../cell/differentiate.ts";
import { topologicalOrder, type Vector } from "../../cell/expression.ts";
import { interpreter } from "../../cell/interpret.ts";
import {
  diagonalProduct,
  probeSigns,
  recurrenceOf,
  SIGNS_PERIOD,
  stateTangent,
} from "../../cell/recurrence.ts";
import type { JacobianKind } from "../../types.ts";

/** What interpreting one node costs beside its arithmetic, in multiply–adds. */
const NODE_COST = 8;

/**
 * The functions of one step. Each takes s_{t−1} and the drive, and returns an array of its own, which
 * its next call overwrites.
 */
export interface Programs {
  /** The drive of a step from its input. */
  readonly drive: (input: Float64Array) => Float64Array;
  readonly driveSize: number;
  /** s_t. */
  readonly next: (state: Float64Array, drive: Float64Array) => Float64Array;
  /** A_t · seed. */
  readonly tangent: (state: Float64Array, drive: Float64Array, seed: Float64Array) => Float64Array;
  /** Multiply–adds of s_t, roughly. */
  readonly stepCost: number;
  /** Multiply–adds of a tangent, roughly. */
  readonly tangentCost: number;
}

/** A chunk's P: `[n, n, stateSize / n]` with n = `unitsOf`, a block for each unit, entry by entry. */
export interface ProductProgram {
  /** P before the first step of a chunk. */
  readonly initial: Float64Array;
  /** A_t P_{t−1}, as far as `jacobian` keeps it; null where P stays what it is at first. */
  readonly next:
    | ((t: number, state: Float64Array, drive: Float64Array, product: Float64Array) => Float64Array)
    | null;
  /** Multiply–adds of `next`, roughly. */
  readonly cost: number;
}

export function programsOf(cell: Cell): Programs {
  const { graph, weights, stateSize } = cell;
  const recurrence = recurrenceOf(cell);
  const seed = graph.leaf("tangent", stateSize);
  const tangentOutput = stateTangent(recurrence, seed);
  const drive = interpreter([recurrence.drive], weights);
  const next = interpreter([recurrence.next], weights);
  const tangent = interpreter([tangentOutput], weights);
  return {
    drive: (input) => drive({ input })[0]!,
    driveSize: recurrence.drive.size,
    next: (state, values) => next({ state, drive: values })[0]!,
    tangent: (state, values, seeds) => tangent({ state, drive: values, tangent: seeds })[0]!,
    stepCost: costOf(recurrence.next),
    tangentCost: costOf(tangentOutput),
  };
}

/** n: how many elements of a unit's state P couples. */
export function unitsOf(cell: Cell, jacobian: JacobianKind): number {
  if (jacobian === "dense") return cell.stateSize;
  return jacobian === "block" ? blockSize(cell) : 1;
}

/** @throws RangeError when the memory cannot be had. */
export function productProgramOf(
  cell: Cell,
  jacobian: JacobianKind,
  programs: Programs,
): ProductProgram {
  const { stateSize } = cell;
  switch (jacobian) {
    case "none":
      return { initial: new Float64Array(stateSize), next: null, cost: 0 };
    case "identity":
      return { initial: new Float64Array(stateSize).fill(1), next: null, cost: 0 };
    case "dense":
      return denseProgram(stateSize, programs);
    default:
      return diagonalProgram(cell, jacobian);
  }
}

function diagonalProgram(cell: Cell, jacobian: "diagonal" | "block"): ProductProgram {
  const { next, identity } = diagonalProduct(recurrenceOf(cell), jacobian);
  const evaluate = interpreter([next], cell.weights);
  const signs = Float64Array.from(probeSigns(cell));
  const rowSize = signs.length / SIGNS_PERIOD;
  return {
    initial: identity,
    next: (t, state, drive, product) => {
      const row = (t % SIGNS_PERIOD) * rowSize;
      const leaves = { state, drive, product, signs: signs.subarray(row, row + rowSize) };
      return evaluate(leaves)[0]!;
    },
    cost: costOf(next),
  };
}

/** Pushes every column of P through the step as a tangent. */
function denseProgram(stateSize: number, { tangent, tangentCost }: Programs): ProductProgram {
  const initial = new Float64Array(stateSize * stateSize);
  for (let i = 0; i < stateSize; i++) initial[i * stateSize + i] = 1;
  const column = new Float64Array(stateSize);
  const result = new Float64Array(stateSize * stateSize);
  return {
    initial,
    next: (_t, state, drive, product) => {
      for (let j = 0; j < stateSize; j++) {
        for (let i = 0; i < stateSize; i++) column[i] = product[i * stateSize + j]!;
        const pushed = tangent(state, drive, column);
        for (let i = 0; i < stateSize; i++) result[i * stateSize + j] = pushed[i]!;
      }
      return result;
    },
    cost: tangentCost * stateSize,
  };
}

function costOf(output: Vector): number {
  return topologicalOrder([output]).reduce((cost, node) => {
    const work = node.kind === "linear" ? node.matrix.rows * node.matrix.columns : node.size;
    return cost + work + NODE_COST;
  }, 0);
}
