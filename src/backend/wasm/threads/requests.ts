/** What the caller's thread asks of another one, and what it answers. */
import type { Segment, StepPrograms } from "../segments.ts";
import type { Again, Ran, Reran } from "./hand.ts";

/** Programs and packed weights, which belong at the same addresses in the thread's memory. */
export interface LoadRequest {
  readonly task: "load";
  readonly image: ArrayBuffer;
  readonly memoryLimit: number;
}

export interface OpenRequest {
  readonly task: "open";
  readonly programs: StepPrograms;
  /** Arrays on shared memory, or inputs of its own and no states: then `close` sends them. */
  readonly segments: readonly SentSegment[];
}

export interface SentSegment extends Pick<Segment, "length" | "reverse" | "state"> {
  readonly inputs: Float32Array;
  readonly states: Float32Array | null;
}

export interface RunRequest {
  readonly task: "run";
}

export interface RerunRequest extends Again {
  readonly task: "rerun";
}

export interface CloseRequest {
  readonly task: "close";
}

/** Asks for the drive of consecutive rows. */
export interface DriveRequest {
  readonly task: "drive";
  readonly programs: StepPrograms;
  /** `[rows, inputSize]`. */
  readonly inputs: Float32Array;
  readonly reverse: boolean;
}

export interface Replies {
  readonly load: object;
  readonly open: object;
  readonly run: Ran;
  readonly rerun: Reran;
  /** The states of the segments that came without an array for them. */
  readonly close: { readonly states: readonly Float32Array[] };
  /** `[rows, driveSize]`, in the direction of time. */
  readonly drive: { readonly drive: Float32Array };
}

export type Request =
  | LoadRequest
  | OpenRequest
  | RunRequest
  | RerunRequest
  | CloseRequest
  | DriveRequest;
