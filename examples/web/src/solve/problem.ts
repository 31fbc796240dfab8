/** From settings to a cell with seeded random weights, its inputs and its initial state. */
import {
  autoregressiveGru,
  type Cell,
  diagonalGru,
  diagonalLstm,
  gru,
  lorenz96,
  lstm,
  minimalGru,
  rnn,
} from "antler";
import { mulberry32, normal, randomWeights } from "../../../../tests/support/random.ts";
import { makeOwnCell } from "./own-cell.ts";
import type { CellChoice, SolveSettings } from "./settings.ts";

export interface Problem {
  readonly cell: Cell;
  /** `[steps, inputSize]`, standard normal; the number of steps for a cell without input. */
  readonly inputs: Float32Array | number;
  /** `[stateSize]`; zeros, but for Lorenz-96, where zeros stay alike. */
  readonly initialState: Float32Array;
  readonly steps: number;
}

export type ProblemSettings = Pick<
  SolveSettings,
  "cell" | "hiddenSize" | "inputSize" | "steps" | "gain" | "forcing" | "seed" | "code"
>;

/** The same settings give the same numbers in every browser, and in Node. @throws OwnCellError */
export function makeProblem(settings: ProblemSettings): Problem {
  const { steps, seed } = settings;
  const cell = makeCell(settings);
  const random = mulberry32(seed ^ 0x9e3779b9);
  const inputs = cell.inputSize === 0 ? steps : normal(random, steps * cell.inputSize);
  const initialState =
    settings.cell === "lorenz96"
      ? normal(random, cell.stateSize, settings.forcing, 0.1)
      : new Float32Array(cell.stateSize);
  return { cell, inputs, initialState, steps };
}

type Sizes = Omit<ProblemSettings, "cell" | "code">;
type Shapes = Readonly<Record<string, readonly number[]>>;

function makeCell({ cell, code, ...sizes }: ProblemSettings): Cell {
  return cell === "own" ? makeOwnCell(code, sizes) : makers[cell](sizes);
}

const draw = ({ gain, hiddenSize, seed }: Sizes, shapes: Shapes) =>
  randomWeights(shapes, gain / Math.sqrt(hiddenSize), seed);

/** Shapes in PyTorch's style. */
const gateShapes = ({ inputSize: i, hiddenSize: h }: Sizes, gates: number): Shapes => ({
  weight_ih: [gates * h, i],
  weight_hh: [gates * h, h],
  bias_ih: [gates * h],
  bias_hh: [gates * h],
});

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

function rnnOf(sizes: Sizes, nonlinearity: "tanh" | "relu"): Cell {
  const { inputSize, hiddenSize } = sizes;
  return rnn({ inputSize, hiddenSize, nonlinearity, weights: draw(sizes, gateShapes(sizes, 1)) });
}

const makers: Readonly<Record<Exclude<CellChoice, "own">, (sizes: Sizes) => Cell>> = {
  "gru-reset-after": (sizes) => gruOf(sizes, "reset-after"),
  "gru-reset-before": (sizes) => gruOf(sizes, "reset-before"),
  "lstm-plain": (sizes) => lstmOf(sizes, "plain"),
  "lstm-peephole": (sizes) => lstmOf(sizes, "peephole"),
  "lstm-coupled": (sizes) => lstmOf(sizes, "coupled"),
  "rnn-tanh": (sizes) => rnnOf(sizes, "tanh"),
  "rnn-relu": (sizes) => rnnOf(sizes, "relu"),
  "minimal-gru": (sizes) => {
    const { inputSize, hiddenSize: h } = sizes;
    const shapes = { weight_ih: [2 * h, inputSize], weight_hh: [2 * h, h], bias: [2 * h] };
    return minimalGru({ inputSize, hiddenSize: h, weights: draw(sizes, shapes) });
  },
  "diagonal-gru": (sizes) => {
    const { inputSize, hiddenSize: h } = sizes;
    const shapes = { weight_ih: [3 * h, inputSize], diagonal_hh: [3 * h], bias: [3 * h] };
    return diagonalGru({ inputSize, hiddenSize: h, weights: draw(sizes, shapes) });
  },
  "diagonal-lstm": (sizes) => {
    const { inputSize, hiddenSize: h } = sizes;
    const shapes = {
      weight_ih: [3 * h, inputSize],
      diagonal_hh: [3 * h],
      peephole_f: [h],
      peephole_o: [h],
      bias: [3 * h],
    };
    return diagonalLstm({ inputSize, hiddenSize: h, weights: draw(sizes, shapes) });
  },
  "autoregressive-gru": (sizes) => {
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
  },
  lorenz96: ({ hiddenSize, forcing }) => lorenz96({ size: hiddenSize, forcing }),
};
