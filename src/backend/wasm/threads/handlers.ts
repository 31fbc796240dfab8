/** What a worker thread does, on its own instance of the kernels. */
import { makeDriver } from "../drive.ts";
import type { KernelExports } from "../load.ts";
import { KernelMemory } from "../memory.ts";
import { makeSegmentRunner } from "../segments.ts";
import { runAgain } from "./merge.ts";
import type { DriveRequest, LoadRequest, Replies, RerunRequest, RunRequest } from "./requests.ts";

interface Handled<Reply> {
  readonly reply: Reply;
  readonly transfer?: ArrayBuffer[];
}

/** The handlers of one thread's requests, by their tasks. */
export function makeHandlers(exports: KernelExports) {
  let memory: KernelMemory;

  return {
    ping: () => ({ reply: {} }),
    load({ image, memoryLimit }: LoadRequest): Handled<Replies["load"]> {
      memory ??= new KernelMemory(exports.memory, exports.heapBase(), memoryLimit);
      memory.load(image);
      return { reply: {} };
    },
    async run({ programs, segments }: RunRequest): Promise<Handled<Replies["run"]>> {
      memory.release();
      const runner = makeSegmentRunner(memory, exports, programs, segments.length);
      const made: Float32Array<ArrayBuffer>[] = [];
      const filled = segments.map(({ states, ...segment }) => {
        if (states) return { ...segment, states };
        const own = new Float32Array(segment.length * programs.stateSize);
        made.push(own);
        return { ...segment, states: own };
      });
      const finite = await runner.run(filled, { afterWindow() {} });
      return { reply: { finite, states: made }, transfer: made.map(({ buffer }) => buffer) };
    },
    async rerun({ programs, segment, stored, tolerance }: RerunRequest) {
      memory.release();
      const runner = makeSegmentRunner(memory, exports, programs, 1);
      const pause = () => {};
      const { stateSize } = programs;
      return { reply: await runAgain(runner, segment, stored, stateSize, tolerance, pause) };
    },
    drive({ programs, inputs, reverse, drive }: DriveRequest): Handled<Replies["drive"]> {
      memory.release();
      const { inputSize, driveSize } = programs;
      const rows = inputs.length / inputSize;
      const runDrive = makeDriver(memory, exports, programs.drive, inputSize, driveSize);
      const address = memory.allocateFloats(rows * driveSize);
      runDrive(inputs, 0, rows, rows, reverse, address);
      const made = memory.view(address, rows * driveSize);
      if (drive) {
        drive.set(made);
        return { reply: { drive: null } };
      }
      const own = Float32Array.from(made);
      return { reply: { drive: own }, transfer: [own.buffer] };
    },
  };
}
