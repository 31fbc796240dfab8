/** What the Solve tab's worker does, as its messages tell it. */
import type { BackendName, BackendStatus, Report } from "antler";
import type { SolveSettings } from "./settings.ts";

/** Everything that stays the same from sweep to sweep. */
export interface SolveStart {
  readonly cellName: string;
  readonly stateSize: number;
  readonly steps: number;
  /** Stretches of time in the heat map. */
  readonly bins: number;
  /** The steps that `SweepPicture.states` holds. */
  readonly sampledSteps: readonly number[];
  /** The sequential result at those steps: `[sampled steps, stateSize]`. */
  readonly sequential: Float32Array;
  /** Which backend computed it. */
  readonly sequentialBackend: BackendName;
}

export interface SweepPicture {
  readonly sweep: number;
  readonly residual: number;
  readonly exactChunks: number;
  readonly chunks: number;
  /** Against the sequential result, in the units of the report: the largest in each stretch of time. */
  readonly errors: Float32Array;
  readonly largestError: number;
  /** The step that has it. */
  readonly largestAt: number;
  /** `[sampled steps, stateSize]`. */
  readonly states: Float32Array;
}

export type SolveProgress =
  | { readonly kind: "stage"; readonly text: string; readonly done?: number }
  | { readonly kind: "start"; readonly start: SolveStart }
  | { readonly kind: "report"; readonly report: Report; readonly error: number }
  | { readonly kind: "sweep"; readonly picture: SweepPicture };

export interface ComparedRun {
  readonly backend: BackendName;
  /** The settings' method, or sequential evaluation on the same backend. */
  readonly run: "method" | "sequential";
  readonly milliseconds: number;
  /** How many runs the median is of; 0 if it failed. */
  readonly runs: number;
  readonly software: boolean;
  readonly report: Report | null;
  /** Why it failed. */
  readonly error: string | null;
}

export interface CompareProgress {
  readonly text: string;
  readonly run: ComparedRun | null;
}

export type SolveTasks = {
  backends: { input: null; progress: never; result: readonly BackendStatus[] };
  solve: { input: SolveSettings; progress: SolveProgress; result: null };
  compare: { input: SolveSettings; progress: CompareProgress; result: null };
};
