/**
 * Fills in what the steps read beside the state: the drive of many steps, as a matrix product with
 * eight steps side by side, or the inputs themselves where the step computes its drive.
 */
import type { FloatArray } from "../../types.ts";
import { LaneJob } from "./job.ts";
import type { KernelExports } from "./load.ts";
import type { CompiledProgram } from "./lower.ts";
import type { KernelMemory } from "./memory.ts";

export const DRIVE_LANES = 8;
/** Rows of inputs that are copied in at a time. */
const WINDOW = 256;

export class DriveRunner {
  readonly #memory: KernelMemory;
  readonly #inputSize: number;
  readonly #sourceSize: number;
  readonly #job: LaneJob | null;
  readonly #window: number;

  /**
   * @param program the cell's drive program with eight lanes, or null if the steps read their inputs.
   * @param sourceSize floats that a step reads.
   */
  constructor(
    memory: KernelMemory,
    exports: KernelExports,
    program: CompiledProgram | null,
    inputSize: number,
    sourceSize: number,
  ) {
    this.#memory = memory;
    this.#inputSize = inputSize;
    this.#sourceSize = sourceSize;
    this.#window = program ? memory.allocateFloats(WINDOW * inputSize) : 0;
    this.#job =
      program &&
      new LaneJob(memory, exports.runLanes, {
        program,
        source: { leaf: "input", width: inputSize, stride: DRIVE_LANES * inputSize * 4 },
        target: { width: sourceSize, stride: DRIVE_LANES * sourceSize * 4 },
        stateWidth: sourceSize,
      });
  }

  /**
   * What steps `from` … `to − 1` read, to `target` (bytes). Step t reads row t of `inputs`, or row
   * `length − 1 − t` in reverse.
   */
  run(
    inputs: FloatArray,
    from: number,
    to: number,
    length: number,
    reverse: boolean,
    target: number,
  ): void {
    if (!this.#job) {
      this.#copyIn(inputs, from, to, length, reverse, target);
      return;
    }
    for (let start = from; start < to; start += WINDOW) {
      const end = Math.min(to, start + WINDOW);
      this.#copyIn(inputs, start, end, length, reverse, this.#window);
      this.#runWindow(this.#job, end - start, target + (start - from) * this.#sourceSize * 4);
    }
  }

  #copyIn(
    inputs: FloatArray,
    start: number,
    end: number,
    length: number,
    reverse: boolean,
    target: number,
  ): void {
    const width = this.#inputSize;
    const at = target / 4;
    const { floats } = this.#memory;
    if (!reverse) {
      floats.set(inputs.subarray(start * width, end * width), at);
      return;
    }
    for (let t = start; t < end; t++) {
      const row = (length - 1 - t) * width;
      const to = at + (t - start) * width;
      for (let i = 0; i < width; i++) floats[to + i] = inputs[row + i]!;
    }
  }

  #runWindow(job: LaneJob, rows: number, target: number): void {
    const lanes = Math.min(DRIVE_LANES, rows);
    for (let lane = 0; lane < lanes; lane++) {
      const steps = Math.ceil((rows - lane) / DRIVE_LANES);
      const source = this.#window + lane * this.#inputSize * 4;
      // The drive carries nothing on; it may start from anything, such as its own target.
      const to = target + lane * this.#sourceSize * 4;
      job.setLane(lane, source, to, steps, to, 0);
    }
    job.run(lanes);
  }
}
