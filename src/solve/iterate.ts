/**
 * The iteration over boundary states, common to every method and backend: sweep, measure, freeze the
 * exact prefix, update, certify. docs/methods.md derives it.
 */
import type { IterationProgress } from "../types.ts";
import { type Certificate, type Defects, exactCertificate, type SweepEngine } from "./engine.ts";
import type { Damping } from "./method.ts";
import type { Pacer } from "./pacing.ts";

export interface IterateOptions {
  readonly damping: Damping;
  readonly tolerance: number;
  readonly maxIterations: number;
  readonly chunkLength: number;
  readonly sequence: number;
  /** Whether to measure the states of a run that did not converge, because they will be returned. */
  readonly certifyFailure: boolean;
  readonly onIteration?: (progress: IterationProgress) => void;
}

export interface IterateResult extends Certificate {
  readonly converged: boolean;
  readonly iterations: number;
  /** Chunks at the start whose states are exact. */
  readonly exactChunks: number;
  /** Whether the exact states met so far are finite; if not, nothing can repair them. */
  readonly finite: boolean;
  /** Why it did not converge; empty if it did. */
  readonly reason: string;
}

/** λ changes by this factor when a trust region accepts or rejects a sweep. */
const TRUST_FACTOR = 10;
/** A certificate that failed is worth another try once the residual has fallen by this factor. */
const RETRY_FACTOR = 2;
/** Residuals of this many unit roundoffs are rounding errors, which no further sweep removes… */
const NOISE_FLOOR = 8;
/** …though the error that they add up to may still fall, at least by this factor a sweep. */
const FALLING_FACTOR = 0.8;
/** A converged result's error may be estimated at this many times its tolerance. */
export const ERROR_FACTOR = 10;

/**
 * Sweeps until the certificate holds or there is no hope. On return the seams are joined, the last
 * iterate's trajectory with its boundaries in it, unless the run failed and will be repaired.
 */
export async function iterate(
  engine: SweepEngine,
  options: IterateOptions,
  pacer: Pacer,
): Promise<IterateResult> {
  const { tolerance, maxIterations, chunkLength } = options;
  const { chunks, stepCost } = engine;
  const trust = new TrustRegion(engine, options.damping);
  let exactChunks = 0;
  let retryBelow = Infinity;
  let lastEstimate = Infinity;

  for (let iterations = 0; ; iterations++) {
    await pacer.slices(
      exactChunks,
      chunks,
      stepCost * chunkLength,
      (from, to) => engine.runChunks(from, to),
      engine.grain,
    );
    const defects = engine.measure(exactChunks);
    const { residual } = defects;
    exactChunks = defects.exactChunks;
    options.onIteration?.({
      sequence: options.sequence,
      iteration: iterations,
      residual: exactChunks === chunks ? 0 : residual,
      exactChunks,
      chunks,
    });
    const stop = (reason: string, certificate: Certificate): IterateResult => ({
      ...certificate,
      converged: reason === "",
      iterations,
      exactChunks,
      finite: defects.finite,
      reason,
    });
    if (!defects.finite) {
      return stop(NOT_FINITE, { residual, errorEstimate: Infinity });
    }
    if (exactChunks === chunks) return stop("", exactCertificate(engine));
    const atFloor = residual <= NOISE_FLOOR * engine.unitRoundoff;
    if (residual <= tolerance && (residual < retryBelow || atFloor)) {
      engine.joinSeams();
      const certificate = await certify(engine, pacer);
      const { errorEstimate } = certificate;
      if (certificate.residual <= tolerance && errorEstimate <= ERROR_FACTOR * tolerance) {
        return stop("", certificate);
      }
      const falling = errorEstimate <= FALLING_FACTOR * lastEstimate;
      if (iterations === maxIterations || (atFloor && !falling)) {
        if (!options.certifyFailure) engine.splitSeams();
        return stop(describeFailure(certificate), certificate);
      }
      engine.splitSeams();
      retryBelow = residual / RETRY_FACTOR;
      lastEstimate = errorEstimate;
    }
    if (iterations === maxIterations) {
      let certificate: Certificate = { residual, errorEstimate: Infinity };
      if (options.certifyFailure) {
        engine.joinSeams();
        certificate = await certify(engine, pacer);
      }
      return stop(describeTooMany(iterations, residual, tolerance), certificate);
    }
    trust.step(defects);
    await pacer.pause();
  }
}

/** Why an iteration ended without success, in words for the report. */
export const NOT_FINITE = "the exact states are not finite";

export function describeTooMany(iterations: number, residual: number, tolerance: number): string {
  const reached = `residual ${residual.toExponential(1)}, tolerance ${tolerance}`;
  return `not converged after ${iterations} sweeps: ${reached}`;
}

export function describeFailure({ residual, errorEstimate }: Certificate): string {
  return (
    `the residual is ${residual.toExponential(1)}, but the error may be` +
    ` ${errorEstimate.toExponential(1)}: small defects grow along this trajectory`
  );
}

async function certify(engine: SweepEngine, pacer: Pacer): Promise<Certificate> {
  engine.beginCertificate();
  await pacer.slices(0, engine.length, 4 * engine.stepCost, (from, to) => engine.certify(from, to));
  return engine.certificate();
}

/** Chooses between a new boundary update and, if the last one did harm, a retry with more damping. */
class TrustRegion {
  readonly #engine: SweepEngine;
  #damping: Damping;
  #merit = Infinity;
  #rejected = false;

  constructor(engine: SweepEngine, damping: Damping) {
    this.#engine = engine;
    this.#damping = damping;
  }

  step({ merit, exactChunks }: Defects): void {
    if (this.#damping.trustRegion) {
      if (!this.#rejected && !(merit <= this.#merit)) {
        this.#scaleLambda(TRUST_FACTOR);
        this.#rejected = true;
        this.#engine.restore(exactChunks);
        return;
      }
      if (!this.#rejected) {
        this.#scaleLambda(1 / TRUST_FACTOR);
        this.#engine.save();
      }
      this.#rejected = false;
      this.#merit = merit;
    }
    this.#engine.update(exactChunks, this.#damping);
  }

  #scaleLambda(factor: number): void {
    const lambda = Math.min(Math.max(this.#damping.lambda * factor, 1e-12), 1e12);
    this.#damping = { ...this.#damping, lambda };
  }
}
