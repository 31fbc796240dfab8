/** Our derivatives of a vector program, and the same by finite differences, at one point. */
import { cotangents, tangent } from "../../src/cell/differentiate.ts";
import { topologicalOrder, type Vector } from "../../src/cell/expression.ts";
import { interpreter, type LeafValues } from "../../src/cell/interpret.ts";
import type { Tensors } from "../../src/cell/weight.ts";
import {
  differenceJacobian,
  directionalDerivative,
  fromColumns,
  relativeError,
  unitVector,
  type VectorFunction,
} from "./finite-differences.ts";
import type { Random } from "./random.ts";

export interface Point {
  readonly weights: Tensors;
  /** The leaves to differentiate with respect to, by name. */
  readonly leaves: Readonly<Record<string, Vector>>;
  /** A value for each of them. */
  readonly at: LeafValues;
}

/** The values of `outputs`, in arrays of their own. */
export function evaluate(
  outputs: readonly Vector[],
  weights: Tensors,
  leaves: LeafValues,
): Float64Array[] {
  return interpreter(outputs, weights)(leaves).map((value) => value.slice());
}

/** `length` numbers, uniform on [−1, 1), in float64. */
export function randomVector(random: Random, length: number): Float64Array {
  return Float64Array.from({ length }, () => 2 * random() - 1);
}

/** `output` as a function of one of its leaves, the others at their values. */
function functionOf(output: Vector, { weights, at }: Point, leaf: string): VectorFunction {
  const run = interpreter([output], weights);
  return (value) => run({ ...at, [leaf]: value })[0];
}

/** ∂output/∂leaf by finite differences, `[output.size, leaf.size]`. */
export function expectedJacobian(output: Vector, point: Point, leaf: string): Float64Array {
  return differenceJacobian(functionOf(output, point, leaf), point.at[leaf]);
}

/** ∂output/∂leaf by tangents of unit vectors, `[output.size, leaf.size]`. */
export function tangentJacobian(output: Vector, point: Point, leaf: string): Float64Array {
  const { size } = point.leaves[leaf];
  const name = `seed of ${leaf}`;
  const seed = output.graph.leaf(name, size);
  const run = interpreter([tangent(output, { [leaf]: seed })], point.weights);
  return fromColumns(
    Array.from({ length: size }, (_, j) =>
      run({ ...point.at, [name]: unitVector(size, j) })[0].slice(),
    ),
  );
}

export interface DerivativeErrors {
  /** J u against a directional finite difference, with all leaves varied at once. */
  readonly tangent: number;
  /** Jᵀ v against the finite-difference Jacobian, the worst of the leaves. */
  readonly cotangents: number;
  /** The Jacobian from tangents of unit vectors, the worst of the leaves. */
  readonly jacobian: number;
  /** |⟨v, J u⟩ − ⟨Jᵀ v, u⟩|, relative to the sum of the absolute products. */
  readonly adjointness: number;
}

/** Relative errors of all first derivatives of `output` at `point`. */
export function derivativeErrors(output: Vector, point: Point, random: Random): DerivativeErrors {
  const { graph } = output;
  const { weights, at } = point;
  const names = Object.keys(point.leaves).filter((name) => point.leaves[name].size > 0);
  const leaves = names.map((name) => point.leaves[name]);
  const directions = leaves.map((leaf) => randomVector(random, leaf.size));
  const cotangent = randomVector(random, output.size);

  const seeds = Object.fromEntries(
    names.map((name, i) => [name, graph.leaf(`direction of ${name}`, leaves[i].size)]),
  );
  const seedValues = Object.fromEntries(
    names.map((name, i) => [`direction of ${name}`, directions[i]]),
  );
  const cotangentLeaf = graph.leaf("cotangent", output.size);
  const [image, ...pulledBack] = evaluate(
    [tangent(output, seeds), ...cotangents(output, cotangentLeaf, leaves)],
    weights,
    { ...at, ...seedValues, cotangent },
  );

  const run = interpreter([output], weights);
  const along: VectorFunction = ([distance]) => {
    const moved = names.map((name, i) => [
      name,
      at[name].map((x, j) => x + distance * directions[i][j]),
    ]);
    return run({ ...at, ...Object.fromEntries(moved) })[0];
  };
  const expectedImage = directionalDerivative(along, Float64Array.of(0), Float64Array.of(1));

  const errors = { cotangents: 0, jacobian: 0 };
  names.forEach((name, i) => {
    const expected = expectedJacobian(output, point, name);
    const columns = leaves[i].size;
    const expectedPullBack = new Float64Array(columns);
    expected.forEach((entry, k) => {
      expectedPullBack[k % columns] += entry * cotangent[Math.floor(k / columns)];
    });
    errors.cotangents = worse(errors.cotangents, relativeError(pulledBack[i], expectedPullBack));
    const ours = tangentJacobian(output, point, name);
    errors.jacobian = worse(errors.jacobian, relativeError(ours, expected));
  });

  const left = products(image, cotangent);
  const right = pulledBack.flatMap((value, i) => products(value, directions[i]));
  const size = [...left, ...right].reduce((total, x) => total + Math.abs(x), 1e-3);
  return {
    ...errors,
    tangent: relativeError(image, expectedImage),
    adjointness: Math.abs(sum(left) - sum(right)) / size,
  };
}

/** The larger; NaN is the largest of all. */
function worse(a: number, b: number): number {
  return b <= a ? a : b;
}

const products = (a: Float64Array, b: Float64Array) => Array.from(a, (x, i) => x * b[i]);
const sum = (terms: readonly number[]) => terms.reduce((total, x) => total + x, 0);

/** Distance of the arguments of `output`'s kinked operations from their kinks. */
export function kinkDistance(output: Vector, weights: Tensors, leaves: LeafValues): number {
  const kinked = new Set(["relu", "step", "minimum", "maximum", "greater"]);
  const gaps = topologicalOrder([output]).flatMap((node) => {
    if (node.kind !== "pointwise" || !kinked.has(node.name)) return [];
    const [a, b] = node.args;
    return [b ? node.graph.apply("subtract", [a, b]) : a];
  });
  return Math.min(
    Infinity,
    ...evaluate(gaps, weights, leaves).flatMap((gap) => Array.from(gap, Math.abs)),
  );
}

/** The number of pointwise operations of each name, and of nodes of each other kind. */
export function nodeCounts(outputs: readonly Vector[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const node of topologicalOrder(outputs)) {
    const key = node.kind === "pointwise" ? node.name : node.kind;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}
