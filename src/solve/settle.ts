/** What becomes of a sequence once its iteration has ended: accepted, repaired, returned or refused. */
import { ConvergenceError } from "../errors.ts";
import type { Fallback, FloatArray, MethodName } from "../types.ts";
import type { Job } from "../validate.ts";
import { type Certificate, exactCertificate, type SweepEngine } from "./engine.ts";
import { describeLocation, firstNonFinite, nonFiniteError } from "./finite.ts";
import type { IterateResult } from "./iterate.ts";
import { findJump, hasJumps, type Trajectory } from "./jumps.ts";
import type { Pacer } from "./pacing.ts";

/** What the report says of the batch so far: the worst of its sequences. */
export interface Outcome extends Certificate {
  readonly converged: boolean;
  readonly iterations: number;
  readonly fallback?: Fallback;
  /** Why there were fewer threads than there should be, in words. */
  readonly fewer?: string;
}

export function worse(a: Outcome, b: Outcome): Outcome {
  const fallback = a.fallback ?? b.fallback;
  return {
    residual: Math.max(a.residual, b.residual),
    errorEstimate: Math.max(a.errorEstimate, b.errorEstimate),
    converged: a.converged && b.converged,
    iterations: Math.max(a.iterations, b.iterations),
    ...(fallback && { fallback }),
  };
}

/** A sequence whose iteration has ended, wherever its states are. */
export interface Iterated extends Pick<SweepEngine, "unitRoundoff" | "length"> {
  readonly method: MethodName;
  readonly sequence: number;
  readonly result: IterateResult;
  /** Steps at its start that are exact. */
  readonly fromStep: number;
  /** The states at hand, `[length, stateSize]`. */
  states(): Promise<FloatArray>;
  /** The inputs at hand, `[length, inputSize]`. */
  inputs(): Promise<FloatArray>;
  /** Whether all states are finite. */
  finite(): Promise<boolean>;
  /** Evaluates the steps from `fromStep` on one after the other. */
  repair(): Promise<void>;
}

/** @throws ConvergenceError, NonFiniteError as `evaluate` does. */
export async function settle(job: Job, iterated: Iterated, pacer: Pacer): Promise<Outcome> {
  const { result, fromStep, sequence, method } = iterated;
  const { iterations, residual, errorEstimate } = result;
  const { onFailure } = job;
  let { converged, reason } = result;
  if (converged && fromStep < iterated.length && hasJumps(job.cell)) {
    reason = await describeJump(job, iterated, pacer);
    converged = reason === "";
  }
  let outcome: Outcome = { residual, errorEstimate, converged, iterations };
  if (!converged) {
    // States that are not finite get the error that says where, which takes evaluating up to there.
    if (onFailure === "throw" && result.finite) {
      const known = `the first ${fromStep} steps of sequence ${sequence} are exact`;
      const finite = await iterated.finite();
      const location = finite ? null : firstNonFinite(job, await iterated.states(), sequence);
      const lost = location ? `, the iterate is ${describeLocation(location)}` : "";
      throw new ConvergenceError(`${method}: ${reason}; ${known}${lost}`, iterations, residual);
    }
    const to = onFailure === "return" ? "none" : "sequential";
    const fallback: Fallback = { to, reason, fromStep, sequence };
    outcome = { ...outcome, fallback };
    if (to === "sequential") {
      await iterated.repair();
      outcome = { ...outcome, ...exactCertificate(iterated), converged: true };
    }
  }
  if (await iterated.finite()) return outcome;
  const error = nonFiniteError(job, firstNonFinite(job, await iterated.states(), sequence)!);
  if (onFailure !== "return") throw error;
  const why = converged ? error.message : `${reason}; ${error.message}`;
  return {
    ...outcome,
    converged: false,
    residual: Infinity,
    errorEstimate: Infinity,
    fallback: { to: "none", reason: why, fromStep, sequence },
  };
}

/** Why an error of this size may have made the recurrence go another way; empty if it cannot. */
async function describeJump(job: Job, iterated: Iterated, pacer: Pacer): Promise<string> {
  const { cell, reverse } = job;
  const { length, fromStep, result, unitRoundoff } = iterated;
  const [inputs, states] = [await iterated.inputs(), await iterated.states()];
  const trajectory: Trajectory = { cell, inputs, states, length, reverse };
  const error = Math.max(result.errorEstimate, unitRoundoff);
  const step = await findJump(trajectory, fromStep, error, pacer);
  if (step === null) return "";
  return (
    `the error may be ${error.toExponential(1)}, and at step ${step} that could turn over` +
    " a comparison which the cell makes"
  );
}
