import { checkOneOf } from "../../checks.ts";
import { type Cell, defineCell } from "../define-cell.ts";
import type { Vector } from "../expression.ts";
import { checkLayer } from "../options.ts";
import { add, multiply, sigmoid, slice, split, subtract, tanh } from "../vocabulary.ts";
import { affine, type NamedWeights, namedTensors } from "./weights.ts";

/** What `gru` is made from. */
export interface GruOptions {
  /** I, length of x_t. */
  readonly inputSize: number;
  /** H, length of h_t. */
  readonly hiddenSize: number;
  /** Whether the reset gate acts on U_n h + b_hn or on h. Default "reset-after". */
  readonly variant?: "reset-after" | "reset-before";
  /**
   * Rows of the gates r, z, n in this order: weight_ih [3H, I], weight_hh [3H, H];
   * bias_ih, bias_hh [3H], zero where missing.
   */
  readonly weights: NamedWeights<"weight_ih" | "weight_hh", "bias_ih" | "bias_hh">;
}

/**
 * Gated recurrent unit, with the names, shapes and gate order of PyTorch's `GRUCell`.
 *
 *     r = σ(W_r x + b_ir + U_r h + b_hr)
 *     z = σ(W_z x + b_iz + U_z h + b_hz)
 *     n = tanh(W_n x + b_in + r ∘ (U_n h + b_hn))      reset-after: PyTorch, cuDNN
 *     n = tanh(W_n x + b_in + U_n (r ∘ h) + b_hn)      reset-before: the paper, ONNX's default
 *     h' = (1 − z) ∘ n + z ∘ h,  computed as n + z ∘ (h − n)
 *
 * State: h [H], in [−1, 1] if it starts there.
 * Source: K. Cho et al., Learning phrase representations using RNN encoder–decoder, arXiv 1406.1078.
 *
 * @throws TypeError, RangeError naming the option or the weight that is wrong, missing or unknown.
 */
export function gru(options: GruOptions): Cell {
  checkLayer("gru", options, ["variant"]);
  const { inputSize: i, hiddenSize: h, variant = "reset-after" } = options;
  checkOneOf("variant", variant, ["reset-after", "reset-before"]);
  return defineCell({
    name: `gru-${variant}`,
    inputSize: i,
    state: { h: { size: h, bounds: [-1, 1] } },
    weights: namedTensors(
      options.weights,
      { weight_ih: [3 * h, i], weight_hh: [3 * h, h] },
      { bias_ih: [3 * h], bias_hh: [3 * h] },
    ),
    step: ({ h }, x, w) => {
      const [xr, xz, xn] = split(affine(w.weight_ih, x, w.bias_ih), 3) as Gates;
      const [hr, hz, hn] = split(affine(w.weight_hh, h, w.bias_hh), 3) as Gates;
      const r = sigmoid(add(xr, hr));
      const z = sigmoid(add(xz, hz));
      const resetAfter = () => multiply(r, hn);
      const resetBefore = () =>
        slice(affine(w.weight_hh, multiply(r, h), w.bias_hh), 2 * h.size, h.size);
      const n = tanh(add(xn, variant === "reset-after" ? resetAfter() : resetBefore()));
      return { h: add(n, multiply(z, subtract(h, n))) };
    },
  });
}

type Gates = [Vector, Vector, Vector];
