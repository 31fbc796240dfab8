/** What `runConformance` takes, and how it runs: arguments, progress, cancelling, the event loop. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ConformanceResult, runConformance } from "../../src/conformance/index.ts";
import { createRuntime, type Runtime } from "../../src/index.ts";
import { lyingRuntime } from "../support/conformance-liars.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ backend: "wasm" });
});
afterAll(() => runtime.dispose());

const few = { cells: ["rnn-tanh", "custom"], backends: ["wasm"] } as const;

describe("arguments", () => {
  it.each<[string, object, RegExp]>([
    ["options", { backend: "wasm" }, /options: expected only backends, cells, .*, got "backend"/],
    ["backends", { backends: "wasm" }, /backends: expected an array of names, got "wasm"/],
    ["cells", { cells: {} }, /cells: expected an array of names, got an object/],
    ["signal", { signal: true }, /signal: expected an AbortSignal, got true/],
    ["onResult", { onResult: [] }, /onResult: expected a function, got an Array/],
  ])("%s of a wrong type", async (_, options, message) => {
    const run = runConformance(runtime, options as object);
    await expect(run).rejects.toThrow(TypeError);
    await expect(runConformance(runtime, options as object)).rejects.toThrow(message);
  });

  it.each<[string, object, RegExp]>([
    ["backends", { backends: ["wasm", "auto"] }, /backends\[1\]: expected one of .*, got "auto"/],
    ["cells", { cells: ["gru"] }, /cells\[0\]: expected one of "rnn-tanh", .*, got "gru"/],
    ["methods", { methods: ["newton"] }, /methods\[0\]: expected one of "seq.*, got "newton"/],
    ["cells", { cells: [] }, /cells: expected at least one name, got none/],
  ])("%s with unknown names, or none", async (_, options, message) => {
    const run = runConformance(runtime, options as object);
    await expect(run).rejects.toThrow(RangeError);
    await expect(runConformance(runtime, options as object)).rejects.toThrow(message);
  });

  it("options that are none", async () => {
    await expect(runConformance(runtime, null as never)).rejects.toThrow(
      /options: expected an obj/,
    );
  });

  it.each([undefined, null, {}, { evaluate() {} }])("a runtime that is none: %o", async (other) => {
    const run = runConformance(other as never);
    await expect(run).rejects.toThrow(/runtime: expected one made by createRuntime, got/);
  });
});

describe("a part of the suite", () => {
  it("has the cells, methods and backends that were named, in the suite's order", async () => {
    const { results, passed } = await runConformance(runtime, {
      backends: ["reference", "wasm"],
      cells: ["lorenz96", "rnn-relu"],
      methods: ["deer", "sequential", "deer"],
    });
    expect(passed).toBe(true);
    const seen = results.map(({ backend, cell, method }) => `${backend} ${cell} ${method}`);
    expect([...new Set(seen)]).toEqual(
      ["wasm", "reference"].flatMap((backend) =>
        ["rnn-relu", "lorenz96"].flatMap((cell) =>
          ["sequential", "deer"].map((method) => `${backend} ${cell} ${method}`),
        ),
      ),
    );
    expect(results).toHaveLength(12);
  });

  it("does not pass where a backend that was named is missing", async () => {
    const report = await runConformance(runtime, { ...few, backends: ["wasm", "webgpu"] });
    expect(report.results.every(({ passed }) => passed)).toBe(true);
    expect(report.passed).toBe(false);
    expect(report.unavailable.map(({ backend }) => backend)).toEqual(["webgpu"]);
  });

  it("does not pass where nothing ran", async () => {
    const report = await runConformance(runtime, { backends: ["webgpu"] });
    expect(report).toMatchObject({ passed: false, results: [] });
  });

  it("tells of a backend that the runtime does not even know", async () => {
    const bare = { ...lyingRuntime(runtime, () => null), backends: [] } as unknown as Runtime;
    const { unavailable, passed } = await runConformance(bare, { backends: ["wasm"] });
    expect(unavailable).toEqual([{ backend: "wasm", reason: "this runtime was made without it" }]);
    expect(passed).toBe(false);
  });
});

it("a disposed runtime fails, evaluation by evaluation", async () => {
  const other = await createRuntime({ backend: "wasm" });
  other.dispose();
  const { passed, results } = await runConformance(other, few);
  expect(passed).toBe(false);
  for (const { failures } of results) {
    expect(failures).toEqual([
      "it threw Error: runtime: expected a live runtime, got a disposed one",
    ]);
  }
});

describe("progress", () => {
  it("counts to the number of results, one by one", async () => {
    const told: [ConformanceResult, number, number][] = [];
    const { results } = await runConformance(runtime, {
      ...few,
      onResult: (...progress) => told.push(progress),
    });
    expect(told.map(([result]) => result)).toEqual(results);
    expect(told.map(([, done]) => done)).toEqual(results.map((_, i) => i + 1));
    expect(new Set(told.map(([, , total]) => total))).toEqual(new Set([results.length]));
  });

  it("leaves the event loop its turns", async () => {
    // Evaluations that never wait: only the suite itself can give way.
    const busy = lyingRuntime(runtime, () => {
      const until = performance.now() + 2;
      while (performance.now() < until);
      throw new Error("done");
    });
    let turns = 0;
    let running = true;
    const tick = () => {
      turns++;
      if (running) setImmediate(tick);
    };
    setImmediate(tick);
    const report = await runConformance(busy, { backends: ["wasm"] });
    running = false;
    expect(report.results.length).toBeGreaterThan(150);
    expect(turns).toBeGreaterThan(5);
  });
});

describe("cancelling", () => {
  it("before the start runs nothing", async () => {
    const reason = new Error("changed my mind");
    let calls = 0;
    const counting = lyingRuntime(runtime, ({ evaluate }) => {
      calls++;
      return evaluate();
    });
    const run = runConformance(counting, { ...few, signal: AbortSignal.abort(reason) });
    await expect(run).rejects.toBe(reason);
    expect(calls).toBe(0);
  });

  it("midway rejects with the signal's reason, after the evaluation in hand", async () => {
    const controller = new AbortController();
    const done: number[] = [];
    const run = runConformance(runtime, {
      ...few,
      signal: controller.signal,
      onResult: (_, count) => {
        done.push(count);
        if (count === 3) controller.abort(new Error("enough"));
      },
    });
    await expect(run).rejects.toThrow("enough");
    expect(done).toEqual([1, 2, 3]);
  });

  it("reaches the evaluation itself, whose rejection is no result", async () => {
    const controller = new AbortController();
    let results = 0;
    const endless = lyingRuntime(runtime, ({ options, index, evaluate }) => {
      // The second result takes two evaluations.
      if (index < 3) return evaluate();
      return new Promise((_, reject) => {
        options.signal!.addEventListener("abort", () => reject(new Error("stopped")));
        setImmediate(() => controller.abort(new Error("enough")));
      });
    });
    const run = runConformance(endless, {
      ...few,
      signal: controller.signal,
      onResult: () => {
        results++;
      },
    });
    await expect(run).rejects.toThrow("enough");
    expect(results).toBe(2);
  });
});
