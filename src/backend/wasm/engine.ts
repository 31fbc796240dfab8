/** The sweeps, scans and certificate of one sequence, on the kernels' memory. */
import type { Leaf } from "../../cell/expression.ts";
import type { Certificate, Defects, EngineProblem, SweepEngine } from "../../solve/engine.ts";
import type { Damping } from "../../solve/method.ts";
import type { FloatArray, JacobianKind } from "../../types.ts";
import { CERTIFICATE_COLUMNS, CertificateRunner } from "./certificate.ts";
import { ChunkMemory } from "./chunks.ts";
import { DRIVE_LANES, DriveRunner } from "./drive.ts";
import { LaneJob } from "./job.ts";
import type { KernelExports } from "./load.ts";
import type { CompiledProgram } from "./lower.ts";
import type { KernelMemory } from "./memory.ts";
import type { CellPrograms, ProgramCache, ProgramSet, SweepProgram } from "./programs.ts";
import { copyRows } from "./sequential.ts";

export const UNIT_ROUNDOFF = 2 ** -24;
const MOST_LANES = 8;
/** A drive of more bytes than this is computed again at every step instead of stored. */
const STORED_DRIVE_LIMIT = 128e6;

/** The lane widths that a sweep uses: a dense P_k has its columns side by side instead. */
function laneWidths(jacobian: JacobianKind, chunks: number): number[] {
  return jacobian === "dense" ? [1] : [1, 4, 8].filter((lanes) => lanes === 1 || chunks > 1);
}

interface Programs {
  /** The leaf that a step reads beside the state. */
  readonly source: Leaf;
  readonly drive: CompiledProgram | null;
  readonly step: CompiledProgram;
  readonly tangents: CompiledProgram;
  readonly sweeps: readonly SweepProgram[];
}

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

export class WasmEngine implements SweepEngine {
  readonly length: number;
  readonly chunks: number;
  readonly stepCost: number;
  readonly grain: number;
  readonly unitRoundoff = UNIT_ROUNDOFF;
  readonly #memory: KernelMemory;
  readonly #exports: KernelExports;
  readonly #problem: EngineProblem;
  readonly #stateSize: number;
  readonly #source: Leaf;
  readonly #sweep: SweepProgram;
  readonly #arrays: ChunkMemory;
  readonly #driveRunner: DriveRunner;
  readonly #certificate: CertificateRunner;
  readonly #sweepJobs: readonly LaneJob[];
  readonly #stepJob: LaneJob;
  /** Steps for which there is something to read. */
  #driven = 0;

  /** @param frugal whether to need as little memory as possible. */
  constructor(
    memory: KernelMemory,
    exports: KernelExports,
    cache: ProgramCache,
    problem: EngineProblem,
    frugal: boolean,
  ) {
    const { cell, length, chunk, jacobian } = problem;
    const { inputSize, stateSize } = cell;
    this.#memory = memory;
    this.#exports = exports;
    this.#problem = problem;
    this.length = length;
    this.chunks = Math.ceil(length / chunk);
    this.#stateSize = stateSize;
    const widths = laneWidths(jacobian, this.chunks);
    const { source, drive, step, tangents, sweeps }: Programs = cache.prepare(cell, (set) => {
      const made = choosePrograms(set, problem, memory.limit, frugal);
      return {
        source: made.source,
        drive: made.drive(DRIVE_LANES),
        step: made.step(1),
        tangents: made.tangents(CERTIFICATE_COLUMNS),
        sweeps: widths.map((lanes) => made.sweep(jacobian, lanes)),
      };
    });
    this.#source = source;
    this.#sweep = sweeps[0]!;
    this.grain = widths.at(-1)!;
    const work = stateSize * (stateSize + source.size) + 8 * stateSize;
    this.stepCost = jacobian === "dense" && chunk > 1 ? work * stateSize : work;
    this.#driveRunner = new DriveRunner(memory, exports, drive, inputSize, source.size);
    this.#sweepJobs = sweeps.map((sweep) => this.#makeJob(sweep));
    this.#stepJob = this.#makeJob({ program: step });
    this.#arrays = new ChunkMemory(memory, exports, problem, source.size, this.#sweep);
    this.#certificate = new CertificateRunner(
      memory,
      exports,
      tangents,
      source,
      this.#arrays,
      stateSize,
      UNIT_ROUNDOFF,
    );
  }

  #makeJob(sweep: Pick<SweepProgram, "program"> & Partial<SweepProgram>): LaneJob {
    const { program, firstStep, restart, signs } = sweep;
    const { name: leaf, size: width } = this.#source;
    return new LaneJob(this.#memory, this.#exports.runLanes, {
      program,
      firstStep,
      source: { leaf, width, stride: width * 4 },
      target: { width: this.#stateSize, stride: this.#stateSize * 4 },
      stateWidth: this.#stateSize,
      restart,
      signs,
    });
  }

  runChunks(from: number, to: number): void {
    this.#fillSource(Math.min(to * this.#problem.chunk, this.length));
    for (let k = from; k < to; ) {
      const left = to - k;
      const job = this.#jobFor(left);
      const count = Math.min(left, job.lanes);
      for (let lane = 0; lane < count; lane++) this.#setChunk(job, lane, k + lane);
      job.run(count);
      k += count;
    }
  }

  #jobFor(chunks: number): LaneJob {
    const jobs = this.#sweepJobs;
    if (chunks >= MOST_LANES || jobs.length === 1) return jobs.at(-1)!;
    return jobs[chunks > 4 ? 2 : chunks > 1 ? 1 : 0]!;
  }

  #setChunk(job: LaneJob, lane: number, k: number): void {
    const { source, states, boundaries, products, productStride } = this.#arrays;
    const first = k * this.#problem.chunk;
    const steps = Math.min(this.#problem.chunk, this.length - first);
    job.setLane(
      lane,
      source + first * this.#source.size * 4,
      states + first * this.#stateSize * 4,
      steps,
      boundaries + k * this.#stateSize * 4,
      0,
      productStride > 0 ? products + k * productStride : 0,
      this.#sweep.signs ? first % this.#sweep.signs.rows : 0,
    );
  }

  #fillSource(to: number): void {
    const { inputs, reverse } = this.#problem;
    if (this.#source.size > 0 && to > this.#driven) {
      const target = this.#arrays.source + this.#driven * this.#source.size * 4;
      this.#driveRunner.run(inputs, this.#driven, to, this.length, reverse, target);
    }
    this.#driven = Math.max(this.#driven, to);
  }

  measure(from: number): Defects {
    return this.#arrays.measure(from);
  }

  update(from: number, damping: Damping): void {
    this.#arrays.update(from, damping);
  }

  save(): void {
    this.#arrays.save();
  }

  restore(from: number): void {
    this.#arrays.restore(from);
  }

  joinSeams(): void {
    this.#arrays.swapSeams();
  }

  splitSeams(): void {
    this.#arrays.swapSeams();
  }

  beginCertificate(): void {
    this.#certificate.begin();
  }

  certify(from: number, to: number): void {
    this.#certificate.run(from, to);
  }

  certificate(): Certificate {
    return this.#certificate.result();
  }

  runSteps(from: number, to: number): void {
    if (from >= to) return;
    this.#fillSource(to);
    const { source: sources, states, boundaries } = this.#arrays;
    const row = this.#stateSize * 4;
    const initial = from === 0 ? boundaries : states + (from - 1) * row;
    const source = sources + from * this.#source.size * 4;
    this.#stepJob.setLane(0, source, states + from * row, to - from, initial, 0);
    this.#stepJob.run(1);
  }

  readStates(target: FloatArray): boolean {
    const { states } = this.#arrays;
    const count = this.length * this.#stateSize;
    copyRows(this.#memory.view(states, count), target, this.#stateSize, this.#problem.reverse);
    return this.#exports.allFinite(states, count) !== 0;
  }
}
