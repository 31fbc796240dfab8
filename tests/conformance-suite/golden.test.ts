/** The golden vectors: what the oracle gives, and what others give who share no code with it. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { differences, goldenModule, makeGolden } from "../../scripts/golden.ts";
import { casesOf } from "../../src/conformance/cases.ts";
import { golden } from "../../src/conformance/golden.ts";
import { CONFORMANCE_VERSION, conformanceCells } from "../../src/conformance/index.ts";
import { type Problem, problemOf } from "../../src/conformance/problems.ts";
import {
  forEachStep,
  isKeyFrame,
  LARGEST_DRIFT,
  rowAt,
  scaledDifference,
  trajectoryOf,
} from "../../src/conformance/trajectory.ts";
import { judge } from "../../src/conformance/verdict.ts";
import { equations } from "../support/conformance-equations.ts";
import { gruModel, lstmModel, type OnnxModel, rnnModel } from "../support/onnx.ts";
import { runOnnx } from "../support/onnxruntime.ts";

/** Of the vectors of every version there has been; other vectors need another version. */
const digests: Readonly<Record<number, string>> = {
  1: "acfc83e1a666549f4518f367eb89b85be5e4193ff1dbfa33a133e2c52cd8fd23",
};

describe("the file", () => {
  it("holds what the reference backend gives, to the last decimal", async () => {
    expect(differences(await makeGolden(), golden)).toEqual([]);
  });

  it("is as its generator writes it", () => {
    const file = new URL("../../src/conformance/golden.ts", import.meta.url);
    expect(readFileSync(file, "utf8")).toBe(goldenModule(golden));
  });

  it("has changed only together with its version", () => {
    const digest = createHash("sha256").update(JSON.stringify(golden)).digest("hex");
    expect(digest).toBe(digests[CONFORMANCE_VERSION]);
  });

  it("has the sweeps of every case", () => {
    expect(Object.keys(golden)).toEqual(conformanceCells);
    for (const name of conformanceCells) {
      const keys = casesOf(problemOf(name), "reference").map(({ key }) => key);
      expect(new Set(keys)).toHaveLength(keys.length);
      expect(["sequential", ...Object.keys(golden[name]!.sweeps)]).toEqual(keys);
    }
  });
});

describe("differences", () => {
  const known = golden["rnn-tanh"]!;
  const change = (part: object) =>
    differences({ ...golden, "rnn-tanh": { ...known, ...part } }, golden);

  it.each([
    ["a number", { frames: known.frames.with(3, known.frames[3]! + 3e-12) }, /number 3 is -?0\./],
    ["a number too few", { frames: known.frames.slice(1) }, /63 and 64 numbers/],
    ["the noise", { noise: known.noise + 0.2 }, /noise/],
    ["the sweeps", { sweeps: { ...known.sweeps, "deer C = 1": 5 } }, /other sweeps/],
  ])("in %s are found", (_, part, message) => {
    expect(change(part)[0]).toMatch(message);
  });

  it("in the last decimal are not", () => {
    const frames = known.frames.map((value) => Number((value + 1e-12).toFixed(12)));
    expect(change({ frames })).toEqual([]);
  });

  it("in the cells are found", () => {
    const { lorenz96: _, ...others } = golden;
    expect(differences(others, golden)).toEqual(["lorenz96: is in only one of them"]);
  });
});

describe("key frames", () => {
  it.each(conformanceCells)("of %s lie on one trajectory", (name) => {
    const { states, drift } = trajectoryOf(problemOf(name), golden[name]!.frames);
    expect(drift).toBeLessThan(LARGEST_DRIFT / 10);
    expect(states.every(Number.isFinite)).toBe(true);
  });

  it.each(conformanceCells)("of %s that are off by 1e-9 are noticed", (name) => {
    const { frames } = golden[name]!;
    const { stateSize } = problemOf(name).cell;
    for (const index of [stateSize, frames.length - 1]) {
      const scale = 1 + Math.max(...frames.map(Math.abs));
      const wrong = frames.with(index, frames[index]! + scale * 1e-9);
      expect(trajectoryOf(problemOf(name), wrong).drift).toBeGreaterThan(LARGEST_DRIFT);
    }
  });

  it("too few or too many are noticed", () => {
    const { frames } = golden.lorenz96!;
    const problem = problemOf("lorenz96");
    expect(trajectoryOf(problem, frames.slice(0, -8)).drift).toBe(Infinity);
    expect(trajectoryOf(problem, [...frames, 0]).drift).toBe(Infinity);
  });

  it("that this machine's oracle does not meet fail every result", () => {
    const problem = problemOf("lorenz96");
    const known = golden.lorenz96!;
    const wrong = known.frames.with(9, known.frames[9]! + 1e-3);
    const trajectory = trajectoryOf(problem, wrong);
    const one = casesOf(problem, "wasm")[0]!;
    const expectation = { backend: "wasm", problem, one, golden: known, trajectory } as const;
    expect(judge(expectation, {} as never)).toMatchObject({
      largestError: Infinity,
      failures: [
        expect.stringMatching(/^the oracle of this machine is \d\.\de-\d away from the gol/),
      ],
    });
  });
});

/** The states of the key frames, by sequence and step. */
function forEachFrame(
  problem: Problem,
  frames: readonly number[],
  visit: (sequence: number, t: number, state: readonly number[]) => void,
): void {
  const { stateSize } = problem.cell;
  let index = 0;
  forEachStep(problem, ({ sequence, t, length }) => {
    if (isKeyFrame(t, length)) {
      visit(sequence, t, frames.slice(index * stateSize, (index + 1) * stateSize));
      index++;
    }
  });
}

describe("against ONNX Runtime", () => {
  const sizes = ({ cell }: Problem) => {
    const hiddenSize = cell.parts[0]!.size;
    const weights = Object.entries(cell.weights).map(([name, { data }]) => [name, data] as const);
    return { inputSize: cell.inputSize, hiddenSize, weights: Object.fromEntries(weights) };
  };
  const models: Readonly<Record<string, (problem: Problem) => OnnxModel>> = {
    "rnn-tanh": (problem) => rnnModel({ ...sizes(problem), nonlinearity: "tanh" }),
    "rnn-relu": (problem) => rnnModel({ ...sizes(problem), nonlinearity: "relu" }),
    "gru-reset-after": (problem) => gruModel({ ...sizes(problem), variant: "reset-after" }),
    "gru-reset-before": (problem) => gruModel({ ...sizes(problem), variant: "reset-before" }),
    "lstm-plain": (problem) => lstmModel({ ...sizes(problem), variant: "plain" }),
    "lstm-peephole": (problem) => lstmModel({ ...sizes(problem), variant: "peephole" }),
    "lstm-coupled": (problem) => lstmModel({ ...sizes(problem), variant: "coupled" }),
  };
  /** Of |difference| / (1 + |value|), in float32. */
  const tolerance = 2e-6;

  it.each(Object.keys(models))("%s", async (name) => {
    const problem = problemOf(name);
    const { cell, inputs, lengths, initialState } = problem;
    const model = models[name]!(problem);
    const { hiddenSize } = model;
    const hasCell = model.operator === "LSTM";
    const numbers = inputs as Float32Array;
    const hidden: Float32Array[] = [];
    const finalCells: (Float32Array | null)[] = [];
    let row = 0;
    for (const [sequence, length] of lengths.entries()) {
      // In the direction of time: turned round here, not by the runtime.
      const order = Array.from({ length }, (_, t) => row + (problem.reverse ? length - 1 - t : t));
      const fed = order.flatMap((at) => [...rowAt(numbers, at, cell.inputSize)]);
      row += length;
      const start = initialState.slice(sequence * cell.stateSize, (sequence + 1) * cell.stateSize);
      const run =
        length > 0
          ? await runOnnx(model, Float32Array.from(fed), {
              initialHidden: start.slice(0, hiddenSize),
              ...(hasCell && { initialCell: start.slice(hiddenSize) }),
            })
          : null;
      hidden.push(run?.hidden ?? new Float32Array(0));
      finalCells.push(run?.finalCell ?? null);
    }
    let compared = 0;
    forEachFrame(problem, golden[name]!.frames, (sequence, t, state) => {
      const theirs = hidden[sequence]!.subarray(t * hiddenSize, (t + 1) * hiddenSize);
      expect(theirs).toHaveLength(hiddenSize);
      expect(scaledDifference(theirs, state.slice(0, hiddenSize))).toBeLessThan(tolerance);
      if (hasCell && t === lengths[sequence]! - 1) {
        const last = finalCells[sequence]!;
        expect(scaledDifference(last, state.slice(hiddenSize))).toBeLessThan(tolerance);
      }
      compared++;
    });
    expect(compared).toBeGreaterThan(5);
  });

  it("and the equations below leave no cell out", () => {
    const covered = [...Object.keys(models), ...Object.keys(equations)];
    expect(new Set(covered)).toEqual(new Set(conformanceCells));
  });
});

describe("against the equations", () => {
  it.each(Object.keys(equations))("%s", (name) => {
    const problem = problemOf(name);
    const { cell, inputs, initialState } = problem;
    const step = equations[name]!;
    const states: number[][][] = problem.lengths.map(() => []);
    let state: number[] = [];
    forEachStep(problem, ({ sequence, t, row }) => {
      if (t === 0) state = [...rowAt(initialState, sequence, cell.stateSize)];
      const input = typeof inputs === "number" ? [] : [...rowAt(inputs, row, cell.inputSize)];
      state = step(state, input, cell);
      states[sequence]!.push(state);
    });
    let compared = 0;
    forEachFrame(problem, golden[name]!.frames, (sequence, t, golden) => {
      expect(scaledDifference(states[sequence]![t]!, golden)).toBeLessThan(1e-11);
      compared++;
    });
    expect(compared).toBeGreaterThan(4);
  });
});
