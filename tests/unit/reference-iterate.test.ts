/** The iteration over boundary states on the reference engine, from a guess to a certificate. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createReferenceBackend } from "../../src/backend/reference/backend.ts";
import { add, defineCell, linear, multiply, sin } from "../../src/cell/index.ts";
import type { EngineProblem, SweepEngine } from "../../src/solve/engine.ts";
import { iterate } from "../../src/solve/iterate.ts";
import { type Damping, methods } from "../../src/solve/method.ts";
import { Pacer } from "../../src/solve/pacing.ts";
import type { IterationProgress, JacobianKind } from "../../src/types.ts";
import { cellNamed, cells } from "../support/cells.ts";
import { mulberry32, uniform } from "../support/random.ts";
import {
  exactStates,
  iterateOptions,
  jacobians,
  largestDifference,
  problemOf,
  readStates,
  undamped,
} from "../support/sweeps.ts";

const backend = createReferenceBackend();

async function solve(problem: EngineProblem, given: Partial<Parameters<typeof iterate>[1]> = {}) {
  const engine = backend.engine(problem);
  const progress: IterationProgress[] = [];
  const onIteration = (step: IterationProgress) => progress.push(step);
  const options = iterateOptions(problem, { onIteration, ...given });
  const result = await iterate(engine, options, new Pacer(undefined));
  const states = readStates(engine, problem);
  return { engine, result, states, progress };
}

describe("DEER", () => {
  it("solves a linear recurrence in one sweep", async () => {
    const linearCells = fc.record({
      size: fc.integer({ min: 1, max: 4 }),
      length: fc.integer({ min: 3, max: 40 }),
      chunk: fc.integer({ min: 1, max: 10 }),
      seed: fc.integer({ min: 1, max: 1000 }),
    });
    await fc.assert(
      fc.asyncProperty(linearCells, async ({ size, length, chunk, seed }) => {
        const scale = 1 / Math.sqrt(size);
        const cell = defineCell({
          name: "linear",
          inputSize: size,
          state: { h: size },
          weights: {
            w: { shape: [size, size], data: uniform(mulberry32(seed), size * size, -scale, scale) },
          },
          step: ({ h }, x, { w }) => ({ h: add(linear(w, h), x) }),
        });
        const problem = problemOf(cell, length, { chunk, seed });
        const { result, states } = await solve(problem);
        expect(result.converged).toBe(true);
        expect(result.iterations).toBe(Math.ceil(length / chunk) === 1 ? 0 : 1);
        expect(largestDifference(states, exactStates(problem))).toBeLessThan(1e-12);
      }),
      { numRuns: 50 },
    );
  });

  it("is what quasi-DEER is where the Jacobian is diagonal, sweep by sweep", async () => {
    for (const [name, jacobian] of [
      ["diagonal-gru", "diagonal"],
      ["diagonal-lstm", "block"],
    ] as const) {
      for (const chunk of [1, 4]) {
        for (const damping of [undamped, { ...undamped, lambda: 0.2 }]) {
          const runs = await Promise.all(
            [jacobian, "dense" as const].map(async (kind) => {
              const problem = problemOf(cellNamed(name, 3), 30, { chunk, jacobian: kind });
              return solve(problem, { damping });
            }),
          );
          const [quasi, dense] = runs as [(typeof runs)[0], (typeof runs)[0]];
          expect(quasi.result.iterations).toBe(dense.result.iterations);
          expect(quasi.result.iterations).toBeGreaterThan(1);
          quasi.progress.forEach(({ residual }, i) => {
            expect(Math.abs(residual - dense.progress[i]!.residual)).toBeLessThan(1e-12);
          });
          expect(largestDifference(quasi.states, dense.states)).toBeLessThan(1e-12);
        }
      }
    }
  });

  it("converges quadratically, and quasi-DEER does not", async () => {
    const cell = cellNamed("gru-reset-after", 6);
    const residuals = async (jacobian: JacobianKind) => {
      const { progress } = await solve(problemOf(cell, 60, { jacobian }), { tolerance: 1e-13 });
      return progress.map(({ residual }) => residual).filter((r) => r < 0.05 && r > 1e-6);
    };
    // From 0.05 down to 1e-6 takes Newton two squarings; a contraction by 1/3 takes ten sweeps.
    expect((await residuals("dense")).length).toBeLessThanOrEqual(3);
    expect((await residuals("diagonal")).length).toBeGreaterThan(3);
  });
});

describe("every method", () => {
  it("finds the states of every cell, and knows how well", async () => {
    for (const cell of cells(11)) {
      for (const [name, { jacobian, lambda }] of Object.entries(methods)) {
        const problem = problemOf(cell, 24, { chunk: name === "picard" ? 24 : 3, jacobian });
        const { result, states, progress } = await solve(problem, {
          damping: { ...undamped, lambda },
          tolerance: 1e-9,
        });
        const what = `${cell.name} ${name}`;
        expect(result.converged, what).toBe(true);
        expect(result.residual, what).toBeLessThanOrEqual(1e-9);
        expect(largestDifference(states, exactStates(problem)), what).toBeLessThan(1e-7);
        const last = progress.at(-1)!;
        expect(last.iteration).toBe(result.iterations);
        expect(last.exactChunks).toBe(result.exactChunks);
      }
    }
  });

  it("needs at most a sweep a chunk, damped or not", async () => {
    const given = fc.record({
      cell: fc.constantFrom("rnn-relu", "gru-reset-before", "lstm-peephole", "lorenz96"),
      jacobian: fc.constantFrom(...jacobians),
      lambda: fc.constantFrom(0, 1e-3, 1, 100),
      estimate: fc.constantFrom("filter" as const, "smoother" as const),
      reverse: fc.boolean(),
      seed: fc.integer({ min: 1, max: 100 }),
    });
    await fc.assert(
      fc.asyncProperty(given, async ({ cell, lambda, estimate, ...rest }) => {
        const some = cellNamed(cell, rest.seed, { scale: 1.5 });
        const problem = problemOf(some, 15, { chunk: 2, ...rest });
        const damping = { ...undamped, lambda, estimate };
        const { result, states } = await solve(problem, { damping, tolerance: 1e-14 });
        expect(result.iterations).toBeLessThanOrEqual(7);
        expect(result.converged).toBe(true);
        expect(largestDifference(states, exactStates(problem))).toBeLessThan(1e-11);
      }),
      { numRuns: 60 },
    );
  });

  it("needs no sweep from the solution, and starts at its end in reverse", async () => {
    for (const reverse of [false, true]) {
      const problem = problemOf(cellNamed("lstm-coupled", 4), 21, { chunk: 4, reverse });
      const initialGuess = exactStates(problem);
      const { result, states } = await solve({ ...problem, initialGuess });
      expect(result.iterations).toBe(0);
      expect(result.converged).toBe(true);
      expect(largestDifference(states, initialGuess)).toBeLessThan(1e-13);
    }
  });

  it("in reverse is itself on the rows turned round", async () => {
    const problem = problemOf(cellNamed("gru-reset-after", 4), 20, { chunk: 3, reverse: true });
    const { inputSize, stateSize } = problem.cell;
    const turn = (rows: ArrayLike<number>, width: number) =>
      Float64Array.from(rows, (_, i) => {
        const row = rows.length / width - 1 - Math.floor(i / width);
        return rows[row * width + (i % width)]!;
      });
    const backwards = await solve(problem);
    const inputs = turn(problem.inputs, inputSize);
    const forwards = await solve({ ...problem, inputs, reverse: false });
    expect(turn(backwards.states, stateSize)).toEqual(forwards.states);
    expect(backwards.result).toEqual(forwards.result);
  });
});

describe("ELK", () => {
  it("tames an iteration that overflows without damping", async () => {
    // Far from the solution the Jacobian is large, so that undamped Newton shoots off.
    const cell = defineCell({
      name: "wavy",
      inputSize: 1,
      state: { h: 1 },
      step: ({ h }, x) => ({ h: add(multiply(0.5, h), multiply(0.9, sin(multiply(3, h))), x) }),
    });
    const problem = problemOf(cell, 60, { seed: 3 });
    const largest = (progress: readonly IterationProgress[]) =>
      Math.max(...progress.map(({ residual }) => residual));
    const wild = await solve(problem, { maxIterations: 10 });
    const tame = await solve(problem, { maxIterations: 10, damping: { ...undamped, lambda: 1 } });
    expect(largest(wild.progress)).toBeGreaterThan(10 * largest(tame.progress));
  });
});

/** An engine that notes the order of the calls that a trust region makes. */
function recorded(engine: SweepEngine, log: string[], merits: number[]): SweepEngine {
  return new Proxy(engine, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (name === "save" || name === "restore") log.push(name);
        if (name === "update") log.push(`update ${(args[1] as Damping).lambda.toExponential(0)}`);
        const result = value.apply(target, args);
        if (name === "measure") merits.push(result.merit);
        return result;
      };
    },
  });
}

describe("the trust region", () => {
  it("rejects sweeps that raise the merit, and retries them with more damping", async () => {
    const cell = cellNamed("gru-reset-after", 2, { scale: 2 });
    const problem = problemOf(cell, 60, { seed: 2 });
    const log: string[] = [];
    const merits: number[] = [];
    const engine = recorded(backend.engine(problem), log, merits);
    const damping = { ...undamped, lambda: 1e-3, trustRegion: true };
    const options = iterateOptions(problem, { damping });
    const result = await iterate(engine, options, new Pacer(undefined));
    expect(result.converged).toBe(true);
    const error = largestDifference(readStates(engine, problem), exactStates(problem));
    expect(error).toBeLessThan(1e-8);
    // One operation follows each measurement but the last: save and update, restore, or update again.
    const operations = log.filter((name) => name !== "save");
    expect(operations.length).toBe(merits.length - 1);
    expect(operations.filter((name) => name === "restore").length).toBeGreaterThan(0);
    let accepted = Infinity;
    let lambda = 1e-3;
    operations.forEach((operation, i) => {
      const retry = operations[i - 1] === "restore";
      if (operation === "restore") {
        expect(merits[i]).toBeGreaterThan(accepted);
        expect(retry).toBe(false);
        lambda *= 10;
        return;
      }
      if (!retry) {
        expect(merits[i]).toBeLessThanOrEqual(accepted);
        lambda = Math.max(lambda / 10, 1e-12);
      }
      accepted = merits[i]!;
      expect(operation).toBe(`update ${lambda.toExponential(0)}`);
    });
  });
});

describe("a run that does not converge", () => {
  it("tells which chunks are exact, and can be finished sequentially", async () => {
    const cell = cellNamed("lstm-plain", 13, { scale: 2 });
    const problem = problemOf(cell, 40, { chunk: 5, jacobian: "identity" });
    const exact = exactStates(problem);
    const { engine, result, states } = await solve(problem, { maxIterations: 2 });
    expect(result.converged).toBe(false);
    expect(result.exactChunks).toBeGreaterThanOrEqual(3);
    expect(result.reason).toContain("2 sweeps");
    expect(largestDifference(states, exact)).toBeGreaterThan(1e-3);
    engine.splitSeams();
    engine.runSteps(result.exactChunks * 5, 40);
    expect(largestDifference(readStates(engine, problem), exact)).toBeLessThan(1e-13);
  });

  it("stops at exact states that are not finite", async () => {
    const cell = defineCell({
      name: "exploding",
      inputSize: 1,
      state: { h: 1 },
      step: ({ h }, x) => ({ h: add(multiply(h, h), x) }),
    });
    const inputs = new Float64Array(30).fill(2);
    const { result } = await solve(problemOf(cell, 30, { inputs, jacobian: "diagonal" }));
    expect(result).toMatchObject({ converged: false, finite: false, errorEstimate: Infinity });
    expect(result.reason).toBe("the exact states are not finite");
  });
});
