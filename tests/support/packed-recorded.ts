/** What the program of every host must find: the states that the float64 oracle recorded. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { BackendName } from "../../src/index.ts";
import { largestError } from "./agreement.ts";
import type { Answer, Refusal, States } from "./packed-program.ts";

/** One row a step, to 12 digits; made by tests/packaging/record-gru.ts. */
export function recordedStates(): readonly (readonly number[])[] {
  const file = new URL("../packaging/recorded-gru.json", import.meta.url);
  return JSON.parse(readFileSync(file, "utf8"));
}

/** Fails unless `backend` computed the recorded states, by both methods and without help. */
export function expectRecorded(found: unknown, backend: BackendName): States {
  const answer = found as Answer;
  if ("error" in answer) throw new Error(`${answer.error.name}: ${answer.error.message}`);
  const rows = recordedStates();
  const expected = Float64Array.from(rows.flat());
  for (const method of ["sequential", "deer"] as const) {
    expect(answer.reports[method]).toMatchObject({ backend, method, converged: true });
    const actual = Float64Array.from(answer.states[method]);
    const error = largestError(actual, expected, rows[0]!.length);
    expect(error, `${method} on ${backend}`).toBeLessThanOrEqual(1e-5);
  }
  expect(answer.reports.deer.chunk).toBe(8);
  return answer;
}

/** Fails unless the answer of the reference is the record, which is its own work, in float64. */
export function expectRecord(found: unknown): void {
  const { states } = expectRecorded(found, "reference");
  const rows = recordedStates();
  const [actual, expected] = [states.sequential, rows.flat()].map((row) => Float64Array.from(row));
  expect(largestError(actual!, expected!, rows[0]!.length)).toBeLessThanOrEqual(1e-11);
}

/** Fails unless the answer is that the backend is not available, for this reason. */
export function expectRefusal(found: unknown, reason: RegExp): void {
  const { error } = found as Refusal;
  expect(error, JSON.stringify(found).slice(0, 200)).toBeDefined();
  expect(error.name).toBe("BackendUnavailableError");
  expect(error.message).toMatch(reason);
}
