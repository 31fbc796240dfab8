/** How a batch is cut into pieces, and which of them are handed out together, in which order. */
import type { Sequence } from "../../backend.ts";

/** Consecutive steps of a sequence. */
export interface Piece {
  /** Index of the sequence. */
  readonly sequence: number;
  /** Steps in the direction of time. */
  readonly from: number;
  readonly to: number;
}

export interface Cut {
  /** By sequence and time. */
  readonly pieces: readonly Piece[];
  /** Indices of pieces that a thread runs side by side, first those to be handed out first. */
  readonly groups: readonly (readonly number[])[];
}

/** Side by side on a thread. */
const MOST_TOGETHER = 8;

/**
 * Cuts every sequence into chunks.
 *
 * @param chunk steps a chunk; where it is infinite, the longest sequence has as many as there are threads
 * for each sequence, and all have chunks of this length.
 */
export function cutIntoPieces(sequences: readonly Sequence[], chunk: number, threads: number): Cut {
  const lengths = sequences.map(({ length }) => length).filter((length) => length > 0);
  const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
  const chunks = Math.ceil(threads / Math.max(lengths.length, 1));
  const most = Number.isFinite(chunk) ? chunk : Math.ceil(longest / chunks);
  const pieces = sequences.flatMap(({ length }, sequence) =>
    cutEvenly(length, most).map(([from, to]): Piece => ({ sequence, from, to })),
  );
  const together = Math.min(Math.ceil(pieces.length / threads), MOST_TOGETHER);
  const groups = cutEvenly(pieces.length, together).map(([first, end]) =>
    Array.from({ length: end - first }, (_, i) => first + i),
  );
  return { pieces, groups };
}

/** 0 … length in ranges of `most`; the last one may be shorter. */
function cutEvenly(length: number, most: number): [number, number][] {
  const size = Math.max(Math.min(most, length), 1);
  return Array.from({ length: Math.ceil(length / size) }, (_, k) => [
    k * size,
    Math.min((k + 1) * size, length),
  ]);
}
