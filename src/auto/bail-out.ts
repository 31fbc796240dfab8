/** Whether to go on with something that has not gone as predicted. */
import type { IterationProgress } from "../types.ts";

/** What was expected of a solve, in the units of the caller's choice. */
export interface Prospect {
  /** Residual at which the certificate is tried. */
  readonly tolerance: number;
  /** Cost of one sweep over all chunks. */
  readonly sweepCost: number;
  readonly certificateCost: number;
  /** Cost of evaluating all chunks one after the other. */
  readonly sequentialCost: number;
}

type Progress = Pick<IterationProgress, "iteration" | "residual" | "exactChunks" | "chunks">;

/** Sweeps that a method is given before it is judged. */
const PATIENCE = 3;
/** A residual that falls by less than this factor over the last sweeps does not fall. */
const STALLED = 0.7;
/** Going on must cost so much more than giving up before it is given up: predictions are rough. */
const MARGIN = 1.25;

/**
 * Why a solve should give up now and be finished sequentially from its exact chunks on; empty if it should
 * go on.
 *
 * @param history what was seen after every sweep, the first one with `iteration` 0.
 */
export function reasonToGiveUp(history: readonly Progress[], prospect: Prospect): string {
  const recent = history.slice(-1 - PATIENCE);
  const [before, last] = [recent[0], recent.at(-1)];
  if (!before || !last || recent.length <= PATIENCE) return "";
  if (last.residual <= prospect.tolerance) return "";
  const left = last.chunks - last.exactChunks;
  // What overflowed at first may have come down since.
  const from = recent.find(({ residual }) => Number.isFinite(residual)) ?? last;
  const sweepsSince = last.iteration - from.iteration;
  const rate = (last.residual / from.residual) ** (1 / sweepsSince);
  const falls = rate ** PATIENCE < STALLED;
  const toTolerance = falls
    ? Math.log(prospect.tolerance / last.residual) / Math.log(rate)
    : Number.POSITIVE_INFINITY;
  // Every sweep makes at least one more chunk exact, and those are not run again.
  const gained = Math.max((last.exactChunks - before.exactChunks) / PATIENCE, 1);
  const sweeps = Math.ceil(Math.min(toTolerance, left / gained));
  const share = Math.max(left - (gained * sweeps) / 2, 0) / last.chunks;
  const certificate = sweeps * gained < left ? prospect.certificateCost : 0;
  const goingOn = sweeps * share * prospect.sweepCost + certificate;
  const givingUp = (left / last.chunks) * prospect.sequentialCost;
  if (!(goingOn > MARGIN * givingUp)) return "";
  const reached = `residual ${last.residual.toExponential(1)} after ${last.iteration} sweeps`;
  return `${reached}: about ${sweeps} more would take longer than the rest step by step`;
}

/** What has been seen of chunks that are run again until they merge. */
export interface Merging {
  /** Steps after which they should have merged. */
  readonly predicted: number;
  readonly chunkLength: number;
  /** Chunks that were run again and merged, with the steps that they took… */
  readonly merged: readonly number[];
  /** …and chunks that were run again to their ends in vain. */
  readonly failed: number;
}

/**
 * Whether running the chunks that are left again, side by side, is likely to end before their ends do. If
 * not, they are better computed in full, one after the other.
 */
export function mayMerge({ predicted, chunkLength, merged, failed }: Merging): boolean {
  const tried = merged.length + failed;
  if (tried === 0) return predicted <= chunkLength;
  return failed <= merged.length;
}
