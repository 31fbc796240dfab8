import { checkOneOf } from "../../checks.ts";
import { type Cell, defineCell } from "../define-cell.ts";
import type { Vector } from "../expression.ts";
import { checkLayer } from "../options.ts";
import { add, multiply, sigmoid, split, subtract, tanh } from "../vocabulary.ts";
import { affine, type NamedWeights, namedTensors } from "./weights.ts";

/** What `lstm` is made from. */
export interface LstmOptions {
  /** I, length of x_t. */
  readonly inputSize: number;
  /** H, length of h_t and of c_t. */
  readonly hiddenSize: number;
  /** Default "plain". */
  readonly variant?: "plain" | "peephole" | "coupled";
  /**
   * Rows of the gates i, f, g, o in this order: weight_ih [4H, I], weight_hh [4H, H];
   * bias_ih, bias_hh [4H], zero where missing. "peephole" needs peephole_i, peephole_f,
   * peephole_o [H] too. "coupled" takes the rows of f and does not use them, so that weights of
   * ONNX's LSTM with input_forget = 1 fit as they are.
   */
  readonly weights: NamedWeights<
    "weight_ih" | "weight_hh",
    "bias_ih" | "bias_hh" | "peephole_i" | "peephole_f" | "peephole_o"
  >;
}

/**
 * Long short-term memory, with the names, shapes and gate order of PyTorch's `LSTMCell`.
 *
 *     i = σ(W_i x + b_ii + U_i h + b_hi)              peephole: + p_i ∘ c inside σ
 *     f = σ(W_f x + b_if + U_f h + b_hf)              peephole: + p_f ∘ c;  coupled: f = 1 − i
 *     g = tanh(W_g x + b_ig + U_g h + b_hg)
 *     c' = f ∘ c + i ∘ g                              coupled: computed as c + i ∘ (g − c)
 *     o = σ(W_o x + b_io + U_o h + b_ho)              peephole: + p_o ∘ c'
 *     h' = o ∘ tanh(c')
 *
 * State: h [H], in [−1, 1]; then c [H], unbounded, but in [−1, 1] if coupled and started there.
 * Sources: S. Hochreiter, J. Schmidhuber, Neural Computation 9 (1997); peepholes: F. Gers,
 * J. Schmidhuber, IJCNN 2000; coupled gates: K. Greff et al., arXiv 1503.04069.
 *
 * @throws TypeError, RangeError naming the option or the weight that is wrong, missing or unknown.
 */
export function lstm(options: LstmOptions): Cell {
  checkLayer("lstm", options, ["variant"]);
  const { inputSize: i, hiddenSize: h, variant = "plain" } = options;
  checkOneOf("variant", variant, ["plain", "peephole", "coupled"]);
  const peepholes = { peephole_i: [h], peephole_f: [h], peephole_o: [h] } as const;
  const bound = variant === "coupled" ? 1 : Infinity;
  return defineCell({
    name: `lstm-${variant}`,
    inputSize: i,
    state: {
      h: { size: h, bounds: [-1, 1] },
      c: { size: h, bounds: [-bound, bound] },
    },
    weights: namedTensors(
      options.weights,
      {
        ...{ weight_ih: [4 * h, i], weight_hh: [4 * h, h] },
        ...(variant === "peephole" ? peepholes : ({} as Partial<typeof peepholes>)),
      },
      { bias_ih: [4 * h], bias_hh: [4 * h] },
    ),
    step: ({ h, c }, x, w) => {
      const preactivations = add(
        affine(w.weight_ih, x, w.bias_ih),
        affine(w.weight_hh, h, w.bias_hh),
      );
      const [ai, af, ag, ao] = split(preactivations, 4) as Gates;
      const gate = (a: Vector, peephole: Vector | undefined, c: Vector) =>
        sigmoid(peephole ? add(a, multiply(peephole, c)) : a);
      const i = gate(ai, w.peephole_i, c);
      const g = tanh(ag);
      const forgetting = () => add(multiply(gate(af, w.peephole_f, c), c), multiply(i, g));
      const next = variant === "coupled" ? add(c, multiply(i, subtract(g, c))) : forgetting();
      return { h: multiply(gate(ao, w.peephole_o, next), tanh(next)), c: next };
    },
  });
}

type Gates = [Vector, Vector, Vector, Vector];
