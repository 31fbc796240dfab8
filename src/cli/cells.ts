/** The shipped cells that take weights: how their tensors are named and shaped, and how they are made. */
import {
  autoregressiveGru,
  type Cell,
  diagonalGru,
  diagonalLstm,
  gru,
  lstm,
  minimalGru,
  rnn,
} from "../index.ts";
import type { FloatArray } from "../types.ts";
import { UsageError } from "./failure.ts";

export type Weights = Record<string, FloatArray>;
type Shapes = Readonly<Record<string, readonly number[]>>;

export interface Sizes {
  readonly inputSize: number;
  readonly hiddenSize: number;
}

export interface CellKind {
  readonly name: string;
  /** G: weight_ih has G · hiddenSize rows. */
  readonly gates: number;
  /** What `--variant` takes, the default first; empty where there is only one. */
  readonly variants: readonly string[];
  /** Input size, if it is always the same. */
  readonly inputSize?: number;
  /** Tensors that the cell must have, and those that are zero where missing. */
  required(sizes: Sizes, variant: string): Shapes;
  optional(sizes: Sizes): Shapes;
  make(sizes: Sizes, weights: Weights, variant: string): Cell;
}

const matrices = (gates: number, { inputSize: i, hiddenSize: h }: Sizes) => ({
  weight_ih: [gates * h, i],
  weight_hh: [gates * h, h],
});
const biases = (gates: number, { hiddenSize: h }: Sizes) => ({
  bias_ih: [gates * h],
  bias_hh: [gates * h],
});
const oneBias = (gates: number, { hiddenSize: h }: Sizes) => ({ bias: [gates * h] });

export const cellKinds: readonly CellKind[] = [
  {
    name: "rnn",
    gates: 1,
    variants: ["tanh", "relu"],
    required: (sizes) => matrices(1, sizes),
    optional: (sizes) => biases(1, sizes),
    make: (sizes, weights, variant) =>
      rnn({ ...sizes, weights, nonlinearity: variant as "tanh" | "relu" }),
  },
  {
    name: "gru",
    gates: 3,
    variants: ["reset-after", "reset-before"],
    required: (sizes) => matrices(3, sizes),
    optional: (sizes) => biases(3, sizes),
    make: (sizes, weights, variant) =>
      gru({ ...sizes, weights, variant: variant as "reset-after" | "reset-before" }),
  },
  {
    name: "lstm",
    gates: 4,
    variants: ["plain", "peephole", "coupled"],
    required: (sizes, variant) => {
      const { hiddenSize: h } = sizes;
      const peepholes = { peephole_i: [h], peephole_f: [h], peephole_o: [h] };
      return { ...matrices(4, sizes), ...(variant === "peephole" && peepholes) };
    },
    optional: (sizes) => biases(4, sizes),
    make: (sizes, weights, variant) =>
      lstm({ ...sizes, weights, variant: variant as "plain" | "peephole" | "coupled" }),
  },
  {
    name: "minimal-gru",
    gates: 2,
    variants: [],
    required: (sizes) => matrices(2, sizes),
    optional: (sizes) => oneBias(2, sizes),
    make: (sizes, weights) => minimalGru({ ...sizes, weights }),
  },
  {
    name: "diagonal-gru",
    gates: 3,
    variants: [],
    required: ({ inputSize: i, hiddenSize: h }) => ({
      weight_ih: [3 * h, i],
      diagonal_hh: [3 * h],
    }),
    optional: (sizes) => oneBias(3, sizes),
    make: (sizes, weights) => diagonalGru({ ...sizes, weights }),
  },
  {
    name: "diagonal-lstm",
    gates: 3,
    variants: [],
    required: ({ inputSize: i, hiddenSize: h }) => ({
      weight_ih: [3 * h, i],
      diagonal_hh: [3 * h],
      peephole_f: [h],
      peephole_o: [h],
    }),
    optional: (sizes) => oneBias(3, sizes),
    make: (sizes, weights) => diagonalLstm({ ...sizes, weights }),
  },
  {
    name: "autoregressive-gru",
    gates: 3,
    variants: [],
    inputSize: 1,
    required: ({ hiddenSize: h }) => ({
      weight_ih: [3 * h, 1],
      weight_hh: [3 * h, h],
      bias: [3 * h],
      bias_n: [h],
      decoder_weight: [2, h],
      decoder_bias: [2],
    }),
    optional: () => ({}),
    make: ({ hiddenSize }, weights) => autoregressiveGru({ hiddenSize, weights }),
  },
];

export const cellNames = cellKinds.map(({ name }) => name);

/** `name` must be one of `cellNames`. */
export function cellKind(name: string): CellKind {
  return cellKinds.find((kind) => kind.name === name)!;
}

/** The variant asked for, or the default. @throws UsageError for one that the cell does not have. */
export function checkVariant({ name, variants }: CellKind, asked: string | undefined): string {
  if (asked === undefined) return variants[0] ?? "";
  if (variants.includes(asked)) return asked;
  const expected = variants.length > 0 ? `one of ${variants.join(", ")}` : "none";
  throw new UsageError(`--variant: expected ${expected} for --cell ${name}, got "${asked}"`);
}

/** Weights from a stream of random numbers in [−1, 1), uniform in ±1/√hiddenSize as PyTorch's. */
export function randomWeights(
  kind: CellKind,
  sizes: Sizes,
  variant: string,
  random: (length: number, factor: number) => Float32Array,
): Weights {
  const shapes = { ...kind.required(sizes, variant), ...kind.optional(sizes) };
  const weights: Weights = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const length = shape.reduce((product, extent) => product * extent, 1);
    weights[name] = random(length, 1 / Math.sqrt(sizes.hiddenSize));
  }
  return weights;
}
