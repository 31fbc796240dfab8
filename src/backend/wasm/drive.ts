/**
 * Fills in what the steps read beside the state: the drive of many steps at once, or the inputs
 * themselves where the step computes its drive. A drive that is nothing but matrix products takes many
 * rows through each of them at once, any other its program row by row.
 */
import type { FloatArray } from "../../types.ts";
import { LaneJob } from "./job.ts";
import type { KernelExports } from "./load.ts";
import type { CompiledProgram } from "./lower.ts";
import { copyRows, type KernelMemory } from "./memory.ts";

/** What `makeDriver` wants of a drive's program. Rows are read and written where they lie. */
export const DRIVE_LANES = 1;
/** Rows of inputs that are copied in at a time. */
const WINDOW = 256;

/**
 * Writes what steps `from` … `to − 1` read to `target` (bytes). Step t reads row t of `inputs`, or row
 * `length − 1 − t` in reverse.
 */
export type Driver = (
  inputs: FloatArray,
  from: number,
  to: number,
  length: number,
  reverse: boolean,
  target: number,
) => void;

/**
 * @param program the cell's drive program, of `DRIVE_LANES`, or null if the steps read their inputs.
 * @param sourceSize floats that a step reads.
 */
export function makeDriver(
  memory: KernelMemory,
  exports: KernelExports,
  program: CompiledProgram | null,
  inputSize: number,
  sourceSize: number,
): Driver {
  const copyIn: Driver = (inputs, from, to, length, reverse, target) => {
    const [first, last] = reverse ? [length - to, length - from] : [from, to];
    const rows = inputs.subarray(first * inputSize, last * inputSize);
    copyRows(rows, memory.view(target, rows.length), inputSize, reverse);
  };
  if (!program) return copyIn;
  const window = memory.allocateFloats(WINDOW * inputSize);
  const { code, leaves, next, isProduct } = program;
  const [sourcePitch, targetPitch] = [inputSize * 4, sourceSize * 4];
  const job = new LaneJob(memory, exports.runLanes, {
    program,
    source: { leaf: "input", width: inputSize, stride: sourcePitch },
    target: { width: sourceSize, stride: targetPitch },
    stateWidth: sourceSize,
  });
  const run = (steps: number, row: number) => {
    if (isProduct) {
      const shift = window - leaves.get("input")!;
      exports.drive(code, steps, shift, sourcePitch, row - next, targetPitch);
    } else {
      // The drive carries nothing on; it may start from anything, such as its own target.
      job.setLane(0, window, row, steps, row, 0);
      job.run(1);
    }
  };
  return (inputs, from, to, length, reverse, target) => {
    for (let start = from; start < to; start += WINDOW) {
      const end = Math.min(to, start + WINDOW);
      copyIn(inputs, start, end, length, reverse, window);
      run(end - start, target + (start - from) * targetPitch);
    }
  };
}
