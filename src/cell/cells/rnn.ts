import { checkOneOf } from "../../checks.ts";
import { type Cell, defineCell } from "../define-cell.ts";
import { checkLayer } from "../options.ts";
import { add, relu, tanh } from "../vocabulary.ts";
import { affine, type NamedWeights, namedTensors } from "./weights.ts";

/** What `rnn` is made from. */
export interface RnnOptions {
  /** I, length of x_t. */
  readonly inputSize: number;
  /** H, length of h_t. */
  readonly hiddenSize: number;
  /** Default "tanh". */
  readonly nonlinearity?: "tanh" | "relu";
  /** weight_ih [H, I], weight_hh [H, H]; bias_ih, bias_hh [H], zero where missing. */
  readonly weights: NamedWeights<"weight_ih" | "weight_hh", "bias_ih" | "bias_hh">;
}

/**
 * Elman's recurrent network, with the names and shapes of PyTorch's `RNNCell`.
 *
 *     h' = tanh(W x + b_ih + U h + b_hh)     or relu
 *
 * State: h [H], in [−1, 1] for tanh and [0, ∞) for relu.
 * Source: J. L. Elman, Finding structure in time, Cognitive Science 14 (1990).
 *
 * @throws TypeError, RangeError naming the option or the weight that is wrong, missing or unknown.
 */
export function rnn(options: RnnOptions): Cell {
  checkLayer("rnn", options, ["nonlinearity"]);
  const { inputSize: i, hiddenSize: h, nonlinearity = "tanh" } = options;
  checkOneOf("nonlinearity", nonlinearity, ["tanh", "relu"]);
  const activate = nonlinearity === "tanh" ? tanh : relu;
  return defineCell({
    name: `rnn-${nonlinearity}`,
    inputSize: i,
    state: { h: { size: h, bounds: nonlinearity === "tanh" ? [-1, 1] : [0, Infinity] } },
    weights: namedTensors(
      options.weights,
      { weight_ih: [h, i], weight_hh: [h, h] },
      { bias_ih: [h], bias_hh: [h] },
    ),
    step: ({ h }, x, w) => ({
      h: activate(add(affine(w.weight_ih, x, w.bias_ih), affine(w.weight_hh, h, w.bias_hh))),
    }),
  });
}
