/**
 * The trained autoregressive GRU of the ELK paper's stability experiment (NeurIPS 2024,
 * arXiv 2407.19115): it draws a noisy sine wave of 10,000 steps. The weights come from the
 * authors' repository, github.com/lindermanlab/elk (BSD-3-Clause).
 *
 * State (y, h), h ∈ R³; input u ~ N(0, 1). One step, gate rows r, z, n:
 *
 *     a = weight_ih y + bias,   g = weight_hh h
 *     r = σ(a_r + g_r),  z = σ(a_z + g_z),  n = tanh(a_n + r ⊙ (g_n + bias_n)),  h' = n + z ⊙ (h − n)
 *     (μ, ℓ) = decoder_weight h' + decoder_bias,   y' = μ + softplus(ℓ) u
 */
import { readFileSync } from "node:fs";
import { mulberry32, normal, type Weights } from "./random.ts";
import { requireSharedData } from "./shared-data.ts";

export const autoregressiveSineFile = "argru-sine.json";

export interface AutoregressiveSine {
  /** H. */
  readonly hiddenSize: number;
  /** weight_ih [3H,1], weight_hh [3H,H], bias [3H], bias_n [H], decoder_weight [2,H], decoder_bias [2]. */
  readonly weights: Weights;
  /** (y, h) [1+H]: y = 0, and h after one step from the zero state. */
  readonly initialState: Float32Array;
  /** u [T,1]. */
  readonly inputs: Float32Array;
}

/**
 * The trained model and `length` steps of seeded noise.
 * @throws Error if the shared file is missing or an array of it has another shape
 */
export function autoregressiveSine(
  length = 10_000,
  seed = 1,
  path = requireSharedData(autoregressiveSineFile),
): AutoregressiveSine {
  const file = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  const hiddenSize = Array.isArray(file.bias_n) ? file.bias_n.length : 0;
  const shapes: Record<string, number[]> = {
    weight_ih: [3 * hiddenSize, 1],
    weight_hh: [3 * hiddenSize, hiddenSize],
    bias: [3 * hiddenSize],
    bias_n: [hiddenSize],
    decoder_weight: [2, hiddenSize],
    decoder_bias: [2],
  };
  const weights: Weights = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const problem = shapeProblem(file[name], shape);
    if (problem !== null) throw new Error(`${path}: ${name}: expected [${shape}], got ${problem}`);
    weights[name] = Float32Array.from((file[name] as unknown[]).flat() as number[]);
  }
  return {
    hiddenSize,
    weights,
    initialState: Float32Array.of(0, ...stepFromZero(weights, hiddenSize)),
    inputs: normal(mulberry32(seed), length),
  };
}

/** null if `value` is a nested array of finite numbers of this shape, else what it is. */
function shapeProblem(value: unknown, shape: readonly number[]): string | null {
  if (shape.length === 0) return Number.isFinite(value) ? null : String(value);
  if (!Array.isArray(value)) return typeof value;
  if (value.length !== shape[0] || value.length === 0) return `${value.length} rows`;
  for (const row of value) {
    const problem = shapeProblem(row, shape.slice(1));
    if (problem !== null) return problem;
  }
  return null;
}

/** h' with y = 0 and h = 0, where every product with a weight matrix vanishes. */
function stepFromZero({ bias, bias_n }: Weights, hiddenSize: number): number[] {
  return Array.from({ length: hiddenSize }, (_, unit) => {
    const reset = 1 / (1 + Math.exp(-bias[unit]));
    const update = 1 / (1 + Math.exp(-bias[hiddenSize + unit]));
    return (1 - update) * Math.tanh(bias[2 * hiddenSize + unit] + reset * bias_n[unit]);
  });
}
