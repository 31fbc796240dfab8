import { type Cell, defineCell } from "../define-cell.ts";
import type { Vector } from "../expression.ts";
import { checkLayer } from "../options.ts";
import { add, multiply, sigmoid, split, subtract, tanh } from "../vocabulary.ts";
import { affine, type NamedWeights, namedTensors } from "./weights.ts";

/** What `diagonalLstm` is made from. */
export interface DiagonalLstmOptions {
  /** I, length of x_t. */
  readonly inputSize: number;
  /** H, length of h_t and of c_t. */
  readonly hiddenSize: number;
  /**
   * Entries of f, g, o in this order: weight_ih [3H, I]; diagonal_hh [3H], the diagonals a_f, a_g,
   * a_o of the recurrent weights; peephole_f, peephole_o [H], ParaRNN's C_f and C_o;
   * bias [3H], zero where missing.
   */
  readonly weights: NamedWeights<"weight_ih" | "diagonal_hh" | "peephole_f" | "peephole_o", "bias">;
}

/**
 * ParaRNN's ParaLSTM: coupled gates, peepholes, and units that do not see one another, so that its
 * Jacobian is one 2×2 block a unit and block quasi-DEER is Newton's method on it.
 *
 *     f = σ(a_f ∘ h + B_f x + b_f + C_f ∘ c)
 *     g = tanh(a_g ∘ h + B_g x + b_g)
 *     c' = f ∘ c + (1 − f) ∘ g,  computed as g + f ∘ (c − g)
 *     o = σ(a_o ∘ h + B_o x + b_o + C_o ∘ c')
 *     h' = o ∘ tanh(c')
 *
 * The input weights B are dense here, where ParaRNN's are block-diagonal. g is its z.
 * State: h [H], in [−1, 1]; then c [H], in [−1, 1] if it starts there. ParaRNN has c first.
 * Source: F. Danieli et al., ParaRNN, arXiv 2510.21450.
 *
 * @throws TypeError, RangeError naming the option or the weight that is wrong, missing or unknown.
 */
export function diagonalLstm(options: DiagonalLstmOptions): Cell {
  checkLayer("diagonalLstm", options);
  const { inputSize: i, hiddenSize: h } = options;
  return defineCell({
    name: "diagonal-lstm",
    inputSize: i,
    state: { h: { size: h, bounds: [-1, 1] }, c: { size: h, bounds: [-1, 1] } },
    weights: namedTensors(
      options.weights,
      { weight_ih: [3 * h, i], diagonal_hh: [3 * h], peephole_f: [h], peephole_o: [h] },
      { bias: [3 * h] },
    ),
    step: ({ h, c }, x, w) => {
      const [xf, xg, xo] = split(affine(w.weight_ih, x, w.bias), 3) as Three;
      const [af, ag, ao] = split(w.diagonal_hh, 3) as Three;
      const f = sigmoid(add(multiply(af, h), xf, multiply(w.peephole_f, c)));
      const g = tanh(add(multiply(ag, h), xg));
      const next = add(g, multiply(f, subtract(c, g)));
      const o = sigmoid(add(multiply(ao, h), xo, multiply(w.peephole_o, next)));
      return { h: multiply(o, tanh(next)), c: next };
    },
  });
}

type Three = [Vector, Vector, Vector];
