/** The whole suite on the backends that every machine has, and what its results say. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { casesOf } from "../../src/conformance/cases.ts";
import {
  CONFORMANCE_VERSION,
  type ConformanceReport,
  conformanceCells,
  runConformance,
} from "../../src/conformance/index.ts";
import { problemOf } from "../../src/conformance/problems.ts";
import { createRuntime, type Runtime } from "../../src/index.ts";
import { methodNames } from "../../src/solve/method.ts";
import { cells as shippedCells } from "../support/cells.ts";

let runtime: Runtime;
let report: ConformanceReport;
beforeAll(async () => {
  runtime = await createRuntime({ backend: "wasm" });
  report = await runConformance(runtime);
});
afterAll(() => runtime.dispose());

const backends = ["wasm", "reference"] as const;

it("passes", () => {
  expect(report.results.flatMap(({ failures }) => failures)).toEqual([]);
  expect(report).toMatchObject({ version: CONFORMANCE_VERSION, passed: true });
  expect(report.shortened).toBeUndefined();
  expect(report.adapter).toBeUndefined();
  expect(report.milliseconds).toBeGreaterThan(0);
});

describe("threads", () => {
  const ofThreads = ({ results }: ConformanceReport) =>
    results.filter(({ method }) => method === "threads");

  it("are asked for exact bits and for less, with and without a guess", () => {
    const settings = ofThreads(report).map(({ cell, exact, guessed, chunk }) =>
      [cell, exact && "exact", guessed && "guessed", chunk].join(),
    );
    expect(new Set(settings)).toHaveLength(5 * conformanceCells.length);
    expect(settings).toHaveLength(5 * conformanceCells.length);
  });

  it("pass however many there are, and where no other thread can start", async () => {
    for (const threads of [1, 2, 5]) {
      const other = await createRuntime({ backend: "wasm", threads });
      const { results, passed } = await runConformance(other, { methods: ["threads"] });
      other.dispose();
      expect(results.flatMap(({ failures }) => failures)).toEqual([]);
      expect(passed).toBe(true);
    }
    vi.spyOn(process, "getBuiltinModule").mockReturnValue(undefined as never);
    const alone = await createRuntime({ backend: "wasm", threads: 2 });
    const honest = await runConformance(alone, { methods: ["threads"] });
    const { report: told } = await alone.evaluate(problemOf("rnn-tanh").cell, new Float32Array(9), {
      method: "threads",
    });
    vi.restoreAllMocks();
    alone.dispose();
    expect(told.choice).toMatch(/only (one|1) threads?: this host has neither Worker/);
    expect(honest.results.flatMap(({ failures }) => failures)).toEqual([]);
    expect(honest.passed).toBe(true);
  });

  it("merge some chunks near each other, and not only where they are equal", () => {
    const guessed = ofThreads(report).filter((one) => one.guessed);
    expect(guessed.filter(({ residual }) => residual > 0).length).toBeGreaterThan(3);
    const exact = ofThreads(report).filter((one) => one.exact);
    expect(exact.every(({ residual }) => residual === 0)).toBe(true);
  });

  it("are for wasm, and a backend that has nothing else to do is told", async () => {
    const methods = ["threads"] as const;
    const { results, unavailable, passed } = await runConformance(runtime, { methods });
    expect(new Set(results.map(({ backend }) => backend))).toEqual(new Set(["wasm"]));
    expect(unavailable).toContainEqual({
      backend: "reference",
      reason: 'method "threads" is for backend "wasm"',
    });
    expect(passed).toBe(true);
    const named = await runConformance(runtime, { methods, backends: ["reference"] });
    expect(named).toMatchObject({ passed: false, results: [] });
  });
});

it("tells why a backend was not checked", () => {
  const reason = 'this runtime was made for "wasm"';
  expect(report.unavailable).toEqual([{ backend: "webgpu", reason }]);
});

describe.each(backends)("%s", (backend) => {
  it("has every cell by every method, in chunks of one step and of more", () => {
    const results = report.results.filter((result) => result.backend === backend);
    expect(results.length).toBeGreaterThanOrEqual(13 * 13);
    for (const cell of conformanceCells) {
      for (const method of methodNames) {
        const found = results.filter((one) => one.cell === cell && one.method === method);
        const chunks = new Set(found.map(({ chunk }) => chunk));
        if (method === "threads") {
          expect(chunks).toEqual(new Set(backend === "wasm" ? [7, null, 11] : []));
        } else {
          expect(chunks, `${cell} by ${method}`).toHaveLength(method === "sequential" ? 1 : 2);
        }
      }
    }
    const kinds = new Set(results.map(({ jacobian }) => jacobian));
    expect(kinds).toEqual(new Set([null, "none", "identity", "dense", "diagonal", "block"]));
    const damped = results.filter(({ damping }) => damping).map(({ damping }) => damping);
    expect(new Set(damped)).toEqual(new Set(["smoother", "trust region"]));
  });

  it("did the work by the method itself, well within what is allowed", () => {
    for (const result of report.results.filter((one) => one.backend === backend)) {
      const told = JSON.stringify(result);
      expect(result.fallback, told).toBeUndefined();
      if (result.chunk !== null) {
        expect(result.iterations > 0, told).toBe(result.method !== "sequential");
      }
      expect(result.largestError, told).toBeLessThanOrEqual(result.allowedError / 4);
      expect(result.allowedError, told).toBeLessThan(2e-3);
      expect(result.milliseconds, told).toBeGreaterThan(0);
    }
  });
});

it("holds the reference to float64, and the others to float32", () => {
  const allowed = (backend: string) =>
    report.results
      .filter((one) => one.backend === backend && one.method === "sequential")
      .map(({ allowedError }) => allowedError);
  for (const value of allowed("reference")) expect(value).toBeLessThan(1.1e-11);
  for (const value of allowed("wasm")) expect(value).toBeLessThan(2e-5);
});

describe("the problems", () => {
  const problems = conformanceCells.map(problemOf);

  it("have every shipped cell in every variant, and one of a user's own", () => {
    const shipped = shippedCells(1).map(({ name }) => name);
    const own = shipped.filter((name) => !name.startsWith("custom"));
    expect(new Set(problems.map(({ cell }) => cell.name))).toEqual(new Set([...own, "custom"]));
    expect(conformanceCells).toEqual(problems.map(({ cell }) => cell.name));
  });

  it("are small", () => {
    for (const { cell, lengths } of problems) {
      expect(cell.stateSize).toBeLessThanOrEqual(16);
      expect(lengths.reduce((sum, length) => sum + length)).toBeLessThanOrEqual(100);
    }
  });

  it("have batches with sequences of no step and of one, initial states, and both directions", () => {
    const some = (has: (problem: (typeof problems)[0]) => boolean) => problems.filter(has).length;
    expect(some(({ lengths }) => lengths.includes(0) && lengths.includes(1))).toBeGreaterThan(3);
    expect(some(({ initialState }) => initialState.some((value) => value !== 0))).toBeGreaterThan(
      5,
    );
    expect(some(({ initialState }) => initialState.every((value) => value === 0))).toBeGreaterThan(
      3,
    );
    expect(some(({ reverse }) => reverse)).toBeGreaterThan(3);
  });

  it("have numbers that float32 holds, on a coarse grid, and the same ones every time", () => {
    for (const [i, { cell, inputs, initialState }] of problems.entries()) {
      const again = problemOf(conformanceCells[i]!);
      expect(again.inputs).toEqual(inputs);
      expect(again.initialState).toEqual(initialState);
      const weights = Object.values(cell.weights).map(({ data }) => data);
      const numbers = [initialState, ...weights, ...(typeof inputs === "number" ? [] : [inputs])];
      for (const array of numbers) {
        expect(array.every((value: number) => Number.isInteger(value * 2 ** 16))).toBe(true);
        if (array.length > 8 && array.some((value: number) => value !== 0)) {
          expect(new Set(array).size).toBeGreaterThan(array.length / 2);
        }
      }
    }
  });

  it("are cut by the longer chunks with a rest", () => {
    for (const problem of problems) {
      const { lengths } = problem;
      for (const { chunk, method } of casesOf(problem, "wasm")) {
        if (method === "sequential" || chunk === null || chunk === 1) continue;
        const longest = Math.max(...lengths);
        expect(longest % chunk).not.toBe(0);
        expect(longest).toBeGreaterThan(3 * chunk);
      }
    }
  });

  it("are cut short so that every method meets cells and every cell methods", () => {
    const short = problems.flatMap((problem) =>
      casesOf(problem, "webgpu")
        .filter((one) => one.short)
        .map(({ method, jacobian, chunk }) => ({
          cell: problem.cell.name,
          method,
          jacobian,
          chunk,
        })),
    );
    expect(short.length).toBeLessThanOrEqual(60);
    for (const method of methodNames.filter((name) => name !== "threads")) {
      const met = short.filter((one) => one.method === method);
      expect(met.length, method).toBeGreaterThanOrEqual(5);
      if (method !== "sequential") {
        expect(new Set(met.map(({ chunk }) => chunk)), method).toHaveLength(2);
      }
    }
    for (const cell of conformanceCells) {
      const kinds = short.filter((one) => one.cell === cell).map(({ jacobian }) => jacobian);
      expect(kinds, cell).toEqual(expect.arrayContaining([null, "dense", "diagonal"]));
    }
  });
});
