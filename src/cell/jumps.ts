/**
 * Where a step jumps: its comparisons of the state. Derivatives know nothing of them, so that an
 * estimate of errors made with derivatives holds only where no comparison can turn over.
 */
import { dependents, topologicalOrder, type Vector } from "./expression.ts";
import type { Recurrence } from "./recurrence.ts";

export interface Jumps {
  /** How far each comparison is from turning over, which it does at zero: `[M]`. */
  readonly margins: Vector;
  /** By how much something in the step changes then: `[M]`. */
  readonly heights: Vector;
}

/** The jumps of a step, as functions of its leaves; null if it has none. */
export function jumpsOf({ cell, next }: Recurrence): Jumps | null {
  const { graph } = cell;
  const order = topologicalOrder([next]);
  const stateful = dependents(order, (leaf) => leaf === "state");
  const margins: Vector[] = [];
  const heights: Vector[] = [];
  const note = (margin: Vector, height: Vector) => {
    margins.push(margin);
    heights.push(height);
  };
  const marginOf = (node: Vector): Vector | null => {
    if (node.kind !== "pointwise" || !stateful.has(node)) return null;
    if (node.name === "greater") return graph.apply("subtract", node.args);
    return node.name === "step" ? node.args[0]! : null;
  };
  // A comparison that chooses between two vectors makes them change by their difference, any other
  // use of it by one.
  const noteUse = (node: Vector) => {
    const margin = marginOf(node);
    if (margin) note(margin, graph.constant(1, node.size));
  };
  for (const node of order) {
    const isChoice = node.kind === "pointwise" && node.name === "where";
    if (isChoice && stateful.has(node.args[0]!)) {
      const [condition, ...choices] = node.args;
      note(marginOf(condition!) ?? condition!, graph.apply("subtract", choices));
    }
    node.args.slice(isChoice ? 1 : 0).forEach(noteUse);
  }
  noteUse(next);
  if (margins.length === 0) return null;
  return { margins: graph.concat(margins), heights: graph.concat(heights) };
}
