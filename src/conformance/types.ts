/** What the conformance suite takes and gives. */
import type { AdapterDescription, BackendName, JacobianKind, MethodName } from "../types.ts";

/** Which part of the suite to run, and how to follow it. */
export interface ConformanceOptions {
  /**
   * Default: all that the runtime has, "reference" too. One that is named here and missing makes the
   * report fail.
   */
  readonly backends?: readonly BackendName[];
  /** Names of cells, see `conformanceCells`. Default: all of the suite. */
  readonly cells?: readonly string[];
  /** Default: all. */
  readonly methods?: readonly MethodName[];
  /** Stops the run: `runConformance` then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called after every evaluation, with how many are done, of how many. */
  readonly onResult?: (result: ConformanceResult, done: number, total: number) => void;
}

/** One evaluation, and what was wrong with it. */
export interface ConformanceResult {
  readonly backend: BackendName;
  readonly cell: string;
  readonly method: MethodName;
  /** As asked for; null for sequential evaluation and for "threads". */
  readonly jacobian: JacobianKind | null;
  /** Damping that the method's name does not imply, in words; missing where there is none. */
  readonly damping?: string;
  /** "threads" only: whether every bit had to be that of sequential evaluation. */
  readonly exact?: boolean;
  /** "threads" only: whether it started from a trajectory close to the right one. */
  readonly guessed?: boolean;
  /** Steps a chunk, as asked for, null if none were; the longest sequence for sequential evaluation. */
  readonly chunk: number | null;
  readonly passed: boolean;
  /** In words; empty if it passed. */
  readonly failures: readonly string[];
  /**
   * Largest over t of ‖s_t − g_t‖∞ / (1 + ‖g_t‖∞) against the golden states g; Infinity where there is
   * no finite number to compare.
   */
  readonly largestError: number;
  readonly allowedError: number;
  /** As reported; NaN without a report. */
  readonly residual: number;
  /** Sweeps, of "threads" rounds of merging, as reported; NaN without a report. */
  readonly iterations: number;
  /** Measured, from call to result: the first evaluation of a kind compiles what it needs. */
  readonly milliseconds: number;
  /** Why the method did not finish by itself, in words. Its states may be right all the same. */
  readonly fallback?: string;
}

/** The result of a run of the suite. */
export interface ConformanceReport {
  /** Of the golden vectors, `CONFORMANCE_VERSION`. */
  readonly version: number;
  /** Whether all results passed, there is at least one, and no backend that was named is missing. */
  readonly passed: boolean;
  readonly results: readonly ConformanceResult[];
  /** Backends that were not checked: they cannot run here, or have none of the methods that were named. */
  readonly unavailable: readonly { readonly backend: BackendName; readonly reason: string }[];
  /** Backends on which only a part of the suite ran, and why; missing where there are none. */
  readonly shortened?: readonly {
    readonly backend: BackendName;
    readonly ran: number;
    readonly total: number;
    readonly reason: string;
  }[];
  /** The GPU, where the runtime has one. */
  readonly adapter?: AdapterDescription;
  readonly milliseconds: number;
}

/** How a failure begins that is the device's loss. */
export const DEVICE_LOST = "the GPU's device was lost during the evaluation";
