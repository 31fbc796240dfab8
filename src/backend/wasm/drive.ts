/**
 * Fills in what the steps read beside the state: the drive of many steps at once, or the inputs
 * themselves where the step computes its drive. A drive that is nothing but matrix products is computed
 * row by row where it belongs, any other by its program with eight steps side by side.
 */
import type { FloatArray } from "../../types.ts";
import { LaneJob } from "./job.ts";
import type { KernelExports } from "./load.ts";
import type { CompiledProgram } from "./lower.ts";
import { copyRows, type KernelMemory } from "./memory.ts";

export const DRIVE_LANES = 8;
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
 * @param program the cell's drive program, of one lane if it is nothing but products, else of eight; or
 *   null if the steps read their inputs.
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
  if (program.isProduct) {
    const { code, leaves, next } = program;
    return (inputs, from, to, length, reverse, target) => {
      for (let start = from; start < to; start += WINDOW) {
        const end = Math.min(to, start + WINDOW);
        copyIn(inputs, start, end, length, reverse, window);
        exports.drive(
          code,
          end - start,
          window - leaves.get("input")!,
          inputSize * 4,
          target + (start - from) * sourceSize * 4 - next,
          sourceSize * 4,
        );
      }
    };
  }
  const job = new LaneJob(memory, exports.runLanes, {
    program,
    source: { leaf: "input", width: inputSize, stride: DRIVE_LANES * inputSize * 4 },
    target: { width: sourceSize, stride: DRIVE_LANES * sourceSize * 4 },
    stateWidth: sourceSize,
  });
  return (inputs, from, to, length, reverse, target) => {
    for (let start = from; start < to; start += WINDOW) {
      const end = Math.min(to, start + WINDOW);
      copyIn(inputs, start, end, length, reverse, window);
      const lanes = Math.min(DRIVE_LANES, end - start);
      for (let lane = 0; lane < lanes; lane++) {
        const steps = Math.ceil((end - start - lane) / DRIVE_LANES);
        // The drive carries nothing on; it may start from anything, such as its own target.
        const row = target + (start - from + lane) * sourceSize * 4;
        job.setLane(lane, window + lane * inputSize * 4, row, steps, row, 0);
      }
      job.run(lanes);
    }
  };
}
