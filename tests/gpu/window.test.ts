/** What the host puts into a window's buffers, against plain loops over its steps. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  phases,
  problemLayout,
  Structure,
  sequenceLayout,
} from "../../src/backend/webgpu/layout.ts";
import { planWindows, type Segment, type Window } from "../../src/backend/webgpu/plan.ts";
import {
  boundsOf,
  bufferRequests,
  describeBounds,
  describeProblem,
  describeSequences,
  eachRun,
  guessedBoundaries,
  initialStateOf,
  segmentRows,
  type WindowNeeds,
} from "../../src/backend/webgpu/window.ts";
import { add, defineCell } from "../../src/cell/index.ts";
import { checkJob, type Job } from "../../src/validate.ts";
import { mulberry32, uniform } from "../support/random.ts";

/** A part that zero is a state of, one without bounds, and one that zero is outside of. */
const cellWith = (low: number) =>
  defineCell({
    name: "bounded",
    inputSize: 2,
    state: {
      gate: { size: 2, bounds: [-1, 1] },
      memory: { size: 1 },
      share: { size: 2, bounds: [low, 3] },
    },
    step: ({ gate, memory, share }) => ({ gate, memory: add(memory, 1), share }),
  });
const D = 5;

interface Case {
  readonly job: Job;
  readonly chunk: number;
  readonly windows: readonly Window[];
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    lengths: fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 6 }),
    chunk: fc.integer({ min: 1, max: 9 }),
    reverse: fc.boolean(),
    room: fc.constantFrom(2, 15, 30, 1000),
    seed: fc.nat(),
    hasGuess: fc.boolean(),
    low: fc.constantFrom(-2, 0.5),
    inPlace: fc.boolean(),
    onFailure: fc.constantFrom("return" as const, "throw" as const, "sequential" as const),
    damping: fc.constantFrom(
      { lambda: 0 },
      { lambda: 0.5, trustRegion: true, scale: 0.25 },
      { lambda: 0.1, estimate: "smoother" as const, clip: true },
    ),
  })
  .map(({ lengths, chunk, reverse, room, seed, hasGuess, low, inPlace, onFailure, damping }) => {
    const rows = lengths.reduce((sum, length) => sum + length, 0);
    const random = mulberry32(seed);
    const initialState = uniform(random, D * lengths.length, inPlace ? 0.6 : -2, inPlace ? 0.9 : 4);
    const initialGuess = uniform(random, D * rows, -5, 5).map((value, i) =>
      i % 7 === 3 ? [Number.NaN, Number.POSITIVE_INFINITY][i % 2]! : value,
    );
    const job = checkJob(cellWith(low), new Float32Array(2 * rows), {
      ...{ method: "quasi-elk", lengths, chunk, reverse, damping, onFailure, initialState },
      ...{ maxIterations: 7, tolerance: 0.01 },
      ...(hasGuess && { initialGuess }),
    });
    const windows = planWindows(job.sequences, chunk, (shape) => shape.rows <= room)!;
    return { job, chunk, windows };
  });

/** The row of the job that holds step t of a segment. */
function rowOf({ sequences, reverse }: Job, { sequence, fromStep }: Segment, t: number): number {
  const { offset, length } = sequences[sequence]!;
  return offset + (reverse ? length - 1 - (fromStep + t) : fromStep + t);
}

/** Checks a property in every window of every case. */
function inEveryWindow(check: (job: Job, window: Window, chunk: number) => void): void {
  fc.assert(
    fc.property(cases, ({ job, windows, chunk }) => {
      for (const window of windows) check(job, window, chunk);
    }),
    { numRuns: 200 },
  );
}

describe("a window's description", () => {
  it("lays its sequences out one after the other", () => {
    inEveryWindow((job, window, chunk) => {
      const sequences = describeSequences(job, window, chunk);
      const { lambda } = job.damping!;
      let [firstRow, firstChunk, firstErrorChunk] = [0, 0, 0];
      const expected = new Structure(sequenceLayout, window.parts.length);
      for (const [j, { length }] of window.parts.entries()) {
        const chunks = Math.ceil(length / chunk);
        const errorChunks = Math.ceil(length / window.errorChunkLength);
        expected.setWords({ firstRow, length, firstChunk, chunks, firstErrorChunk }, j);
        expected.setWords({ errorChunks, phase: phases.sweeping, finite: 1 }, j);
        const unknown = Number.POSITIVE_INFINITY;
        expected.setFloats({ lambda, errorEstimate: unknown, acceptedMerit: unknown }, j);
        expected.setFloats({ retryBelow: unknown, lastEstimate: unknown }, j);
        firstRow += length;
        firstChunk += chunks;
        firstErrorChunk += errorChunks;
      }
      expect(sequences.words).toEqual(expected.words);
      expect({ firstRow, firstChunk, firstErrorChunk }).toEqual({
        ...{ firstRow: window.rows, firstChunk: window.chunks },
        firstErrorChunk: window.errorChunks,
      });
    });
  });

  it("says what is asked for", () => {
    inEveryWindow((job, window, chunk) => {
      const words = describeProblem(job, window, chunk);
      const floats = new Float32Array(words.buffer);
      const { lambda, trustRegion, estimate, clip, scale } = job.damping!;
      const { word } = problemLayout;
      expect(lambda).toBe(job.damping!.lambda);
      expect({
        sequences: words[word.sequences],
        chunks: words[word.chunks],
        chunkLength: words[word.chunkLength],
        rows: words[word.rows],
        errorChunks: words[word.errorChunks],
        errorChunkLength: words[word.errorChunkLength],
        reverse: words[word.reverse] === 1,
        maxIterations: words[word.maxIterations],
        clip: words[word.clip] === 1,
        smoother: words[word.smoother] === 1,
        trustRegion: words[word.trustRegion] === 1,
        certifyFailure: words[word.certifyFailure] === 1,
        keep: floats[word.keep],
        tolerance: floats[word.tolerance],
        unitRoundoff: floats[word.unitRoundoff],
      }).toEqual({
        sequences: window.parts.length,
        chunks: window.chunks,
        chunkLength: chunk,
        rows: window.rows,
        errorChunks: window.errorChunks,
        errorChunkLength: window.errorChunkLength,
        reverse: job.reverse,
        maxIterations: 7,
        clip,
        smoother: estimate === "smoother",
        trustRegion,
        certifyFailure: job.onFailure === "return",
        keep: 1 - scale,
        tolerance: Math.fround(0.01),
        unitRoundoff: 2 ** -24,
      });
    });
  });

  it("has tiles enough for the longest sequence, and room for all of them", () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 2 ** 22 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(lengths, fc.integer({ min: 1, max: 500 }), (given, chunk) => {
        const job = { ...emptyJob, sequences: given.map((length) => ({ offset: 0, length })) };
        const [window] = planWindows(job.sequences, chunk, () => true)!;
        const words = describeProblem(job, window!, chunk);
        const tile = words[problemLayout.word.measureTile]!;
        const tiles = words[problemLayout.word.measureTiles]!;
        const most = Math.max(...given.map((length) => Math.ceil(length / chunk)));
        expect(tile * tiles).toBeGreaterThanOrEqual(most);
        expect(tile * (tiles - 1)).toBeLessThan(most);
        const bytes = bytesOf(window!, needs).tiles!;
        expect(bytes).toBeGreaterThanOrEqual(16 * given.length * tiles);
      }),
    );
  });
});

const emptyJob = checkJob(cellWith(-2), new Float32Array(0), { method: "quasi-deer" });
const needs: WindowNeeds = {
  sizes: { inputSize: 2, sourceSize: 7, stateSize: D, productWidth: 11 },
  parallel: true,
  trustRegion: true,
  traced: 8,
  scratch: (chunks) => 40 * chunks,
};

function bytesOf(window: Window, asked: WindowNeeds): Record<string, number> {
  return Object.fromEntries(
    bufferRequests(window, asked).map(({ label, bytes }) => [label, bytes]),
  );
}

describe("a window's buffers", () => {
  it("hold what the kernels put into them", () => {
    inEveryWindow((_, window) => {
      const { rows, chunks: K, errorChunks, segments: B } = window;
      expect(bytesOf(window, needs)).toMatchObject({
        inputs: 8 * rows,
        source: 28 * rows,
        states: 4 * D * rows,
        boundaries: 4 * D * (B + K),
        ends: 4 * D * K,
        products: 44 * K,
        saved: 4 * D * K,
        control: 4 * sequenceLayout.words * B,
        bounds: 8 * D * B,
        measures: 16 * K,
        errorMeasures: 16 * errorChunks,
        // One start a sequence, two ends a chunk, of four columns.
        errorBoundaries: 16 * D * (B + 2 * errorChunks),
        trace: 8 * 8 * B,
        scratch: 40 * K,
      });
    });
  });

  it("are not there, or empty, where nothing needs them", () => {
    inEveryWindow((_, window) => {
      const { saved, trace } = bytesOf(window, { ...needs, trustRegion: false, traced: 0 });
      expect([saved, trace]).toEqual([0, 0]);
      const sequential = bytesOf(window, { ...needs, parallel: false });
      expect(sequential.products).toBe(0);
      for (const name of [
        "errorMeasures",
        "errorBoundaries",
        "tiles",
        "trace",
        "saved",
        "scratch",
      ]) {
        expect(sequential).not.toHaveProperty(name);
      }
    });
  });
});

describe("a window's rows", () => {
  it("are copied in as few pieces as there are runs of neighbours", () => {
    inEveryWindow((job, window) => {
      const found = new Int32Array(window.rows).fill(-1);
      const expected = new Int32Array(window.rows).fill(-1);
      let pieces = 0;
      eachRun(job, window, (firstRow, windowRow, rows) => {
        pieces++;
        for (let i = 0; i < rows; i++) {
          expect(found[windowRow + i]).toBe(-1);
          found[windowRow + i] = firstRow + i;
        }
      });
      for (const segment of window.parts) {
        const { firstRow, length } = segment;
        for (let t = 0; t < length; t++) {
          expected[firstRow + (job.reverse ? length - 1 - t : t)] = rowOf(job, segment, t);
        }
        expect(segmentRows(job, segment)).toBe(expected[firstRow]);
      }
      expect(found).toEqual(expected);
      const jumps = expected.filter((row, i) => i > 0 && row !== expected[i - 1]! + 1);
      expect(pieces).toBe(jumps.length + 1);
    });
  });
});

describe("a window's boundaries", () => {
  it("have the bounds of the parts whose start is within them", () => {
    inEveryWindow((job, window) => {
      const pairs = describeBounds(boundsOf(job, window));
      expect(pairs.length).toBe(2 * D * window.parts.length);
      const infinity = Number.POSITIVE_INFINITY;
      const share = job.cell.parts[2]!.bounds;
      const given = [[-1, 1], [-1, 1], [-infinity, infinity], share, share] as const;
      for (const [j, { sequence }] of window.parts.entries()) {
        const start = initialStateOf(job, sequence);
        const inside = (i: number) => start[i]! >= given[i]![0] && start[i]! <= given[i]![1];
        for (let i = 0; i < D; i++) {
          const other = [1, 0, 2, 4, 3][i]!;
          const bounds = inside(i) && inside(other) ? given[i]! : [-infinity, infinity];
          expect([...pairs.subarray(2 * (j * D + i)).subarray(0, 2)]).toEqual([...bounds]);
        }
      }
    });
  });

  it("are guessed as the caller says, finite and within bounds", () => {
    let zeros = 0;
    inEveryWindow((job, window, chunk) => {
      const bounds = boundsOf(job, window);
      const pairs = describeBounds(bounds);
      const found = guessedBoundaries(job, window, chunk, bounds);
      const expected: number[] = [];
      for (const [j, segment] of window.parts.entries()) {
        for (let begin = 0; begin < segment.length; begin += chunk) {
          const last = Math.min(begin + chunk, segment.length) - 1;
          const row = rowOf(job, segment, last);
          for (let i = 0; i < D; i++) {
            const given = job.initialGuess?.[row * D + i] ?? 0;
            const [low, high] = pairs.subarray(2 * (j * D + i));
            expected.push(Math.min(Math.max(Number.isFinite(given) ? given : 0, low!), high!));
          }
        }
      }
      expect(expected.length).toBe(window.chunks * D);
      if (found === null) {
        zeros++;
        expect(expected.every((value) => value === 0)).toBe(true);
      } else {
        expect(found).toEqual(Float32Array.from(expected));
      }
    });
    expect(zeros).toBeGreaterThan(10);
  });
});
