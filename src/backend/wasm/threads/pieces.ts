/** How a batch is cut into pieces, and which thread gets which. */
import type { Sequence } from "../../backend.ts";

/** Consecutive steps of a sequence. */
export interface Piece {
  /** Index of the sequence. */
  readonly sequence: number;
  /** Steps in the direction of time. */
  readonly from: number;
  readonly to: number;
}

/**
 * Cuts every sequence into chunks.
 *
 * @param chunk steps a chunk; where it is infinite, there are as many chunks as threads, or one a
 * sequence if that is enough.
 */
export function cutIntoPieces(
  sequences: readonly Sequence[],
  chunk: number,
  threads: number,
): Piece[] {
  const filled = sequences.filter(({ length }) => length > 0).length;
  const chunks = Math.ceil(threads / Math.max(filled, 1));
  return sequences.flatMap(({ length }, sequence) => {
    const steps = Number.isFinite(chunk) ? chunk : Math.max(Math.ceil(length / chunks), 1);
    return Array.from({ length: Math.ceil(length / steps) }, (_, k): Piece => {
      const from = k * steps;
      return { sequence, from, to: Math.min(from + steps, length) };
    });
  });
}

/** Gives each of at most `threads` threads a run of neighbours, with about the same number of steps. */
export function sharePieces(pieces: readonly Piece[], threads: number): number[][] {
  const total = pieces.reduce((sum, { from, to }) => sum + to - from, 0);
  const shares: number[][] = Array.from({ length: threads }, () => []);
  let before = 0;
  pieces.forEach(({ from, to }, index) => {
    const middle = before + (to - from) / 2;
    shares[Math.min(Math.floor((middle / total) * threads), threads - 1)]!.push(index);
    before += to - from;
  });
  return shares.filter((share) => share.length > 0);
}
