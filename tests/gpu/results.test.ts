/** What becomes of the device's records: results of sequences that ran in one window or in several. */
import { describe, expect, it } from "vitest";
import {
  phases,
  reasons,
  Structure,
  type StructureLayout,
  sequenceLayout,
} from "../../src/backend/webgpu/layout.ts";
import { readSegments, type SegmentResult, summarise } from "../../src/backend/webgpu/results.ts";
import { exactCertificate } from "../../src/solve/engine.ts";
import { describeFailure, describeTooMany, NOT_FINITE } from "../../src/solve/iterate.ts";
import type { IterationProgress } from "../../src/types.ts";
import { checkJob, type Job } from "../../src/validate.ts";
import { cellNamed } from "../support/cells.ts";

type Fields = Parameters<Structure<keyof typeof sequenceLayout.word>["setWords"]>[0];

const CHUNK = 4;

function jobOf(length: number, onFailure: Job["onFailure"], events?: IterationProgress[]): Job {
  return checkJob(cellNamed("lorenz96", 0), 3 + length, {
    ...{ method: "deer", chunk: CHUNK, tolerance: 0.001, maxIterations: 5, onFailure },
    lengths: [3, length],
    ...(events && { onIteration: (event: IterationProgress) => events.push(event) }),
  });
}

/** Segments of the job's second sequence, each with how it ended. */
function parts(...ends: readonly (Partial<SegmentResult> & { readonly chunks: number })[]) {
  let fromStep = 0;
  return ends.map((end) => {
    const length = end.chunks * CHUNK;
    const segment = { sequence: 1, fromStep, length, firstRow: 0 };
    fromStep += length;
    const result: SegmentResult = {
      ...{ settled: true, converged: true, reason: reasons.exact, finite: true },
      ...{ iterations: 2, exactChunks: end.chunks, residual: 0, trace: [] },
      ...{ certificateResidual: 0, errorEstimate: Number.POSITIVE_INFINITY },
      ...end,
    };
    return { segment, result };
  });
}

const certified = { reason: reasons.certified, converged: true };
const failed = { converged: false, residual: 0.25, certificateResidual: 0.5, errorEstimate: 16 };

describe("readSegments", () => {
  it("reads every record, and its part of the trace", () => {
    const layout: StructureLayout<keyof typeof sequenceLayout.word> = sequenceLayout;
    const control = new Structure(layout, 3);
    const records: { words: Fields; floats: Fields }[] = [
      {
        words: { phase: phases.converged, reason: reasons.certified, iterations: 2, chunks: 9 },
        floats: { residual: 0.5, certificateResidual: 0.25, errorEstimate: 0.125 },
      },
      {
        words: { phase: phases.failed, reason: reasons.notFinite, iterations: 0, chunks: 7 },
        floats: { residual: Number.POSITIVE_INFINITY },
      },
      {
        words: { phase: phases.certifying, iterations: 3, chunks: 5, exactChunks: 4, finite: 1 },
        floats: { errorEstimate: Number.POSITIVE_INFINITY },
      },
    ];
    for (const [j, { words, floats }] of records.entries()) {
      control.setWords(words, j);
      control.setFloats(floats, j);
    }
    const traced = 4;
    const trace = new Uint32Array(2 * 3 * traced);
    const residuals = new Float32Array(trace.buffer);
    for (let i = 0; i < 3 * traced; i++) {
      residuals[2 * i] = 2 ** -i;
      trace[2 * i + 1] = i;
    }
    const entry = (i: number) => [2 ** -i, i];
    const read = readSegments(control.words, trace, traced);
    expect(read).toEqual([
      {
        ...{ settled: true, converged: true, reason: reasons.certified, iterations: 2, chunks: 9 },
        ...{ exactChunks: 0, finite: false },
        ...{ residual: 0.5, certificateResidual: 0.25, errorEstimate: 0.125 },
        trace: [0, 1, 2].map(entry),
      },
      {
        ...{ settled: true, converged: false, reason: reasons.notFinite, iterations: 0, chunks: 7 },
        ...{ exactChunks: 0, finite: false },
        ...{ residual: Number.POSITIVE_INFINITY, certificateResidual: 0, errorEstimate: 0 },
        trace: [entry(4)],
      },
      {
        ...{ settled: false, converged: false, reason: 0, iterations: 3, chunks: 5 },
        ...{ exactChunks: 4, finite: true },
        ...{ residual: 0, certificateResidual: 0, errorEstimate: Number.POSITIVE_INFINITY },
        trace: [8, 9, 10, 11].map(entry),
      },
    ]);
    const untraced = readSegments(control.words, new Uint32Array(0), traced);
    expect(untraced).toEqual(read.map((result) => ({ ...result, trace: [] })));
  });
});

describe("summarise", () => {
  it("has nothing to say of a sequence without steps", () => {
    expect(summarise(jobOf(0, "throw"), 1, CHUNK, [])).toBe(null);
  });

  it("adds exact windows up", () => {
    const found = summarise(
      jobOf(36, "throw"),
      1,
      CHUNK,
      parts({ chunks: 4, iterations: 1 }, { chunks: 3, iterations: 3 }, { chunks: 2 }),
    );
    const { errorEstimate } = exactCertificate({ unitRoundoff: 2 ** -24, length: 36 });
    expect(found).toEqual({
      ...{ converged: true, finite: true, reason: "", iterations: 3, residual: 0, errorEstimate },
      ...{ exactChunks: 9, fromStep: 36 },
    });
  });

  it("counts as exact what comes before the first window that is not, and its own beginning", () => {
    const found = summarise(
      jobOf(44, "throw"),
      1,
      CHUNK,
      parts(
        { chunks: 4 },
        {
          ...{ chunks: 3, exactChunks: 2, ...certified },
          ...{ certificateResidual: 0.25, errorEstimate: 0.5 },
        },
        { chunks: 2, ...certified, certificateResidual: 0.125, errorEstimate: 0.75 },
        {
          ...{ chunks: 2, exactChunks: 1, iterations: 4, ...certified },
          ...{ certificateResidual: 0.0625, errorEstimate: 0.25 },
        },
      ),
    );
    expect(found).toEqual({
      ...{ converged: true, finite: true, reason: "", iterations: 4, exactChunks: 6 },
      ...{ residual: 0.25, errorEstimate: 0.75, fromStep: 24 },
    });
  });

  it("ends where a window fails, in the words of the iteration on the host", () => {
    const given = (reason: number, more: Partial<SegmentResult> = {}) =>
      parts(
        { chunks: 2, iterations: 1 },
        { chunks: 3, exactChunks: 1, iterations: 5, ...failed, reason, ...more },
        { chunks: 1, reason: reasons.notFinite, converged: false, iterations: 9, finite: false },
      );
    const common = { converged: false, iterations: 5, exactChunks: 3, fromStep: 12, finite: true };
    const of = (onFailure: Job["onFailure"], asked: ReturnType<typeof given>) =>
      summarise(jobOf(24, onFailure), 1, CHUNK, asked);
    const certificate = { residual: 0.5, errorEstimate: 16 };

    const large = { ...common, ...certificate, reason: describeFailure(certificate) };
    expect(of("throw", given(reasons.errorTooLarge))).toEqual(large);
    expect(of("return", given(reasons.errorTooLarge))).toEqual(large);

    const many = { ...common, reason: describeTooMany(5, 0.25, 0.001) };
    // A certificate of an earlier sweep says nothing of this one.
    const unknown = { residual: 0.25, errorEstimate: Number.POSITIVE_INFINITY };
    expect(of("throw", given(reasons.tooManySweeps))).toEqual({ ...many, ...unknown });
    expect(of("sequential", given(reasons.tooManySweeps))).toEqual({ ...many, ...unknown });
    expect(of("return", given(reasons.tooManySweeps))).toEqual({ ...many, ...certificate });

    expect(of("return", given(reasons.notFinite, { finite: false }))).toEqual({
      ...{ ...common, finite: false, reason: NOT_FINITE },
      ...{ residual: 0.25, errorEstimate: Number.POSITIVE_INFINITY },
    });
  });

  it("does not count as exact what fails behind a window that only is certified", () => {
    const asked = parts(
      { chunks: 2, exactChunks: 1, ...certified, certificateResidual: 0, errorEstimate: 1 },
      { chunks: 3, exactChunks: 2, ...failed, reason: reasons.tooManySweeps },
    );
    expect(summarise(jobOf(20, "throw"), 1, CHUNK, asked)).toMatchObject({
      ...{ exactChunks: 1, fromStep: 4 },
    });
  });

  it("is exact no further than the sequence's end", () => {
    // The last chunk has one step only.
    const asked = parts({ chunks: 3, ...failed, finite: false, reason: reasons.notFinite });
    expect(summarise(jobOf(9, "throw"), 1, CHUNK, asked)).toMatchObject({
      ...{ exactChunks: 3, fromStep: 9 },
    });
  });

  it("tells of every sweep, window after window", () => {
    const events: IterationProgress[] = [];
    const trace = (...entries: [number, number][]) => ({ trace: entries });
    summarise(
      jobOf(44, "throw", events),
      1,
      CHUNK,
      parts(
        { chunks: 4, ...trace([0.5, 1], [0, 4]) },
        { chunks: 3, exactChunks: 2, ...certified, ...trace([0.25, 1], [0.125, 2]) },
        { chunks: 4, exactChunks: 3, ...certified, ...trace([2, 3]) },
      ),
    );
    const common = { sequence: 1, chunks: 11 };
    expect(events).toEqual([
      { ...common, iteration: 0, residual: 0.5, exactChunks: 1 },
      { ...common, iteration: 1, residual: 0, exactChunks: 4 },
      { ...common, iteration: 0, residual: 0.25, exactChunks: 5 },
      { ...common, iteration: 1, residual: 0.125, exactChunks: 6 },
      { ...common, iteration: 0, residual: 2, exactChunks: 6 },
    ]);
  });
});
