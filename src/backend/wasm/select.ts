/**
 * Instruction selection: which nodes of a program become instructions, which are fused into others,
 * and in what order they run.
 */
import { Opcode } from "../../../assembly/opcode.ts";
import { dependents, topologicalOrder, type Vector } from "../../cell/expression.ts";
import type { PointwiseName } from "../../cell/pointwise.ts";
import type { Matrix } from "../../cell/weight.ts";

/** A stretch of memory of its own: a program's output, by its index, or a concatenation. */
export type Whole = number | Vector;

/** A place within a whole. */
export interface Place {
  readonly whole: Whole;
  /** In elements of the whole's vector. */
  readonly offset: number;
}

/** An instruction before its operands have addresses. */
export interface Operation {
  /** The vector that it computes or copies. */
  readonly node: Vector;
  readonly opcode: Opcode;
  /** Operands a, b, c, d. */
  readonly args: readonly Vector[];
  readonly matrix?: Matrix;
  /** Where a copy goes. */
  readonly into?: Place;
}

const opcodes: Readonly<Record<PointwiseName, Opcode>> = {
  negate: Opcode.Negate,
  tanh: Opcode.Tanh,
  sigmoid: Opcode.Sigmoid,
  relu: Opcode.Relu,
  exp: Opcode.Exp,
  log: Opcode.Log,
  softplus: Opcode.Softplus,
  sin: Opcode.Sin,
  cos: Opcode.Cos,
  sqrt: Opcode.Sqrt,
  step: Opcode.Step,
  add: Opcode.Add,
  subtract: Opcode.Subtract,
  multiply: Opcode.Multiply,
  divide: Opcode.Divide,
  minimum: Opcode.Minimum,
  maximum: Opcode.Maximum,
  greater: Opcode.Greater,
  where: Opcode.Where,
};

export interface Selection {
  /** All nodes that do not depend on any leaf: computed once, beforehand. */
  readonly isStatic: (node: Vector) => boolean;
  /** Whether a node has one column per tangent instead of one value per lane. */
  readonly isColumned: (node: Vector) => boolean;
  /** Whether a node is a weight times (a part of) tangents that are the identity: a weight again. */
  readonly isImage: (node: Vector) => boolean;
  /** In an order in which they can run, and in which neighbours are alike. */
  readonly operations: readonly Operation[];
  /** Vectors that are computed as a part of something larger. */
  readonly homes: ReadonlyMap<Vector, Place>;
  /** Concatenations that are not part of anything larger. */
  readonly wholes: readonly Vector[];
}

/** The leaf that has one column per tangent; nothing in a program but linear in it. */
export interface Columns {
  readonly leaf: string;
  /** A multiple of four. */
  readonly count: number;
  /** Whether the tangents are the identity, so that no matrix need be multiplied with them. */
  readonly identity?: boolean;
}

export function selectOperations(
  outputs: readonly Vector[],
  columns: Columns | undefined,
): Selection {
  const order = topologicalOrder(outputs);
  const dynamic = dependents(order, () => true);
  const columned = dependents(order, (leaf) => leaf === columns?.leaf);
  const isStatic = (node: Vector) => !dynamic.has(node);
  const isColumned = (node: Vector) => columned.has(node);
  const isImage = (node: Vector) =>
    columns?.identity === true && node.kind === "linear" && isPartOf(node.args[0]!, columns.leaf);
  const uses = countUses(order, outputs);
  const fusible = (node: Vector) => dynamic.has(node) && uses.get(node) === 1 && !isImage(node);
  // A product that could be part of the drive starts from nothing that could not, so that a step
  // rounds its sums in the same way whether the drive is computed in it or beforehand.
  const later = dependents(order, (leaf) => leaf !== "input");
  const startsFrom = (product: Vector, initial: Vector) =>
    fusible(product) && (later.has(product) || !later.has(initial));

  const computed = new Map<Vector, Operation>();
  const concats: Vector[] = [];
  const needed = [...outputs];
  const seen = new Set<Vector>();
  while (needed.length > 0) {
    const node = needed.pop()!;
    if (seen.has(node) || isStatic(node) || isImage(node)) continue;
    seen.add(node);
    if (node.kind === "concat") concats.push(node);
    if (node.kind === "pointwise" || node.kind === "linear") {
      const operation = selectOne(node, isColumned, fusible, startsFrom);
      computed.set(node, operation);
      needed.push(...operation.args);
    } else {
      needed.push(...node.args);
    }
  }
  const placement = new Placement(computed, isStatic);
  for (const [whole, output] of outputs.entries()) placement.place(output, { whole, offset: 0 });
  const wholes = concats.filter((node) => placement.addWhole(node));
  const { homes, copies } = placement;
  const operations = schedule(computed, copies);
  return { isStatic, isColumned, isImage, operations, homes, wholes };
}

/** Whether `node` is a leaf or a slice of it. */
export function isPartOf(node: Vector, leaf: string): boolean {
  const origin = node.kind === "slice" ? node.args[0]! : node;
  return origin.kind === "leaf" && origin.name === leaf;
}

/** Decides which vectors are computed right where a concatenation wants them. */
class Placement {
  readonly homes = new Map<Vector, Place>();
  readonly copies: Operation[] = [];
  readonly #computed: ReadonlyMap<Vector, Operation>;
  readonly #isStatic: (node: Vector) => boolean;

  constructor(computed: ReadonlyMap<Vector, Operation>, isStatic: (node: Vector) => boolean) {
    this.#computed = computed;
    this.#isStatic = isStatic;
  }

  place(node: Vector, home: Place): void {
    const free = !this.homes.has(node) && !this.#isStatic(node);
    if (free && this.#computed.has(node)) {
      this.homes.set(node, home);
    } else if (free && node.kind === "concat") {
      this.homes.set(node, home);
      this.#placePieces(node, home);
    } else {
      this.copies.push({ node, opcode: Opcode.Copy, args: [node], into: home });
    }
  }

  /** False if the concatenation lies within another already. */
  addWhole(node: Vector): boolean {
    if (this.homes.has(node)) return false;
    this.#placePieces(node, { whole: node, offset: 0 });
    return true;
  }

  #placePieces(node: Vector, { whole, offset }: Place): void {
    let at = offset;
    for (const piece of node.args) {
      this.place(piece, { whole, offset: at });
      at += piece.size;
    }
  }
}

function countUses(order: readonly Vector[], outputs: readonly Vector[]): Map<Vector, number> {
  const uses = new Map<Vector, number>();
  const use = (node: Vector) => uses.set(node, (uses.get(node) ?? 0) + 1);
  for (const node of order) node.args.forEach(use);
  outputs.forEach(use);
  return uses;
}

function selectOne(
  node: Vector & { kind: "pointwise" | "linear" },
  isColumned: (node: Vector) => boolean,
  fusible: (node: Vector) => boolean,
  startsFrom: (product: Vector, initial: Vector) => boolean,
): Operation {
  if (node.kind === "linear") {
    return { node, opcode: Opcode.Linear, args: [node.args[0]!], matrix: node.matrix };
  }
  const { name, args } = node;
  const [a, b] = args as [Vector, Vector];
  if (name === "add") {
    for (const [x, y] of bothOrders([a, b])) {
      if (y.kind === "linear" && startsFrom(y, x)) {
        return { node, opcode: Opcode.Linear, args: [y.args[0]!, x], matrix: y.matrix };
      }
    }
  }
  if (name === "tanh" && isPart(a, "add", fusible)) {
    const sum = selectOne(a as Pointwise, isColumned, fusible, startsFrom);
    const { opcode, args } = sum;
    if (opcode === Opcode.MultiplyAdd) return { node, opcode: Opcode.MultiplyAddTanh, args };
  }
  const fused = isColumned(node)
    ? fuseColumned(node, isColumned, fusible)
    : fusePointwise(node, fusible);
  return { node, ...(fused ?? { opcode: opcodes[name], args }) };
}

type Pointwise = Vector & { readonly kind: "pointwise" };
type Fused = Pick<Operation, "opcode" | "args"> | null;

/** Whether `node` is made by `name` and may be computed as a part of something larger. */
function isPart(node: Vector, name: PointwiseName, fusible: (node: Vector) => boolean) {
  return node.kind === "pointwise" && node.name === name && fusible(node);
}

function bothOrders([a, b]: readonly Vector[]): readonly (readonly [Vector, Vector])[] {
  return [
    [a!, b!],
    [b!, a!],
  ];
}

function fuseColumned(
  { name, args }: Pointwise,
  isColumned: (node: Vector) => boolean,
  fusible: (node: Vector) => boolean,
): Fused {
  /** Factors with the one that has no columns first. */
  const factors = ([u, v]: readonly Vector[]) => (isColumned(u!) ? [v!, u!] : [u!, v!]);
  if (name === "multiply") return { opcode: Opcode.ScaleRows, args: factors(args) };
  if (name !== "add") return null;
  for (const [x, y] of bothOrders(args)) {
    if (isPart(y, "multiply", fusible)) {
      return { opcode: Opcode.ScaleRowsAdd, args: [...factors(y.args), x] };
    }
  }
  return null;
}

/**
 * Chains of numberwise operations that are one instruction. Each computes what its parts would, one
 * by one, to the bit.
 */
function fusePointwise({ name, args }: Pointwise, fusible: (node: Vector) => boolean): Fused {
  const [a, b] = args as [Vector, Vector];
  const isProduct = (node: Vector) => isPart(node, "multiply", fusible);
  switch (name) {
    case "add":
      for (const [x, y] of bothOrders(args))
        if (isProduct(y)) return addProduct(y.args, x, fusible);
      return null;
    case "subtract":
      if (isProduct(b)) return { opcode: Opcode.NegateMultiplyAdd, args: [...b.args, a] };
      if (isProduct(a)) return { opcode: Opcode.MultiplySubtract, args: [...a.args, b] };
      return null;
    case "multiply":
      for (const [x, y] of bothOrders(args)) {
        if (isPart(y, "tanh", fusible))
          return { opcode: Opcode.MultiplyTanh, args: [x, y.args[0]!] };
      }
      return null;
    default:
      return null;
  }
}

/** The product of `factors` and `term`. */
function addProduct(
  factors: readonly Vector[],
  term: Vector,
  fusible: (node: Vector) => boolean,
): Fused {
  for (const [factor, other] of bothOrders(factors)) {
    if (isPart(other, "subtract", fusible) && other.args[1] === term) {
      return { opcode: Opcode.Interpolate, args: [factor, other.args[0]!, term] };
    }
  }
  if (isPart(term, "multiply", fusible)) {
    return { opcode: Opcode.AddProducts, args: [...factors, ...term.args] };
  }
  return { opcode: Opcode.MultiplyAdd, args: [...factors, term] };
}

/** By level, then kind, so that instructions which can be merged become neighbours. */
function schedule(
  computed: ReadonlyMap<Vector, Operation>,
  copies: readonly Operation[],
): Operation[] {
  const levels = new Map<Vector, number>();
  const level = (node: Vector): number => {
    let result = levels.get(node);
    if (result === undefined) {
      const operation = computed.get(node);
      const below = Math.max(0, ...(operation?.args ?? node.args).map(level));
      // A concatenation's pieces may have to be copied first.
      result = operation || node.kind === "concat" ? below + 1 : below;
      levels.set(node, result);
    }
    return result;
  };
  const operationLevel = ({ node, into }: Operation) => level(node) + (into ? 0.5 : 0);
  return [...computed.values(), ...copies].sort(
    (x, y) =>
      operationLevel(x) - operationLevel(y) ||
      x.opcode - y.opcode ||
      firstRow(x.matrix) - firstRow(y.matrix) ||
      x.node.id - y.node.id,
  );
}

function firstRow(matrix: Matrix | undefined): number {
  return matrix?.kind === "block" ? matrix.row : 0;
}
