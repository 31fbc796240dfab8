/** What the caller's thread asks of another one, and what it answers. */
import type { Segment, StepPrograms } from "../segments.ts";
import type { Rerun } from "./merge.ts";

/** Programs and packed weights, which belong at the same addresses in the thread's memory. */
export interface LoadRequest {
  readonly task: "load";
  readonly image: ArrayBuffer;
  readonly memoryLimit: number;
}

/** Asks for segments to be run to their ends, side by side. */
export interface RunRequest {
  readonly task: "run";
  readonly programs: StepPrograms;
  readonly segments: readonly SentSegment[];
}

/** Asks for a segment to be run again from another state, until it merges with what is stored. */
export interface RerunRequest {
  readonly task: "rerun";
  readonly programs: StepPrograms;
  /** On shared memory, with room for the new states. */
  readonly segment: Segment;
  readonly stored: Float32Array;
  /** See `watchMerging`. */
  readonly tolerance: number;
}

/** Arrays on shared memory, or inputs of its own and no states: then the reply has them. */
export interface SentSegment extends Pick<Segment, "length" | "reverse" | "state"> {
  readonly inputs: Float32Array;
  readonly states: Float32Array | null;
}

/** Asks for the drive of consecutive rows. */
export interface DriveRequest {
  readonly task: "drive";
  readonly programs: StepPrograms;
  /** `[rows, inputSize]`. */
  readonly inputs: Float32Array;
  readonly reverse: boolean;
  /** `[rows, driveSize]`, on shared memory, to be filled in the direction of time; null: the reply has it. */
  readonly drive: Float32Array | null;
}

export interface Replies {
  readonly load: object;
  readonly run: {
    /** Whether the states of each segment are all finite. */
    readonly finite: readonly boolean[];
    /** The states of the segments that came without an array for them. */
    readonly states: readonly Float32Array[];
  };
  readonly rerun: Rerun;
  readonly drive: { readonly drive: Float32Array | null };
}

export type Request = LoadRequest | RunRequest | RerunRequest | DriveRequest;
