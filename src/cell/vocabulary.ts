/**
 * The functions that a cell's step is written with. Each takes vectors of equal length, or numbers
 * (which stand for constant vectors), and returns a vector.
 */
import { requireType, requireValue } from "../checks.ts";
import type { Vector } from "./expression.ts";
import { type PointwiseName, pointwise } from "./pointwise.ts";
import type { Matrix } from "./weight.ts";

/** What pointwise operations take: a vector, or a number for a vector of that number. */
export type Operand = Vector | number;

function isVector(value: unknown): value is Vector {
  return typeof value === "object" && value !== null && "graph" in value && "size" in value;
}

function describe(value: unknown): string {
  if (isVector(value)) return `a vector of ${value.size}`;
  if (typeof value === "object" && value !== null && "rows" in value) return "a matrix";
  if (typeof value === "number" || value === undefined || value === null) return String(value);
  return `a ${typeof value}`;
}

function requireVector(where: string, value: unknown): Vector {
  if (!isVector(value)) throw new TypeError(`${where}: expected a vector, got ${describe(value)}`);
  return value;
}

function requireSameGraph(where: string, first: Vector, vector: Vector): Vector {
  if (vector.graph === first.graph) return vector;
  throw new TypeError(`${where}: expected vectors of one cell, got vectors of two`);
}

function applyTo(name: PointwiseName, operands: readonly Operand[]): Vector {
  const { arity } = pointwise[name];
  requireType(operands.length === arity, name, `${arity} operands`, operands.length);
  const first = operands.find(isVector);
  if (!first) {
    throw new TypeError(`${name}: expected at least one vector, got ${operands.map(describe)}`);
  }
  const vectors = operands.map((operand) => {
    if (typeof operand === "number") return first.graph.constant(operand, first.size);
    const vector = requireSameGraph(name, first, requireVector(name, operand));
    if (vector.size !== first.size) {
      throw new RangeError(
        `${name}: expected vectors of equal length, got ${first.size} and ${vector.size}`,
      );
    }
    return vector;
  });
  return first.graph.apply(name, vectors);
}

const unary = (name: PointwiseName) => (a: Vector) => applyTo(name, [a]);
const binary = (name: PointwiseName) => (a: Operand, b: Operand) => applyTo(name, [a, b]);

/** −a. */
export const negate: (a: Vector) => Vector = unary("negate");
/** The hyperbolic tangent. */
export const tanh: (a: Vector) => Vector = unary("tanh");
/** 1 / (1 + e⁻ˣ). */
export const sigmoid: (a: Vector) => Vector = unary("sigmoid");
/** a where a > 0, else 0. */
export const relu: (a: Vector) => Vector = unary("relu");
/** eˣ. */
export const exp: (a: Vector) => Vector = unary("exp");
/** The natural logarithm. */
export const log: (a: Vector) => Vector = unary("log");
/** log(1 + eˣ). */
export const softplus: (a: Vector) => Vector = unary("softplus");
/** The sine of an angle in radians. */
export const sin: (a: Vector) => Vector = unary("sin");
/** The cosine of an angle in radians. */
export const cos: (a: Vector) => Vector = unary("cos");
/** The square root. */
export const sqrt: (a: Vector) => Vector = unary("sqrt");
/** a − b. */
export const subtract: (a: Operand, b: Operand) => Vector = binary("subtract");
/** a / b. */
export const divide: (a: Operand, b: Operand) => Vector = binary("divide");
/** The smaller of a and b. */
export const minimum: (a: Operand, b: Operand) => Vector = binary("minimum");
/** The larger of a and b. */
export const maximum: (a: Operand, b: Operand) => Vector = binary("maximum");
/** 1 where a > b, else 0. */
export const greater: (a: Operand, b: Operand) => Vector = binary("greater");

/** The sum of two or more operands. */
export function add(a: Operand, b: Operand, ...more: Operand[]): Vector {
  return more.reduce<Vector>((sum, term) => applyTo("add", [sum, term]), applyTo("add", [a, b]));
}

/** The product of two or more operands. */
export function multiply(a: Operand, b: Operand, ...more: Operand[]): Vector {
  return more.reduce<Vector>(
    (product, factor) => applyTo("multiply", [product, factor]),
    applyTo("multiply", [a, b]),
  );
}

/** `whenTrue` where `condition` is not zero, else `whenFalse`. */
export function where(condition: Vector, whenTrue: Operand, whenFalse: Operand): Vector {
  return applyTo("where", [condition, whenTrue, whenFalse]);
}

/**
 * Matrix–vector product with a weight of shape `[rows, columns]`.
 *
 * @throws RangeError when the vector's length is not the matrix's number of columns.
 */
export function linear(matrix: Matrix, vector: Vector): Vector {
  if (typeof matrix !== "object" || matrix === null || !("rows" in matrix)) {
    throw new TypeError(`linear: expected a weight with two axes, got ${describe(matrix)}`);
  }
  requireVector("linear", vector);
  const { rows, columns, key } = matrix;
  const expected = `a vector of ${columns} for weight "${key}" of shape [${rows}, ${columns}]`;
  requireValue(vector.size === columns, "linear", expected, vector.size);
  return vector.graph.linear(matrix, vector);
}

/** Elements `start` to `start + size` as a vector of their own. */
export function slice(vector: Vector, start: number, size: number): Vector {
  requireVector("slice", vector);
  if (!Number.isInteger(start) || !Number.isInteger(size) || start < 0 || size < 1) {
    throw new RangeError(`slice: expected non-negative integers, got start ${start}, size ${size}`);
  }
  const end = start + size;
  requireValue(end <= vector.size, "slice", `an end within ${vector.size}`, end);
  return vector.graph.slice(vector, start, size);
}

/** `count` vectors of equal length, one after the other. */
export function split(vector: Vector, count: number): Vector[] {
  requireVector("split", vector);
  const size = vector.size / count;
  const isDivisor = Number.isInteger(size) && count >= 1;
  requireValue(isDivisor, "split", `a divisor of ${vector.size}`, count);
  return Array.from({ length: count }, (_, i) => slice(vector, i * size, size));
}

/** The vectors one after the other, as one. */
export function concat(...vectors: Vector[]): Vector {
  const first = requireVector("concat", vectors[0]);
  return first.graph.concat(
    vectors.map((vector) => requireSameGraph("concat", first, requireVector("concat", vector))),
  );
}

/** Cyclic shift: element i of the result is element (i + by) mod size of `vector`. */
export function shift(vector: Vector, by: number): Vector {
  requireVector("shift", vector);
  requireValue(Number.isInteger(by), "shift", "an integer", by);
  const { size } = vector;
  const start = ((by % size) + size) % size;
  if (start === 0) return vector;
  return concat(slice(vector, start, size - start), slice(vector, 0, start));
}
