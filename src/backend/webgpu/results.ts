/** What the device's records of its sequences mean. */
import { exactCertificate } from "../../solve/engine.ts";
import { describeFailure, describeTooMany, NOT_FINITE } from "../../solve/iterate.ts";
import type { Job } from "../../validate.ts";
import type { DeviceResult } from "../backend.ts";
import { phases, reasons, Structure, sequenceLayout } from "./layout.ts";
import type { Segment } from "./plan.ts";
import { UNIT_ROUNDOFF } from "./window.ts";

/** How a segment ended. */
export interface SegmentResult {
  readonly settled: boolean;
  readonly converged: boolean;
  readonly reason: number;
  readonly iterations: number;
  readonly chunks: number;
  readonly exactChunks: number;
  readonly finite: boolean;
  /** Of the seams, after the last sweep. */
  readonly residual: number;
  readonly certificateResidual: number;
  readonly errorEstimate: number;
  /** (residual, exact chunks) of every sweep. */
  readonly trace: readonly (readonly [number, number])[];
}

/** @param control the records of the window's sequences; `trace` has `traced` entries for each, or none. */
export function readSegments(
  control: Uint32Array<ArrayBuffer>,
  trace: Uint32Array<ArrayBuffer>,
  traced: number,
): SegmentResult[] {
  const { words } = sequenceLayout;
  const records = new Structure(sequenceLayout, 0, control.buffer);
  const residuals = new Float32Array(trace.buffer);
  return Array.from({ length: control.length / words }, (_, j) => {
    const word = (field: Parameters<typeof records.at>[0]) => records.words[records.at(field, j)]!;
    const float = (field: Parameters<typeof records.at>[0]) =>
      records.floats[records.at(field, j)]!;
    const phase = word("phase");
    const iterations = word("iterations");
    const entries = trace.length > 0 ? Math.min(iterations + 1, traced) : 0;
    return {
      settled: phase === phases.converged || phase === phases.failed,
      converged: phase === phases.converged,
      reason: word("reason"),
      iterations,
      chunks: word("chunks"),
      exactChunks: word("exactChunks"),
      finite: word("finite") !== 0,
      residual: float("residual"),
      certificateResidual: float("certificateResidual"),
      errorEstimate: float("errorEstimate"),
      trace: Array.from({ length: entries }, (_, i) => {
        const at = 2 * (j * traced + i);
        return [residuals[at]!, trace[at + 1]!] as const;
      }),
    };
  });
}

/** A segment of a sequence, and how it ended. */
export interface SequencePart {
  readonly segment: Segment;
  readonly result: SegmentResult;
}

/**
 * How a sequence ended, put together from its segments, whose sweeps are told to `onIteration`; null for
 * a sequence without steps.
 */
export function summarise(
  job: Job,
  sequence: number,
  chunk: number,
  parts: readonly SequencePart[],
): DeviceResult | null {
  if (parts.length === 0) return null;
  const { length } = job.sequences[sequence]!;
  const chunks = parts.reduce((sum, { result }) => sum + result.chunks, 0);
  let isAllExact = true;
  let fromStep = length;
  let exactChunks = 0;
  let [iterations, residual, errorEstimate] = [0, 0, 0];
  for (const { segment, result } of parts) {
    for (const [iteration, [defect, exact]] of result.trace.entries()) {
      const known = exactChunks + (isAllExact ? exact : 0);
      job.onIteration?.({ sequence, iteration, residual: defect, exactChunks: known, chunks });
    }
    iterations = Math.max(iterations, result.iterations);
    const isExact = result.reason === reasons.exact;
    if (isAllExact) {
      exactChunks += result.exactChunks;
      isAllExact = isExact;
      if (!isExact) fromStep = Math.min(segment.fromStep + result.exactChunks * chunk, length);
    }
    if (!result.converged) {
      const failed = { iterations, exactChunks, fromStep, finite: result.finite, converged: false };
      const described = describe(job, result);
      if (job.onFailure !== "return") return { ...failed, ...described };
      // The windows behind it are returned as well.
      const rest = parts.slice(parts.findIndex((part) => part.result === result) + 1);
      const known = rest.filter(({ result }) => result.finite && result.reason !== reasons.exact);
      const largest = (
        first: number,
        second: number,
        field: "certificateResidual" | "errorEstimate",
      ) => Math.max(first, second, ...known.map(({ result }) => result[field]));
      return {
        ...{ ...failed, ...described },
        residual: largest(residual, described.residual, "certificateResidual"),
        errorEstimate: largest(errorEstimate, described.errorEstimate, "errorEstimate"),
      };
    }
    residual = Math.max(residual, isExact ? 0 : result.certificateResidual);
    const exact = exactCertificate({ unitRoundoff: UNIT_ROUNDOFF, length }).errorEstimate;
    errorEstimate = Math.max(errorEstimate, isExact ? exact : result.errorEstimate);
  }
  const found = { iterations, residual, errorEstimate, exactChunks, fromStep };
  return { ...found, converged: true, finite: true, reason: "" };
}

function describe({ tolerance, onFailure }: Job, result: SegmentResult) {
  const { iterations, residual, certificateResidual, errorEstimate } = result;
  const certificate = { residual: certificateResidual, errorEstimate };
  switch (result.reason) {
    case reasons.notFinite:
      return { residual, errorEstimate: Infinity, reason: NOT_FINITE };
    case reasons.errorTooLarge:
      return { ...certificate, reason: describeFailure(certificate) };
    default: {
      // Only states that will be returned are; what is known otherwise is of an earlier sweep.
      const isMeasured = onFailure === "return";
      const measured = isMeasured ? certificate : { residual, errorEstimate: Infinity };
      return { ...measured, reason: describeTooMany(iterations, residual, tolerance) };
    }
  }
}
