/**
 * The pointwise operations that a cell may use: what each one is, in float64, and its derivative.
 * This table is the only place that knows; tracing, differentiation and every backend read it.
 */
import type { Vector } from "./expression.ts";

export type UnaryName =
  | "negate"
  | "tanh"
  | "sigmoid"
  | "relu"
  | "exp"
  | "log"
  | "softplus"
  | "sin"
  | "cos"
  | "sqrt"
  | "step";
export type BinaryName =
  | "add"
  | "subtract"
  | "multiply"
  | "divide"
  | "minimum"
  | "maximum"
  | "greater";
export type PointwiseName = UnaryName | BinaryName | "where";

export interface Pointwise {
  readonly arity: 1 | 2 | 3;
  /** The value for scalars, in float64. */
  readonly value: (a: number, b: number, c: number) => number;
  readonly commutative?: boolean;
}

/** log(1 + eˣ) without overflow. */
function softplusValue(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

function sigmoidValue(x: number): number {
  // Both branches keep full relative accuracy; a single 1 / (1 + e⁻ˣ) would too, up to overflow.
  if (x >= 0) return 1 / (1 + Math.exp(-x));
  const e = Math.exp(x);
  return e / (1 + e);
}

export const pointwise: Readonly<Record<PointwiseName, Pointwise>> = {
  negate: { arity: 1, value: (a) => -a },
  tanh: { arity: 1, value: Math.tanh },
  sigmoid: { arity: 1, value: sigmoidValue },
  relu: { arity: 1, value: (a) => (a <= 0 ? 0 : a) },
  exp: { arity: 1, value: Math.exp },
  log: { arity: 1, value: Math.log },
  softplus: { arity: 1, value: softplusValue },
  sin: { arity: 1, value: Math.sin },
  cos: { arity: 1, value: Math.cos },
  sqrt: { arity: 1, value: Math.sqrt },
  /** 1 where a > 0, else 0: the derivative of relu. */
  step: { arity: 1, value: (a) => (a > 0 ? 1 : 0) },
  add: { arity: 2, value: (a, b) => a + b, commutative: true },
  subtract: { arity: 2, value: (a, b) => a - b },
  multiply: { arity: 2, value: (a, b) => a * b, commutative: true },
  divide: { arity: 2, value: (a, b) => a / b },
  minimum: { arity: 2, value: Math.min, commutative: true },
  maximum: { arity: 2, value: Math.max, commutative: true },
  /** 1 where a > b, else 0. */
  greater: { arity: 2, value: (a, b) => (a > b ? 1 : 0) },
  /** b where a is not zero, else c. */
  where: { arity: 3, value: (a, b, c) => (a !== 0 ? b : c) },
};

/** What derivative rules are written with; `expression.ts` provides it. */
export interface Algebra {
  constant(value: number, size: number): Vector;
  apply(name: PointwiseName, args: readonly Vector[]): Vector;
}

/**
 * The partial derivatives of `output = name(args)` with respect to each argument; null where it is
 * zero everywhere. Written in terms of the output where that saves work (tanh, sigmoid, exp, √).
 * At a kink (relu, minimum, maximum) the derivative from the smaller argument's side is used.
 */
export function partials(
  algebra: Algebra,
  name: PointwiseName,
  args: readonly Vector[],
  output: Vector,
): readonly (Vector | null)[] {
  const { apply } = algebra;
  const [a, b] = args as [Vector, Vector];
  const one = algebra.constant(1, output.size);
  const negate = (x: Vector) => apply("negate", [x]);
  const subtract = (x: Vector, y: Vector) => apply("subtract", [x, y]);
  const multiply = (x: Vector, y: Vector) => apply("multiply", [x, y]);
  const divide = (x: Vector, y: Vector) => apply("divide", [x, y]);
  switch (name) {
    case "negate":
      return [negate(one)];
    case "tanh":
      return [subtract(one, multiply(output, output))];
    case "sigmoid":
      return [subtract(output, multiply(output, output))];
    case "relu":
      return [apply("step", [a])];
    case "exp":
      return [output];
    case "log":
      return [divide(one, a)];
    case "softplus":
      return [apply("sigmoid", [a])];
    case "sin":
      return [apply("cos", [a])];
    case "cos":
      return [negate(apply("sin", [a]))];
    case "sqrt":
      return [divide(algebra.constant(0.5, output.size), output)];
    case "step":
    case "greater":
      return args.map(() => null);
    case "add":
      return [one, one];
    case "subtract":
      return [one, negate(one)];
    case "multiply":
      return [b, a];
    case "divide":
      return [divide(one, b), negate(divide(output, b))];
    case "minimum": {
      const takesB = apply("greater", [a, b]);
      return [subtract(one, takesB), takesB];
    }
    case "maximum": {
      const takesA = apply("greater", [a, b]);
      return [takesA, subtract(one, takesA)];
    }
    case "where": {
      const zero = algebra.constant(0, output.size);
      return [null, apply("where", [a, one, zero]), apply("where", [a, zero, one])];
    }
  }
}
