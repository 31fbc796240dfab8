/** How the monoids of gpu/monoids/{affine,kalman}_dense.wgsl lie on a workgroup. */
import { TooLargeForGpuError } from "../../errors.ts";
import type { Monoid, ScanShape } from "./scan.ts";

/** Floats of workgroup memory on any device, less what the monoids need beside their work area. */
const WORKGROUP_FLOATS = 4096 - 16;
/** Where the Kalman update of a state would keep one workgroup busy for too long. */
const LARGEST_DAMPED_STATE = 128;
/** Threads of a workgroup on any device. */
const MOST_THREADS = 256;

/**
 * @throws RangeError when the state is too large for a damped update.
 */
export function denseMonoid({ stateSize, damped, tile }: ScanShape): Monoid {
  const matrix = stateSize ** 2;
  const columns = 3 * stateSize + 1;
  if (damped && stateSize > LARGEST_DAMPED_STATE) {
    throw new TooLargeForGpuError(
      `damping: with a dense Jacobian on WebGPU expected a state of at most ${LARGEST_DAMPED_STATE} elements, got ${stateSize}`,
    );
  }
  // Large entries of a product are computed 4 × 4 at a time, so that each number is read less often.
  const side = stateSize > 16 ? 4 : 1;
  const threads = damped ? columns : Math.ceil(stateSize / side) ** 2;
  const workgroup = Math.min(MOST_THREADS, Math.max(16, 2 ** Math.ceil(Math.log2(threads))));
  const floats = damped ? 4 * stateSize * columns : 2 * matrix;
  const vectors = damped ? stateSize : 2 * stateSize + workgroup;
  const stored = floats + vectors > WORKGROUP_FLOATS;
  const run = tile ?? (damped && stateSize > 32 ? 8 : 16);
  return {
    element: damped ? 3 * matrix + 2 * stateSize + 1 : matrix + stateSize + 1,
    state: damped ? matrix + stateSize + 1 : stateSize,
    units: 1,
    lanes: 1,
    rows: 1,
    workgroup,
    merges: false,
    run,
    upperRun: run,
    spine: run,
    work: stored ? floats : 0,
    flags: stored ? ["DENSE", "STORED"] : ["DENSE"],
    ...(!damped && { constants: { TILE: side } }),
  };
}
