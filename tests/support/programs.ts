/**
 * Random cells for property tests: straight-line programs over the whole vocabulary, smooth
 * wherever the state and the input lie within [−1, 1]. Kinks and poles are kept out by
 * construction: relu, minimum, maximum and greater compare values at least 0.1 apart, divisors,
 * roots and logarithms take arguments above 0.1, and values that could grow are folded by sin.
 */
import fc from "fast-check";
import {
  add,
  type Cell,
  concat,
  cos,
  defineCell,
  divide,
  exp,
  greater,
  linear,
  log,
  type Matrix,
  maximum,
  minimum,
  multiply,
  negate,
  relu,
  shift,
  sigmoid,
  sin,
  slice,
  softplus,
  sqrt,
  subtract,
  type Tensor,
  tanh,
  type Vector,
  where,
} from "../../src/cell/index.ts";
import { randomWeights } from "./random.ts";

interface Operation {
  readonly apply: (a: Vector, b: Vector) => Vector;
  /** Largest |result| for operands of at most |a| and |b|. */
  readonly bound: (a: number, b: number) => number;
}

const apart = (a: Vector, b: Vector) => add(a, 0.1, sigmoid(b));

const unaryOperations: Readonly<Record<string, Operation>> = {
  negate: { apply: negate, bound: (a) => a },
  tanh: { apply: tanh, bound: () => 1 },
  sigmoid: { apply: sigmoid, bound: () => 1 },
  softplus: { apply: softplus, bound: (a) => a + 0.7 },
  sin: { apply: sin, bound: () => 1 },
  cos: { apply: cos, bound: () => 1 },
  exp: { apply: (a) => exp(sin(a)), bound: () => Math.E },
  log: { apply: (a) => log(add(0.5, softplus(sin(a)))), bound: () => 1 },
  sqrt: { apply: (a) => sqrt(add(0.6, multiply(0.1, a))), bound: () => 1 },
  reluOfPositive: { apply: (a) => relu(add(0.1, softplus(a))), bound: (a) => a + 0.8 },
  reluOfNegative: { apply: (a) => relu(negate(add(0.1, softplus(a)))), bound: () => 0 },
  scale: { apply: (a) => multiply(-1.3, a), bound: (a) => 1.3 * a },
  square: { apply: (a) => multiply(a, a), bound: (a) => a * a },
};

const binaryOperations: Readonly<Record<string, Operation>> = {
  add: { apply: add, bound: (a, b) => a + b },
  subtract: { apply: subtract, bound: (a, b) => a + b },
  multiply: { apply: multiply, bound: (a, b) => a * b },
  divide: { apply: (a, b) => divide(a, add(1, multiply(b, b))), bound: (a) => a },
  minimumOfFirst: { apply: (a, b) => minimum(a, apart(a, b)), bound: (a) => a + 1.1 },
  minimumOfSecond: { apply: (a, b) => minimum(apart(a, b), a), bound: (a) => a + 1.1 },
  maximumOfFirst: { apply: (a, b) => maximum(apart(a, b), a), bound: (a) => a + 1.1 },
  maximumOfSecond: { apply: (a, b) => maximum(a, apart(a, b)), bound: (a) => a + 1.1 },
  whereTrue: {
    apply: (a, b) => where(greater(apart(a, b), a), sin(a), b),
    bound: (_, b) => Math.max(1, b),
  },
  whereFalse: {
    apply: (a, b) => where(greater(a, apart(a, b)), b, multiply(a, b)),
    bound: (a, b) => Math.max(b, a * b),
  },
};

/** A value that could be larger than this is folded by sin before it is used. */
const LARGEST_VALUE = 4;

interface Instruction {
  readonly operation: string;
  /** Which earlier values to use, and a shift or a first row: each taken modulo what there is. */
  readonly first: number;
  readonly second: number;
  readonly amount: number;
  readonly size: number;
}

export interface ProgramPlan {
  readonly inputSize: number;
  readonly partSizes: readonly number[];
  readonly instructions: readonly Instruction[];
  readonly seed: number;
}

const index = fc.nat({ max: 50 });
const smallSize = fc.integer({ min: 1, max: 4 });

const instruction = fc.record<Instruction>({
  operation: fc.oneof(
    { weight: 4, arbitrary: fc.constant("linear") },
    { weight: 3, arbitrary: fc.constantFrom("slice", "concat", "shift", "bias") },
    { weight: 4, arbitrary: fc.constantFrom(...Object.keys(unaryOperations)) },
    { weight: 4, arbitrary: fc.constantFrom(...Object.keys(binaryOperations)) },
  ),
  first: index,
  second: index,
  amount: index,
  size: smallSize,
});

/** Plans of random cells; `partsOfOneSize` makes them fit for unit blocks. */
export function programPlans({ partsOfOneSize = false } = {}): fc.Arbitrary<ProgramPlan> {
  const equal = fc
    .tuple(smallSize, fc.integer({ min: 1, max: 3 }))
    .map(([size, parts]) => Array<number>(parts).fill(size));
  return fc.record<ProgramPlan>({
    inputSize: fc.nat({ max: 3 }),
    partSizes: partsOfOneSize ? equal : fc.array(smallSize, { minLength: 1, maxLength: 3 }),
    instructions: fc.array(instruction, { minLength: 1, maxLength: 14 }),
    seed: fc.nat({ max: 1e6 }),
  });
}

/** The most elements of a vector in a program. */
const MAXIMUM_SIZE = 12;
const WEIGHT_SCALE = 0.7;

/** The cell that a plan describes. */
export function cellOfPlan(plan: ProgramPlan): Cell {
  const { partSizes, inputSize, instructions, seed } = plan;
  const inputs = inputSize === 0 ? [] : [inputSize];
  const sizes = planSizes([...partSizes, ...inputs], instructions);
  const shapes: Record<string, [number, number] | [number]> = {};
  instructions.forEach(({ operation }, k) => {
    if (operation === "linear") shapes[`w${k}`] = [sizes[k].result, sizes[k].first];
    if (operation === "bias") shapes[`w${k}`] = [sizes[k].first];
  });
  const data = randomWeights(shapes, WEIGHT_SCALE, seed);
  const weights = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]): [string, Tensor] => [
      name,
      { shape, data: data[name] },
    ]),
  );
  const names = partSizes.map((_, i) => `part${i}`);
  return defineCell({
    name: "random",
    inputSize,
    state: Object.fromEntries(names.map((name, i) => [name, partSizes[i]])),
    weights,
    step: (state, input, handles) => {
      const values: Bounded[] = names.map((name) => ({ vector: state[name], bound: 1 }));
      if (inputSize > 0) values.push({ vector: input, bound: 1 });
      instructions.forEach((instruction, k) => {
        const { vector, bound } = execute(instruction, values, handles[`w${k}`], sizes[k]);
        const folded = bound > LARGEST_VALUE;
        values.push(folded ? { vector: sin(vector), bound: 1 } : { vector, bound });
      });
      // The last values are what the program was about; earlier ones fill up.
      const pool = values.map(({ vector }) => vector).reverse();
      return Object.fromEntries(names.map((name, i) => [name, tile(pool, i, partSizes[i])]));
    },
  });
}

interface Bounded {
  readonly vector: Vector;
  /** Largest |element| while the state and the input lie within [−1, 1]. */
  readonly bound: number;
}

interface InstructionSizes {
  /** Length of the first operand. */
  readonly first: number;
  readonly result: number;
}

/** What `execute` will produce, by length; weights need their shapes before there are vectors. */
function planSizes(
  given: readonly number[],
  instructions: readonly Instruction[],
): InstructionSizes[] {
  const lengths = [...given];
  return instructions.map(({ operation, first, second, size, amount }) => {
    const a = lengths[first % lengths.length];
    const b = lengths[second % lengths.length];
    let result = a;
    if (operation === "linear") result = size;
    if (operation === "slice") result = Math.min(size, a - (amount % a));
    if (operation === "concat") result = Math.min(a + b, MAXIMUM_SIZE);
    lengths.push(result);
    return { first: a, result };
  });
}

function execute(
  { operation, first, second, amount }: Instruction,
  values: readonly Bounded[],
  weight: Vector | Matrix,
  { result }: InstructionSizes,
): Bounded {
  const { vector: a, bound } = values[first % values.length];
  const { vector: b, bound: otherBound } = values[second % values.length];
  const larger = Math.max(bound, otherBound);
  switch (operation) {
    case "linear":
      return {
        vector: linear(weight as Matrix, a),
        bound: WEIGHT_SCALE * a.size * bound,
      };
    case "bias":
      return { vector: add(a, weight as Vector), bound: bound + WEIGHT_SCALE };
    case "slice":
      return { vector: slice(a, amount % a.size, result), bound };
    case "concat":
      return { vector: slice(concat(a, b), 0, result), bound: larger };
    case "shift":
      return { vector: shift(a, amount), bound };
  }
  const chosen = unaryOperations[operation] ?? binaryOperations[operation];
  return {
    vector: chosen.apply(a, tile([b], 0, a.size)),
    bound: chosen.bound(bound, otherBound),
  };
}

/** `size` elements taken from `pool[from]` on, going round as often as it takes. */
function tile(pool: readonly Vector[], from: number, size: number): Vector {
  const pieces: Vector[] = [];
  let length = 0;
  for (let i = from; length < size; i++) {
    const piece = pool[i % pool.length];
    pieces.push(piece);
    length += piece.size;
  }
  return slice(concat(...pieces), 0, size);
}
