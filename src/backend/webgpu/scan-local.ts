/** How the monoids whose accumulators a thread holds lie on a workgroup; see gpu/shared/scan_thread.wgsl. */
import type { Monoid, ScanShape } from "./scan.ts";

/** Threads of a workgroup on any device. */
const MOST_THREADS = 256;
/** Units side by side: neighbours in memory, 128 bytes. */
const MOST_LANES = 32;
/**
 * Floats of the largest element that rows are merged of, in workgroup memory. Merging larger ones would save
 * levels, too, but takes some compilers seconds.
 */
const LARGEST_MERGED = 6;
/** Items of a run: of chunks, of a level above, and the most where that saves a level. */
const RUN = 16;
const UPPER_RUN = 8;
const LONGEST_RUN = 32;

export function localMonoid({ kind, stateSize, unitSize, damped, tile }: ScanShape): Monoid {
  const n = kind === "block" ? unitSize : 1;
  const units = stateSize / n;
  const element = damped ? 3 * n ** 2 + 2 * n : n ** 2 + n;
  const merges = kind !== "none" && element <= LARGEST_MERGED;
  const lanes = Math.min(2 ** Math.ceil(Math.log2(units)), MOST_LANES);
  const rows = tile === undefined ? MOST_THREADS / lanes : 2;
  const tileRuns = merges ? rows : 1;
  const run = tile === undefined ? RUN : Math.ceil(tile / tileRuns);
  const upperRun = tile !== undefined || !merges ? run : UPPER_RUN;
  return {
    element,
    state: damped ? n ** 2 + n : n,
    units,
    lanes,
    rows,
    workgroup: lanes * rows,
    merges,
    run,
    upperRun,
    spine: tileRuns * (tile === undefined ? LONGEST_RUN : run),
    flags: kind === "block" ? ["BLOCK"] : kind === "none" ? ["NONE"] : [],
  };
}
