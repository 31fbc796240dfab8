/** Everything for writing cells, and the cells that ship. */
export { type AutoregressiveGruOptions, autoregressiveGru } from "./cells/autoregressive-gru.ts";
export { type DiagonalGruOptions, diagonalGru } from "./cells/diagonal-gru.ts";
export { type DiagonalLstmOptions, diagonalLstm } from "./cells/diagonal-lstm.ts";
export { type GruOptions, gru } from "./cells/gru.ts";
export { type Lorenz96Options, lorenz96 } from "./cells/lorenz96.ts";
export { type LstmOptions, lstm } from "./cells/lstm.ts";
export { type MinimalGruOptions, minimalGru } from "./cells/minimal-gru.ts";
export { type RnnOptions, rnn } from "./cells/rnn.ts";
export type { NamedWeights } from "./cells/weights.ts";
export {
  type Cell,
  type CellOptions,
  defineCell,
  type StatePart,
  type StatePartOptions,
  type WeightHandles,
} from "./define-cell.ts";
export type { Vector } from "./expression.ts";
export {
  add,
  concat,
  cos,
  divide,
  exp,
  greater,
  linear,
  log,
  maximum,
  minimum,
  multiply,
  negate,
  type Operand,
  relu,
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
} from "./vocabulary.ts";
export type { Matrix, Tensor } from "./weight.ts";
