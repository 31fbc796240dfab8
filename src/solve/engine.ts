/**
 * What a backend provides so that the iteration over boundary states (`iterate.ts`) can run on it.
 *
 * One engine solves one sequence of T steps, cut into K = ⌈T/C⌉ chunks. It owns the states s_1 … s_T,
 * the boundaries b_0 … b_K (b_0 = s_0 exact, the others from the initial guess) and the chunks'
 * P_k. Steps and chunks count in the direction of time, also when it runs in reverse.
 */

import type { Cell } from "../cell/define-cell.ts";
import type { FloatArray, JacobianKind } from "../types.ts";
import type { Damping } from "./method.ts";

export interface EngineProblem {
  readonly cell: Cell;
  /** `[length, inputSize]`, this sequence's rows. */
  readonly inputs: FloatArray;
  readonly length: number;
  readonly reverse: boolean;
  /** `[stateSize]`. */
  readonly initialState: FloatArray;
  /** `[length, stateSize]`, or null for zeros; entries that are not finite count as zero. */
  readonly initialGuess: FloatArray | null;
  readonly chunk: number;
  readonly jacobian: JacobianKind;
  /**
   * What the updates will ask for at most, so that the memory for it can be had beforehand: all are
   * undamped if λ is 0, and nothing is saved, unless there is a trust region.
   */
  readonly damping: Damping;
}

export interface Defects {
  /** Largest ‖Φ_k(b_k) − b_{k+1}‖∞ / (1 + ‖b_{k+1}‖∞) from the first chunk looked at on; Infinity if any is not finite. */
  readonly residual: number;
  /** ½ Σ ‖Φ_k(b_k) − b_{k+1}‖². */
  readonly merit: number;
  /** Chunks 0 … exactChunks − 1 have run from exact boundaries. */
  readonly exactChunks: number;
  /** Whether the state at the end of the exact chunks is finite. */
  readonly finite: boolean;
}

export interface Certificate {
  /** Largest ‖s_t − f(s_{t−1}, x_t)‖∞ / (1 + ‖s_t‖∞). */
  readonly residual: number;
  /** Estimate of the largest ‖s_t − s*_t‖∞ / (1 + ‖s_t‖∞). */
  readonly errorEstimate: number;
}

/**
 * The certificate of states that were evaluated one after the other: no defect, and rounding errors
 * that add up like a random walk if the dynamics neither forget nor amplify them.
 */
export function exactCertificate({
  unitRoundoff,
  length,
}: Pick<SweepEngine, "unitRoundoff" | "length">): Certificate {
  return { residual: 0, errorEstimate: unitRoundoff * Math.sqrt(length) };
}

export interface SweepEngine {
  /** T. */
  readonly length: number;
  /** K. */
  readonly chunks: number;
  /** Multiply–adds of one step, roughly: how finely to slice the work. */
  readonly stepCost: number;
  /** Chunks that run side by side. */
  readonly grain: number;
  /** 2⁻²⁴ in float32, 2⁻⁵³ in float64. */
  readonly unitRoundoff: number;
  /** Runs chunks `from` … `to − 1` from their boundaries: fills their states, ends and P_k. */
  runChunks(from: number, to: number): void;
  /** Compares the ends of chunks `from` … K − 1 with the next boundaries; b_from must be exact. */
  measure(from: number): Defects;
  /**
   * b_from ← Φ_{from−1}, exact; then the scan b'_{k+1} = Φ_k + P_k (b'_k − b_k) from there on,
   * starting with what changed b_from itself (chunk `from` ran from the old b_from); damped, and with
   * the guards: a non-finite P_k becomes the identity, a boundary is clipped to the cell's bounds,
   * and a non-finite boundary keeps its old value.
   */
  update(from: number, damping: Damping): void;
  /** Remembers the boundaries. */
  save(): void;
  /** b_from ← Φ_{from−1}, exact; the boundaries after it as they were when saved. */
  restore(from: number): void;
  /** Puts the boundaries b_1 … b_{K−1} into the states, at the ends of their chunks. */
  joinSeams(): void;
  /** Undoes `joinSeams`. */
  splitSeams(): void;
  /** Starts a certificate on the joined states. */
  beginCertificate(): void;
  /** Looks at steps `from` … `to − 1`, in order. */
  certify(from: number, to: number): void;
  certificate(): Certificate;
  /** Evaluates steps `from` … `to − 1` one after the other; `from` continues exact states. */
  runSteps(from: number, to: number): void;
  /**
   * Copies the states out, `[length, stateSize]` in the order of the inputs' rows; tells whether they
   * are all finite.
   */
  readStates(target: FloatArray): boolean;
}

/**
 * How much larger than the unit roundoff the noise is that a certificate adds to every state, relative
 * to |s| + 1/4: a step rounds more than once, and functions such as tanh are not correctly rounded.
 */
export const ROUNDING_NOISE = 2;

/**
 * The sign of the rounding noise at step `t`, element `i` of the state, in column 1, 2 or 3 of the
 * certificate's tangents: fixed bits of an integer hash, the same on every backend.
 */
export function noiseSign(t: number, i: number, column: number, stateSize: number): 1 | -1 {
  let hash = Math.imul(Math.imul(t, stateSize) + i + 1, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca77);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae3d);
  return (hash >>> (28 + column)) & 1 ? 1 : -1;
}
