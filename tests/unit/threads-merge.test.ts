/** When a segment that is run again counts as merged, on made-up trajectories. */
import { describe, expect, test } from "vitest";
import type { Segment } from "../../src/backend/wasm/segments.ts";
import { MERGE_TOLERANCE, watchMerging } from "../../src/backend/wasm/threads/merge.ts";

const STATE_SIZE = 2;

/** Stores `length` steps in windows; step t differs from what is stored, which is 1, by differences[t]. */
function rerun(
  differences: readonly number[],
  { window = 16, tolerance = MERGE_TOLERANCE, reverse = false } = {},
) {
  const length = differences.length;
  const states = new Float32Array(length * STATE_SIZE).fill(1);
  const segment: Segment = {
    inputs: new Float32Array(0),
    states,
    length,
    reverse,
    state: new Float32Array(STATE_SIZE),
  };
  const watch = watchMerging(segment, states, STATE_SIZE, tolerance);
  for (let from = 0; from < length; from += window) {
    const to = Math.min(from + window, length);
    const made = Float32Array.from({ length: (to - from) * STATE_SIZE }, (_, i) => {
      // One element of the state differs, the other does not.
      const step = from + Math.floor(i / STATE_SIZE);
      return 1 + (i % STATE_SIZE === 1 ? differences[step]! : 0);
    });
    const merged = watch.endsWith({ segment: 0, from, to, states: made });
    for (let step = from; step < (merged ? to - 1 : to); step++) {
      const row = reverse ? length - 1 - step : step;
      const at = (step - from) * STATE_SIZE;
      states.set(made.subarray(at, at + STATE_SIZE), row * STATE_SIZE);
    }
    if (merged) break;
  }
  const column = Array.from({ length }, (_, t) => {
    const row = reverse ? length - 1 - t : t;
    return states[row * STATE_SIZE + 1]!;
  });
  return { ...watch.rerun, column };
}

/** Scaled by 1 + ‖s‖ = 2, so a tolerance of the trajectories above. */
const close = 2 * MERGE_TOLERANCE;
const decaying = (length: number, rate: number) =>
  Array.from({ length }, (_, t) => 0.5 * Math.exp(-rate * t));

describe("a difference that dies out", () => {
  test("has merged a quarter of the steps after it came near, at the end of a window", () => {
    // 0.5 e^{−0.1 t} is within four tolerances of 9.5e-7 from step 118 on; 118 / 4 = 29.5 later it is 148.
    const { merged, steps, residual, column } = rerun(decaying(400, 0.1));
    expect(merged).toBe(true);
    expect(steps).toBe(160);
    // What is stored stays from step 159 on.
    expect(column.slice(0, 10).every((value) => value > 1.1)).toBe(true);
    expect(column.slice(159).every((value) => value === 1)).toBe(true);
    expect(residual).toBeLessThan(1e-7);
  });

  test("in reverse, too", () => {
    const { merged, steps, column } = rerun(decaying(400, 0.1), { reverse: true });
    expect({ merged, steps }).toEqual({ merged: true, steps: 160 });
    expect(column[0]).toBe(1.5);
    expect(column[399]).toBe(1);
  });

  test("has merged after eight steps, where it dies out at once", () => {
    expect(rerun(decaying(100, 20), { window: 8 }).steps).toBe(16);
    expect(rerun(decaying(100, 20), { window: 32 }).steps).toBe(32);
  });
});

describe("no merging", () => {
  test("where the difference stays", () => {
    const { merged, steps, residual, column } = rerun(Array(100).fill(10 * close));
    expect({ merged, steps, residual }).toEqual({ merged: false, steps: 100, residual: 0 });
    expect(column.every((value) => value > 1)).toBe(true);
  });

  test("where it was small for too short a time", () => {
    const differences = Array(60).fill(0.1);
    differences.fill(0, 50, 60);
    expect(rerun(differences, { window: 60 }).merged).toBe(false);
  });

  test("where it is small now and then", () => {
    const differences = Array.from({ length: 200 }, (_, t) => (t % 7 === 0 ? 0.1 : 0));
    expect(rerun(differences).merged).toBe(false);
  });

  test("where it jitters near, but is not close at the end of any window", () => {
    expect(rerun(Array(100).fill(2 * close)).merged).toBe(false);
    const jitter = Array.from({ length: 100 }, (_, t) => (t % 16 === 15 ? 0.9 : 3) * close);
    expect(rerun(jitter)).toMatchObject({ merged: true, steps: 16 });
  });

  test("where states are not finite", () => {
    const differences = Array(64).fill(0);
    differences[3] = NaN;
    expect(rerun(Array(64).fill(NaN)).merged).toBe(false);
    expect(rerun(Array(64).fill(Infinity)).merged).toBe(false);
    expect(rerun(differences).steps).toBe(16);
  });
});

describe("exact merging", () => {
  const exact = { tolerance: 0 };

  test("takes one step with equal bits", () => {
    const differences = Array(64).fill(2 ** -20);
    expect(rerun(differences, exact).merged).toBe(false);
    differences[31] = 0;
    expect(rerun(differences, exact)).toMatchObject({ merged: true, steps: 32, residual: 0 });
  });
});
