/**
 * What the suite evaluates: every shipped cell in every variant, and one written with `defineCell`.
 * Weights, inputs and initial states come from integers, so that they are the same everywhere and go
 * unrounded to float32 and to the float64 oracle. A change here needs new golden vectors.
 */
import {
  add,
  autoregressiveGru,
  type Cell,
  concat,
  cos,
  defineCell,
  diagonalGru,
  diagonalLstm,
  divide,
  exp,
  greater,
  gru,
  linear,
  log,
  lorenz96,
  lstm,
  maximum,
  minimalGru,
  multiply,
  rnn,
  shift,
  sigmoid,
  sin,
  slice,
  softplus,
  split,
  sqrt,
  subtract,
  tanh,
  where,
} from "../cell/index.ts";
import type { FloatArray } from "../types.ts";
import { randomStream } from "./random.ts";

/** A sequence, or a batch of them. */
export interface Problem {
  readonly cell: Cell;
  /** `[sum(lengths), inputSize]`, or the number of steps of a cell that reads no input. */
  readonly inputs: FloatArray | number;
  readonly lengths: readonly number[];
  /** `[lengths.length, stateSize]`. */
  readonly initialState: Float32Array;
  readonly reverse: boolean;
}

interface Recipe {
  readonly make: (random: Random) => Cell;
  readonly lengths: readonly number[];
  readonly reverse?: boolean;
  /** Whether the state starts elsewhere than at zero. */
  readonly started?: boolean;
}

type Random = ReturnType<typeof randomStream>;
type Shapes = Readonly<Record<string, readonly [number] | readonly [number, number]>>;

/** Arrays for the shapes, on [−½, ½): the recurrences forget, but not at once. */
function draw(random: Random, shapes: Shapes): Record<string, Float32Array> {
  const arrays = Object.entries(shapes).map(([name, [rows, columns = 1]]) => {
    return [name, random(rows * columns, 0.5)] as const;
  });
  return Object.fromEntries(arrays);
}

/** PyTorch's names, with `gates` gates of `h` rows. */
function gates(count: number, i: number, h: number): Shapes {
  const rows = count * h;
  return { weight_ih: [rows, i], weight_hh: [rows, h], bias_ih: [rows], bias_hh: [rows] };
}

const rnnOf = (nonlinearity: "tanh" | "relu") => (random: Random) =>
  rnn({ inputSize: 3, hiddenSize: 8, nonlinearity, weights: draw(random, gates(1, 3, 8)) });

const gruOf = (variant: "reset-after" | "reset-before", hiddenSize: number) => (random: Random) => {
  const weights = draw(random, gates(3, 3, hiddenSize));
  return gru({ inputSize: 3, hiddenSize, variant, weights });
};

const lstmOf = (variant: "plain" | "peephole" | "coupled", h: number) => (random: Random) => {
  const peepholes: Shapes = { peephole_i: [h], peephole_f: [h], peephole_o: [h] };
  const shapes = { ...gates(4, 2, h), ...(variant === "peephole" ? peepholes : {}) };
  const weights = draw(random, shapes);
  return lstm({ inputSize: 2, hiddenSize: h, variant, weights });
};

function minimalGruOf(random: Random): Cell {
  const weights = draw(random, { weight_ih: [16, 3], weight_hh: [16, 8], bias: [16] });
  return minimalGru({ inputSize: 3, hiddenSize: 8, weights });
}

function diagonalGruOf(random: Random): Cell {
  const weights = draw(random, { weight_ih: [30, 2], diagonal_hh: [30], bias: [30] });
  return diagonalGru({ inputSize: 2, hiddenSize: 10, weights });
}

function diagonalLstmOf(random: Random): Cell {
  const weights = draw(random, {
    weight_ih: [18, 2],
    diagonal_hh: [18],
    peephole_f: [6],
    peephole_o: [6],
    bias: [18],
  });
  return diagonalLstm({ inputSize: 2, hiddenSize: 6, weights });
}

function autoregressiveGruOf(random: Random): Cell {
  const weights = draw(random, {
    weight_ih: [18, 1],
    weight_hh: [18, 6],
    bias: [18],
    bias_n: [6],
    decoder_weight: [2, 6],
    decoder_bias: [2],
  });
  return autoregressiveGru({ hiddenSize: 6, weights });
}

/** Every operation of the vocabulary that the shipped cells do not use, in two layers. */
function customOf(random: Random): Cell {
  const weights = draw(random, { inner: [6, 8], outer: [8, 6], input: [6, 3], bias: [6] });
  return defineCell({
    name: "custom",
    inputSize: 3,
    state: { a: { size: 4, bounds: [-2, 2] }, b: 4 },
    weights: {
      inner: { shape: [6, 8], data: weights.inner! },
      outer: { shape: [8, 6], data: weights.outer! },
      input: { shape: [6, 3], data: weights.input! },
      bias: { shape: [6], data: weights.bias! },
    },
    step: ({ a, b }, x, { inner, outer, input, bias }) => {
      const drive = add(linear(input, x), bias);
      const hidden = tanh(add(linear(inner, concat(a, b)), drive));
      const [p, q] = split(linear(outer, hidden), 2);
      const rest = slice(hidden, 2, 4);
      const gate = sigmoid(add(shift(b, 1), exp(tanh(slice(drive, 0, 4)))));
      const leaky = where(greater(p!, 0), p!, multiply(0.25, p!));
      const norm = sqrt(add(1, multiply(rest, rest)));
      const squashed = log(add(2, cos(b)));
      return {
        a: add(tanh(leaky), multiply(gate, sin(multiply(0.5, a)))),
        b: add(
          divide(maximum(q!, multiply(-0.125, q!)), norm),
          multiply(0.25, subtract(softplus(b), squashed)),
        ),
      };
    },
  });
}

const ragged = [37, 0, 1, 18];

/** In this order, which seeds them. */
const recipes: Readonly<Record<string, Recipe>> = {
  "rnn-tanh": { make: rnnOf("tanh"), lengths: [60] },
  "rnn-relu": { make: rnnOf("relu"), lengths: ragged, reverse: true },
  "gru-reset-after": { make: gruOf("reset-after", 8), lengths: ragged, started: true },
  "gru-reset-before": { make: gruOf("reset-before", 7), lengths: [53], reverse: true },
  "lstm-plain": { make: lstmOf("plain", 6), lengths: [60], started: true },
  "lstm-peephole": { make: lstmOf("peephole", 5), lengths: ragged, started: true, reverse: true },
  "lstm-coupled": { make: lstmOf("coupled", 6), lengths: [1, 45, 0] },
  "minimal-gru": { make: minimalGruOf, lengths: [60], started: true, reverse: true },
  "diagonal-gru": { make: diagonalGruOf, lengths: ragged },
  "diagonal-lstm": { make: diagonalLstmOf, lengths: [60], started: true },
  // Chaos, but too short for it to show: rounding comes to five times what it does elsewhere.
  lorenz96: { make: () => lorenz96({ size: 8, timeStep: 2 ** -6 }), lengths: [40], started: true },
  "autoregressive-gru": { make: autoregressiveGruOf, lengths: [60] },
  custom: { make: customOf, lengths: ragged, started: true, reverse: true },
};

/** The names of the suite's cells. */
export const conformanceCells: readonly string[] = Object.keys(recipes);

/** The problem of one cell. */
export function problemOf(name: string): Problem {
  const recipe = recipes[name]!;
  const random = randomStream(1 + conformanceCells.indexOf(name));
  const cell = recipe.make(random);
  const { lengths, started = false, reverse = false } = recipe;
  const rows = lengths.reduce((sum, length) => sum + length, 0);
  const inputs = cell.inputSize > 0 ? random(rows * cell.inputSize, 2) : rows;
  const count = lengths.length * cell.stateSize;
  const initialState = started ? random(count) : new Float32Array(count);
  return { cell, inputs, lengths, initialState, reverse };
}
