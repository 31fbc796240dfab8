/** The program that every host runs on two threads, and what must come of it. */
import { expect } from "vitest";
import { largestError } from "./agreement.ts";
import type { Refusal } from "./packed-program.ts";
import { recordedStates } from "./packed-recorded.ts";

/** What comes back from a host, as plain data. */
export interface OnThreads {
  readonly states: readonly number[];
  readonly report: {
    readonly backend: string;
    readonly method: string;
    readonly threads: number;
    readonly choice: string;
  };
}

/** A module beside `program.js` in a packed project. The runtime is not disposed, unless it is asked for. */
export const threadsProgram = {
  "threads.js": `
    import { seededProblem } from "./program.js";

    export async function onThreads({ createRuntime, gru }, { dispose, ...options } = {}) {
      try {
        const { inputs, ...recurrence } = seededProblem();
        const runtime = await createRuntime({ backend: "wasm", threads: 2, ...options });
        const cell = gru(recurrence);
        const { states, report } = await runtime.evaluate(cell, inputs, { method: "threads" });
        if (dispose) runtime.dispose();
        const { backend, method, threads, choice } = report;
        return { states: Array.from(states), report: { backend, method, threads, choice } };
      } catch ({ name, message }) {
        return { error: { name, message } };
      }
    }`,
} as const;

/** Fails unless two threads computed the recorded states. */
export function expectTwoThreads(found: unknown): void {
  const { threads, choice } = expectStates(found);
  expect(threads, choice).toBe(2);
  expect(choice).not.toMatch(/only|one thread/);
}

/** Fails unless one thread computed the recorded states, and said why it was alone. */
export function expectOneThread(found: unknown, reason: RegExp): void {
  const { threads, choice } = expectStates(found);
  expect(threads, choice).toBe(1);
  expect(choice).toMatch(reason);
}

function expectStates(found: unknown): OnThreads["report"] {
  const answer = found as OnThreads | Refusal;
  if ("error" in answer) throw new Error(`${answer.error.name}: ${answer.error.message}`);
  const { states, report } = answer;
  expect(report).toMatchObject({ backend: "wasm", method: "threads" });
  const rows = recordedStates();
  const expected = Float64Array.from(rows.flat());
  const error = largestError(Float64Array.from(states), expected, rows[0]!.length);
  expect(error).toBeLessThanOrEqual(1e-5);
  return report;
}
