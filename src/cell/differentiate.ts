/** The derivatives of a cell's step: JVP, VJP, dense Jacobian and unit-block diagonal. */
import type { Cell } from "./define-cell.ts";
import { estimatedDiagonal, exactDiagonal } from "./diagonal.ts";
import { type Graph, type LeafName, topologicalOrder, type Vector } from "./expression.ts";
import { applyForm, Linearisation, type Piece, sumPieces } from "./linearise.ts";
import { transpose } from "./weight.ts";

/** Tangents with more terms than this go through an intermediate vector. */
const MAXIMUM_TERMS = 8;

/** J · seed of `output`, for the seeds given (a vector of each leaf's size). */
export function tangent(output: Vector, seeds: Readonly<Record<LeafName, Vector>>): Vector {
  const { graph } = output;
  const linearisation = new Linearisation(graph, {
    leaves: Object.keys(seeds),
    maximumTerms: MAXIMUM_TERMS,
  });
  return applyForm(graph, linearisation.form(output), seeds);
}

/** Jᵀ · cotangent of `output`, with respect to each of `leaves`. */
export function cotangents(
  output: Vector,
  cotangent: Vector,
  leaves: readonly Vector[],
): readonly Vector[] {
  const { graph } = output;
  const pieces = new Map<Vector, Piece[]>([[output, [{ start: 0, value: cotangent }]]]);
  const contribute = (target: Vector, start: number, value: Vector) => {
    const known = pieces.get(target);
    if (known) known.push({ start, value });
    else pieces.set(target, [{ start, value }]);
  };
  for (const node of topologicalOrder([output]).reverse()) {
    const received = pieces.get(node);
    if (!received || node.kind === "leaf") continue;
    const adjoint = sumPieces(graph, node.size, received);
    pushBack(graph, node, adjoint, contribute);
  }
  return leaves.map((leaf) => sumPieces(graph, leaf.size, pieces.get(leaf) ?? []));
}

function pushBack(
  graph: Graph,
  node: Vector,
  adjoint: Vector,
  contribute: (target: Vector, start: number, value: Vector) => void,
): void {
  switch (node.kind) {
    case "linear":
      contribute(node.args[0]!, 0, graph.linear(transpose(node.matrix), adjoint));
      break;
    case "slice":
      contribute(node.args[0]!, node.start, adjoint);
      break;
    case "concat": {
      let offset = 0;
      for (const part of node.args) {
        contribute(part, 0, graph.slice(adjoint, offset, part.size));
        offset += part.size;
      }
      break;
    }
    case "pointwise":
      graph.partials(node).forEach((partial, i) => {
        if (partial) contribute(node.args[i]!, 0, graph.apply("multiply", [partial, adjoint]));
      });
  }
}

/** The number k of elements in a unit's block: the parts of the state, if all have one size. */
export function blockSize(cell: Pick<Cell, "parts">): number {
  const [first] = cell.parts;
  return cell.parts.every((part) => part.size === first!.size) ? cell.parts.length : 1;
}

export interface BlockDiagonal {
  /** k × k vectors of `stateSize / k`: blocks[a][b][i] = ∂ part a, element i / ∂ part b, element i. */
  readonly blocks: readonly (readonly Vector[])[];
  /** False when the entries are Hutchinson estimates, which read the leaf "signs". */
  readonly exact: boolean;
}

/**
 * Blocks of diagonals of ∂next/∂state: k × k for `units` = k parts of equal size; `units` = 1 is the
 * plain diagonal.
 */
export function blockDiagonal(next: Vector, units: number, probes: number): BlockDiagonal {
  const { graph, size: stateSize } = next;
  const form = new Linearisation(graph, { leaves: ["state"] }).form(next);
  const size = stateSize / units;
  const blocks: Vector[][] = [];
  for (let a = 0; a < units; a++) {
    const row: Vector[] = [];
    for (let b = 0; b < units; b++) {
      const entry = exactDiagonal(graph, form, { row: a * size, column: b * size, size });
      if (!entry) {
        const signs = graph.leaf("signs", probes * stateSize);
        return { blocks: estimatedDiagonal(graph, form, units, signs, "state"), exact: false };
      }
      row.push(entry);
    }
    blocks.push(row);
  }
  return { blocks, exact: true };
}
