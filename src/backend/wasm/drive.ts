/** Computes the drive of many steps: a matrix product, eight steps side by side. */
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
  readonly #driveSize: number;
  readonly #job: LaneJob | null;
  readonly #window: number;

  /** @param program the cell's drive program with eight lanes, or null if it reads no input. */
  constructor(
    memory: KernelMemory,
    exports: KernelExports,
    program: CompiledProgram | null,
    inputSize: number,
    driveSize: number,
  ) {
    this.#memory = memory;
    this.#inputSize = inputSize;
    this.#driveSize = driveSize;
    this.#window = memory.allocateFloats(WINDOW * inputSize);
    this.#job =
      program &&
      new LaneJob(memory, exports.runLanes, {
        program,
        source: { leaf: "input", width: inputSize, stride: DRIVE_LANES * inputSize * 4 },
        target: { width: driveSize, stride: DRIVE_LANES * driveSize * 4 },
        stateWidth: driveSize,
      });
  }

  /**
   * The drive of steps `from` … `to − 1`, to `target` (bytes). Step t reads row t of `inputs`, or row
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
    if (!this.#job) return;
    for (let start = from; start < to; start += WINDOW) {
      const end = Math.min(to, start + WINDOW);
      this.#copyIn(inputs, start, end, length, reverse);
      this.#runWindow(this.#job, end - start, target + (start - from) * this.#driveSize * 4);
    }
  }

  #copyIn(inputs: FloatArray, start: number, end: number, length: number, reverse: boolean): void {
    const width = this.#inputSize;
    const at = this.#window / 4;
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
      const to = target + lane * this.#driveSize * 4;
      job.setLane(lane, source, to, steps, to, 0);
    }
    job.run(lanes);
  }
}
