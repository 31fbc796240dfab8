/** What the Check tab's worker does, as its messages tell it. */
import type { BackendName, BackendStatus, MethodName } from "antler";
import type { ConformanceReport } from "antler/conformance";

export interface BenchmarkRow {
  readonly hiddenSize: number;
  readonly steps: number;
  readonly backend: BackendName;
  readonly method: MethodName;
  readonly chunk: number | null;
  /** Median of `runs`; null if it failed. */
  readonly milliseconds: number | null;
  readonly runs: number;
  readonly sweeps: number;
  /** Why it failed, or was finished sequentially. */
  readonly note: string;
}

export type CheckTasks = {
  backends: { input: null; progress: never; result: readonly BackendStatus[] };
  conformance: {
    input: { readonly backends: readonly BackendName[] };
    progress: { readonly done: number; readonly total: number; readonly failed: number };
    result: { readonly report: ConformanceReport; readonly text: string };
  };
  benchmark: {
    input: { readonly backends: readonly BackendName[] };
    progress: { readonly text: string; readonly done: number; readonly row: BenchmarkRow | null };
    result: null;
  };
};
