import { type Cell, defineCell } from "../define-cell.ts";
import type { Vector } from "../expression.ts";
import { checkLayer } from "../options.ts";
import { add, linear, multiply, sigmoid, slice, split, subtract, tanh } from "../vocabulary.ts";
import { affine, type NamedWeights, namedTensors } from "./weights.ts";

/** What `minimalGru` is made from. */
export interface MinimalGruOptions {
  /** I, length of x_t. */
  readonly inputSize: number;
  /** H, length of h_t. */
  readonly hiddenSize: number;
  /**
   * Rows of the gate f and then of the candidate: weight_ih [2H, I], weight_hh [2H, H];
   * bias [2H], zero where missing.
   */
  readonly weights: NamedWeights<"weight_ih" | "weight_hh", "bias">;
}

/**
 * Minimal gated unit: a GRU with one gate for both jobs.
 *
 *     f = σ(W_f x + U_f h + b_f)
 *     n = tanh(W_n x + U_n (f ∘ h) + b_n)
 *     h' = (1 − f) ∘ h + f ∘ n,  computed as h + f ∘ (n − h)
 *
 * State: h [H], in [−1, 1] if it starts there.
 * Source: G.-B. Zhou et al., Minimal gated unit for recurrent neural networks, arXiv 1603.09420.
 *
 * @throws TypeError, RangeError naming the option or the weight that is wrong, missing or unknown.
 */
export function minimalGru(options: MinimalGruOptions): Cell {
  checkLayer("minimalGru", options);
  const { inputSize: i, hiddenSize: h } = options;
  return defineCell({
    name: "minimal-gru",
    inputSize: i,
    state: { h: { size: h, bounds: [-1, 1] } },
    weights: namedTensors(
      options.weights,
      { weight_ih: [2 * h, i], weight_hh: [2 * h, h] },
      { bias: [2 * h] },
    ),
    step: ({ h }, x, w) => {
      const [xf, xn] = split(affine(w.weight_ih, x, w.bias), 2) as [Vector, Vector];
      const f = sigmoid(add(xf, slice(linear(w.weight_hh, h), 0, h.size)));
      const candidate = slice(linear(w.weight_hh, multiply(f, h)), h.size, h.size);
      const n = tanh(add(xn, candidate));
      return { h: add(h, multiply(f, subtract(n, h))) };
    },
  });
}
