/**
 * What a cell's programs have to do, counted on its graph: the same for every machine. The
 * calibration says how long it takes on one.
 */
import type { Cell } from "../cell/define-cell.ts";
import { blockSize } from "../cell/differentiate.ts";
import { dependents, type Leaf, topologicalOrder, type Vector } from "../cell/expression.ts";
import type { PointwiseName } from "../cell/pointwise.ts";
import {
  diagonalProduct,
  type Recurrence,
  recurrenceOf,
  stateTangent,
} from "../cell/recurrence.ts";
import type { JacobianKind } from "../types.ts";

/** Of one run of a program with one lane. */
export interface Work {
  /** Of matrix products. */
  readonly multiplyAdds: number;
  /** Elements of pointwise operations, weighted by class (see `weightOf`), and of copies. */
  readonly pointwise: number;
  /** Vector operations, whatever their size. */
  readonly instructions: number;
  /** Bytes of the matrices. */
  readonly weightBytes: number;
}

/** What a cell's steps are made of; Jacobians are looked at when they are asked for. */
export interface CellWork {
  readonly inputSize: number;
  readonly stateSize: number;
  /** Floats of the drive; 0 if none is split off. */
  readonly driveSize: number;
  /** A row of the drive. */
  readonly drive: Work;
  /** A step, its drive being there. */
  readonly step: Work;
  /** What a Jacobian adds to a step. */
  jacobian(kind: JacobianKind): Work;
  /** A step with the certificate's four tangents. */
  certificate(): Work;
}

const NOTHING: Work = { multiplyAdds: 0, pointwise: 0, instructions: 0, weightBytes: 0 };
const CERTIFICATE_COLUMNS = 4;

/** Polynomials of some twenty operations, where + and × are one. */
const elementary: readonly PointwiseName[] = [
  ...(["tanh", "sigmoid", "exp", "log", "softplus", "sin", "cos"] as const),
];
const ELEMENTARY = 16;
const DIVISION = 4;

/** The time of an operation beside that of an addition, about. */
export function weightOf(name: PointwiseName): number {
  if (elementary.includes(name)) return ELEMENTARY;
  return name === "divide" || name === "sqrt" ? DIVISION : 1;
}

/**
 * The work of computing `outputs`.
 *
 * @param columned the leaf that stands for so many vectors side by side, with all that depends on it.
 */
export function workOf(
  outputs: readonly Vector[],
  columned?: { readonly leaf: Leaf; readonly count: number },
): Work {
  const order = topologicalOrder(outputs);
  const dynamic = dependents(order, () => true);
  const wide = dependents(order, (leaf) => leaf === columned?.leaf.name);
  const matrices = new Map<string, number>();
  let [multiplyAdds, pointwise, instructions] = [0, 0, 0];
  for (const node of dynamic) {
    const columns = wide.has(node) ? columned!.count : 1;
    if (node.kind === "linear") {
      const { key, rows, columns: inner } = node.matrix;
      matrices.set(key, rows * inner * 4);
      multiplyAdds += rows * inner * columns;
      instructions++;
    } else if (node.kind === "pointwise") {
      pointwise += node.size * columns * weightOf(node.name);
      instructions++;
    } else if (node.kind === "concat") {
      // What is computed can be computed in place; a view of something else is copied.
      const views = node.args.filter(({ kind }) => kind === "slice" || kind === "leaf");
      pointwise += views.reduce((sum, { size }) => sum + size, 0) * columns;
      instructions += views.length;
    }
  }
  const weightBytes = [...matrices.values()].reduce((sum, bytes) => sum + bytes, 0);
  return { multiplyAdds, pointwise, instructions, weightBytes };
}

function difference(all: Work, part: Work): Work {
  return {
    multiplyAdds: all.multiplyAdds - part.multiplyAdds,
    pointwise: all.pointwise - part.pointwise,
    instructions: all.instructions - part.instructions,
    weightBytes: all.weightBytes - part.weightBytes,
  };
}

function sweepOutputs(recurrence: Recurrence, kind: JacobianKind): Work {
  const { cell, next } = recurrence;
  switch (kind) {
    case "none":
    case "identity":
      return workOf([next]);
    case "diagonal":
    case "block":
      return workOf([next, diagonalProduct(recurrence, kind).next]);
    case "dense":
      return withTangents(recurrence, cell.stateSize);
  }
}

function withTangents(recurrence: Recurrence, count: number): Work {
  const { cell, next } = recurrence;
  const leaf = cell.graph.leaf("tangent", cell.stateSize);
  return workOf([next, stateTangent(recurrence, leaf)], { leaf, count });
}

const known = new WeakMap<Cell, CellWork>();

/** The work of `cell`, counted once. */
export function cellWork(cell: Cell): CellWork {
  let work = known.get(cell);
  if (!work) {
    work = count(cell);
    known.set(cell, work);
  }
  return work;
}

function count(cell: Cell): CellWork {
  const { inputSize, stateSize } = cell;
  const recurrence = recurrenceOf(cell);
  const step = workOf([recurrence.next]);
  const jacobians = new Map<JacobianKind, Work>();
  let certificate: Work | null = null;
  return {
    inputSize,
    stateSize,
    driveSize: recurrence.drive.size,
    drive: recurrence.drive.size > 0 ? workOf([recurrence.drive]) : NOTHING,
    step,
    jacobian(kind) {
      const asked = kind === "block" && blockSize(cell) === 1 ? "diagonal" : kind;
      let extra = jacobians.get(asked);
      if (!extra) {
        extra = difference(sweepOutputs(recurrence, asked), step);
        jacobians.set(asked, extra);
      }
      return extra;
    },
    certificate() {
      certificate ??= withTangents(recurrence, CERTIFICATE_COLUMNS);
      return certificate;
    },
  };
}
