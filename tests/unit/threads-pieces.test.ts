/** How batches are cut and shared out. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cutIntoPieces } from "../../src/backend/wasm/threads/pieces.ts";

const batches = fc.array(fc.integer({ min: 0, max: 500 }), { maxLength: 20 }).map((lengths) => {
  let offset = 0;
  return lengths.map((length) => {
    const sequence = { offset, length };
    offset += length;
    return sequence;
  });
});
const chunkLengths = fc.oneof(fc.integer({ min: 1, max: 600 }), fc.constant(Infinity));
const threadCounts = fc.integer({ min: 1, max: 9 });

describe("cutIntoPieces", () => {
  test("covers every sequence, in order, without gaps, in chunks that differ in the last one only", () => {
    const property = fc.property(batches, chunkLengths, threadCounts, (batch, chunk, threads) => {
      const { pieces } = cutIntoPieces(batch, chunk, threads);
      for (const [sequence, { length }] of batch.entries()) {
        const own = pieces.filter((piece) => piece.sequence === sequence);
        const ends = [0, ...own.map(({ to }) => to)];
        expect(own.map(({ from }) => from)).toEqual(ends.slice(0, -1));
        expect(ends.at(-1)).toBe(length);
        const steps = own.map(({ from, to }) => to - from);
        expect(Math.min(1, ...steps)).toBe(1);
        expect(new Set(steps.slice(0, -1)).size).toBeLessThan(2);
        expect(steps.at(-1) ?? 0).toBeLessThanOrEqual(steps[0] ?? 0);
        expect(Math.max(0, ...steps)).toBeLessThanOrEqual(chunk);
      }
      expect(pieces.map(({ sequence }) => sequence)).toEqual(
        pieces.map(({ sequence }) => sequence).sort((a, b) => a - b),
      );
    });
    fc.assert(property);
  });

  test("cuts no more than the threads need, unless it is told", () => {
    const of = (...lengths: number[]) => lengths.map((length) => ({ offset: 0, length }));
    const piecesOf = (...given: Parameters<typeof cutIntoPieces>) => cutIntoPieces(...given).pieces;
    expect(piecesOf(of(1001), Infinity, 2)).toEqual([
      { sequence: 0, from: 0, to: 501 },
      { sequence: 0, from: 501, to: 1001 },
    ]);
    expect(piecesOf(of(100, 0, 100), Infinity, 2)).toHaveLength(2);
    expect(piecesOf(of(100, 0, 100), Infinity, 3)).toHaveLength(4);
    expect(piecesOf(of(1), Infinity, 8)).toHaveLength(1);
  });
});

describe("the groups that are handed out", () => {
  test("have every piece once, in order, and as many each as keep all threads at work, up to eight", () => {
    const property = fc.property(batches, chunkLengths, threadCounts, (batch, chunk, threads) => {
      const { pieces, groups } = cutIntoPieces(batch, chunk, threads);
      expect(groups.flat()).toEqual(pieces.map((_, index) => index));
      const most = Math.max(0, ...groups.map(({ length }) => length));
      expect(most).toBe(Math.min(8, Math.ceil(pieces.length / threads)));
      expect(groups.slice(0, -1).every(({ length }) => length === most)).toBe(true);
    });
    fc.assert(property);
  });
});
