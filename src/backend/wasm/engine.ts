/** The sweeps, scans and certificate of one sequence, on the kernels' memory. */
import { Certify, Chunks, ProductKind } from "../../../assembly/layout.ts";
import { stateBounds } from "../../solve/bounds.ts";
import {
  type Certificate,
  type Defects,
  type EngineProblem,
  ROUNDING_NOISE,
  type SweepEngine,
} from "../../solve/engine.ts";
import type { Damping } from "../../solve/method.ts";
import type { FloatArray, JacobianKind } from "../../types.ts";
import { DRIVE_LANES, DriveRunner } from "./drive.ts";
import { LaneJob } from "./job.ts";
import type { KernelExports } from "./load.ts";
import type { CompiledProgram, Leaf } from "./lower.ts";
import type { KernelMemory } from "./memory.ts";
import {
  type CellPrograms,
  densePitch,
  type ProgramCache,
  type ProgramSet,
  type SweepProgram,
} from "./programs.ts";
import { copyRows } from "./sequential.ts";

export const UNIT_ROUNDOFF = 2 ** -24;
const MOST_LANES = 8;
const CERTIFICATE_COLUMNS = 4;
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
 * and the inputs take less, the inputs are stored instead.
 */
function choosePrograms(
  { split, whole }: ProgramSet,
  { length, cell }: EngineProblem,
  limit: number,
): CellPrograms {
  const bytes = length * split.source.size * 4;
  const largest = Math.min(STORED_DRIVE_LIMIT, limit / 4);
  return bytes > largest && split.source.size > cell.inputSize ? whole : split;
}

/** Addresses, in bytes, of what one run keeps in memory. */
interface Arrays {
  readonly source: number;
  readonly states: number;
  readonly boundaries: number;
  readonly products: number;
  readonly low: number;
  readonly high: number;
  readonly chunks: number;
  readonly certify: number;
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
  readonly #arrays: Arrays;
  readonly #driveRunner: DriveRunner;
  readonly #sweepJobs: readonly LaneJob[];
  readonly #stepJob: LaneJob;
  /** Bytes from one P_k to the next; 0 where all are one. */
  readonly #productStride: number;
  /** Steps for which there is something to read. */
  #driven = 0;
  #scratch = 0;
  #scratchFloats = 0;
  /** Address of the boundaries that `save` remembers; 0 before the first. */
  #saved = 0;

  constructor(
    memory: KernelMemory,
    exports: KernelExports,
    cache: ProgramCache,
    problem: EngineProblem,
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
    const programs: Programs = cache.prepare(cell, (set) => {
      const made = choosePrograms(set, problem, memory.limit);
      return {
        source: made.source,
        drive: made.drive(DRIVE_LANES),
        step: made.step(1),
        tangents: made.tangents(CERTIFICATE_COLUMNS),
        sweeps: widths.map((lanes) => made.sweep(jacobian, lanes)),
      };
    });
    this.#source = programs.source;
    this.#sweep = programs.sweeps[0]!;
    this.grain = widths.at(-1)!;
    const work = stateSize * (stateSize + this.#source.size) + 8 * stateSize;
    this.stepCost = jacobian === "dense" && chunk > 1 ? work * stateSize : work;
    this.#productStride = this.#sweep.productWidth * 4;
    this.#arrays = this.#allocate();
    this.#driveRunner = new DriveRunner(
      memory,
      exports,
      programs.drive,
      inputSize,
      this.#source.size,
    );
    this.#sweepJobs = programs.sweeps.map((sweep) => this.#makeJob(sweep));
    this.#stepJob = this.#makeJob({ program: programs.step });
    this.#describeChunks();
    this.#describeCertificate(programs.tangents);
    this.#setBoundaries();
    this.#reserveUpdates();
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

  #allocate(): Arrays {
    const memory = this.#memory;
    const { length, chunks } = this;
    const D = this.#stateSize;
    const sizes = {
      source: length * this.#source.size,
      states: length * D,
      boundaries: (chunks + 1) * D,
      products: this.#productStride > 0 ? chunks * this.#sweep.productWidth : D,
      low: D,
      high: D,
      chunks: Chunks.size / 4,
      certify: Certify.size / 4,
    };
    const bytes = Object.values(sizes).reduce((sum, size) => sum + size * 4 + 16, 0);
    const { cell, chunk, jacobian } = this.#problem;
    memory.require(
      bytes,
      `"${cell.name}" over ${length} steps in chunks of ${chunk} with jacobian "${jacobian}"`,
    );
    return Object.fromEntries(
      Object.entries(sizes).map(([name, size]) => [name, memory.allocateFloats(size)]),
    ) as unknown as Arrays;
  }

  /** Scratch memory of at least `floats` floats, for the scans. */
  #reserveScratch(floats: number): void {
    if (floats <= this.#scratchFloats) return;
    this.#memory.require(floats * 4, `a scan over ${this.chunks} chunks`);
    this.#scratch = this.#memory.allocateFloats(floats);
    this.#scratchFloats = floats;
    this.#memory.words[(this.#arrays.chunks + Chunks.scratch) / 4] = this.#scratch;
  }

  /** What the updates will need, now, so that a run that does not fit fails before it starts. */
  #reserveUpdates(): void {
    const { damping } = this.#problem;
    if (damping && (damping.lambda > 0 || damping.trustRegion)) {
      this.#reserveScratch(this.#dampedScratch());
    }
    if (damping?.trustRegion) this.#reserveSaved();
  }

  #reserveSaved(): void {
    if (this.#saved > 0) return;
    const count = (this.chunks + 1) * this.#stateSize;
    this.#memory.require(count * 4, "a trust region");
    this.#saved = this.#memory.allocateFloats(count);
  }

  /** Whether the Kalman update works with matrices: of the whole state, or of each unit. */
  get #hasMatrices(): boolean {
    return this.#problem.jacobian === "dense" || this.#sweep.units > 1;
  }

  /** Floats that a damped update needs. */
  #dampedScratch(): number {
    const D = this.#stateSize;
    if (!this.#hasMatrices) return (2 * this.chunks + 4) * densePitch(D) + 16;
    const unit = this.#problem.jacobian === "dense" ? D : this.#sweep.units;
    return this.#exports.kalmanScratch(D, unit, this.chunks);
  }

  #describeChunks(): void {
    const { chunks: at, states, boundaries, products, low, high } = this.#arrays;
    const D = this.#stateSize;
    const fields: [Chunks, number][] = [
      [Chunks.states, states],
      [Chunks.boundaries, boundaries],
      [Chunks.products, products],
      [Chunks.productStride, this.#productStride],
      [Chunks.productWidth, this.#sweep.productWidth || D],
      [Chunks.pitch, densePitch(D)],
      [Chunks.low, low],
      [Chunks.high, high],
      [Chunks.chunks, this.chunks],
      [Chunks.chunkLength, this.#problem.chunk],
      [Chunks.steps, this.length],
      [Chunks.stateSize, D],
      [Chunks.units, this.#sweep.units],
    ];
    for (const [field, value] of fields) this.#memory.words[(at + field) / 4] = value;
    this.#reserveScratch(2 * densePitch(D) + 16);
  }

  #describeCertificate({ code, carry, next, leaves }: CompiledProgram): void {
    const { certify: at, states, source, boundaries } = this.#arrays;
    const { name, size } = this.#source;
    const fields: [Certify, number][] = [
      [Certify.code, code],
      [Certify.states, states],
      [Certify.source, source],
      [Certify.sourceWidth, size],
      [Certify.sourceRegister, size > 0 ? leaves.get(name)! : 0],
      [Certify.stateRegister, carry],
      [Certify.tangentRegister, leaves.get("tangent")!],
      [Certify.nextRegister, next],
      [Certify.stateSize, this.#stateSize],
      [Certify.initial, boundaries],
    ];
    for (const [field, value] of fields) this.#memory.words[(at + field) / 4] = value;
  }

  #setBoundaries(): void {
    const { cell, initialState, initialGuess, chunk, reverse } = this.#problem;
    const { floats } = this.#memory;
    const D = this.#stateSize;
    const { low, high } = stateBounds(cell, initialState);
    floats.set(low, this.#arrays.low / 4);
    floats.set(high, this.#arrays.high / 4);
    const at = this.#arrays.boundaries / 4;
    floats.set(initialState, at);
    for (let k = 1; k <= this.chunks; k++) {
      const step = Math.min(k * chunk, this.length) - 1;
      const row = (reverse ? this.length - 1 - step : step) * D;
      for (let i = 0; i < D; i++) {
        const given = initialGuess ? initialGuess[row + i]! : 0;
        const guess = Number.isFinite(given) ? given : 0;
        floats[at + k * D + i] = Math.min(Math.max(guess, low[i]!), high[i]!);
      }
    }
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
    const { source, states, boundaries, products } = this.#arrays;
    const first = k * this.#problem.chunk;
    const steps = Math.min(this.#problem.chunk, this.length - first);
    job.setLane(
      lane,
      source + first * this.#source.size * 4,
      states + first * this.#stateSize * 4,
      steps,
      boundaries + k * this.#stateSize * 4,
      0,
      this.#productStride > 0 ? products + k * this.#productStride : 0,
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
    const at = this.#arrays.chunks;
    this.#exports.measure(at, from);
    const { floats, words } = this.#memory;
    return {
      residual: floats[(at + Chunks.residual) / 4]!,
      merit: floats[(at + Chunks.merit) / 4]!,
      exactChunks: words[(at + Chunks.exactChunks) / 4]!,
      finite: words[(at + Chunks.finite) / 4] === 1,
    };
  }

  update(from: number, damping: Damping): void {
    const { jacobian } = this.#problem;
    const at = this.#arrays.chunks;
    this.#prepareProducts(from, damping);
    if (damping.lambda > 0) {
      this.#updateDamped(from, damping);
    } else if (jacobian === "dense") {
      this.#exports.scanDense(at, from);
    } else if (jacobian === "block") {
      this.#exports.scanBlock(at, from);
    } else {
      this.#exports.scanDiagonal(at, from);
    }
  }

  #prepareProducts(from: number, { scale, clip }: Damping): void {
    const { jacobian } = this.#problem;
    if (this.#productStride === 0) {
      const value = jacobian === "identity" ? 1 - scale : 0;
      this.#memory.view(this.#arrays.products, this.#stateSize).fill(value);
      return;
    }
    const blocks = this.#sweep.units > 1 ? ProductKind.block : ProductKind.diagonal;
    const kind = jacobian === "dense" ? ProductKind.dense : blocks;
    this.#exports.guardProducts(this.#arrays.chunks, from, kind, 1 - scale, clip);
  }

  #updateDamped(from: number, { lambda, estimate }: Damping): void {
    const { chunks: at } = this.#arrays;
    this.#reserveScratch(this.#dampedScratch());
    this.#memory.floats[(at + Chunks.lambda) / 4] = lambda;
    this.#memory.words[(at + Chunks.smoother) / 4] = estimate === "smoother" ? 1 : 0;
    const dense = this.#problem.jacobian === "dense";
    if (this.#hasMatrices) this.#exports.kalmanMatrices(at, from, dense);
    else this.#exports.kalmanDiagonal(at, from);
  }

  save(): void {
    const { boundaries } = this.#arrays;
    const count = (this.chunks + 1) * this.#stateSize;
    this.#reserveSaved();
    this.#memory.floats.copyWithin(this.#saved / 4, boundaries / 4, boundaries / 4 + count);
  }

  restore(from: number): void {
    const { boundaries } = this.#arrays;
    const D = this.#stateSize;
    const start = this.#saved / 4 + (from + 1) * D;
    const end = this.#saved / 4 + (this.chunks + 1) * D;
    this.#memory.floats.copyWithin(boundaries / 4 + (from + 1) * D, start, end);
    this.#exports.setExact(this.#arrays.chunks, from);
  }

  joinSeams(): void {
    this.#swapSeams();
  }

  splitSeams(): void {
    this.#swapSeams();
  }

  /** Exchanges b_1 … b_{K−1} with the states at the ends of the chunks. */
  #swapSeams(): void {
    const { floats } = this.#memory;
    const D = this.#stateSize;
    const states = this.#arrays.states / 4;
    const boundaries = this.#arrays.boundaries / 4;
    for (let k = 1; k < this.chunks; k++) {
      const end = states + (k * this.#problem.chunk - 1) * D;
      const start = boundaries + k * D;
      for (let i = 0; i < D; i++) {
        const state = floats[end + i]!;
        floats[end + i] = floats[start + i]!;
        floats[start + i] = state;
      }
    }
  }

  beginCertificate(): void {
    const { floats, words } = this.#memory;
    const at = this.#arrays.certify;
    words[(at + Certify.random) / 4] = 0x2545f491;
    floats[(at + Certify.rounding) / 4] = ROUNDING_NOISE * UNIT_ROUNDOFF;
    floats[(at + Certify.residual) / 4] = 0;
    floats[(at + Certify.error) / 4] = 0;
    const tangents = words[(at + Certify.tangentRegister) / 4]! >>> 0;
    this.#memory.view(tangents, this.#stateSize * CERTIFICATE_COLUMNS).fill(0);
  }

  certify(from: number, to: number): void {
    this.#exports.certify(this.#arrays.certify, from, to);
  }

  certificate(): Certificate {
    const { floats } = this.#memory;
    const at = this.#arrays.certify;
    return {
      residual: floats[(at + Certify.residual) / 4]!,
      errorEstimate: floats[(at + Certify.error) / 4]!,
    };
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
