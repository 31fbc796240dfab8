/**
 * The certificate: how far the states are from solving the recurrence, and how far, by a linear
 * estimate, from its solution. Defects and random rounding noise are pushed along the trajectory as
 * tangents, so that dynamics that amplify small errors give themselves away.
 */
import { type Certificate, noiseSign, ROUNDING_NOISE } from "../../solve/engine.ts";

/** How many independent columns of rounding noise there are. */
const NOISE_COLUMNS = 3;
/** The largest of a few random draws is still below what the noise may come to. */
const NOISE_FACTOR = 2;
/** Noise of states near zero, whose step still rounds sums of larger terms. */
const NOISE_FLOOR = 0.25;

/** What the certificate looks at in step t. */
export interface CertifiedStep {
  readonly t: number;
  /** s_t, as it is claimed. */
  readonly state: Float64Array;
  /** f(s_{t−1}, x_t). */
  readonly next: Float64Array;
  /** A_t · seed, at s_{t−1}. */
  readonly tangent: (seed: Float64Array) => Float64Array;
}

export class ErrorPropagation {
  readonly #unitRoundoff: number;
  /** The defects' effect, then that of each column of noise. */
  readonly #columns: Float64Array[];
  #residual = 0;
  #errorEstimate = 0;

  constructor(stateSize: number, unitRoundoff: number) {
    this.#unitRoundoff = unitRoundoff;
    this.#columns = Array.from({ length: 1 + NOISE_COLUMNS }, () => new Float64Array(stateSize));
  }

  step({ t, state, next, tangent }: CertifiedStep): void {
    const stateSize = state.length;
    const defect = state.map((value, i) => value - next[i]!);
    this.#columns.forEach((column, c) => {
      column.set(tangent(column));
      for (let i = 0; i < stateSize; i++) {
        const magnitude = ROUNDING_NOISE * (Math.abs(state[i]!) + NOISE_FLOOR);
        column[i]! +=
          c === 0 ? defect[i]! : this.#unitRoundoff * magnitude * noiseSign(t, i, c, stateSize);
      }
    });
    const [fromDefects, ...fromNoise] = this.#columns.map(maximumNorm) as [number, ...number[]];
    const error = fromDefects + NOISE_FACTOR * Math.max(...fromNoise);
    const magnitude = 1 + maximumNorm(state);
    this.#residual = Math.max(this.#residual, finiteOrInfinity(maximumNorm(defect) / magnitude));
    this.#errorEstimate = Math.max(this.#errorEstimate, finiteOrInfinity(error / magnitude));
  }

  get certificate(): Certificate {
    return { residual: this.#residual, errorEstimate: this.#errorEstimate };
  }
}

/** ‖v‖∞; NaN if any element is NaN. */
export function maximumNorm(vector: Float64Array): number {
  return vector.reduce((norm, value) => Math.max(norm, Math.abs(value)), 0);
}

export function finiteOrInfinity(value: number): number {
  return Number.isFinite(value) ? value : Infinity;
}
