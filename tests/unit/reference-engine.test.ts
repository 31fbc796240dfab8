/** The reference engine's sweeps, one operation at a time. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createReferenceBackend } from "../../src/backend/reference/backend.ts";
import { scaledIdentity } from "../../src/backend/reference/dense.ts";
import { productProgramOf, programsOf, unitsOf } from "../../src/backend/reference/programs.ts";
import { type Sweep, updatedBoundaries } from "../../src/backend/reference/update.ts";
import { add, type Cell, defineCell, linear, multiply } from "../../src/cell/index.ts";
import { SIGNS_PERIOD } from "../../src/cell/recurrence.ts";
import type { EngineProblem, SweepEngine } from "../../src/solve/engine.ts";
import type { JacobianKind } from "../../src/types.ts";
import { cellNamed, cells } from "../support/cells.ts";
import { mulberry32, uniform } from "../support/random.ts";
import {
  exactStates,
  jacobians,
  largestDifference,
  problemOf,
  readStates,
  scaling,
  undamped,
} from "../support/sweeps.ts";

const backend = createReferenceBackend();

/** States whose chunks have run from the boundaries, with the boundaries at the seams. */
function joined(engine: SweepEngine, problem: EngineProblem): Float64Array {
  engine.joinSeams();
  const states = readStates(engine, problem);
  engine.splitSeams();
  return states;
}

/** b_1 … b_{K−1} of a problem in the direction of time. */
function innerBoundaries(engine: SweepEngine, problem: EngineProblem): Float64Array[] {
  const states = joined(engine, problem);
  const { stateSize } = problem.cell;
  return Array.from({ length: engine.chunks - 1 }, (_, k) => {
    const row = (k + 1) * problem.chunk - 1;
    return states.slice(row * stateSize, (row + 1) * stateSize);
  });
}

describe("runChunks", () => {
  it("evaluates every chunk from its guess, exactly, for every cell", () => {
    for (const cell of cells(3)) {
      for (const reverse of [false, true]) {
        const problem = problemOf(cell, 11, { chunk: 4, reverse, jacobian: "none" });
        const { stateSize, inputSize } = cell;
        const guess = uniform(mulberry32(8), 11 * stateSize, -0.5, 0.5);
        const engine = backend.engine({ ...problem, initialGuess: guess });
        engine.runChunks(0, engine.chunks);
        const states = readStates(engine, problem);
        // Rows of the three chunks in the direction of time, and the row whose guess starts each.
        const chunks = reverse
          ? [
              [7, 11, -1],
              [3, 7, 7],
              [0, 3, 3],
            ]
          : [
              [0, 4, -1],
              [4, 8, 3],
              [8, 11, 7],
            ];
        for (const [from, to, before] of chunks as [number, number, number][]) {
          const expected = exactStates({
            ...problem,
            inputs: problem.inputs.subarray(from * inputSize, to * inputSize),
            length: to - from,
            initialState:
              before < 0
                ? problem.initialState
                : guess.subarray(before * stateSize, (before + 1) * stateSize),
          });
          const actual = states.subarray(from * stateSize, to * stateSize);
          expect(largestDifference(actual, expected), cell.name).toBeLessThan(1e-14);
        }
      }
    }
  });

  it("starts from zeros within the bounds, and counts what is not finite in a guess as zero", () => {
    const cell = scaling([0.5, 0.5], [1, 3]);
    const start = { initialState: Float64Array.of(2, 2), chunk: 2 };
    const problem = problemOf(cell, 4, { ...start, jacobian: "none" });
    const boundaryOf = (initialGuess: Float64Array | null) => {
      const engine = backend.engine({ ...problem, initialGuess });
      engine.runChunks(0, 2);
      return [...innerBoundaries(engine, problem)[0]!];
    };
    expect(boundaryOf(null)).toEqual([1, 1]);
    expect(boundaryOf(Float64Array.of(0, 0, 2.5, 7, 0, 0, 0, 0))).toEqual([2.5, 3]);
    expect(boundaryOf(Float64Array.of(0, 0, NaN, -Infinity, 0, 0, 0, 0))).toEqual([1, 1]);
  });
});

/** P of one chunk, as a D × D matrix. */
function productMatrix(cell: Cell, jacobian: JacobianKind, problem: EngineProblem): Float64Array {
  const programs = programsOf(cell);
  const program = productProgramOf(cell, jacobian, programs);
  const { stateSize, inputSize } = cell;
  const state = Float64Array.from(problem.initialState);
  const product = program.initial.slice();
  for (let t = 0; t < problem.length; t++) {
    const row = problem.inputs.subarray(t * inputSize, (t + 1) * inputSize);
    const drive = programs.drive(Float64Array.from(row)).slice();
    if (program.next) product.set(program.next(t, state, drive, product));
    state.set(programs.next(state, drive));
  }
  const units = unitsOf(cell, jacobian);
  const size = stateSize / units;
  const matrix = new Float64Array(stateSize * stateSize);
  for (let a = 0; a < units; a++) {
    for (let b = 0; b < units; b++) {
      for (let u = 0; u < size; u++) {
        matrix[(a * size + u) * stateSize + b * size + u] = product[(a * units + b) * size + u]!;
      }
    }
  }
  return matrix;
}

/** The chunk's Jacobian ∂Φ/∂b by central differences. */
function differenceQuotients(problem: EngineProblem): Float64Array {
  const { stateSize } = problem.cell;
  const h = 1e-6;
  const matrix = new Float64Array(stateSize * stateSize);
  for (let j = 0; j < stateSize; j++) {
    const ends = [h, -h].map((shift) => {
      const initialState = Float64Array.from(problem.initialState);
      initialState[j]! += shift;
      return exactStates({ ...problem, initialState }).subarray(-stateSize);
    });
    for (let i = 0; i < stateSize; i++) {
      matrix[i * stateSize + j] = (ends[0]![i]! - ends[1]![i]!) / (2 * h);
    }
  }
  return matrix;
}

const masked = (matrix: Float64Array, size: number, units: number) =>
  matrix.map((value, index) => {
    const [row, column] = [Math.floor(index / size), index % size];
    return row % (size / units) === column % (size / units) ? value : 0;
  });

describe("the chunks' Jacobians", () => {
  it("are those of the chunks for dense P", () => {
    for (const cell of cells(4)) {
      const problem = problemOf(cell, 5);
      const error = largestDifference(
        productMatrix(cell, "dense", problem),
        differenceQuotients(problem),
      );
      expect(error, cell.name).toBeLessThan(1e-8);
    }
  });

  it("are zero or the identity where no derivative is asked for", () => {
    const cell = cellNamed("lstm-plain", 4);
    const problem = problemOf(cell, 3);
    const size = cell.stateSize;
    expect([...productMatrix(cell, "none", problem)].every((value) => value === 0)).toBe(true);
    expect(productMatrix(cell, "identity", problem)).toEqual(scaledIdentity(size));
  });

  it("keep each step's (block) diagonal otherwise", () => {
    // The Hutchinson estimate of the last one is not what this test is about.
    for (const cell of cells(4).filter(({ name }) => name !== "custom-three-layers")) {
      for (const jacobian of ["diagonal", "block"] as const) {
        const units = unitsOf(cell, jacobian);
        const one = problemOf(cell, 1);
        const expected = masked(differenceQuotients(one), cell.stateSize, units);
        const error = largestDifference(productMatrix(cell, jacobian, one), expected);
        expect(error, `${cell.name} ${jacobian}`).toBeLessThan(1e-8);
      }
    }
    for (const [name, jacobian] of [
      ["diagonal-gru", "diagonal"],
      ["diagonal-lstm", "block"],
    ] as const) {
      const cell = cellNamed(name, 4);
      const problem = problemOf(cell, 6);
      const dense = productMatrix(cell, "dense", problem);
      expect(largestDifference(productMatrix(cell, jacobian, problem), dense)).toBeLessThan(1e-14);
    }
  });
});

describe("an estimated diagonal", () => {
  it("is right on average over the steps, and repeats its signs", () => {
    const cell = cellNamed("custom-three-layers", 4, { scale: 1 });
    const programs = programsOf(cell);
    const { next, initial } = productProgramOf(cell, "diagonal", programs);
    const problem = problemOf(cell, 1);
    const drive = programs.drive(Float64Array.from(problem.inputs)).slice();
    const state = Float64Array.from(problem.initialState);
    const estimates = Array.from({ length: 2 * SIGNS_PERIOD }, (_, t) =>
      next!(t, state, drive, initial).slice(),
    );
    expect(estimates[SIGNS_PERIOD + 5]).toEqual(estimates[5]);
    expect(largestDifference(estimates[5]!, estimates[6]!)).toBeGreaterThan(0);
    const { stateSize } = cell;
    const jacobian = differenceQuotients(problem);
    for (let i = 0; i < stateSize; i++) {
      const sum = estimates.slice(0, SIGNS_PERIOD).reduce((total, row) => total + row[i]!, 0);
      // One probe's variance is the sum of the squares beside the diagonal; there are 3 a step.
      const beside = jacobian.subarray(i * stateSize, (i + 1) * stateSize);
      const variance = beside.reduce((total, value, j) => total + (j === i ? 0 : value ** 2), 0);
      const deviation = Math.sqrt(variance / (3 * SIGNS_PERIOD));
      const error = sum / SIGNS_PERIOD - jacobian[i * stateSize + i]!;
      expect(Math.abs(error)).toBeLessThan(4 * deviation);
    }
  });
});

describe("measure", () => {
  it("gives the largest scaled defect, half the sum of squares and the exact prefix", () => {
    const cell = scaling([2]);
    const inputs = Float64Array.of(1, 1, 1, 1);
    // Boundaries 1, 3, 4, 0; chunk ends 1, 3, 7, 9.
    const initialGuess = Float64Array.of(1, 3, 4, 0);
    const initialState = Float64Array.of(0);
    const problem = problemOf(cell, 4, { inputs, initialGuess, initialState });
    const engine = backend.engine(problem);
    engine.runChunks(0, 4);
    expect(engine.measure(0)).toEqual({
      residual: 9,
      merit: (9 + 81) / 2,
      exactChunks: 3,
      finite: true,
    });
    const tail = engine.measure(3);
    expect(tail).toEqual({ residual: 9, merit: 81 / 2, exactChunks: 4, finite: true });
  });

  it("says when a defect or the exact states are not finite", () => {
    const cell = scaling([1e200]);
    const inputs = Float64Array.of(0, 0, 0);
    const problem = problemOf(cell, 3, { inputs, initialState: Float64Array.of(1e150) });
    const engine = backend.engine(problem);
    engine.runChunks(0, 3);
    const defects = engine.measure(0);
    expect(defects).toMatchObject({ residual: Infinity, merit: Infinity });
    expect(defects).toMatchObject({ exactChunks: 1, finite: false });
  });
});

describe("update", () => {
  const problem = problemOf(cellNamed("lstm-plain", 5), 9, { chunk: 2, seed: 6 });

  it("solves a linear recurrence in one go, whatever the chunks", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 20 }),
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 1000 }),
        (length, chunk, seed) => {
          const weights = uniform(mulberry32(seed), 9, -0.7, 0.7);
          const cell = defineCell({
            name: "linear",
            inputSize: 3,
            state: { h: 3 },
            weights: { w: { shape: [3, 3], data: weights } },
            step: ({ h }, x, { w }) => ({ h: add(linear(w, h), x) }),
          });
          const given = problemOf(cell, length, { chunk, seed });
          const engine = backend.engine(given);
          engine.runChunks(0, engine.chunks);
          const { exactChunks } = engine.measure(0);
          if (exactChunks < engine.chunks) engine.update(exactChunks, undamped);
          engine.runChunks(exactChunks, engine.chunks);
          const error = largestDifference(joined(engine, given), exactStates(given));
          expect(error).toBeLessThan(1e-12);
        },
      ),
    );
  });

  it("without a Jacobian takes over the chunks' ends", () => {
    const engine = backend.engine({ ...problem, jacobian: "none" });
    engine.runChunks(0, engine.chunks);
    const ends = readStates(engine, problem);
    engine.update(1, undamped);
    expect(joined(engine, problem)).toEqual(ends);
  });

  it("with scale 1 is the same as without a Jacobian", () => {
    for (const damping of [undamped, { ...undamped, lambda: 0.5 }]) {
      const boundaries = (["none", "dense"] as const).map((jacobian) => {
        const engine = backend.engine({ ...problem, jacobian });
        engine.runChunks(0, engine.chunks);
        engine.update(1, { ...damping, scale: 1 });
        return joined(engine, problem);
      });
      expect(largestDifference(boundaries[0]!, boundaries[1]!)).toBeLessThan(1e-15);
    }
  });

  it("is exact in the first i chunks after i sweeps, for every approximation", () => {
    const dampings = [
      undamped,
      { ...undamped, scale: 0.3 },
      { ...undamped, lambda: 0.1 },
      { ...undamped, lambda: 3, estimate: "smoother" as const },
    ];
    const given = fc.record({
      cell: fc.constantFrom("rnn-tanh", "lstm-plain", "custom-two-layers", "custom-three-layers"),
      jacobian: fc.constantFrom(...jacobians),
      damping: fc.constantFrom(...dampings),
      chunk: fc.integer({ min: 1, max: 3 }),
      seed: fc.integer({ min: 1, max: 100 }),
    });
    fc.assert(
      fc.property(given, ({ cell, jacobian, damping, chunk, seed }) => {
        const some = problemOf(cellNamed(cell, seed), 5 * chunk + 1, { chunk, jacobian, seed });
        const exact = exactStates(some);
        const engine = backend.engine(some);
        engine.runChunks(0, 6);
        let from = 0;
        for (let sweep = 0; from < 6; sweep++) {
          const { exactChunks } = engine.measure(from);
          expect(exactChunks).toBeGreaterThan(sweep);
          const rows = Math.min(exactChunks * chunk, some.length) * some.cell.stateSize;
          const states = readStates(engine, some).subarray(0, rows);
          expect(largestDifference(states, exact.subarray(0, rows))).toBeLessThan(1e-13);
          from = exactChunks;
          if (from === 6) break;
          engine.update(from, damping);
          engine.runChunks(from, 6);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("clips boundaries to the bounds, and keeps them where they would not be finite", () => {
    // Φ of the second chunk overflows from its guess; that of the third is far out of bounds.
    const cell = defineCell({
      name: "jumpy",
      inputSize: 1,
      state: { h: { size: 1, bounds: [-4, 4] } },
      step: ({ h }, x) => ({ h: add(multiply(h, x), 1) }),
    });
    const given = problemOf(cell, 4, {
      inputs: Float64Array.of(0.5, Number.MAX_VALUE, 1, 1),
      initialGuess: Float64Array.of(3, 2, 4, 1),
      initialState: Float64Array.of(0),
      jacobian: "none",
    });
    const engine = backend.engine(given);
    engine.runChunks(0, 4);
    expect([...readStates(engine, given)]).toEqual([1, Infinity, 3, 5]);
    engine.update(1, undamped);
    // b_1 = Φ_0 is exact; Φ_1 is not finite, so b_2 stays; Φ_2 is 3.
    expect([...joined(engine, given)]).toEqual([1, 2, 3, 5]);
    engine.runChunks(1, 4);
    // Φ_3 = 5 was clipped to b_4 = 4; from b_3 = 3 the chunk now ends there.
    expect(engine.measure(3)).toMatchObject({ residual: 0, merit: 0 });
  });
});

describe("the guards on P", () => {
  const start = Float64Array.of(1, 10);
  const zeros = [0, 1, 2].map(() => new Float64Array(2));
  const sweep = (jacobian: JacobianKind, units: number, product: number[]): Sweep => ({
    jacobian,
    units,
    products: [Float64Array.from(product), new Float64Array(product.length)],
    ends: zeros.slice(0, 2),
    boundaries: zeros,
    start,
  });
  /** P_0 · (1, 10), since all boundaries and chunk ends are zero. */
  const rowSums = (given: Sweep, damping = undamped) => [...updatedBoundaries(given, damping)[0]!];

  it("take the identity for a matrix that is not finite", () => {
    expect(rowSums(sweep("dense", 2, [2, 3, 4, 5]))).toEqual([32, 54]);
    expect(rowSums(sweep("dense", 2, [2, 3, NaN, 5]))).toEqual([1, 10]);
    expect(rowSums(sweep("block", 2, [2, Infinity, 4, 5]))).toEqual([1, 10]);
  });

  it("replace only the elements of a diagonal that are not finite", () => {
    expect(rowSums(sweep("diagonal", 1, [7, NaN]))).toEqual([7, 10]);
    expect(rowSums(sweep("diagonal", 1, [-Infinity, 0.5]))).toEqual([1, 5]);
  });

  it("scale before they clip", () => {
    const damping = { ...undamped, scale: 0.5, clip: true };
    expect(rowSums(sweep("diagonal", 1, [1.5, -8]), damping)).toEqual([0.75, -10]);
    expect(rowSums(sweep("diagonal", 1, [NaN, 8]), damping)).toEqual([0.5, 10]);
  });

  it("let what is not finite spread to later boundaries, but not without a Jacobian", () => {
    const ends = [Float64Array.of(NaN, 0), Float64Array.of(3, 4)];
    const spread = { ...sweep("diagonal", 1, [1, 1]), ends };
    expect([...updatedBoundaries(spread, undamped)[1]!]).toEqual([NaN, 4]);
    const none = { ...sweep("none", 1, [0, 0]), ends };
    expect([...updatedBoundaries(none, undamped)[1]!]).toEqual([3, 4]);
    const damped = updatedBoundaries(none, { ...undamped, lambda: 1 });
    expect([...damped[1]!]).toEqual([1.5, 2]);
  });
});

describe("save and restore", () => {
  it("bring the saved boundaries back behind the exact ones", () => {
    const problem = problemOf(cellNamed("gru-reset-after", 2, { scale: 2 }), 10, { chunk: 2 });
    const engine = backend.engine(problem);
    engine.runChunks(0, 5);
    engine.update(1, undamped);
    engine.runChunks(1, 5);
    engine.save();
    const saved = innerBoundaries(engine, problem);
    const exact = exactStates(problem);
    engine.update(2, undamped);
    engine.runChunks(2, 5);
    expect(largestDifference(innerBoundaries(engine, problem)[3]!, saved[3]!)).toBeGreaterThan(0);
    engine.restore(3);
    const restored = innerBoundaries(engine, problem);
    expect(restored[3]).toEqual(saved[3]);
    const { stateSize } = problem.cell;
    for (const [k, row] of [1, 3, 5].entries()) {
      const expected = exact.subarray(row * stateSize, (row + 1) * stateSize);
      expect(largestDifference(restored[k]!, expected)).toBeLessThan(1e-14);
    }
  });
});

describe("joinSeams", () => {
  it("changes the chunks' last states only, and splitSeams undoes it", () => {
    const problem = problemOf(cellNamed("rnn-tanh", 1), 8, { chunk: 3 });
    const engine = backend.engine(problem);
    engine.runChunks(0, 3);
    const split = readStates(engine, problem);
    engine.joinSeams();
    const { stateSize } = problem.cell;
    const changed = readStates(engine, problem).map((value, i) => (value === split[i] ? 0 : 1));
    const rows = Array.from({ length: 8 }, (_, t) =>
      Math.max(...changed.subarray(t * stateSize, (t + 1) * stateSize)),
    );
    expect(rows).toEqual([0, 0, 1, 0, 0, 1, 0, 0]);
    engine.splitSeams();
    expect(readStates(engine, problem)).toEqual(split);
  });
});

describe("runSteps", () => {
  it("continues exact states to the end", () => {
    for (const reverse of [false, true]) {
      const problem = problemOf(cellNamed("lstm-plain", 9), 12, { chunk: 3, reverse });
      const engine = backend.engine(problem);
      engine.runChunks(0, 4);
      engine.runSteps(3, 7);
      engine.runSteps(7, 12);
      const error = largestDifference(readStates(engine, problem), exactStates(problem));
      expect(error).toBeLessThan(1e-14);
    }
  });
});
