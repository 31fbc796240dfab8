/**
 * Steps every cell with one sequence, four and eight side by side, its drive beforehand or in the step,
 * and compares the bits. Run as a program, it prints what it finds as JSON: relaxed SIMD may need a flag
 * of the engine's, and so a process of its own.
 */
import { fileURLToPath } from "node:url";
import { DRIVE_LANES, makeDriver } from "../../src/backend/wasm/drive.ts";
import { inlinedKernels } from "../../src/backend/wasm/inlined.ts";
import { LaneJob } from "../../src/backend/wasm/job.ts";
import { type Kernels, loadKernels } from "../../src/backend/wasm/load.ts";
import { KernelMemory } from "../../src/backend/wasm/memory.ts";
import { ProgramCache, type ProgramSet } from "../../src/backend/wasm/programs.ts";
import type { Cell } from "../../src/cell/index.ts";
import { identical } from "./agreement.ts";
import { cells } from "./cells.ts";
import { mulberry32, uniform } from "./random.ts";

const sequences = 8;
/** Odd, so that the order of panels differs between the first step and the last. */
const steps = 41;
/** Below a vector, whole vectors, and around panels of 32 and their rest. */
const hiddenSizes = [5, 8, 13, 33];

export interface Comparison {
  readonly simd: "plain" | "relaxed";
  readonly compared: number;
  /** The cells whose states depend on how they are computed, and how. */
  readonly different: readonly string[];
}

export async function compareLanes(reproducible: boolean): Promise<Comparison> {
  const kernels = await loadKernels(inlinedKernels, undefined, reproducible);
  const different: string[] = [];
  let compared = 0;
  for (const hiddenSize of hiddenSizes) {
    for (const cell of cells(1, { hiddenSize, inputSize: 3 })) {
      const expected = run(kernels, cell, "split", 1);
      for (const [programs, lanes] of [
        ["split", 4],
        ["split", 8],
        ["whole", 1],
        ["whole", 4],
        ["whole", 8],
      ] as const) {
        compared++;
        if (identical(run(kernels, cell, programs, lanes), expected)) continue;
        different.push(`${cell.name}, H = ${hiddenSize}, ${programs}, ${lanes} lanes`);
      }
    }
  }
  return { simd: kernels.simd, compared, different };
}

/** All states `[sequences, steps, stateSize]`. */
function run(
  { exports }: Kernels,
  cell: Cell,
  programs: keyof ProgramSet,
  lanes: number,
): Float32Array {
  const { stateSize, inputSize } = cell;
  const memory = new KernelMemory(exports.memory, exports.heapBase(), 2 ** 26);
  const { program, drive, source } = new ProgramCache(memory).prepare(cell, (set) => ({
    program: set[programs].step(lanes),
    drive: set[programs].drive(DRIVE_LANES),
    source: set[programs].source,
  }));
  const runDrive = makeDriver(memory, exports, drive, inputSize, source.size);
  const job = new LaneJob(memory, exports.runLanes, {
    program,
    source: { leaf: source.name, width: source.size, stride: source.size * 4 },
    target: { width: stateSize, stride: stateSize * 4 },
    stateWidth: stateSize,
  });
  const places = Array.from({ length: lanes }, () => ({
    initial: memory.allocateFloats(stateSize),
    source: memory.allocateFloats(steps * source.size),
    target: memory.allocateFloats(steps * stateSize),
  }));
  const states = new Float32Array(sequences * steps * stateSize);
  for (let first = 0; first < sequences; first += lanes) {
    for (const [lane, { initial, source: driven, target }] of places.entries()) {
      const random = mulberry32(first + lane);
      memory.view(initial, stateSize).set(uniform(random, stateSize));
      const inputs = uniform(random, steps * inputSize);
      if (source.size > 0) runDrive(inputs, 0, steps, steps, false, driven);
      job.setLane(lane, driven, target, steps, initial, 0);
    }
    job.run(lanes);
    for (const [lane, { target }] of places.entries()) {
      const count = steps * stateSize;
      states.set(memory.view(target, count), (first + lane) * count);
    }
  }
  return states;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(JSON.stringify(await compareLanes(false)));
}
