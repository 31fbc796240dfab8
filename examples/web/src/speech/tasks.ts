/** What the Speech tab's worker does, as its messages tell it. */
import type { BackendName, BackendStatus, Report } from "antler";
import type { Segment } from "../../../vad/segments.ts";

/** A recording as the page has it: a file's bytes, or what the browser has decoded. */
export interface SpeechInput {
  /** Tells recordings apart, so that one is read and encoded once. */
  readonly id: number;
  readonly name: string;
  readonly content:
    | { readonly kind: "wave"; readonly bytes: Uint8Array<ArrayBuffer> }
    | { readonly kind: "samples"; readonly samples: Float32Array; readonly description: string };
  /** The address of the model. */
  readonly model: string;
  readonly backend: BackendName | "auto";
  /** Index into `SPEECH_METHODS`. */
  readonly method: number;
}

export interface SpeechResult {
  readonly name: string;
  readonly seconds: number;
  readonly description: string;
  /** The lowest and the highest sample of each of equal stretches of time. */
  readonly envelope: { readonly low: Float32Array; readonly high: Float32Array };
  /** Speech probability, one a window. */
  readonly probabilities: Float64Array;
  readonly secondsPerWindow: number;
  readonly segments: readonly Segment[];
  readonly threshold: number;
  readonly report: Report;
  readonly milliseconds: { readonly encoder: number; readonly recurrence: number };
  /** How many runs `milliseconds.recurrence` is the median of. */
  readonly runs: number;
}

export interface SpeechProgress {
  readonly text: string;
  readonly done?: number;
}

export type SpeechTasks = {
  backends: { input: null; progress: never; result: readonly BackendStatus[] };
  find: { input: SpeechInput; progress: SpeechProgress; result: SpeechResult };
};
