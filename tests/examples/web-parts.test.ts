/** The playground's parts that need no browser. */
import {
  type BackendName,
  createRuntime,
  type EvaluateOptions,
  type IterationProgress,
  type Runtime,
} from "antler";
import type { ConformanceResult } from "antler/conformance";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { benchmarkCases, timeCase } from "../../examples/web/src/check/benchmark.ts";
import {
  type DeviceResult,
  resultAsJson,
  resultAsText,
  settingOf,
} from "../../examples/web/src/check/result.ts";
import { EXAMPLE_CELL } from "../../examples/web/src/solve/example-cell.ts";
import { makeOwnCell } from "../../examples/web/src/solve/own-cell.ts";
import { makeProblem } from "../../examples/web/src/solve/problem.ts";
import {
  CELL_NAMES,
  DEFAULT_TEXTS,
  evaluateOptions,
  parseSettings,
  type SettingTexts,
} from "../../examples/web/src/solve/settings.ts";
import {
  errorProfile,
  sampledSteps,
  takeRows,
  traceSolve,
} from "../../examples/web/src/solve/trace.ts";
import { describeReport, verdictOf } from "../../examples/web/src/solve/words.ts";
import { envelopeOf, peaksOf } from "../../examples/web/src/speech/envelope.ts";
import { median } from "../../examples/web/src/timing.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ reproducible: true, threads: 2 });
});
afterAll(() => runtime?.dispose());

const settingsOf = (changes: Partial<SettingTexts>) => {
  const { settings, errors } = parseSettings({ ...DEFAULT_TEXTS, ...changes });
  if (errors) throw new Error(JSON.stringify(errors));
  return settings;
};

describe("the trace of a solve", () => {
  const SMALL = { hiddenSize: "6", steps: "300", gain: "2.5" };
  it.each<[string, Partial<SettingTexts>]>([
    ["quasi-DEER", {}],
    ["quasi-DEER in chunks", { chunk: "7" }],
    ["quasi-DEER on the reference", { chunk: "3", backend: "reference" }],
    ["block quasi-DEER", { cell: "lstm-plain", jacobian: "block", chunk: "5" }],
    ["DEER", { method: "deer" }],
    ["ELK", { method: "elk", damping: "1e-3" }],
    ["quasi-ELK", { method: "quasi-elk", cell: "lstm-coupled" }],
    ["quasi-ELK with a trust region", { method: "quasi-elk", gain: "5", trustRegion: "yes" }],
    ["Jacobi until all is exact", { method: "jacobi", chunk: "40", tolerance: "1e-14" }],
    ["Picard that gives up", { method: "picard", maxIterations: "9" }],
    ["Lorenz-96", { cell: "lorenz96", method: "deer", steps: "60" }],
    ["the autoregressive GRU", { cell: "autoregressive-gru", chunk: "8", method: "elk" }],
    ["a cell of one's own", { cell: "own" }],
  ])("goes the way of one run, to the bit: %s", async (_, changes) => {
    const settings = settingsOf({ ...SMALL, backend: "wasm", ...changes });
    const problem = makeProblem(settings);
    const { cell, inputs, initialState } = problem;
    const options: EvaluateOptions = { ...evaluateOptions(settings), onFailure: "return" };
    const told: IterationProgress[] = [];
    const { report } = await runtime.evaluate(cell, inputs, {
      ...options,
      initialState,
      onIteration: (progress) => told.push(progress),
    });
    expect(told.length).toBeGreaterThan(3);
    expect(told.length).toBe(report.iterations + 1);
    const residuals: number[] = [];
    for await (const iterate of traceSolve(runtime, problem, options, told)) {
      residuals.push(iterate.residual);
      const { states } = await runtime.evaluate(cell, inputs, {
        ...{ ...options, initialState },
        // Stops for no other reason, as the trace does not.
        ...{ tolerance: Number.MIN_VALUE, maxIterations: iterate.sweep },
      });
      expect(Buffer.from(iterate.states.buffer).equals(Buffer.from(states.buffer))).toBe(true);
    }
    const damped = settings.method.endsWith("elk") && !settings.trustRegion;
    if (damped) expect(residuals).toHaveLength(told.length);
    else expect(residuals).toEqual(told.map(({ residual }) => residual));
  });
});

describe("errors over time", () => {
  it("are the largest of each stretch, scaled, and named by their step", () => {
    const exact = Float64Array.of(0, 0, 3, 0, 0, 0, 0, 0);
    const other = Float64Array.of(0, 0, 3, 2, 0, 0, 0, 0.25);
    const { bins, largest, step } = errorProfile(other, exact, 2, 2);
    expect([...bins]).toEqual([0.5, 0.25]);
    expect([largest, step]).toEqual([0.5, 1]);
  });

  it("are infinite where an iterate is not a number", () => {
    const { bins, step } = errorProfile(
      Float32Array.of(0, Number.NaN),
      Float32Array.of(0, 0),
      1,
      2,
    );
    expect([...bins, step]).toEqual([0, Infinity, 1]);
  });

  it("cover every step once, however many stretches there are", () => {
    for (const steps of [1, 2, 7, 239, 1000]) {
      const exact = new Float32Array(steps);
      for (let wrong = 0; wrong < steps; wrong += 13) {
        const other = exact.slice();
        other[wrong] = 1;
        const profile = errorProfile(other, exact, 1, Math.min(steps, 5));
        expect(profile.bins.filter((error) => error === 1)).toHaveLength(1);
        expect(profile.step).toBe(wrong);
      }
    }
  });
});

describe("sampled steps", () => {
  it("are all of them, or evenly spread ones from the first to the last", () => {
    expect(sampledSteps(3, 10)).toEqual([0, 1, 2]);
    expect(sampledSteps(1, 10)).toEqual([0]);
    expect(sampledSteps(101, 3)).toEqual([0, 50, 100]);
    expect(sampledSteps(100_000, 500)).toHaveLength(500);
    expect([...takeRows(Float32Array.of(1, 2, 3, 4, 5, 6), [0, 2], 2)]).toEqual([1, 2, 5, 6]);
  });
});

describe("settings", () => {
  it.each<[Partial<SettingTexts>, keyof SettingTexts, string]>([
    [{ steps: "0" }, "steps", 'expected a whole number from 1 to 100,000, got "0"'],
    [{ steps: "2.5" }, "steps", 'expected a whole number from 1 to 100,000, got "2.5"'],
    [{ hiddenSize: "" }, "hiddenSize", 'expected a whole number from 1 to 256, got ""'],
    [{ tolerance: "0" }, "tolerance", 'expected a number from 1e-14 to 1, got "0"'],
    [{ damping: "-1" }, "damping", "expected a number from 0"],
    [{ threads: "0" }, "threads", 'expected a whole number from 1 to 64, got "0"'],
    [{ method: "threads", backend: "webgpu" }, "backend", "expected WebAssembly for threads"],
    [{ cell: "transformer" }, "cell", "expected one of gru-reset-after"],
    [{ cell: "lorenz96", hiddenSize: "3" }, "hiddenSize", "at least 4 for Lorenz-96, got 3"],
    [{ steps: "100000", hiddenSize: "256" }, "steps", "got 25,600,000"],
  ])("%j are refused at the field", (changes, name, message) => {
    const { errors } = parseSettings({ ...DEFAULT_TEXTS, ...changes });
    expect(Object.keys(errors!)).toEqual([name]);
    expect(errors![name]).toContain(message);
  });

  it("leave out what a method does not take", () => {
    expect(evaluateOptions(settingsOf({ method: "sequential", damping: "3" }))).toEqual({
      method: "sequential",
      backend: "auto",
    });
    const threads = settingsOf({ method: "threads", exact: "yes", threads: "3", chunk: "9" });
    expect(evaluateOptions(threads)).toEqual({ method: "threads", backend: "auto", exact: true });
    expect([threads.threads, settingsOf({}).threads]).toEqual([3, null]);
    const damped = evaluateOptions(settingsOf({ damping: "0.5", trustRegion: "yes" }));
    expect(damped.damping).toEqual({ lambda: 0.5, trustRegion: true });
    expect(evaluateOptions(settingsOf({}))).not.toHaveProperty("damping");
  });

  it("give every cell the same numbers each time, and other ones for another seed", () => {
    for (const cell of Object.keys(CELL_NAMES)) {
      const settings = settingsOf({ cell, hiddenSize: "5", steps: "20" });
      const [first, again] = [makeProblem(settings), makeProblem(settings)];
      expect(again.inputs).toEqual(first.inputs);
      expect(again.cell.weights).toEqual(first.cell.weights);
      const other = makeProblem({ ...settings, seed: 2 });
      expect([other.inputs, other.initialState]).not.toEqual([first.inputs, first.initialState]);
    }
  });
});

describe("a cell of one's own", () => {
  const sizes = { hiddenSize: 3, inputSize: 2, gain: 1, seed: 1 };

  it("is what the example says", () => {
    const cell = makeOwnCell(EXAMPLE_CELL, sizes);
    expect([cell.name, cell.inputSize, cell.stateSize]).toEqual(["my-cell", 2, 3]);
  });

  it.each([
    ["return 1 +;", "SyntaxError", null],
    ["const a = 1;\nunknown(a);", "ReferenceError: unknown is not defined", 2],
    ["\n\nthrow new Error('mine');", "mine", 3],
    ["throw 'text';", "the code threw text", null],
    ["", "to return defineCell({ … }), got nothing", null],
    ["return 7;", "got a number", null],
    ["return defineCell({ name: 'x', inputSize: 1, state: { h: 2 }, step: () => 3 });", "h", 1],
  ])("is refused with what is wrong, and where: %j", (code, message, line) => {
    expect(() => makeOwnCell(code, sizes)).toThrow(
      expect.objectContaining({ name: "OwnCellError", message: expect.stringContaining(message) }),
    );
    try {
      makeOwnCell(code, sizes);
    } catch (error) {
      expect((error as { line: unknown }).line).toBe(line);
    }
  });
});

describe("the report in words", () => {
  const start = { steps: 300, sequentialBackend: "wasm" } as const;
  const reportOf = async (changes: Partial<SettingTexts>, more: EvaluateOptions = {}) => {
    const settings = settingsOf({ hiddenSize: "6", steps: "300", backend: "wasm", ...changes });
    const { cell, inputs } = makeProblem(settings);
    return (await runtime.evaluate(cell, inputs, { ...evaluateOptions(settings), ...more })).report;
  };

  it("tells convergence, repair, failure and sequential runs apart", async () => {
    const gaveUp = { gain: "6", maxIterations: "3" };
    const verdicts = [
      verdictOf(await reportOf({ gain: "1" })),
      verdictOf(await reportOf(gaveUp)),
      verdictOf(await reportOf(gaveUp, { onFailure: "return" })),
      verdictOf(await reportOf({ method: "sequential" })),
      verdictOf(await reportOf({ method: "threads" })),
    ];
    expect(verdicts.map(({ kind }) => kind)).toEqual(["good", "repaired", "bad", "good", "good"]);
    expect(verdicts[4]!.title).toBe("Evaluated on 2 threads");
    expect(verdicts[0]!.title).toMatch(/^Converged after \d+ sweeps$/);
    expect(verdicts[1]!.title).toBe("Did not converge in 3 sweeps, and was finished sequentially");
  });

  it("has whole sentences with the report's numbers in them", async () => {
    for (const report of [
      await reportOf({ gain: "1" }),
      await reportOf({ gain: "6", maxIterations: "3" }),
      await reportOf({ method: "sequential" }),
      await reportOf({ method: "threads" }),
      await reportOf({ method: "threads", steps: "1" }),
    ]) {
      const sentences = describeReport(report, 1e-7, 1e-5, start);
      for (const sentence of sentences) {
        expect(sentence).toMatch(/^[A-Za-z].*[^.]\.$/s);
        expect(sentence).not.toMatch(/undefined|null|NaN/);
      }
      expect(sentences.join()).toContain(report.choice);
      expect(sentences.join()).toContain(report.errorEstimate.toExponential(1));
    }
  });
});

describe("the benchmark", () => {
  const status = (name: BackendName) => ({ name, available: true });

  it("has a row for threads in each size, on WebAssembly and where there are cores for them", () => {
    const cases = benchmarkCases([status("wasm"), status("reference")], 4);
    const ofThreads = cases.filter(({ method }) => method === "threads");
    expect(ofThreads.map(({ backend, steps }) => [backend.name, steps])).toEqual([
      ["wasm", 1_000],
      ["wasm", 10_000],
      ["wasm", 20_000],
    ]);
    const alone = benchmarkCases([status("wasm"), status("reference")], 1);
    expect(cases.length - alone.length).toBe(3);
  });

  it("tells how many threads worked, and how much they did again", async () => {
    const one = benchmarkCases([status("wasm")], 2).find(({ method }) => method === "threads")!;
    const row = await timeCase(runtime, one, new AbortController().signal);
    expect(row).toMatchObject({ method: "threads", chunk: null, sweeps: 0 });
    expect(row.note).toMatch(/^2 threads, \d+ steps run again$/);
  });
});

describe("small things", () => {
  it("pictures of a signal keep its extremes", () => {
    const samples = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i));
    samples[617] = 4;
    samples[3] = -5;
    const { low, high } = envelopeOf(samples, 10);
    expect([low.length, Math.max(...high), Math.min(...low)]).toEqual([10, 4, -5]);
    expect(high[6]).toBe(4);
    expect(envelopeOf(samples.subarray(0, 3), 10).low).toHaveLength(3);
    expect(peaksOf(Float64Array.of(0.1, 0.9, 0.2, 0.3), 2)).toEqual([0.9, 0.3]);
  });

  it("medians are in the middle", () => {
    expect([median([3, 1, 2]), median([4, 1])]).toEqual([2, 2.5]);
  });

  it("settings of results are told apart", () => {
    const result = { method: "threads", jacobian: null, chunk: null } as ConformanceResult;
    expect(settingOf({ ...result, exact: true })).toBe("threads, exact, own chunk");
    expect(settingOf({ ...result, guessed: true, chunk: 11 })).toBe(
      "threads, from a guess, chunk 11",
    );
    const deer = { ...result, method: "deer", jacobian: "dense", chunk: 7 } as const;
    expect(settingOf(deer)).toBe("deer, dense, chunk 7");
  });

  it("results to copy have no holes", () => {
    const result: DeviceResult = {
      date: "2026-11-23T00:00:00.000Z",
      versions: { antler: "1.2.3" },
      userAgent: "a browser",
      cores: null,
      adapter: { vendor: "v", architecture: "", description: "d", software: true },
      backends: [
        { name: "wasm", available: true, simd: "plain" },
        { name: "webgpu", available: false, reason: "no adapter" },
      ],
      conformance: null,
      benchmark: [
        {
          ...{ hiddenSize: 8, steps: 1000, backend: "wasm", method: "jacobi", chunk: 128 },
          ...{ milliseconds: Number.NaN, runs: 5, sweeps: 1, note: "a note" },
        },
      ],
    };
    expect(JSON.parse(resultAsJson(result)).benchmark[0].milliseconds).toBe("NaN");
    const text = resultAsText(result, "");
    for (const part of ["Antler 1.2.3", "a browser", "v, d (software)", "missing: no adapter"]) {
      expect(text).toContain(part);
    }
    expect(text).toMatch(/GRU 8 +1000 +wasm +jacobi, chunk 128 +– +1 +a note/);
    expect(text).toContain("The conformance suite has not run.");
  });
});
