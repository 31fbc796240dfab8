/** The kernels by themselves: one matrix product, and one cell's step, in a loop that does nothing else. */
import { Opcode } from "../../assembly/opcode.ts";
import { inlinedKernels } from "../../src/backend/wasm/inlined.ts";
import { LaneJob } from "../../src/backend/wasm/job.ts";
import { type KernelExports, loadKernels } from "../../src/backend/wasm/load.ts";
import { KernelMemory } from "../../src/backend/wasm/memory.ts";
import { packedLength, packMatrix } from "../../src/backend/wasm/pack.ts";
import { ProgramCache } from "../../src/backend/wasm/programs.ts";
import { type Work, workOf } from "../../src/backend/wasm/work.ts";
import type { Cell } from "../../src/cell/index.ts";
import { measure, mulberry32, uniform } from "../harness.ts";

export type Simd = "plain" | "relaxed";

/** What is timed: nanoseconds, and what is done in them. */
export interface Timed {
  readonly nanoseconds: number;
  readonly multiplyAdds: number;
  readonly bytes: number;
}

/** Multiply–adds a sample: enough for the clock, few enough to fall between two interruptions. */
const SAMPLE = 1e6;
const REPEATS = 300;
const MEMORY = 2 ** 28;

export interface Kernels {
  readonly exports: KernelExports;
  readonly memory: KernelMemory;
}

export async function openKernels(simd: Simd): Promise<Kernels> {
  const { exports } = await loadKernels(inlinedKernels, await inlinedKernels(simd), false);
  return { exports, memory: new KernelMemory(exports.memory, exports.heapBase(), MEMORY) };
}

/** The least time of one call of `work`, which does `calls` of what is asked for. */
async function least(work: () => void, calls: number): Promise<number> {
  const { min } = await measure(work, { warmup: 20, repeats: REPEATS });
  return (min * 1e6) / calls;
}

/** Numbers of a size that neither overflows nor fades away. */
function place(memory: KernelMemory, count: number): number {
  const address = memory.allocateFloats(count);
  memory.view(address, count).set(uniform(mulberry32(count), count));
  return address;
}

function placeMatrix(memory: KernelMemory, rows: number, columns: number): number {
  const address = memory.allocateFloats(packedLength(rows, columns));
  const values = uniform(mulberry32(rows), rows * columns);
  packMatrix(values, rows, columns, memory.view(address, packedLength(rows, columns)));
  return address;
}

/** A product [rows, columns] · [columns, lanes], as a step has one, by the interpreter. */
export async function timeProduct(
  { exports, memory }: Kernels,
  rows: number,
  columns: number,
  lanes: number,
): Promise<Timed> {
  const weights = placeMatrix(memory, rows, columns);
  const source = place(memory, columns * lanes);
  const initial = place(memory, rows * lanes);
  const target = memory.allocateFloats(rows * lanes);
  const multiplyAdds = rows * columns * lanes;
  const calls = Math.ceil(SAMPLE / multiplyAdds);
  const instruction = [Opcode.Linear, rows, target, source, weights, initial, columns, lanes];
  const words = [...Array.from({ length: calls }, () => instruction).flat(), Opcode.End];
  const code = memory.allocate(words.length * 4);
  memory.words.set(words, code / 4);
  const nanoseconds = await least(() => exports.execute(code), calls);
  const { bytes } = workOf(memory, { code, instructions: 1 });
  memory.release();
  return { nanoseconds, multiplyAdds, bytes };
}

/** The same product for many rows, as a drive has one; figures for one of them. */
export async function timeRows(
  { exports, memory }: Kernels,
  rows: number,
  columns: number,
): Promise<Timed> {
  const steps = 256;
  const weights = placeMatrix(memory, rows, columns);
  const source = place(memory, columns * steps);
  const initial = place(memory, rows);
  const target = memory.allocateFloats(rows * steps);
  const words = [Opcode.Linear, rows, target, source, weights, initial, columns, 1, Opcode.End];
  const code = memory.allocate(words.length * 4);
  memory.words.set(words, code / 4);
  const work = () => exports.drive(code, steps, 0, columns * 4, 0, rows * 4);
  const nanoseconds = await least(work, steps);
  memory.release();
  // The weights serve four rows at a time.
  const bytes = 4 * ((rows * columns) / 4 + columns + 2 * rows);
  return { nanoseconds, multiplyAdds: rows * columns, bytes };
}

export interface TimedStep {
  /** Of a step of all lanes: as `runLanes` takes it, and its program alone. */
  readonly nanoseconds: number;
  readonly program: number;
  readonly work: Work;
}

/** A cell's step with its drive given, states stored. */
export async function timeStep(
  { exports, memory }: Kernels,
  cell: Cell,
  lanes: number,
): Promise<TimedStep> {
  const steps = 256;
  const { stateSize } = cell;
  const { program, source } = new ProgramCache(memory).prepare(cell, ({ split }) => ({
    program: split.step(lanes),
    source: split.source,
  }));
  const job = new LaneJob(memory, exports.runLanes, {
    program,
    source: { leaf: source.name, width: source.size, stride: source.size * 4 },
    target: { width: stateSize, stride: stateSize * 4 },
    stateWidth: stateSize,
  });
  const places = Array.from({ length: lanes }, () => ({
    source: place(memory, steps * source.size),
    target: memory.allocateFloats(steps * stateSize),
    state: place(memory, stateSize),
  }));
  const run = () => {
    for (const [lane, { source, target, state }] of places.entries()) {
      job.setLane(lane, source, target, steps, state, state);
    }
    job.run(lanes);
  };
  const nanoseconds = await least(run, steps);
  const repeated = () => {
    for (let step = 0; step < steps; step++) exports.execute(program.code);
  };
  const alone = await least(repeated, steps);
  const work = workOf(memory, program);
  memory.forget();
  return { nanoseconds, program: alone, work };
}
