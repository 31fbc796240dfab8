/** What one window needs on the device: sizes of its buffers, and what the host puts into them. */
import { type StateBounds, stateBounds } from "../../solve/bounds.ts";
import type { FloatArray } from "../../types.ts";
import type { Job } from "../../validate.ts";
import type { BufferRequest } from "./buffers.ts";
import { phases, problemLayout, Structure, sequenceLayout } from "./layout.ts";
import type { Segment, Shape, Window } from "./plan.ts";

export const UNIT_ROUNDOFF = 2 ** -24;
/** Sizes of a cell's parts on the device, in floats. */
export interface CellSizes {
  readonly inputSize: number;
  readonly sourceSize: number;
  readonly stateSize: number;
  /** Of one P_k; 0 where none is stored. */
  readonly productWidth: number;
}

export interface WindowNeeds {
  readonly sizes: CellSizes;
  /** Whether there are sweeps, and not just a sequential run. */
  readonly parallel: boolean;
  readonly trustRegion: boolean;
  /** Sweeps that are kept a trace of, and the first; 0 for no trace. */
  readonly traced: number;
  /** Bytes of a scan's scratch for so many chunks. */
  readonly scratch: (chunks: number) => number;
}

/** Tiles a sequence has at most in `measure`; one thread looks at all of them. */
const MOST_TILES = 64;
const SMALLEST_TILE = 256;
/** Floats a sequence's tangents take: one column for defects, three for rounding. */
export const ERROR_COLUMNS = 4;

/** How `measure` divides a window: chunks a workgroup, and workgroups a sequence. */
export function measureTiles({ parts }: Window, chunk: number): { tile: number; tiles: number } {
  const longest = parts.reduce((most, { length }) => Math.max(most, length), 1);
  const chunks = Math.ceil(longest / chunk);
  const tile = Math.max(SMALLEST_TILE, Math.ceil(chunks / MOST_TILES));
  return { tile, tiles: Math.ceil(chunks / tile) };
}

export function bufferRequests(
  { segments: B, rows, chunks: K, errorChunks }: Shape,
  { sizes, parallel, trustRegion, traced, scratch }: WindowNeeds,
): BufferRequest[] {
  const { inputSize, sourceSize, stateSize: D, productWidth } = sizes;
  const floats: Record<string, number> = {
    inputs: rows * inputSize,
    source: rows * sourceSize,
    states: rows * D,
    boundaries: (B + K) * D,
    ends: K * D,
    control: B * sequenceLayout.words,
    bounds: 2 * B * D,
    measures: 4 * K,
    products: parallel ? K * productWidth : 0,
    carry: D + 1,
  };
  if (parallel) {
    Object.assign(floats, {
      errorMeasures: 4 * errorChunks,
      errorBoundaries: ERROR_COLUMNS * (2 * errorChunks + B) * D,
      errorCarry: ERROR_COLUMNS * D,
      tiles: 4 * B * MOST_TILES,
      trace: 2 * B * traced,
      saved: trustRegion ? K * D : 0,
      scratch: scratch(K) / 4,
    });
  }
  return Object.entries(floats).map(([label, count]) => ({
    label,
    bytes: count * 4,
    kind: "storage",
  }));
}

/** The rows of a segment among the sequence's rows, in the order of the inputs. */
export function segmentRows(job: Job, { sequence, fromStep, length }: Segment): number {
  const { offset, length: total } = job.sequences[sequence]!;
  return offset + (job.reverse ? total - fromStep - length : fromStep);
}

export function asFloat32(values: FloatArray): Float32Array {
  return values instanceof Float32Array ? values : Float32Array.from(values);
}

/** The uniform that all kernels read. */
export function describeProblem(job: Job, window: Window, chunk: number): Uint32Array<ArrayBuffer> {
  const { damping, tolerance, maxIterations } = job;
  const { parts, errorChunkLength } = window;
  const { tile, tiles } = measureTiles(window, chunk);
  const problem = new Structure(problemLayout);
  problem.setWords({
    sequences: parts.length,
    chunks: window.chunks,
    chunkLength: chunk,
    rows: window.rows,
    errorChunks: window.errorChunks,
    errorChunkLength,
    reverse: Number(job.reverse),
    maxIterations,
    clip: Number(damping?.clip ?? false),
    smoother: Number(damping?.estimate === "smoother"),
    trustRegion: Number(damping?.trustRegion ?? false),
    measureTile: tile,
    measureTiles: tiles,
    certifyFailure: Number(job.onFailure === "return"),
  });
  problem.setFloats({
    keep: 1 - (damping?.scale ?? 0),
    tolerance,
    unitRoundoff: UNIT_ROUNDOFF,
  });
  return problem.words;
}

/** The records of the window's sequences, before the first sweep. */
export function describeSequences(job: Job, window: Window, chunk: number) {
  const sequences = new Structure(sequenceLayout, window.parts.length);
  let firstChunk = 0;
  let firstErrorChunk = 0;
  for (const [j, { firstRow, length }] of window.parts.entries()) {
    const chunks = Math.ceil(length / chunk);
    const errorChunks = Math.ceil(length / window.errorChunkLength);
    const counts = { firstRow, length, firstChunk, chunks, firstErrorChunk, errorChunks };
    sequences.setWords({ ...counts, phase: phases.sweeping, finite: 1 }, j);
    const { lambda = 0 } = job.damping ?? {};
    const unknown = { acceptedMerit: Infinity, retryBelow: Infinity, lastEstimate: Infinity };
    sequences.setFloats({ lambda, ...unknown, errorEstimate: Infinity }, j);
    firstChunk += chunks;
    firstErrorChunk += errorChunks;
  }
  return sequences;
}

/** `[sequences, stateSize]` pairs of low and high. */
export function describeBounds(bounds: readonly StateBounds[]): Float32Array {
  const D = bounds[0]?.low.length ?? 0;
  const pairs = new Float32Array(2 * D * bounds.length);
  for (const [j, { low, high }] of bounds.entries()) {
    for (let i = 0; i < D; i++) pairs.set([low[i]!, high[i]!], 2 * (j * D + i));
  }
  return pairs;
}

/** The bounds that the guards keep to, of each of the window's sequences. */
export function boundsOf(job: Job, { parts }: Window): StateBounds[] {
  return parts.map(({ sequence }) => stateBounds(job.cell, initialStateOf(job, sequence)));
}

/** s_0 of a sequence. */
export function initialStateOf({ cell, initialStates }: Job, sequence: number): FloatArray {
  const { stateSize: D } = cell;
  return initialStates.subarray(sequence * D, (sequence + 1) * D);
}

/** Uploads the rows of all segments; neighbours in one piece. */
export function eachRun(
  job: Job,
  { parts }: Window,
  visit: (firstRow: number, windowRow: number, rows: number) => void,
): void {
  let run: { first: number; at: number; rows: number } | null = null;
  for (const segment of parts) {
    const first = segmentRows(job, segment);
    if (run && run.first + run.rows === first) {
      run.rows += segment.length;
      continue;
    }
    if (run) visit(run.first, run.at, run.rows);
    run = { first, at: segment.firstRow, rows: segment.length };
  }
  if (run) visit(run.first, run.at, run.rows);
}

/** b_1 … b_K of every sequence as they are guessed; null if all are zeros. `[chunks, stateSize]`. */
export function guessedBoundaries(
  job: Job,
  window: Window,
  chunk: number,
  bounds: readonly StateBounds[],
): Float32Array | null {
  const { initialGuess, cell, reverse } = job;
  const { stateSize: D } = cell;
  const zeroIsFine = bounds.every(
    ({ low, high }) => low.every((value) => value <= 0) && high.every((value) => value >= 0),
  );
  if (!initialGuess && zeroIsFine) return null;
  const boundaries = new Float32Array(window.chunks * D);
  let k = 0;
  for (const [j, segment] of window.parts.entries()) {
    const { low, high } = bounds[j]!;
    const first = segmentRows(job, segment);
    for (let end = chunk; end < segment.length + chunk; end += chunk, k++) {
      const step = Math.min(end, segment.length) - 1;
      const row = first + (reverse ? segment.length - 1 - step : step);
      for (let i = 0; i < D; i++) {
        const given = initialGuess ? initialGuess[row * D + i]! : 0;
        const guess = Number.isFinite(given) ? given : 0;
        boundaries[k * D + i] = Math.min(Math.max(guess, low[i]!), high[i]!);
      }
    }
  }
  return boundaries;
}
