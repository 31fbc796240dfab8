/** The sweeps, scans and certificate of one sequence, on the kernels' memory. */
import type { EngineProblem, SweepEngine } from "../../solve/engine.ts";
import { CERTIFICATE_COLUMNS, certifier } from "./certificate.ts";
import { allocateChunks } from "./chunks.ts";
import { DRIVE_LANES, makeDriver } from "./drive.ts";
import { LaneJob } from "./job.ts";
import { LANES, lanesFor } from "./lanes.ts";
import type { KernelExports } from "./load.ts";
import { copyRows, type KernelMemory } from "./memory.ts";
import type { CellPrograms, ProgramCache, ProgramSet, SweepProgram } from "./programs.ts";

export const UNIT_ROUNDOFF = 2 ** -24;
/** A drive of more bytes than this is computed again at every step instead of stored. */
const STORED_DRIVE_LIMIT = 128e6;

/**
 * Storing the drive of all steps saves computing it in every sweep. Where that takes too much memory,
 * and the inputs take less, the inputs are stored instead; always so if `frugal`.
 */
function choosePrograms(
  { split, whole }: ProgramSet,
  { length, cell }: EngineProblem,
  limit: number,
  frugal: boolean,
): CellPrograms {
  const bytes = length * split.source.size * 4;
  const largest = frugal ? 0 : Math.min(STORED_DRIVE_LIMIT, limit / 4);
  return bytes > largest && split.source.size > cell.inputSize ? whole : split;
}

/** @param frugal whether to need as little memory as possible. */
export function createWasmEngine(
  memory: KernelMemory,
  exports: KernelExports,
  cache: ProgramCache,
  problem: EngineProblem,
  frugal: boolean,
): SweepEngine {
  const { cell, inputs, length, chunk, jacobian, reverse } = problem;
  const { inputSize, stateSize } = cell;
  const chunks = Math.ceil(length / chunk);
  // A dense P_k has its columns side by side instead.
  const most = jacobian === "dense" ? 1 : lanesFor(chunks, stateSize);
  const widths = [1, LANES].filter((lanes) => lanes <= most);
  const { source, drive, step, tangents, sweeps } = cache.prepare(cell, (set) => {
    const made = choosePrograms(set, problem, memory.limit, frugal);
    return {
      source: made.source,
      drive: made.drive(DRIVE_LANES),
      step: made.step(1),
      tangents: made.tangents(CERTIFICATE_COLUMNS),
      sweeps: widths.map((lanes) => made.sweep(jacobian, lanes)),
    };
  });
  const sweep = sweeps[0]!;
  const { signs } = sweep;
  const stateBytes = stateSize * 4;
  const sourceBytes = source.size * 4;
  const makeJob = (parts: Pick<SweepProgram, "program"> & Partial<SweepProgram>) =>
    new LaneJob(memory, exports.runLanes, {
      ...parts,
      source: { leaf: source.name, width: source.size, stride: sourceBytes },
      target: { width: stateSize, stride: stateBytes },
      stateWidth: stateSize,
    });
  const runDrive = makeDriver(memory, exports, drive, inputSize, source.size);
  const sweepJobs = sweeps.map(makeJob);
  const stepJob = makeJob({ program: step });
  const { arrays, swapSeams, ...boundaryUpdates } = allocateChunks(
    memory,
    exports,
    problem,
    source.size,
    sweep,
  );
  const { states, boundaries, products, productStride } = arrays;
  const work = stateSize * (stateSize + source.size) + 8 * stateSize;
  /** Steps for which there is something to read. */
  let driven = 0;

  function fillSource(to: number): void {
    if (to <= driven) return;
    if (source.size > 0) {
      runDrive(inputs, driven, to, length, reverse, arrays.source + driven * sourceBytes);
    }
    driven = to;
  }

  function setChunk(job: LaneJob, lane: number, k: number): void {
    const first = k * chunk;
    job.setLane(
      lane,
      arrays.source + first * sourceBytes,
      states + first * stateBytes,
      Math.min(chunk, length - first),
      boundaries + k * stateBytes,
      0,
      productStride > 0 ? products + k * productStride : 0,
      signs ? first % signs.rows : 0,
    );
  }

  return {
    length,
    chunks,
    stepCost: jacobian === "dense" && chunk > 1 ? work * stateSize : work,
    grain: most,
    unitRoundoff: UNIT_ROUNDOFF,
    ...boundaryUpdates,
    joinSeams: swapSeams,
    splitSeams: swapSeams,
    ...certifier(memory, exports, tangents, source, arrays, stateSize, UNIT_ROUNDOFF),
    runChunks(from, to) {
      fillSource(Math.min(to * chunk, length));
      for (let k = from; k < to; ) {
        const job = sweepJobs[lanesFor(to - k, stateSize) > 1 ? sweepJobs.length - 1 : 0]!;
        const count = Math.min(to - k, job.lanes);
        for (let lane = 0; lane < count; lane++) setChunk(job, lane, k + lane);
        job.run(count);
        k += count;
      }
    },
    runSteps(from, to) {
      if (from >= to) return;
      fillSource(to);
      const target = states + from * stateBytes;
      const initial = from === 0 ? boundaries : target - stateBytes;
      stepJob.setLane(0, arrays.source + from * sourceBytes, target, to - from, initial, 0);
      stepJob.run(1);
    },
    readStates(target) {
      const count = length * stateSize;
      copyRows(memory.view(states, count), target, stateSize, reverse);
      return exports.allFinite(states, count) !== 0;
    },
  };
}
