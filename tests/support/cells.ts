/**
 * Every shipped cell in every variant, and two that a user could have written, with seeded random
 * weights: what the conformance tests run over.
 */
import {
  add,
  autoregressiveGru,
  type Cell,
  concat,
  defineCell,
  diagonalGru,
  diagonalLstm,
  divide,
  exp,
  greater,
  gru,
  linear,
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
} from "../../src/cell/index.ts";
import { randomWeights, type Weights } from "./random.ts";

export interface CellSetOptions {
  /** I, for the cells that have a choice. Default 3. */
  readonly inputSize?: number;
  /** H, for the cells that have a choice; at least 4. Default 5. */
  readonly hiddenSize?: number;
  /**
   * Weights are uniform on [−scale, scale). Default 1/√H, PyTorch's: all cells contract then, since
   * the spectral radius of a random H × H matrix is near scale √(H/3) = 0.58.
   */
  readonly scale?: number;
}

type Sizes = Required<CellSetOptions> & { readonly seed: number };
type Shapes = Readonly<Record<string, readonly number[]>>;

const draw = ({ scale, seed }: Sizes, shapes: Shapes): Weights =>
  randomWeights(shapes, scale, seed);

/** Shapes in PyTorch's style, for a cell with `gates` gates. */
function gateShapes({ inputSize: i, hiddenSize: h }: Sizes, gates: number): Shapes {
  return {
    weight_ih: [gates * h, i],
    weight_hh: [gates * h, h],
    bias_ih: [gates * h],
    bias_hh: [gates * h],
  };
}

/**
 * The cells, each with a name of its own (`cell.name`) and a stream of random weights that depends
 * on `seed`, on the cell's place in the list and on nothing else.
 *
 * Their Jacobians: diagonal for "diagonal-gru"; one block a unit for "diagonal-lstm"; through two
 * nested linear layers for "gru-reset-before", "minimal-gru", "autoregressive-gru" and
 * "custom-two-layers"; through three, beyond exact diagonals, for "custom-three-layers".
 */
export function cells(seed: number, options: CellSetOptions = {}): Cell[] {
  const { inputSize = 3, hiddenSize = 5 } = options;
  const { scale = 1 / Math.sqrt(hiddenSize) } = options;
  const makers: ((sizes: Sizes) => Cell)[] = [
    (sizes) => rnn({ inputSize, hiddenSize, weights: draw(sizes, gateShapes(sizes, 1)) }),
    reluWithoutBiases,
    (sizes) => gruOf(sizes, "reset-after"),
    (sizes) => gruOf(sizes, "reset-before"),
    (sizes) => lstmOf(sizes, "plain"),
    (sizes) => lstmOf(sizes, "peephole"),
    (sizes) => lstmOf(sizes, "coupled"),
    minimalGruOf,
    diagonalGruOf,
    diagonalLstmOf,
    // Below F = 8/9 the fixed point x = F attracts, where F = 8 is chaos.
    () => lorenz96({ size: hiddenSize, forcing: 0.5, timeStep: 0.05 }),
    autoregressiveGruOf,
    customTwoLayers,
    customThreeLayers,
  ];
  return makers.map((make, index) =>
    make({ inputSize, hiddenSize, scale, seed: seed * 1000 + index }),
  );
}

/** The cell of that name among `cells(seed, options)`. */
export function cellNamed(name: string, seed: number, options?: CellSetOptions): Cell {
  const all = cells(seed, options);
  const found = all.find((cell) => cell.name === name);
  if (found) return found;
  throw new RangeError(`name: expected ${all.map((cell) => cell.name).join(", ")}, got ${name}`);
}

function reluWithoutBiases(sizes: Sizes): Cell {
  const { weight_ih, weight_hh } = draw(sizes, gateShapes(sizes, 1));
  const { inputSize, hiddenSize } = sizes;
  const weights = { weight_ih, weight_hh };
  return rnn({ inputSize, hiddenSize, nonlinearity: "relu", weights });
}

function gruOf(sizes: Sizes, variant: "reset-after" | "reset-before"): Cell {
  const { inputSize, hiddenSize } = sizes;
  return gru({ inputSize, hiddenSize, variant, weights: draw(sizes, gateShapes(sizes, 3)) });
}

function lstmOf(sizes: Sizes, variant: "plain" | "peephole" | "coupled"): Cell {
  const { inputSize, hiddenSize: h } = sizes;
  const peepholes = { peephole_i: [h], peephole_f: [h], peephole_o: [h] };
  const shapes = { ...gateShapes(sizes, 4), ...(variant === "peephole" ? peepholes : {}) };
  return lstm({ inputSize, hiddenSize: h, variant, weights: draw(sizes, shapes) });
}

function minimalGruOf(sizes: Sizes): Cell {
  const { inputSize: i, hiddenSize: h } = sizes;
  const shapes = { weight_ih: [2 * h, i], weight_hh: [2 * h, h], bias: [2 * h] };
  return minimalGru({ inputSize: i, hiddenSize: h, weights: draw(sizes, shapes) });
}

function diagonalGruOf(sizes: Sizes): Cell {
  const { inputSize: i, hiddenSize: h } = sizes;
  const shapes = { weight_ih: [3 * h, i], diagonal_hh: [3 * h], bias: [3 * h] };
  return diagonalGru({ inputSize: i, hiddenSize: h, weights: draw(sizes, shapes) });
}

function diagonalLstmOf(sizes: Sizes): Cell {
  const { inputSize: i, hiddenSize: h } = sizes;
  const shapes = {
    weight_ih: [3 * h, i],
    diagonal_hh: [3 * h],
    peephole_f: [h],
    peephole_o: [h],
    bias: [3 * h],
  };
  return diagonalLstm({ inputSize: i, hiddenSize: h, weights: draw(sizes, shapes) });
}

function autoregressiveGruOf(sizes: Sizes): Cell {
  const { hiddenSize: h } = sizes;
  const shapes = {
    weight_ih: [3 * h, 1],
    weight_hh: [3 * h, h],
    bias: [3 * h],
    bias_n: [h],
    decoder_weight: [2, h],
    decoder_bias: [2],
  };
  return autoregressiveGru({ hiddenSize: h, weights: draw(sizes, shapes) });
}

/**
 * Two parts that mix through a hidden layer, with a bit of everything: views of the state, of
 * sums and of the input, nonlinear functions of the input alone, kinks, a quotient.
 */
function customTwoLayers(sizes: Sizes): Cell {
  const { inputSize: i, hiddenSize: h } = sizes;
  const m = h + 2;
  const given = draw(sizes, {
    inner: [m, 2 * h],
    outer: [2 * h, m],
    input: [m, i],
    bias: [m],
    leak: [h],
  });
  return defineCell({
    name: "custom-two-layers",
    inputSize: i,
    state: { a: { size: h, bounds: [-2, 2] }, b: h },
    weights: {
      inner: { shape: [m, 2 * h], data: given.inner },
      outer: { shape: [2 * h, m], data: given.outer },
      input: { shape: [m, i], data: given.input },
      bias: { shape: [m], data: given.bias },
      leak: { shape: [h], data: given.leak },
    },
    step: ({ a, b }, x, { inner, outer, input, bias, leak }) => {
      const drive = add(linear(input, x), bias);
      const hidden = tanh(add(linear(inner, concat(a, b)), drive));
      const [p, q] = split(linear(outer, hidden), 2);
      const [first, rest] = [slice(drive, 0, 2), slice(hidden, 2, h)];
      const norm = sqrt(add(1, multiply(rest, rest)));
      const leaky = where(greater(p, 0), p, multiply(0.3, p));
      const gate = sigmoid(add(shift(b, 1), leak, concat(exp(tanh(first)), slice(b, 2, h - 2))));
      return {
        a: add(tanh(leaky), multiply(gate, sin(multiply(0.4, a)))),
        b: add(divide(maximum(q, multiply(-0.1, q)), norm), multiply(0.2, softplus(b))),
      };
    },
  });
}

/** A leaky residual network: its recurrent path goes through three linear layers. */
function customThreeLayers(sizes: Sizes): Cell {
  const { inputSize: i, hiddenSize: h } = sizes;
  const square = [h, h] as const;
  const given = draw(sizes, { w1: square, w2: square, w3: square, u: [h, i], bias: [h] });
  return defineCell({
    name: "custom-three-layers",
    inputSize: i,
    state: { h: { size: h, bounds: [-1, 1] } },
    weights: {
      w1: { shape: square, data: given.w1 },
      w2: { shape: square, data: given.w2 },
      w3: { shape: square, data: given.w3 },
      u: { shape: [h, i], data: given.u },
      bias: { shape: [h], data: given.bias },
    },
    step: ({ h }, x, { w1, w2, w3, u, bias }) => {
      const first = tanh(add(linear(w1, h), linear(u, x)));
      const second = sin(add(linear(w2, first), bias));
      const candidate = tanh(linear(w3, second));
      return { h: add(candidate, multiply(0.3, subtract(h, candidate))) };
    },
    probes: 3,
  });
}
