import { type Cell, defineCell } from "../define-cell.ts";
import type { Vector } from "../expression.ts";
import { checkLayer } from "../options.ts";
import { add, linear, multiply, sigmoid, softplus, split, subtract, tanh } from "../vocabulary.ts";
import { affine, type NamedWeights, namedTensors } from "./weights.ts";

/** What `autoregressiveGru` is made from. */
export interface AutoregressiveGruOptions {
  /** H, length of h_t. */
  readonly hiddenSize: number;
  /**
   * Rows of the gates r, z, n in this order: weight_ih [3H, 1], weight_hh [3H, H], bias [3H],
   * bias_n [H]; decoder_weight [2, H] and decoder_bias [2] for μ and ℓ.
   */
  readonly weights: NamedWeights<
    "weight_ih" | "weight_hh" | "bias" | "bias_n" | "decoder_weight" | "decoder_bias"
  >;
}

/**
 * A GRU that reads its own last output and draws the next one, y ~ N(μ, softplus(ℓ)²), from noise
 * that is handed in: the model of the ELK paper's stability experiment, in Equinox's convention.
 *
 *     a = W y + b,  g = U h
 *     r = σ(a_r + g_r),  z = σ(a_z + g_z),  n = tanh(a_n + r ∘ (g_n + b_n))
 *     h' = n + z ∘ (h − n)
 *     (μ, ℓ) = V h' + v,  y' = μ + softplus(ℓ) u
 *
 * Input: u [1], standard normal noise. State: y [1], unbounded; then h [H], in [−1, 1] if it
 * starts there.
 * Source: X. Gonzalez et al., arXiv 2407.19115, section 6.
 *
 * @throws TypeError, RangeError naming the option or the weight that is wrong, missing or unknown.
 */
export function autoregressiveGru(options: AutoregressiveGruOptions): Cell {
  checkLayer("autoregressiveGru", options, [], ["hiddenSize"]);
  const { hiddenSize: h } = options;
  return defineCell({
    name: "autoregressive-gru",
    inputSize: 1,
    state: { y: 1, h: { size: h, bounds: [-1, 1] } },
    weights: namedTensors(options.weights, {
      weight_ih: [3 * h, 1],
      weight_hh: [3 * h, h],
      bias: [3 * h],
      bias_n: [h],
      decoder_weight: [2, h],
      decoder_bias: [2],
    }),
    step: ({ y, h }, u, w) => {
      const [ar, az, an] = split(affine(w.weight_ih, y, w.bias), 3) as Three;
      const [gr, gz, gn] = split(linear(w.weight_hh, h), 3) as Three;
      const r = sigmoid(add(ar, gr));
      const z = sigmoid(add(az, gz));
      const n = tanh(add(an, multiply(r, add(gn, w.bias_n))));
      const next = add(n, multiply(z, subtract(h, n)));
      const decoded = split(affine(w.decoder_weight, next, w.decoder_bias), 2);
      const [mean, scale] = decoded as [Vector, Vector];
      return { y: add(mean, multiply(softplus(scale), u)), h: next };
    },
  });
}

type Three = [Vector, Vector, Vector];
