/**
 * Straight-line vector programs as hash-consed expression graphs.
 *
 * A node is a vector; equal expressions are one node, constants are folded, and views (slices and
 * concatenations) are pushed to where they cost nothing, all while the graph is built, so that a
 * derivative costs little more than it must. Creation order is a topological order.
 */
import { type PointwiseName, partials, pointwise } from "./pointwise.ts";
import { block, type Matrix, sliceVector, type WeightVector } from "./weight.ts";

/** A named vector that a program reads: the state, the input, a tangent and so on. */
export type LeafName = string;

/** A vector that a step has computed, as far as tracing knows it: its size, and how it comes about. */
export type Vector = (
  | { readonly kind: "leaf"; readonly name: LeafName }
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "weight"; readonly weight: WeightVector }
  | { readonly kind: "linear"; readonly matrix: Matrix }
  | { readonly kind: "slice"; readonly start: number }
  | { readonly kind: "concat" }
  | { readonly kind: "pointwise"; readonly name: PointwiseName }
) & {
  readonly graph: Graph;
  /** Position in creation order. */
  readonly id: number;
  readonly size: number;
  readonly args: readonly Vector[];
};

/** A vector that a program reads. */
export type Leaf = Vector & { readonly kind: "leaf" };

type Content = Vector extends infer V
  ? V extends Vector
    ? Omit<V, "graph" | "id">
    : never
  : never;

export class Graph {
  readonly #nodes = new Map<string, Vector>();

  get size(): number {
    return this.#nodes.size;
  }

  #intern(key: string, content: Content): Vector {
    const known = this.#nodes.get(key);
    if (known) return known;
    const node = { ...content, graph: this, id: this.#nodes.size } as Vector;
    this.#nodes.set(key, node);
    return node;
  }

  leaf(name: LeafName, size: number): Leaf {
    return this.#intern(`leaf ${name} ${size}`, { kind: "leaf", name, size, args: [] }) as Leaf;
  }

  constant(value: number, size: number): Vector {
    // Object.is tells −0 from 0, and a string key would not.
    const key = `constant ${Object.is(value, -0) ? "-0" : value} ${size}`;
    return this.#intern(key, { kind: "constant", value, size, args: [] });
  }

  weight(weight: WeightVector): Vector {
    return this.#intern(`weight ${weight.key}`, {
      kind: "weight",
      weight,
      size: weight.size,
      args: [],
    });
  }

  /** matrix · vector. */
  linear(matrix: Matrix, vector: Vector): Vector {
    if (isConstant(vector, 0)) return this.constant(0, matrix.rows);
    return this.#intern(`linear ${matrix.key} ${vector.id}`, {
      kind: "linear",
      matrix,
      size: matrix.rows,
      args: [vector],
    });
  }

  slice(vector: Vector, start: number, size: number): Vector {
    if (start === 0 && size === vector.size) return vector;
    switch (vector.kind) {
      case "constant":
        return this.constant(vector.value, size);
      case "weight":
        return this.weight(sliceVector(vector.weight, start, size));
      case "slice":
        return this.slice(vector.args[0]!, vector.start + start, size);
      case "linear": {
        const { matrix } = vector;
        return this.linear(block(matrix, start, 0, size, matrix.columns), vector.args[0]!);
      }
      case "concat":
        return this.#sliceConcat(vector.args, start, size);
      case "pointwise":
        // Rows of an affine layer cost no more one by one, and can then go different ways.
        if (!isAffine(vector)) break;
        return this.apply(
          vector.name,
          vector.args.map((arg) => this.slice(arg, start, size)),
        );
    }
    return this.#intern(`slice ${start} ${size} ${vector.id}`, {
      kind: "slice",
      start,
      size,
      args: [vector],
    });
  }

  #sliceConcat(parts: readonly Vector[], start: number, size: number): Vector {
    const pieces: Vector[] = [];
    let offset = 0;
    for (const part of parts) {
      const from = Math.max(start, offset);
      const to = Math.min(start + size, offset + part.size);
      if (from < to) pieces.push(this.slice(part, from - offset, to - from));
      offset += part.size;
    }
    return this.concat(pieces);
  }

  concat(parts: readonly Vector[]): Vector {
    const pieces: Vector[] = [];
    for (const part of parts) {
      if (part.size === 0) continue;
      for (const piece of part.kind === "concat" ? part.args : [part]) {
        const last = pieces.at(-1);
        const merged = last && this.#mergeNeighbours(last, piece);
        if (merged) pieces[pieces.length - 1] = merged;
        else pieces.push(piece);
      }
    }
    if (pieces.length === 0) return this.constant(0, 0);
    if (pieces.length === 1) return pieces[0]!;
    return this.#intern(`concat ${pieces.map((piece) => piece.id).join(" ")}`, {
      kind: "concat",
      size: pieces.reduce((sum, piece) => sum + piece.size, 0),
      args: pieces,
    });
  }

  /** One vector for two that lie side by side in memory, or null. */
  #mergeNeighbours(a: Vector, b: Vector): Vector | null {
    if (a.kind === "constant" && b.kind === "constant" && Object.is(a.value, b.value)) {
      return this.constant(a.value, a.size + b.size);
    }
    if (a.kind === "slice" && b.kind === "slice" && a.args[0] === b.args[0]) {
      if (a.start + a.size === b.start) return this.slice(a.args[0]!, a.start, a.size + b.size);
    }
    return null;
  }

  apply = (name: PointwiseName, args: readonly Vector[]): Vector => {
    const size = args[0]!.size;
    const simpler = this.#simplify(name, args, size);
    if (simpler) return simpler;
    const ordered =
      pointwise[name].commutative && args[0]!.id > args[1]!.id ? [args[1]!, args[0]!] : args;
    return this.#intern(`${name} ${ordered.map((arg) => arg.id).join(" ")}`, {
      kind: "pointwise",
      name,
      size,
      args: ordered,
    });
  };

  partials(vector: Vector & { kind: "pointwise" }): readonly (Vector | null)[] {
    return partials(this, vector.name, vector.args, vector);
  }

  #simplify(name: PointwiseName, args: readonly Vector[], size: number): Vector | null {
    if (args.every((arg) => arg.kind === "constant")) {
      const [a, b, c] = args.map((arg) => (arg as Vector & { kind: "constant" }).value);
      return this.constant(pointwise[name].value(a!, b ?? 0, c ?? 0), size);
    }
    const [a, b, c] = args as [Vector, Vector, Vector];
    switch (name) {
      case "negate":
        return isPointwise(a, "negate") ? a.args[0]! : null;
      case "add":
        if (isConstant(a, 0)) return b;
        if (isConstant(b, 0)) return a;
        if (isPointwise(b, "negate")) return this.apply("subtract", [a, b.args[0]!]);
        if (isPointwise(a, "negate")) return this.apply("subtract", [b, a.args[0]!]);
        return null;
      case "subtract":
        if (isConstant(b, 0)) return a;
        if (isConstant(a, 0)) return this.apply("negate", [b]);
        if (isPointwise(b, "negate")) return this.apply("add", [a, b.args[0]!]);
        return null;
      case "multiply":
        for (const [x, y] of [
          [a, b],
          [b, a],
        ] as const) {
          if (isConstant(x, 0)) return x;
          if (isConstant(x, 1)) return y;
          if (isConstant(x, -1)) return this.apply("negate", [y]);
        }
        return null;
      case "divide":
        return isConstant(b, 1) ? a : null;
      case "where":
        return b === c ? b : null;
      default:
        return null;
    }
  }
}

/** A sum of matrix–vector products and weights. */
function isAffine(vector: Vector): boolean {
  if (vector.kind === "linear" || vector.kind === "weight") return true;
  return isPointwise(vector, "add") && vector.args.every(isAffine);
}

function isConstant(vector: Vector, value: number): boolean {
  return vector.kind === "constant" && vector.value === value;
}

function isPointwise(
  vector: Vector,
  name: PointwiseName,
): vector is Vector & { kind: "pointwise" } {
  return vector.kind === "pointwise" && vector.name === name;
}

/** Every node that `outputs` need, arguments before their users; not past nodes that are `final`. */
export function topologicalOrder(
  outputs: readonly Vector[],
  final: (node: Vector) => boolean = () => false,
): Vector[] {
  const seen = new Set<Vector>();
  const stack = [...outputs];
  while (stack.length > 0) {
    const node = stack.pop()!;
    if (seen.has(node)) continue;
    seen.add(node);
    if (!final(node)) stack.push(...node.args);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/** The nodes among `order` that depend on any leaf for which `depends` holds. */
export function dependents(
  order: readonly Vector[],
  depends: (leaf: LeafName) => boolean,
): Set<Vector> {
  const result = new Set<Vector>();
  for (const node of order) {
    const hit =
      node.kind === "leaf" ? depends(node.name) : node.args.some((arg) => result.has(arg));
    if (hit) result.add(node);
  }
  return result;
}
