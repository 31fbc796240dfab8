/** What a worker thread does, on its own instance of the kernels. */
import { makeDriver } from "../drive.ts";
import type { KernelExports } from "../load.ts";
import { KernelMemory } from "../memory.ts";
import { makeSegmentRunner } from "../segments.ts";
import { type Hand, localHand } from "./hand.ts";
import type {
  CloseRequest,
  DriveRequest,
  LoadRequest,
  OpenRequest,
  Replies,
  RerunRequest,
  RunRequest,
} from "./requests.ts";

interface Handled<Reply> {
  readonly reply: Reply;
  readonly transfer?: ArrayBuffer[];
}

/** The handlers of one thread's requests, by their tasks. */
export function makeHandlers(exports: KernelExports) {
  let memory: KernelMemory;
  /** Null between jobs, so that what it works on can be collected. */
  let hand: Hand | null = null;
  let results: Float32Array<ArrayBuffer>[] = [];

  return {
    ping: () => ({ reply: {} }),
    load({ image, memoryLimit }: LoadRequest): Handled<Replies["load"]> {
      memory ??= new KernelMemory(exports.memory, exports.heapBase(), memoryLimit);
      memory.load(image);
      return { reply: {} };
    },
    open({ programs, segments }: OpenRequest): Handled<Replies["open"]> {
      memory.release();
      const { stateSize } = programs;
      const runner = makeSegmentRunner(memory, exports, programs, segments.length);
      results = [];
      const filled = segments.map(({ states, ...segment }) => {
        if (states) return { ...segment, states };
        const own = new Float32Array(segment.length * stateSize);
        results.push(own);
        return { ...segment, states: own };
      });
      hand = localHand(runner, filled, stateSize, () => {});
      return { reply: {} };
    },
    async run(_: RunRequest): Promise<Handled<Replies["run"]>> {
      return { reply: await hand!.run() };
    },
    async rerun(request: RerunRequest): Promise<Handled<Replies["rerun"]>> {
      return { reply: await hand!.rerun(request) };
    },
    close(_: CloseRequest): Handled<Replies["close"]> {
      const states = results;
      results = [];
      hand = null;
      memory.release();
      return { reply: { states }, transfer: states.map(({ buffer }) => buffer) };
    },
    drive({ programs, inputs, reverse }: DriveRequest): Handled<Replies["drive"]> {
      memory.release();
      const { inputSize, driveSize } = programs;
      const rows = inputs.length / inputSize;
      const runDrive = makeDriver(memory, exports, programs.drive, inputSize, driveSize);
      const address = memory.allocateFloats(rows * driveSize);
      runDrive(inputs, 0, rows, rows, reverse, address);
      const drive = memory.view(address, rows * driveSize).slice() as Float32Array<ArrayBuffer>;
      return { reply: { drive }, transfer: [drive.buffer] };
    },
  };
}
