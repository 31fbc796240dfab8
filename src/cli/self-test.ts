/** A small GRU on one backend, compared with the reference: whether it computes what it should. */

import { randomStream } from "../conformance/random.ts";
import { type BackendName, gru, type Runtime } from "../index.ts";
import { cellKind, randomWeights } from "./cells.ts";
import { largestError } from "./error.ts";
import { reasonOf } from "./failure.ts";

const sizes = { inputSize: 3, hiddenSize: 16 };
const STEPS = 256;
const CHUNK = 16;
const SEED = 4;
/** What a converged result may be away from the exact one, by its own estimate. */
const ALLOWED = 1e-4;

export interface SelfTestResult {
  readonly passed: boolean;
  /** Largest scaled difference from the reference. */
  readonly error: number;
  readonly allowed: number;
  readonly milliseconds: number;
  /** In words. */
  readonly failure?: string;
}

/** In words, for those who read of the result. */
export const SELF_TEST = `GRU of ${sizes.hiddenSize} units, ${STEPS} steps, sequential and quasi-deer`;

/** Never throws for a backend that fails: that is a result. */
export async function selfTest(runtime: Runtime, backend: BackendName): Promise<SelfTestResult> {
  const random = randomStream(SEED);
  const weights = randomWeights(cellKind("gru"), sizes, "reset-after", random);
  const cell = gru({ ...sizes, weights });
  const inputs = random(STEPS * sizes.inputSize);
  const oracle = await runtime.evaluate(cell, inputs, {
    backend: "reference",
    method: "sequential",
  });
  const started = performance.now();
  let error = 0;
  let failure: string | undefined;
  try {
    for (const method of ["sequential", "quasi-deer"] as const) {
      const { states, report } = await runtime.evaluate(cell, inputs, {
        backend,
        method,
        chunk: CHUNK,
      });
      error = Math.max(error, largestError(states, oracle.states, cell.stateSize));
      if (report.fallback) failure = `${method} did not converge: ${report.fallback.reason}`;
    }
  } catch (problem) {
    error = Infinity;
    failure = reasonOf(problem);
  }
  if (!(error <= ALLOWED)) failure ??= "its states differ from the reference's";
  const milliseconds = performance.now() - started;
  const passed = failure === undefined;
  return { passed, error, allowed: ALLOWED, milliseconds, ...(failure && { failure }) };
}
