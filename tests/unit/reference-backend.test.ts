/** The reference backend beside its engine: sequential evaluation and memory. */
import { describe, expect, it } from "vitest";
import { createReferenceBackend } from "../../src/backend/reference/backend.ts";
import { defineCell, tanh } from "../../src/cell/index.ts";
import { Pacer } from "../../src/solve/pacing.ts";
import { cells } from "../support/cells.ts";
import { exactStates, largestDifference, problemOf, scaling } from "../support/sweeps.ts";

const backend = createReferenceBackend();

describe("sequential evaluation", () => {
  it("runs a ragged batch in both directions", async () => {
    for (const cell of cells(2)) {
      for (const reverse of [false, true]) {
        const { inputs, initialState } = problemOf(cell, 10);
        const { inputSize, stateSize } = cell;
        const initialStates = Float64Array.of(...initialState, ...initialState, ...initialState);
        initialStates.fill(0.25, 2 * stateSize);
        const sequences = [
          { offset: 0, length: 4 },
          { offset: 4, length: 0 },
          { offset: 4, length: 6 },
        ];
        const states = backend.allocate(10 * stateSize);
        const progress: number[][] = [];
        const onProgress = (done: number, total: number) => progress.push([done, total]);
        const problem = { cell, inputs, sequences, reverse, initialStates, onProgress };
        await backend.sequential({ ...problem, states: () => states }, new Pacer(undefined));
        sequences.forEach(({ offset, length }, sequence) => {
          const expected = exactStates({
            ...problemOf(cell, length, { reverse }),
            inputs: inputs.subarray(offset * inputSize, (offset + length) * inputSize),
            initialState: initialStates.subarray(sequence * stateSize, (sequence + 1) * stateSize),
          });
          const actual = states.subarray(offset * stateSize, (offset + length) * stateSize);
          expect(largestDifference(actual, expected), cell.name).toBeLessThan(1e-14);
        });
        expect(progress.at(-1)).toEqual([10, 10]);
      }
    }
  });

  it("stops when it is aborted", async () => {
    const controller = new AbortController();
    const cell = scaling([0.5]);
    const problem = {
      cell,
      inputs: new Float64Array(100),
      sequences: Array.from({ length: 100 }, (_, offset) => ({ offset, length: 1 })),
      reverse: false,
      initialStates: new Float64Array(100),
      states: () => new Float64Array(100),
      onProgress: (done: number) => {
        if (done === 7) controller.abort(new Error("enough"));
      },
    };
    const run = backend.sequential(problem, new Pacer(controller.signal));
    await expect(run).rejects.toThrow("enough");
  });
});

describe("memory", () => {
  it("that cannot be had is told in bytes", () => {
    const size = 2 ** 18;
    const cell = defineCell({
      name: "wide",
      inputSize: 0,
      state: { h: size },
      step: ({ h }) => ({ h: tanh(h) }),
    });
    const problem = problemOf(cell, 1, { initialState: new Float64Array(size) });
    const bytes = 8 * (size + size * size + 2 * size);
    expect(() => backend.engine(problem)).toThrow(RangeError);
    expect(() => backend.engine(problem)).toThrow(`${bytes} bytes`);
  });
});
