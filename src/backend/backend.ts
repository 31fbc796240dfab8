/** The narrow interfaces behind which a backend hides. */
import type { Cell } from "../cell/define-cell.ts";
import type { EngineProblem, SweepEngine } from "../solve/engine.ts";
import type { IterateResult } from "../solve/iterate.ts";
import type { Pacer } from "../solve/pacing.ts";
import type {
  AdapterDescription,
  BackendName,
  Device,
  DeviceArray,
  FloatArray,
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
  /** `[rows, stateSize]`, to be filled; row t belongs to row t of the inputs. */
  readonly states: FloatArray;
  readonly onProgress?: (done: number, total: number) => void;
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
  /** Evaluates every sequence one step after the other; tells whether every state is finite. */
  sequential(problem: SequentialProblem, pacer: Pacer): Promise<boolean>;
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
