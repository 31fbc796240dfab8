/** The narrow interfaces behind which a backend hides. */
import type { Cell } from "../cell/define-cell.ts";
import type { StateBounds } from "../solve/bounds.ts";
import type { DeviceSolved } from "../solve/device.ts";
import type { EngineProblem, SweepEngine } from "../solve/engine.ts";
import type { IterateResult } from "../solve/iterate.ts";
import type { Pacer } from "../solve/pacing.ts";
import type {
  AdapterDescription,
  BackendName,
  Device,
  DeviceArray,
  FloatArray,
  MethodName,
  Report,
} from "../types.ts";
import type { Job } from "../validate.ts";

/** Where a sequence's rows lie in the packed batch. */
export interface Sequence {
  /** First row. */
  readonly offset: number;
  /** T, the number of rows. */
  readonly length: number;
}

export interface SequentialProblem {
  readonly cell: Cell;
  /** `[rows, inputSize]`. */
  readonly inputs: FloatArray;
  readonly sequences: readonly Sequence[];
  readonly reverse: boolean;
  /** `[sequences, stateSize]`. */
  readonly initialStates: FloatArray;
  /**
   * `[rows, stateSize]`, to be filled; row t belongs to row t of the inputs. They are allocated when first
   * asked for, which other threads need not wait for.
   *
   * @throws RangeError when they cannot be had.
   */
  readonly states: () => FloatArray;
  readonly onProgress?: (done: number, total: number) => void;
  /** Most threads to use; undefined leaves it to the backend. */
  readonly threads?: number | undefined;
}

/** A job for chunks that run side by side, from guesses first and then until they merge. */
export interface ThreadsProblem extends SequentialProblem {
  /** Steps a chunk; infinite: as the number of threads has it. */
  readonly chunk: number;
  /** `[rows, stateSize]`, where chunks may start from. */
  readonly initialGuess: FloatArray | null;
  /** Between what guesses must lie. */
  readonly boundsOf: (sequence: number) => StateBounds;
  /** Whether only states that are equal in every bit have merged. */
  readonly exact: boolean;
  /** Largest residual of the result. */
  readonly tolerance: number;
}

/** What a run on the caller's thread, and on others where there are any, has come to. */
export interface HostRun {
  /** Whether every state is finite. */
  readonly finite: boolean;
  /** Threads that worked; none told by a backend that never has more than one. */
  readonly threads?: number;
  /** Why there were fewer threads than there should be. */
  readonly fewer?: string;
}

export interface ThreadsRun extends HostRun {
  readonly threads: number;
  /** Steps of the longest chunk. */
  readonly chunk: number;
  /** Times that chunks were run again. */
  readonly iterations: number;
  /** Largest residual where chunks meet. */
  readonly residual: number;
  /** Steps run, all together and again. */
  readonly steps: { readonly run: number; readonly rerun: number };
}

/** The threads of a backend. */
export interface HostPool {
  /** Most of them, the caller's included. */
  readonly threads: number;
  /** Sends an empty task to another thread, and waits for it; undefined while none has been started. */
  readonly ping?: (() => Promise<unknown>) | undefined;
  /** Starts them, for later. */
  start(): void;
}

interface BackendBase {
  readonly name: BackendName;
  readonly simd?: "plain" | "relaxed";
  readonly adapter?: AdapterDescription;
  /** 2⁻²⁴ in float32, 2⁻⁵³ in float64. */
  readonly unitRoundoff: number;
  dispose(): void;
}

/** A backend that the iteration drives sweep by sweep. */
export interface HostBackend extends BackendBase {
  readonly kind: "host";
  /** An array of the backend's precision. */
  allocate(length: number): FloatArray;
  /** Evaluates every sequence one step after the other. */
  sequential(problem: SequentialProblem, pacer: Pacer): Promise<HostRun>;
  /** Evaluates chunks side by side; absent where there is only ever one thread. */
  threads?(problem: ThreadsProblem, pacer: Pacer): Promise<ThreadsRun>;
  readonly pool?: HostPool;
  /**
   * An engine for one sequence with at least one step; only one at a time, until it is released.
   *
   * @throws RangeError saying how many bytes are needed when they cannot be had.
   */
  engine(problem: EngineProblem): SweepEngine;
  /** Gives back what the last engine held. */
  release(): void;
}

/** A backend that does a whole batch by itself, all of its sweeps without the host. */
export interface DeviceBackend extends BackendBase {
  readonly kind: "device";
  /** Null once it is disposed of. */
  readonly device: Device | null;
  /** @param sequential instead of sweeping. */
  run(job: Job, sequential: boolean, pacer: Pacer): Promise<DeviceRun>;
  /** Runs a job and settles what has become of it (`solveOnDevice`). */
  solve(job: Job, method: MethodName, pacer: Pacer): Promise<DeviceSolved>;
  /** Compiles what `run` would need. */
  warmup(job: Job, sequential: boolean): Promise<void>;
}

/** A batch that has been iterated on; `release` it when its states are no longer needed. */
export interface DeviceRun {
  /** How each sequence ended; null for one without steps. Empty for a sequential run. */
  readonly results: readonly (DeviceResult | null)[];
  /** What the report says of the device and its work so far. */
  facts(): Promise<DeviceFacts>;
  /** Milliseconds before the first sweep: programs compiled, buffers had, inputs sent. */
  readonly prepare: number;
  /** All states at hand, `[rows, stateSize]`. */
  states(): Promise<Float32Array>;
  /** All inputs at hand, `[rows, inputSize]`. */
  inputs(): Promise<FloatArray>;
  /** Whether all states of a sequence are finite. */
  finite(sequence: number): Promise<boolean>;
  /** Evaluates a sequence's steps from `fromStep` on one after the other, behind exact states. */
  repair(sequence: number, fromStep: number): Promise<void>;
  /** What the caller gets: arrays, or buffers that are the caller's from now on. */
  output(): Promise<{
    states: Float32Array | DeviceArray;
    finalStates: Float32Array | DeviceArray;
  }>;
  release(): void;
}

export interface DeviceResult extends IterateResult {
  /** Steps at its start that are exact. */
  readonly fromStep: number;
}

export type DeviceFacts = Pick<Report, "adapter" | "traffic" | "windows" | "stages">;

export type Backend = HostBackend | DeviceBackend;
