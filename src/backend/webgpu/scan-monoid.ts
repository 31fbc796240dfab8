/** How the monoids of gpu/monoids/ lie on a workgroup: a unit in each thread, or all threads on one unit. */
import { TooLargeForGpuError } from "../../errors.ts";
import type { Monoid, ScanShape } from "./scan.ts";

/** Floats of workgroup memory on any device, less what the monoids need beside their work area. */
const WORKGROUP_FLOATS = 4096 - 16;
/** Where the Kalman update of a state would keep one workgroup busy for too long. */
const LARGEST_DAMPED_STATE = 128;
/** Threads of a workgroup on any device. */
const MOST_THREADS = 256;
/** Units side by side: neighbours in memory, 128 bytes. */
const MOST_LANES = 32;
/** Elements of the largest unit that a thread holds, whose work area takes most of its own memory. */
const LARGEST_OWN_UNIT = 8;
/** Items of a tile, and the most where that saves a level. */
const RUN = 16;
const LONGEST_RUN = 64;

/**
 * @throws RangeError when the state is too large for a damped update.
 */
export function chooseMonoid({ kind, stateSize, unitSize, damped, tile }: ScanShape): Monoid {
  const n = kind === "dense" ? stateSize : kind === "block" ? unitSize : 1;
  const units = stateSize / n;
  if (damped && n > LARGEST_DAMPED_STATE) {
    throw new TooLargeForGpuError(
      `damping: with a dense Jacobian on WebGPU expected a state of at most ${LARGEST_DAMPED_STATE} elements, got ${n}`,
    );
  }
  const matrix = n ** 2;
  const numbers = damped
    ? { element: 3 * matrix + 2 * n + 1, state: matrix + n + 1 }
    : { element: matrix + n + 1, state: n };
  const flags = kind === "none" ? ["NONE"] : [];
  if (kind !== "dense" && n <= LARGEST_OWN_UNIT) {
    const lanes = Math.min(2 ** Math.ceil(Math.log2(units)), MOST_LANES);
    const rows = MOST_THREADS / lanes;
    const layout = { units, lanes, rows, workgroup: MOST_THREADS, work: 0 };
    const run = tile ?? RUN;
    return { ...numbers, ...layout, run, spine: tile ?? LONGEST_RUN, flags, constants: {} };
  }
  const columns = 3 * n + 1;
  // Large entries of a product are computed 4 × 4 at a time, so that each number is read less often.
  const side = n > 16 ? 4 : 1;
  const threads = damped ? columns : Math.ceil(n / side) ** 2;
  const workgroup = Math.min(MOST_THREADS, Math.max(16, 2 ** Math.ceil(Math.log2(threads))));
  const floats = damped ? 4 * n * columns : 2 * matrix;
  const vectors = damped ? n : 2 * n + workgroup;
  const stored = floats + vectors > WORKGROUP_FLOATS;
  const run = tile ?? (damped && n > 32 ? 8 : RUN);
  return {
    ...numbers,
    ...{ units, lanes: 1, rows: 1, workgroup, run, spine: run },
    work: stored ? floats : 0,
    flags: [...flags, "TEAM", ...(stored ? ["STORED"] : [])],
    constants: damped ? {} : { TILE: side },
  };
}
