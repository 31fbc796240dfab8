import { describe, expect, it } from "vitest";
import { dependents, Graph, topologicalOrder, type Vector } from "../../src/cell/expression.ts";
import { interpreter } from "../../src/cell/interpret.ts";
import { type PointwiseName, pointwise } from "../../src/cell/pointwise.ts";
import { shift, split } from "../../src/cell/vocabulary.ts";
import {
  block,
  diagonalOf,
  hadamardTranspose,
  matrixValues,
  namedMatrix,
  namedVector,
  sliceVector,
  transpose,
  vectorValues,
} from "../../src/cell/weight.ts";

function newGraph() {
  const graph = new Graph();
  const [a, b, c] = ["a", "b", "c"].map((name) => graph.leaf(name, 4));
  const apply = (name: PointwiseName, ...args: Vector[]) => graph.apply(name, args);
  const constant = (value: number) => graph.constant(value, 4);
  return { graph, a, b, c, apply, constant };
}

describe("equal expressions are one node", () => {
  it("for leaves, constants, weights, products, views and pointwise operations", () => {
    const { graph, a, b, apply } = newGraph();
    const w = () => namedMatrix("w", 3, 4);
    const weight = () => graph.weight(namedVector("v", 4));
    const builds: (() => Vector)[] = [
      () => graph.leaf("a", 4),
      () => graph.constant(2, 4),
      weight,
      () => graph.linear(w(), a),
      () => graph.slice(a, 1, 2),
      () => graph.concat([a, b]),
      () => apply("tanh", a),
      () => apply("subtract", a, b),
      () => apply("where", a, b, weight()),
    ];
    for (const build of builds) {
      const first = build();
      const { size } = graph;
      expect(build()).toBe(first);
      expect(graph.size).toBe(size);
    }
  });

  it("for either order of a commutative operation, and no other", () => {
    const { a, b, apply } = newGraph();
    for (const name of ["add", "multiply", "minimum", "maximum"] as const) {
      expect(apply(name, a, b)).toBe(apply(name, b, a));
    }
    for (const name of ["subtract", "divide", "greater"] as const) {
      expect(apply(name, a, b)).not.toBe(apply(name, b, a));
    }
  });

  it("but not for different sizes, weights, or signs of zero", () => {
    const { graph, a } = newGraph();
    expect(graph.constant(1, 3)).not.toBe(graph.constant(1, 4));
    expect(graph.constant(0, 4)).not.toBe(graph.constant(-0, 4));
    expect(graph.linear(namedMatrix("w", 4, 4), a)).not.toBe(
      graph.linear(namedMatrix("u", 4, 4), a),
    );
    expect(graph.linear(transpose(namedMatrix("w", 4, 4)), a)).not.toBe(
      graph.linear(namedMatrix("w'", 4, 4), a),
    );
    expect(graph.weight(sliceVector(namedVector("v", 8), 0, 4))).not.toBe(
      graph.weight(namedVector("v[0+4]", 4)),
    );
  });
});

describe("simplification", () => {
  it("drops neutral and absorbing elements", () => {
    const { a, b, c, apply, constant } = newGraph();
    const [zero, one] = [constant(0), constant(1)];
    expect(apply("add", a, zero)).toBe(a);
    expect(apply("add", zero, a)).toBe(a);
    expect(apply("subtract", a, zero)).toBe(a);
    expect(apply("multiply", a, one)).toBe(a);
    expect(apply("multiply", one, a)).toBe(a);
    expect(apply("multiply", zero, a)).toBe(zero);
    expect(apply("multiply", a, zero)).toBe(zero);
    expect(apply("divide", a, one)).toBe(a);
    expect(apply("where", c, b, b)).toBe(b);
    expect(apply("negate", apply("negate", a))).toBe(a);
  });

  it("moves signs into sums", () => {
    const { a, b, apply, constant } = newGraph();
    const minusB = apply("negate", b);
    expect(apply("multiply", constant(-1), b)).toBe(minusB);
    expect(apply("subtract", constant(0), b)).toBe(minusB);
    expect(apply("add", a, minusB)).toBe(apply("subtract", a, b));
    expect(apply("add", minusB, a)).toBe(apply("subtract", a, b));
    expect(apply("subtract", a, minusB)).toBe(apply("add", a, b));
  });

  it("leaves alone what only looks neutral", () => {
    const { a, apply, constant } = newGraph();
    for (const node of [
      apply("divide", constant(1), a),
      apply("subtract", constant(1), a),
      apply("divide", a, constant(0)),
      apply("subtract", a, a),
    ]) {
      expect(node.kind).toBe("pointwise");
    }
  });

  it.each(Object.keys(pointwise) as PointwiseName[])("folds %s of constants", (name) => {
    const { apply, constant } = newGraph();
    const { arity, value } = pointwise[name];
    const numbers = [0.75, 2, -3].slice(0, arity);
    const [x, y = 0, z = 0] = numbers;
    const folded = apply(name, ...numbers.map(constant));
    expect(folded).toMatchObject({ kind: "constant", value: value(x, y, z), size: 4 });
  });

  it("knows that a weight times nothing is nothing", () => {
    const { graph, constant } = newGraph();
    expect(graph.linear(namedMatrix("w", 3, 4), constant(0))).toBe(graph.constant(0, 3));
  });
});

describe("views", () => {
  it("of views, constants and weights are one view, or none", () => {
    const { graph, a, b } = newGraph();
    expect(graph.slice(a, 0, 4)).toBe(a);
    expect(graph.slice(graph.slice(a, 1, 3), 1, 2)).toBe(graph.slice(a, 2, 2));
    expect(graph.slice(graph.constant(5, 4), 1, 2)).toBe(graph.constant(5, 2));
    const pair = graph.concat([a, b]);
    expect(graph.slice(pair, 0, 4)).toBe(a);
    expect(graph.slice(pair, 4, 4)).toBe(b);
    expect(graph.slice(pair, 2, 4)).toBe(
      graph.concat([graph.slice(a, 2, 2), graph.slice(b, 0, 2)]),
    );
    const weight = graph.weight(namedVector("v", 6));
    expect(graph.slice(graph.slice(weight, 1, 5), 2, 2)).toBe(graph.slice(weight, 3, 2));
  });

  it("put together again are the whole", () => {
    const { graph, a, b } = newGraph();
    expect(graph.concat([graph.slice(a, 0, 1), graph.slice(a, 1, 3)])).toBe(a);
    expect(graph.concat([graph.concat([a, b]), a])).toBe(graph.concat([a, graph.concat([b, a])]));
    expect(graph.concat([graph.constant(1, 2), graph.constant(1, 3)])).toBe(graph.constant(1, 5));
    expect(graph.concat([a, graph.constant(0, 0)])).toBe(a);
    expect(graph.concat([])).toBe(graph.constant(0, 0));
    // Neighbours in the wrong order, or with a gap, stay apart.
    expect(graph.concat([graph.slice(a, 2, 2), graph.slice(a, 0, 2)]).kind).toBe("concat");
    expect(graph.concat([graph.slice(a, 0, 1), graph.slice(a, 2, 2)]).kind).toBe("concat");
    expect(graph.concat([graph.constant(0, 2), graph.constant(-0, 2)]).kind).toBe("concat");
  });

  it("of a product take the weight's rows, and of an affine layer its parts", () => {
    const { graph, a, apply } = newGraph();
    const w = namedMatrix("w", 6, 4);
    const bias = graph.weight(namedVector("v", 6));
    const [, second] = split(apply("add", graph.linear(w, a), bias), 3);
    expect(second).toBe(
      apply("add", graph.linear(block(w, 2, 0, 2, 4), a), graph.slice(bias, 2, 2)),
    );
    // Not so for a nonlinear layer, which would be evaluated once a slice.
    expect(graph.slice(apply("tanh", a), 1, 2).kind).toBe("slice");
  });

  it("shift a vector cyclically, either way and round and round", () => {
    const { graph, a } = newGraph();
    const run = (node: Vector) =>
      Array.from(interpreter([node], {})({ a: Float64Array.of(10, 11, 12, 13) })[0]);
    expect(run(shift(a, 1))).toEqual([11, 12, 13, 10]);
    expect(run(shift(a, -1))).toEqual([13, 10, 11, 12]);
    expect(run(shift(a, 6))).toEqual([12, 13, 10, 11]);
    expect(shift(a, 4)).toBe(a);
    expect(shift(shift(a, 1), -1)).toBe(a);
    expect(shift(graph.leaf("one", 1), 3)).toBe(graph.leaf("one", 1));
  });
});

describe("the order of evaluation", () => {
  it("has every argument before its users, and nothing that is not needed", () => {
    const { a, b, c, apply } = newGraph();
    const sum = apply("add", a, b);
    const output = apply("multiply", sum, apply("tanh", sum));
    apply("exp", c);
    const order = topologicalOrder([output]);
    expect(order).toHaveLength(5);
    expect(order).not.toContain(c);
    for (const node of order) {
      for (const arg of node.args) expect(order.indexOf(arg)).toBeLessThan(order.indexOf(node));
    }
  });

  it("stops at final nodes, and knows who depends on what", () => {
    const { graph, a, b, apply } = newGraph();
    const inner = graph.linear(namedMatrix("w", 4, 4), apply("tanh", a));
    const output = apply("add", inner, b);
    const shallow = topologicalOrder([output], (node) => node.kind === "linear");
    expect(new Set(shallow)).toEqual(new Set([b, inner, output]));
    const order = topologicalOrder([output]);
    expect(dependents(order, (leaf) => leaf === "b")).toEqual(new Set([b, output]));
    expect(dependents(order, (leaf) => leaf === "c").size).toBe(0);
  });
});

describe("weight expressions", () => {
  const tensors = {
    w: { shape: [2, 3] as const, data: Float64Array.of(1, 2, 3, 4, 5, 6) },
    u: { shape: [3, 2] as const, data: Float64Array.of(7, 8, 9, 10, 11, 12) },
    v: { shape: [4] as const, data: Float32Array.of(1, 2, 3, 4) },
  };
  const w = namedMatrix("w", 2, 3);
  const u = namedMatrix("u", 3, 2);
  const values = (matrix: typeof w) => Array.from(matrixValues(matrix, tensors));

  it("evaluate to transposes, blocks and products entry by entry", () => {
    expect(values(w)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(values(transpose(w))).toEqual([1, 4, 2, 5, 3, 6]);
    expect(transpose(transpose(w))).toBe(w);
    expect(values(block(w, 0, 1, 2, 2))).toEqual([2, 3, 5, 6]);
    expect(values(block(block(w, 0, 1, 2, 2), 1, 1, 1, 1))).toEqual([6]);
    expect(block(block(w, 0, 1, 2, 2), 1, 1, 1, 1).key).toBe(block(w, 1, 2, 1, 1).key);
    expect(values(block(transpose(w), 1, 0, 2, 2))).toEqual([2, 5, 3, 6]);
    expect(values(hadamardTranspose(w, u))).toEqual([7, 18, 33, 32, 50, 72]);
  });

  it("evaluate to slices and diagonals", () => {
    const v = namedVector("v", 4);
    expect(Array.from(vectorValues(sliceVector(sliceVector(v, 1, 3), 1, 2), tensors))).toEqual([
      3, 4,
    ]);
    expect(sliceVector(v, 0, 4)).toBe(v);
    expect(Array.from(vectorValues(diagonalOf(w), tensors))).toEqual([1, 5]);
    const corner = diagonalOf(block(u, 1, 0, 2, 2));
    expect(Array.from(vectorValues(corner, tensors))).toEqual([9, 12]);
    expect(Array.from(vectorValues(sliceVector(corner, 1, 1), tensors))).toEqual([12]);
  });
});

describe("the interpreter", () => {
  it("computes diag(W₂ diag(a) W₁) from the product of weights", () => {
    const graph = new Graph();
    const a = graph.leaf("a", 3);
    const w = namedMatrix("w", 2, 3);
    const u = namedMatrix("u", 3, 2);
    const tensors = {
      w: { shape: [2, 3] as const, data: Float64Array.of(1, 2, 3, 4, 5, 6) },
      u: { shape: [3, 2] as const, data: Float64Array.of(7, 8, 9, 10, 11, 12) },
    };
    const diagonal = graph.linear(hadamardTranspose(w, u), a);
    const [value] = interpreter([diagonal], tensors)({ a: Float64Array.of(1, -1, 2) });
    expect(Array.from(value)).toEqual([7 - 18 + 66, 32 - 50 + 144]);
  });

  it("says which leaf is missing or has the wrong length", () => {
    const { a, b, apply } = newGraph();
    const run = interpreter([apply("add", a, b)], {});
    const four = new Float64Array(4);
    expect(() => run({ a: four })).toThrow(
      new RangeError('leaf "b": expected 4 numbers, got undefined'),
    );
    expect(() => run({ a: new Float64Array(3), b: four })).toThrow(
      new RangeError('leaf "a": expected 4 numbers, got 3'),
    );
  });
});

describe("pointwise values in float64", () => {
  it("stay accurate and finite far out", () => {
    const { sigmoid, softplus, relu, step, where, greater } = pointwise;
    expect(sigmoid.value(-800, 0, 0)).toBe(0);
    expect(sigmoid.value(-700, 0, 0)).toBe(Math.exp(-700));
    expect(sigmoid.value(800, 0, 0)).toBe(1);
    expect(sigmoid.value(0, 0, 0)).toBe(0.5);
    expect(softplus.value(1000, 0, 0)).toBe(1000);
    expect(softplus.value(-40, 0, 0)).toBeCloseTo(Math.exp(-40), 30);
    expect(softplus.value(0, 0, 0)).toBe(Math.LN2);
    expect(relu.value(Number.NaN, 0, 0)).toBeNaN();
    expect(relu.value(-1, 0, 0)).toBe(0);
    expect([step.value(0, 0, 0), step.value(1e-300, 0, 0)]).toEqual([0, 1]);
    expect([greater.value(1, 1, 0), greater.value(2, 1, 0)]).toEqual([0, 1]);
    expect([where.value(0, 5, 6), where.value(-1, 5, 6)]).toEqual([6, 5]);
  });
});
