/** Windows of a batch, for devices that hold more or less. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { errorChunkFor, planWindows, type Shape } from "../../src/backend/webgpu/plan.ts";

/** What a device holds: a number of bytes, made up of all parts of a shape. */
interface Device {
  readonly memory: number;
  readonly perSegment: number;
  readonly perRow: number;
  readonly perChunk: number;
  readonly perErrorChunk: number;
}

const bytesOf = (device: Device, { segments, rows, chunks, errorChunks }: Shape) =>
  device.perSegment * segments +
  device.perRow * rows +
  device.perChunk * chunks +
  device.perErrorChunk * errorChunks;

const cases = fc.record({
  lengths: fc.array(
    fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 700 })),
    { maxLength: 12 },
  ),
  chunk: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 13, max: 200 })),
  device: fc.record({
    memory: fc.integer({ min: 1, max: 4000 }),
    perSegment: fc.integer({ min: 0, max: 20 }),
    perRow: fc.integer({ min: 1, max: 8 }),
    perChunk: fc.integer({ min: 0, max: 30 }),
    perErrorChunk: fc.integer({ min: 0, max: 30 }),
  }),
});

/** The least that `steps` of one sequence take in a window of their own. */
function shapeOf(steps: number, chunk: number): Shape {
  return {
    segments: 1,
    rows: steps,
    chunks: Math.ceil(steps / chunk),
    errorChunks: Math.ceil(steps / Math.max(chunk, 32)),
  };
}

describe("planWindows", () => {
  it("has every step of every sequence once, in order, in windows that fit", () => {
    let [cut, whole, impossible] = [0, 0, 0];
    fc.assert(
      fc.property(cases, ({ lengths, chunk, device }) => {
        const fits = (shape: Shape) => bytesOf(device, shape) <= device.memory;
        const sequences = lengths.map((length) => ({ length }));
        const windows = planWindows(sequences, chunk, fits);
        const isPossible = lengths.every((length) => length === 0) || fits(shapeOf(1, chunk));
        expect(windows !== null).toBe(isPossible);
        if (windows === null) {
          impossible++;
          return;
        }
        const done = lengths.map(() => 0);
        let sequence = 0;
        for (const { parts, segments, rows, chunks, errorChunks, errorChunkLength } of windows) {
          let [firstRow, chunkCount, errorChunkCount] = [0, 0, 0];
          for (const part of parts) {
            expect(part.sequence).toBeGreaterThanOrEqual(sequence);
            sequence = part.sequence;
            expect(part.length).toBeGreaterThan(0);
            expect(part.fromStep).toBe(done[sequence]);
            expect(part.firstRow).toBe(firstRow);
            done[sequence]! += part.length;
            firstRow += part.length;
            chunkCount += Math.ceil(part.length / chunk);
            errorChunkCount += Math.ceil(part.length / errorChunkLength);
          }
          expect({ segments, rows, chunks, errorChunks }).toEqual({
            segments: parts.length,
            rows: firstRow,
            chunks: chunkCount,
            errorChunks: errorChunkCount,
          });
          expect(errorChunks).toBeLessThanOrEqual(chunks);
          expect(fits({ segments, rows, chunks, errorChunks })).toBe(true);
          const longest = Math.max(...parts.map(({ length }) => length));
          expect(errorChunkLength).toBe(errorChunkFor(longest, chunk));
        }
        expect(done).toEqual(lengths);

        const parts = windows.flatMap((window) => window.parts);
        for (const [i, { sequence: owner, fromStep, length }] of parts.entries()) {
          const total = lengths[owner]!;
          if (fits(shapeOf(total, chunk))) {
            // Not cut without need.
            expect({ fromStep, length }).toEqual({ fromStep: 0, length: total });
            whole++;
          } else if (fromStep + length < total) {
            cut++;
            const most = fits(shapeOf(chunk, chunk)) ? chunk : 1;
            expect(length % most).toBe(0);
            // As much as there is room for, and what comes next begins a window.
            expect(fits(shapeOf(length + most, chunk))).toBe(false);
            const next = parts[i + 1]!;
            expect(windows.some((window) => window.parts[0] === next)).toBe(true);
            expect(next.sequence).toBe(owner);
          }
        }
      }),
      { numRuns: 1000 },
    );
    // That the cases are of every kind.
    expect(Math.min(cut, whole, impossible)).toBeGreaterThan(50);
  });

  it("has as many sequences in a window as there is room for", () => {
    const sequences = [10, 10, 10, 10, 10].map((length) => ({ length }));
    const windows = planWindows(sequences, 4, ({ chunks }) => chunks <= 7)!;
    expect(windows.map(({ parts }) => parts.map(({ sequence }) => sequence))).toEqual([
      ...[[0, 1], [2, 3], [4]],
    ]);
  });

  it("lets the sequences after a cut one share the window of its end", () => {
    const sequences = [25, 0, 3].map((length) => ({ length }));
    const windows = planWindows(sequences, 4, ({ rows }) => rows <= 18)!;
    expect(windows.map(({ parts }) => parts)).toEqual([
      [{ sequence: 0, fromStep: 0, length: 16, firstRow: 0 }],
      [
        { sequence: 0, fromStep: 16, length: 9, firstRow: 0 },
        { sequence: 2, fromStep: 0, length: 3, firstRow: 9 },
      ],
    ]);
  });

  it("has no windows where there is nothing to do", () => {
    expect(planWindows([], 4, () => false)).toEqual([]);
    expect(planWindows([{ length: 0 }], 4, () => false)).toEqual([]);
    expect(planWindows([{ length: 1 }], 4, () => false)).toBe(null);
  });
});

describe("errorChunkFor", () => {
  it("is near √T, never shorter than C nor than 32", () => {
    expect(errorChunkFor(1, 1)).toBe(32);
    expect(errorChunkFor(10_000, 1)).toBe(256);
    expect(errorChunkFor(10_000, 300)).toBe(300);
    expect(errorChunkFor(2 ** 20, 8)).toBe(2048);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 }), fc.nat(500), (length, extra) => {
        const chunk = 1 + extra;
        const found = errorChunkFor(length, chunk);
        const root = Math.sqrt(length);
        expect(found).toBeGreaterThanOrEqual(Math.max(chunk, 32, 1.5 * root * (1 - 1e-12)));
        expect(found).toBeLessThanOrEqual(Math.max(chunk, 32, 3 * root * (1 + 1e-12)));
        expect(Number.isInteger(found)).toBe(true);
      }),
    );
  });
});
