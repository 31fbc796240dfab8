import { type Cell, defineCell } from "../define-cell.ts";
import type { Vector } from "../expression.ts";
import { checkLayer } from "../options.ts";
import { add, multiply, sigmoid, split, subtract, tanh } from "../vocabulary.ts";
import { affine, type NamedWeights, namedTensors } from "./weights.ts";

/** What `diagonalGru` is made from. */
export interface DiagonalGruOptions {
  /** I, length of x_t. */
  readonly inputSize: number;
  /** H, length of h_t. */
  readonly hiddenSize: number;
  /**
   * Entries of z, r, n in this order: weight_ih [3H, I]; diagonal_hh [3H], the diagonals a_z, a_r,
   * a_n of the recurrent weights; bias [3H], zero where missing.
   */
  readonly weights: NamedWeights<"weight_ih" | "diagonal_hh", "bias">;
}

/**
 * ParaRNN's ParaGRU: a GRU whose units do not see one another, so that its Jacobian is diagonal and
 * quasi-DEER is Newton's method on it.
 *
 *     z = σ(a_z ∘ h + B_z x + b_z)
 *     r = σ(a_r ∘ h + B_r x + b_r)
 *     n = tanh(a_n ∘ (r ∘ h) + B_n x + b_n)
 *     h' = (1 − z) ∘ h + z ∘ n,  computed as h + z ∘ (n − h)
 *
 * The input weights B are dense here, where ParaRNN's are block-diagonal. n is its c.
 * State: h [H], in [−1, 1] if it starts there.
 * Source: F. Danieli et al., ParaRNN, arXiv 2510.21450.
 *
 * @throws TypeError, RangeError naming the option or the weight that is wrong, missing or unknown.
 */
export function diagonalGru(options: DiagonalGruOptions): Cell {
  checkLayer("diagonalGru", options);
  const { inputSize: i, hiddenSize: h } = options;
  return defineCell({
    name: "diagonal-gru",
    inputSize: i,
    state: { h: { size: h, bounds: [-1, 1] } },
    weights: namedTensors(
      options.weights,
      { weight_ih: [3 * h, i], diagonal_hh: [3 * h] },
      { bias: [3 * h] },
    ),
    step: ({ h }, x, w) => {
      const [xz, xr, xn] = split(affine(w.weight_ih, x, w.bias), 3) as Three;
      const [az, ar, an] = split(w.diagonal_hh, 3) as Three;
      const z = sigmoid(add(multiply(az, h), xz));
      const r = sigmoid(add(multiply(ar, h), xr));
      const n = tanh(add(multiply(an, multiply(r, h)), xn));
      return { h: add(h, multiply(z, subtract(n, h))) };
    },
  });
}

type Three = [Vector, Vector, Vector];
