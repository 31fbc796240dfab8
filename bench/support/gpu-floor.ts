/**
 * The least that a stage of a solve on the GPU has to move and compute, from shapes alone: every array
 * that must cross between kernels is read once and written once, weights come for nothing once they are
 * on the chip, and no number is computed twice. See docs/performance.md.
 */
import type { Cell } from "../../src/cell/define-cell.ts";
import { dependents, topologicalOrder, type Vector } from "../../src/cell/expression.ts";
import { diagonalProduct, recurrenceOf, stateTangent } from "../../src/cell/recurrence.ts";
import type { JacobianKind } from "../../src/types.ts";

/** Bytes between a stage and the device's memory, and its multiply–adds. */
export interface Work {
  readonly read: number;
  readonly written: number;
  /** Of matrix products, or of the scan; null where no simple count is the least. */
  readonly multiplyAdds: number | null;
}

export interface FloorShape {
  /** T, all sequences together. */
  readonly steps: number;
  /** K, all sequences together. */
  readonly chunks: number;
  /** Chunks of the certificate. */
  readonly errorChunks: number;
  readonly jacobian: JacobianKind;
  /** λ > 0. */
  readonly damped: boolean;
}

/** Multiply–adds of a step, by what they are for. */
export interface StepWork {
  /** x_t to the drive, for all t at once. */
  readonly drive: number;
  /** f. */
  readonly step: number;
  /** P_t = A_t P_{t−1} of a diagonal or block P_k, beside f. */
  readonly product: number;
  /** One tangent, beside f. */
  readonly tangent: number;
}

const TANGENTS = 4;

/** Multiply–adds of the matrix products that `outputs` need and, leaf or constant alone, nothing else has. */
function productsOf(outputs: readonly Vector[], known: ReadonlySet<Vector> = new Set()): number {
  const order = topologicalOrder([...outputs]);
  const dynamic = dependents(order, () => true);
  return order.reduce(
    (sum, node) =>
      node.kind === "linear" && dynamic.has(node) && !known.has(node)
        ? sum + node.matrix.rows * node.matrix.columns
        : sum,
    0,
  );
}

/** Source: the cell's own program, as all backends run it. */
export function stepWork(cell: Cell, jacobian: JacobianKind): StepWork {
  const recurrence = recurrenceOf(cell);
  const { drive, next } = recurrence;
  const known = new Set(topologicalOrder([next]));
  const isLocal = jacobian === "diagonal" || jacobian === "block";
  const product = isLocal ? [diagonalProduct(recurrence, jacobian).next] : [];
  const seed = cell.graph.leaf("tangent", cell.stateSize);
  return {
    drive: productsOf([drive]),
    step: productsOf([next]),
    product: productsOf(product, known),
    tangent: productsOf([stateTangent(recurrence, seed)], known),
  };
}

/** Floats of a P_k as it is stored. */
export function productWidth(cell: Cell, jacobian: JacobianKind): number {
  if (jacobian === "dense") return cell.stateSize ** 2;
  if (jacobian === "none" || jacobian === "identity") return 0;
  return diagonalProduct(recurrenceOf(cell), jacobian).identity.length;
}

function bytes(read: number, written: number, multiplyAdds: number | null): Work {
  return { read: 4 * read, written: 4 * written, multiplyAdds };
}

/** Once a solve: reads the inputs, writes the source of every step. */
export function driveFloor(cell: Cell, { steps }: FloorShape): Work {
  const { drive } = recurrenceOf(cell);
  return bytes(steps * cell.inputSize, steps * drive.size, steps * stepWork(cell, "none").drive);
}

/** One sweep over all chunks: reads the source and b_0 … b_{K−1}, writes all states, Φ_k and P_k. */
export function sweepFloor(cell: Cell, shape: FloorShape): Work {
  const { steps, chunks, jacobian } = shape;
  const { stateSize: D } = cell;
  const { step, product, tangent } = stepWork(cell, jacobian);
  const columns = jacobian === "dense" ? D : 0;
  return bytes(
    steps * recurrenceOf(cell).source.size + chunks * D,
    steps * D + chunks * (D + productWidth(cell, jacobian)),
    steps * (step + product + columns * tangent),
  );
}

/** One boundary update: reads Φ_k, P_k and the old boundaries, writes the new ones. */
export function scanFloor(cell: Cell, { chunks, jacobian, damped }: FloorShape): Work {
  const { stateSize: D } = cell;
  const width = productWidth(cell, jacobian);
  // Without P_k the new boundaries are the ends, and the old ones are not asked for.
  const read = jacobian === "none" ? D : 2 * D + width;
  return bytes(chunks * read, chunks * D, damped ? null : chunks * width);
}

/** One sweep of the certificate: reads source and states; its seams are four tangents, read and written. */
export function certificateFloor(cell: Cell, { steps, errorChunks }: FloorShape): Work {
  const { stateSize: D } = cell;
  const { step, tangent } = stepWork(cell, "none");
  const seams = errorChunks * TANGENTS * D;
  return bytes(
    steps * (recurrenceOf(cell).source.size + D) + seams,
    seams,
    steps * (step + TANGENTS * tangent),
  );
}

/** Sequential evaluation: the drive is computed in the step, and nothing but inputs and states moves. */
export function sequentialFloor(cell: Cell, { steps }: Pick<FloorShape, "steps">): Work {
  const { drive, step } = stepWork(cell, "none");
  return bytes(steps * cell.inputSize, steps * cell.stateSize, steps * (drive + step));
}

export interface Peak {
  /** Of the device's memory, in bytes a second. */
  readonly bandwidth: number;
  /** Multiply–adds a second in float32, half of what data sheets call FLOPS. */
  readonly multiplyAdds: number;
}

export interface SolveCounts {
  /** Sweeps (boundary updates); the guess is run as well. */
  readonly sweeps: number;
  /** Sweeps of certificates. */
  readonly certificateSweeps: number;
}

/**
 * The least milliseconds that a solve can take: each stage at the peak of the memory or of the arithmetic,
 * whichever takes longer, one stage after the other.
 */
export function solveFloor(
  cell: Cell,
  shape: FloorShape,
  { sweeps, certificateSweeps }: SolveCounts,
  peak: Peak,
): number {
  const stages: [number, Work][] = [
    [1, driveFloor(cell, shape)],
    [sweeps + 1, sweepFloor(cell, shape)],
    [sweeps, scanFloor(cell, shape)],
    [certificateSweeps, certificateFloor(cell, shape)],
  ];
  return stages.reduce((sum, [times, work]) => sum + times * stageFloor(work, peak), 0);
}

/** Milliseconds. */
export function stageFloor({ read, written, multiplyAdds }: Work, peak: Peak): number {
  const memory = (read + written) / peak.bandwidth;
  return 1e3 * Math.max(memory, (multiplyAdds ?? 0) / peak.multiplyAdds);
}
