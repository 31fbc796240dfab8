/**
 * A cell split in two: the *drive*, all that depends on the input alone and can be computed for every
 * t beforehand as a matrix product, and the recurrence proper, a function of the state and the drive.
 */
import type { Cell } from "./define-cell.ts";
import { blockDiagonal, blockSize, tangent } from "./differentiate.ts";
import { dependents, type Graph, type Leaf, topologicalOrder, type Vector } from "./expression.ts";

export interface Recurrence {
  readonly cell: Cell;
  /** The drive of one step, a function of the leaf "input"; of size 0 if nothing is split off. */
  readonly drive: Vector;
  /** The leaf that a step reads beside "state": "drive", or "input" if nothing is split off. */
  readonly source: Leaf;
  /** s_t, a function of the two. */
  readonly next: Vector;
}

const split = new WeakMap<Cell, Recurrence>();
const whole = new WeakMap<Cell, Recurrence>();

function remembered(
  known: WeakMap<Cell, Recurrence>,
  cell: Cell,
  make: (cell: Cell) => Recurrence,
): Recurrence {
  let recurrence = known.get(cell);
  if (!recurrence) {
    recurrence = make(cell);
    known.set(cell, recurrence);
  }
  return recurrence;
}

/** The split form of `cell`, made once per cell. */
export function recurrenceOf(cell: Cell): Recurrence {
  return remembered(split, cell, splitDrive);
}

/** The same step with its drive in it: more work a step, but nothing to be stored for every t. */
export function wholeRecurrenceOf(cell: Cell): Recurrence {
  return remembered(whole, cell, () => {
    const { graph, input: source } = cell;
    return { cell, drive: graph.concat([]), source, next: groupSums(graph, cell.next) };
  });
}

function splitDrive(cell: Cell): Recurrence {
  const { graph } = cell;
  const grouped = groupSums(graph, cell.next);
  const order = topologicalOrder([grouped]);
  const stateful = dependents(order, (leaf) => leaf === "state");
  const driven = dependents(order, (leaf) => leaf === "input");
  const isFrontier = (node: Vector) => driven.has(node) && !stateful.has(node);

  const frontier = new Set<Vector>();
  if (isFrontier(grouped)) frontier.add(grouped);
  for (const node of order) {
    if (!stateful.has(node)) continue;
    for (const arg of node.args) if (isFrontier(arg)) frontier.add(arg);
  }
  const pieces = [...frontier].sort((a, b) => a.id - b.id);
  const size = pieces.reduce((sum, piece) => sum + piece.size, 0);
  const source = graph.leaf("drive", size);
  const replacements = new Map<Vector, Vector>();
  let offset = 0;
  for (const piece of pieces) {
    replacements.set(piece, graph.slice(source, offset, piece.size));
    offset += piece.size;
  }
  const next = rebuild(graph, grouped, replacements);
  return { cell, drive: graph.concat(pieces), source, next };
}

/** `output` with every key of `replacements` replaced by its value. */
function rebuild(graph: Graph, output: Vector, replacements: ReadonlyMap<Vector, Vector>): Vector {
  const rebuilt = new Map(replacements);
  for (const node of topologicalOrder([output])) {
    if (rebuilt.has(node)) continue;
    const args = node.args.map((arg) => rebuilt.get(arg)!);
    rebuilt.set(node, rebuildNode(graph, node, args));
  }
  return rebuilt.get(output)!;
}

function rebuildNode(graph: Graph, node: Vector, args: readonly Vector[]): Vector {
  switch (node.kind) {
    case "leaf":
    case "constant":
    case "weight":
      return node;
    case "linear":
      return graph.linear(node.matrix, args[0]!);
    case "slice":
      return graph.slice(args[0]!, node.start, node.size);
    case "concat":
      return graph.concat(args);
    case "pointwise":
      return graph.apply(node.name, args);
  }
}

/**
 * Reorders sums so that terms which do not depend on the state stand together and can move to the
 * drive: (W x + b) + (U h + c) becomes ((W x + b) + c) + U h.
 */
function groupSums(graph: Graph, output: Vector): Vector {
  const order = topologicalOrder([output]);
  const stateful = dependents(order, (leaf) => leaf === "state");
  const driven = dependents(order, (leaf) => leaf === "input");
  const users = new Map<Vector, number>();
  for (const node of order) for (const arg of node.args) users.set(arg, (users.get(arg) ?? 0) + 1);
  const isSum = (node: Vector) => node.kind === "pointwise" && node.name === "add";
  const isInner = (node: Vector) => isSum(node) && users.get(node) === 1;

  const termsOf = (node: Vector): Vector[] =>
    node.args.flatMap((arg) => (isInner(arg) ? termsOf(arg) : [arg]));
  const rebuilt = new Map<Vector, Vector>();
  const sum = (terms: readonly Vector[]) =>
    terms.reduce<Vector | null>((a, b) => (a ? graph.apply("add", [a, b]) : b), null);
  for (const node of order) {
    if (!isSum(node) || !stateful.has(node)) {
      const args = node.args.map((arg) => rebuilt.get(arg)!);
      rebuilt.set(node, rebuildNode(graph, node, args));
      continue;
    }
    const terms = termsOf(node);
    // Constants first: their sum is computed once and for all.
    const constant = (term: Vector) => !driven.has(term);
    const outside = sum(
      [
        ...terms.filter((term) => !stateful.has(term) && constant(term)),
        ...terms.filter((term) => !stateful.has(term) && !constant(term)),
      ].map((term) => rebuilt.get(term)!),
    );
    const inside = sum(terms.filter((term) => stateful.has(term)).map((t) => rebuilt.get(t)!))!;
    rebuilt.set(node, outside ? graph.apply("add", [outside, inside]) : inside);
  }
  return rebuilt.get(output)!;
}

/** J · seed of the recurrence's step with respect to the state. */
export function stateTangent({ next }: Recurrence, seed: Vector): Vector {
  return tangent(next, { state: seed });
}

/** What one sweep carries from step to step beside the state, and how it starts. */
export interface DiagonalProduct {
  /** k: 1 for the plain diagonal, else the size of a unit's block. */
  readonly units: number;
  /** P_t = A_t P_{t−1}, `[k, k, stateSize / k]`, a function of the leaf "product". */
  readonly next: Vector;
  /** P before the first step: the identity. */
  readonly identity: Float64Array;
  /** The leaf of random signs that `next` reads where the diagonal has no exact formula. */
  readonly signs: Leaf | null;
}

/** The running product of the (block) diagonal Jacobians along a chunk. */
export function diagonalProduct(
  { cell, next }: Recurrence,
  kind: "diagonal" | "block",
): DiagonalProduct {
  const { graph } = cell;
  const units = kind === "block" ? blockSize(cell) : 1;
  const size = cell.stateSize / units;
  const { blocks, exact } = blockDiagonal(next, units, cell.probes);
  const product = graph.leaf("product", units * units * size);
  const entry = (a: number, b: number) => graph.slice(product, (a * units + b) * size, size);
  const rows: Vector[] = [];
  const identity = new Float64Array(product.size);
  for (let a = 0; a < units; a++) {
    for (let b = 0; b < units; b++) {
      let sum = graph.constant(0, size);
      for (let c = 0; c < units; c++) {
        sum = graph.apply("add", [sum, graph.apply("multiply", [blocks[a]![c]!, entry(c, b)])]);
      }
      rows.push(sum);
    }
    identity.fill(1, (a * units + a) * size, (a * units + a + 1) * size);
  }
  const signs = exact ? null : graph.leaf("signs", cell.probes * cell.stateSize);
  return { units, next: graph.concat(rows), identity, signs };
}

/** Steps after which the signs of Hutchinson's probes repeat; prime, so as to miss most rhythms. */
export const SIGNS_PERIOD = 61;

/** Fixed random signs for Hutchinson's probes: `[SIGNS_PERIOD, probes, stateSize]`. */
export function probeSigns({ probes, stateSize }: Cell): Float32Array {
  const signs = new Float32Array(SIGNS_PERIOD * probes * stateSize);
  for (let i = 0; i < signs.length; i++) {
    // A 32-bit integer hash (multiply, shift, exclusive or): its top bit is as good as a coin.
    let hash = Math.imul(i + 1, 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca77);
    signs[i] = (hash ^ (hash >>> 13)) & 0x8000 ? 1 : -1;
  }
  return signs;
}
