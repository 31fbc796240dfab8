/** Runs one method on one workload, with a look at every iterate. */
import type { HostBackend } from "../../src/backend/backend.ts";
import { type IterateResult, iterate } from "../../src/solve/iterate.ts";
import { methods, resolveDamping, type SweepMethod } from "../../src/solve/method.ts";
import { Pacer } from "../../src/solve/pacing.ts";
import type { DampingOptions, FloatArray, JacobianKind } from "../../src/types.ts";
import type { Workload } from "./workloads.ts";

/** A method in the terms of `runtime.evaluate`. */
export interface Setting {
  readonly name: string;
  readonly method: SweepMethod;
  readonly jacobian?: JacobianKind;
  readonly damping?: number | DampingOptions;
  readonly chunk: number;
}

export interface SweepOptions {
  /** Largest residual of a converged result; more than one are reached in turn, the loosest first. */
  readonly tolerances: readonly number[];
  readonly maxIterations: number;
  /** Told every iterate, sweep 0 being the guess; the states `[length, stateSize]` are reused. */
  readonly onIterate?: (sweep: number, states: FloatArray) => void;
  /** Told of every tolerance, with the states that the library would return for it. */
  readonly onResult?: (tolerance: number, result: SweepResult, states: FloatArray) => void;
}

export interface SweepResult extends IterateResult {
  /** Of all sweeps and certificates so far, without what `onIterate` took. */
  readonly milliseconds: number;
}

/**
 * Iterates from a guess of zeros as `runtime.evaluate` does, but never repairs.
 *
 * The boundaries that a tolerance was reached with are the start for the next one; the sweeps
 * reported are those from the beginning. After a tolerance that is not reached, no other is tried.
 */
export async function runSweeps(
  backend: HostBackend,
  workload: Workload,
  setting: Setting,
  options: SweepOptions,
): Promise<void> {
  const { cell, inputs, length, reverse, initialState } = workload;
  const { method, jacobian = methods[method].jacobian } = setting;
  const chunk = Math.min(setting.chunk, length);
  const damping = resolveDamping(setting.damping, method, jacobian);
  const states = backend.allocate(length * cell.stateSize);
  const problem = { cell, inputs, length, reverse, initialState, initialGuess: null };
  try {
    const engine = backend.engine({ ...problem, chunk, jacobian, damping });
    let done = 0;
    let milliseconds = 0;
    for (const [index, tolerance] of options.tolerances.entries()) {
      // A result has its seams joined.
      if (index > 0) engine.splitSeams();
      const before = done;
      milliseconds -= performance.now();
      const result = await iterate(
        engine,
        {
          damping,
          tolerance,
          maxIterations: options.maxIterations - before,
          chunkLength: chunk,
          sequence: 0,
          certifyFailure: true,
          onIteration: ({ iteration }) => {
            if (!options.onIterate) return;
            milliseconds += performance.now();
            engine.joinSeams();
            engine.readStates(states);
            engine.splitSeams();
            options.onIterate(before + iteration, states);
            milliseconds -= performance.now();
          },
        },
        new Pacer(undefined),
      );
      milliseconds += performance.now();
      done += result.iterations;
      engine.readStates(states);
      options.onResult?.(tolerance, { ...result, iterations: done, milliseconds }, states);
      if (!result.converged) return;
    }
  } finally {
    backend.release();
  }
}

/** Sweeps until the certificate held, or in words why it did not. */
export function describeSweeps(
  { sweeps, reason }: { readonly sweeps: number; readonly reason: string },
  maxIterations: number,
): string {
  if (reason === "") return `${sweeps}`;
  return sweeps < maxIterations ? `stuck at ${sweeps}` : `> ${maxIterations}`;
}

/** What `describeSweeps` means by it. */
export const GAVE_UP_NOTES: readonly string[] = [
  '"> N": gave up after N sweeps. "stuck at N": after N sweeps only rounding errors were left of the',
  "defects, and the estimate of the error was above its bound.",
];
