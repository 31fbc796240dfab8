/** The front door: backends, reports, callbacks, cancellation, queueing and disposal. */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import {
  BackendUnavailableError,
  type Cell,
  createRuntime,
  type EvaluateOptions,
  type Evaluation,
  gru,
  type IterationProgress,
  lorenz96,
  type Runtime,
} from "../../src/index.ts";
import { identical, largestError } from "../support/agreement.ts";
import { cellNamed, cells } from "../support/cells.ts";
import { mulberry32, normal, uniform } from "../support/random.ts";

const cell = cellNamed("gru-reset-after", 1);
const { inputSize, stateSize } = cell;
const inputsFor = (steps: number, seed = 1) => normal(mulberry32(seed), steps * inputSize);
/** Chaos, which no parallel method gets through in a few sweeps. */
const chaos = lorenz96({ size: 6, forcing: 8, timeStep: 0.05 });
const chaosStart = uniform(mulberry32(2), 6, 1, 9);
const hopeless = { initialState: chaosStart, method: "quasi-deer", maxIterations: 4 } as const;

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ backend: "wasm", reproducible: true });
});
afterAll(() => runtime.dispose());
afterEach(() => vi.restoreAllMocks());

/** Makes every look at the clock ten milliseconds later than the last, so that long is not slow. */
function hurryTheClock(): void {
  let now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => {
    now += 10;
    return now;
  });
}

describe("backends", () => {
  it("are listed fastest first, and the first one is taken", async () => {
    using automatic = await createRuntime();
    const [wasm, webgpu, reference, ...more] = automatic.backends;
    expect(wasm).toMatchObject({ name: "wasm", available: true });
    expect(["plain", "relaxed"]).toContain(wasm!.simd);
    const reason = expect.stringContaining("navigator.gpu");
    expect(webgpu).toEqual({ name: "webgpu", available: false, reason });
    expect(reference).toEqual({ name: "reference", available: true });
    expect(more).toEqual([]);
    expect(automatic.device).toBeNull();
    const { report } = await automatic.evaluate(cell, inputsFor(10));
    expect(report.backend).toBe("wasm");
    expect(report.simd).toBe(wasm!.simd);
  });

  it("are taken by name, for a runtime or for a call", async () => {
    using oracle = await createRuntime({ backend: "reference" });
    const own = await oracle.evaluate(cell, inputsFor(10));
    expect(own.report.backend).toBe("reference");
    expect(own.report.simd).toBeUndefined();
    expect(own.states).toBeInstanceOf(Float64Array);
    const other = await oracle.evaluate(cell, inputsFor(10), { backend: "wasm" });
    expect(other.report.backend).toBe("wasm");
    expect(other.states).toBeInstanceOf(Float32Array);
    const back = await runtime.evaluate(cell, inputsFor(10), { backend: "reference" });
    expect(identical(back.states, own.states)).toBe(true);
    expect(largestError(other.states, own.states, stateSize)).toBeLessThan(1e-6);
  });

  it("that nobody asked for are not opened", async () => {
    for (const backend of ["wasm", "reference"] as const) {
      using own = await createRuntime({ backend });
      const reason = `this runtime was made for "${backend}"`;
      expect(own.backends[1]).toEqual({ name: "webgpu", available: false, reason });
      const refused = own.evaluate(cell, inputsFor(10), { backend: "webgpu" });
      await expect(refused).rejects.toMatchObject({ backend: "webgpu", reason });
    }
  });

  it("that are missing are told by name", () => {
    const error = new BackendUnavailableError("wasm", "no luck");
    expect(error).toMatchObject({ name: "BackendUnavailableError", backend: "wasm" });
    expect(error.message).toBe('backend "wasm" is not available: no luck');
  });
});

describe("the report", () => {
  it("of a sequential run", async () => {
    const { report } = await runtime.evaluate(cell, inputsFor(40));
    expect(report).toMatchObject({
      backend: "wasm",
      simd: "plain",
      method: "sequential",
      jacobian: null,
      chunk: 40,
      iterations: 0,
      residual: 0,
      converged: true,
    });
    expect(report.errorEstimate).toBeGreaterThan(0);
    expect(report.fallback).toBeUndefined();
    expect(report.choice).toContain("sequential");
    const { total, prepare, solve } = report.milliseconds;
    expect(total).toBeGreaterThanOrEqual(Math.max(prepare, solve));
  });

  it("of a parallel run", async () => {
    const options = { method: "quasi-deer", chunk: 7, jacobian: "dense" } as const;
    const { report } = await runtime.evaluate(cell, inputsFor(100), options);
    expect(report).toMatchObject({ method: "quasi-deer", jacobian: "dense", chunk: 7 });
    expect(report.iterations).toBeGreaterThan(0);
    expect(report.residual).toBeLessThanOrEqual(1e-5);
    expect(report.errorEstimate).toBeLessThanOrEqual(1e-4);
    expect(report.converged).toBe(true);
    expect(report.choice).toContain('"quasi-deer" was asked for');
  });

  it("names the method's own Jacobian", async () => {
    const implied = [
      ["jacobi", "none"],
      ["picard", "identity"],
      ["quasi-deer", "diagonal"],
      ["deer", "dense"],
      ["quasi-elk", "diagonal"],
      ["elk", "dense"],
    ] as const;
    for (const [method, jacobian] of implied) {
      const { report } = await runtime.evaluate(cell, inputsFor(30), { method });
      expect(report).toMatchObject({ method, jacobian, chunk: 1 });
    }
  });
});

describe("edges of the input", () => {
  const methods = ["auto", "sequential", "jacobi", "quasi-deer", "deer", "elk"] as const;
  const backends = ["wasm", "reference"] as const;
  const all = backends.flatMap((backend) => methods.map((method) => ({ backend, method })));

  it.each(all)("no steps: $backend, $method", async (options) => {
    const initialState = uniform(mulberry32(1), stateSize);
    const result = await runtime.evaluate(cell, new Float32Array(0), { ...options, initialState });
    expect(result.states).toHaveLength(0);
    expect(Array.from(result.finalStates)).toEqual(Array.from(initialState));
    expect(result.report).toMatchObject({ converged: true, residual: 0, iterations: 0 });
    const none = await runtime.evaluate(chaos, 0, options);
    expect(none.states).toHaveLength(0);
    expect(Array.from(none.finalStates)).toEqual(Array(6).fill(0));
  });

  it.each(all)("no sequences: $backend, $method", async (options) => {
    const result = await runtime.evaluate(cell, new Float32Array(0), { ...options, lengths: [] });
    expect(result.states).toHaveLength(0);
    expect(result.finalStates).toHaveLength(0);
    expect(result.report.converged).toBe(true);
  });

  it.each(all)("sequences without steps among others: $backend, $method", async (options) => {
    const lengths = [0, 5, 0, 0, 9, 0];
    const inputs = inputsFor(14);
    const initialState = uniform(mulberry32(3), lengths.length * stateSize);
    const given = { ...options, chunk: 14 };
    const batch = await runtime.evaluate(cell, inputs, { ...given, lengths, initialState });
    let offset = 0;
    for (const [sequence, length] of lengths.entries()) {
      const first = sequence * stateSize;
      const start = initialState.slice(first, first + stateSize);
      const rows = inputs.slice(offset * inputSize, (offset + length) * inputSize);
      const alone = await runtime.evaluate(cell, rows, { ...given, initialState: start });
      const states = batch.states.slice(offset * stateSize, (offset + length) * stateSize);
      expect(identical(states, alone.states)).toBe(true);
      const final = batch.finalStates.slice(first, first + stateSize);
      expect(identical(final, alone.finalStates)).toBe(true);
      offset += length;
    }
  });

  it.each(all)(
    "a cell without input takes the number of steps: $backend, $method",
    async (options) => {
      const given = { ...options, initialState: chaosStart };
      const whole = await runtime.evaluate(chaos, 12, given);
      expect(whole.states).toHaveLength(72);
      const half = await runtime.evaluate(chaos, 6, given);
      const rest = await runtime.evaluate(chaos, 6, { ...options, initialState: half.finalStates });
      const joined = [...half.states, ...rest.states];
      expect(largestError(whole.states, Float64Array.from(joined), 6)).toBeLessThan(2e-4);
      const batch = await runtime.evaluate(chaos, 12, { ...given, lengths: [6, 6] });
      expect(largestError(batch.states.slice(0, 36), half.states, 6)).toBe(0);
    },
  );

  it("one initial state serves a whole batch", async () => {
    const initialState = uniform(mulberry32(4), stateSize);
    const lengths = new Uint16Array([3, 4]);
    const { states } = await runtime.evaluate(cell, inputsFor(7), { initialState, lengths });
    const repeated = Float32Array.of(...initialState, ...initialState);
    const options = { initialState: repeated, lengths: [3, 4] };
    const same = await runtime.evaluate(cell, inputsFor(7), options);
    expect(identical(states, same.states)).toBe(true);
  });
});

describe("onIteration", () => {
  async function follow(options: EvaluateOptions, target: Cell = cell) {
    const calls: IterationProgress[] = [];
    const onIteration = (progress: IterationProgress) => calls.push(progress);
    const inputs = target.inputSize > 0 ? inputsFor(90) : 90;
    const result = await runtime.evaluate(target, inputs, { ...options, onIteration });
    return { calls, ...result };
  }

  it.each(["jacobi", "quasi-deer", "deer", "quasi-elk", "elk"] as const)(
    "counts sweeps and exact chunks, and ends with what is reported: %s",
    async (method) => {
      for (const chunk of [1, 8]) {
        const { calls, report } = await follow({ method, chunk });
        expect(calls.map(({ iteration }) => iteration)).toEqual(
          Array.from({ length: report.iterations + 1 }, (_, i) => i),
        );
        for (const [i, { sequence, chunks, exactChunks, residual }] of calls.entries()) {
          expect([sequence, chunks]).toEqual([0, Math.ceil(90 / chunk)]);
          expect(residual).toBeGreaterThanOrEqual(0);
          // After i sweeps, i more chunks than the first are exact at the least.
          expect(exactChunks).toBeGreaterThan(Math.max(i, calls[i - 1]?.exactChunks ?? 0) - 1);
          expect(exactChunks).toBeLessThanOrEqual(chunks);
          if (exactChunks === chunks) expect(residual).toBe(0);
        }
        expect(calls.at(-1)!.residual).toBeLessThanOrEqual(1e-5);
        expect(calls[0]!.residual).toBeGreaterThan(1e-3);
      }
    },
  );

  it("names the sequence of a batch", async () => {
    const { calls } = await follow({ method: "deer", chunk: 10, lengths: [30, 0, 60] });
    expect(new Set(calls.map(({ sequence }) => sequence))).toEqual(new Set([0, 2]));
    const firstOfLast = calls.findIndex(({ sequence }) => sequence === 2);
    expect(calls.slice(firstOfLast).every(({ sequence }) => sequence === 2)).toBe(true);
    expect(calls[firstOfLast]).toMatchObject({ iteration: 0, chunks: 6 });
  });

  it("is not called by a sequential run, nor once sweeps are used up", async () => {
    expect((await follow({ method: "sequential" })).calls).toEqual([]);
    const { calls, report } = await follow(hopeless, chaos);
    expect(calls).toHaveLength(hopeless.maxIterations + 1);
    expect(report.iterations).toBe(hopeless.maxIterations);
    expect((await follow({ method: "deer", maxIterations: 0 })).calls).toHaveLength(1);
  });

  it("that throws ends the run with its error, and nothing else breaks", async () => {
    const onIteration = () => {
      throw new Error("from the callback");
    };
    const run = runtime.evaluate(cell, inputsFor(20), { method: "deer", onIteration });
    await expect(run).rejects.toThrow("from the callback");
    const { report } = await runtime.evaluate(cell, inputsFor(20), { method: "deer" });
    expect(report.converged).toBe(true);
  });
});

describe("onProgress", () => {
  it.each(["wasm", "reference"] as const)(
    "counts the steps of all sequences: %s",
    async (backend) => {
      const lengths = [900, 0, 300, 700];
      const calls: [number, number][] = [];
      const onProgress = (done: number, total: number) => calls.push([done, total]);
      await runtime.evaluate(cell, inputsFor(1900), { backend, lengths, onProgress });
      expect(calls.length).toBeGreaterThan(1);
      calls.forEach(([done, total], i) => {
        expect(total).toBe(1900);
        expect(done).toBeGreaterThan(calls[i - 1]?.[0] ?? 0);
      });
      expect(calls.at(-1)![0]).toBe(1900);
    },
  );
});

describe("a signal", () => {
  const reason = new Error("changed my mind");
  const right = (result: Evaluation) => result.report.converged && result.states.length > 0;

  it("that is aborted already starts nothing", async () => {
    const signal = AbortSignal.abort(reason);
    const onIteration = vi.fn();
    for (const method of ["sequential", "deer"] as const) {
      for (const backend of ["wasm", "reference"] as const) {
        const options = { method, backend, signal, onIteration, onProgress: onIteration };
        await expect(runtime.evaluate(cell, inputsFor(50), options)).rejects.toBe(reason);
      }
    }
    expect(onIteration).not.toHaveBeenCalled();
    expect(right(await runtime.evaluate(cell, inputsFor(50)))).toBe(true);
  });

  it.each(["wasm", "reference"] as const)(
    "stops a sequential run in the middle: %s",
    async (backend) => {
      const controller = new AbortController();
      let called = 0;
      const onProgress = (done: number, total: number) => {
        called++;
        expect(done).toBeLessThan(total);
        controller.abort(reason);
      };
      // The clock makes the reference's slices short.
      hurryTheClock();
      const options = { backend, onProgress, signal: controller.signal };
      await expect(runtime.evaluate(cell, inputsFor(40_000), options)).rejects.toBe(reason);
      expect(called).toBe(1);
      expect(right(await runtime.evaluate(cell, inputsFor(50)))).toBe(true);
    },
  );

  it.each(["wasm", "reference"] as const)(
    "stops a parallel run in the middle: %s",
    async (backend) => {
      for (const method of ["quasi-deer", "deer", "elk"] as const) {
        const controller = new AbortController();
        const seen: number[] = [];
        const onIteration = ({ iteration }: IterationProgress) => {
          seen.push(iteration);
          if (iteration === 2) controller.abort(reason);
        };
        const options = { ...hopeless, method, maxIterations: 1000, backend, onIteration };
        const run = runtime.evaluate(chaos, 400, { ...options, signal: controller.signal });
        await expect(run).rejects.toBe(reason);
        expect(seen).toEqual([0, 1, 2]);
        const again = await runtime.evaluate(cell, inputsFor(50), { method, backend });
        expect(again.report.converged).toBe(true);
      }
    },
  );

  it("from a timer stops a run that never ends by itself", async () => {
    hurryTheClock();
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 1);
    // A year of real time: it ends because the timer gets its turn.
    const options = { ...hopeless, maxIterations: 1e9, signal: controller.signal };
    await expect(
      runtime.evaluate(chaos, 3000, { ...options, tolerance: 1e-30, damping: 1e6 }),
    ).rejects.toBe(reason);
  });

  it("ends the wait for a turn at once", async () => {
    hurryTheClock();
    const [first, second] = [new AbortController(), new AbortController()];
    const endless = { ...hopeless, maxIterations: 1e9, tolerance: 1e-30, damping: 1e6 };
    const running = runtime.evaluate(chaos, 3000, { ...endless, signal: first.signal });
    const waiting = runtime.evaluate(cell, inputsFor(10), { signal: second.signal });
    const behind = runtime.evaluate(cell, inputsFor(10));
    second.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    first.abort(new Error("enough"));
    await expect(running).rejects.toThrow("enough");
    expect(right(await behind)).toBe(true);
  });
});

describe("the event loop", () => {
  const long: readonly (EvaluateOptions & { readonly steps: number })[] = [
    { method: "sequential", backend: "wasm", steps: 200_000 },
    { method: "quasi-deer", backend: "wasm", steps: 20_000 },
    { method: "sequential", backend: "reference", steps: 5_000 },
    { method: "deer", backend: "reference", steps: 500 },
  ];

  it.each(long)("stays alive: $method on $backend", async ({ steps, ...options }) => {
    hurryTheClock();
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await runtime.evaluate(cell, inputsFor(steps), options);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(0);
  });

  it("gets its turn after few steps of a large cell", async () => {
    const hiddenSize = 512;
    const weights = {
      weight_ih: new Float32Array(3 * hiddenSize).fill(0.1),
      weight_hh: new Float32Array(3 * hiddenSize * hiddenSize).fill(0.01),
    };
    const large = gru({ inputSize: 1, hiddenSize, weights });
    const seen: number[] = [];
    const onProgress = (done: number) => seen.push(done);
    await runtime.evaluate(large, new Float32Array(200), { onProgress });
    expect(Math.max(...seen.map((done, i) => done - (seen[i - 1] ?? 0)))).toBeLessThan(64);
  });

  it("is not bothered by short runs", async () => {
    vi.spyOn(performance, "now").mockReturnValue(0);
    let turns = 0;
    const timer = setImmediate(() => turns++);
    await runtime.evaluate(cell, inputsFor(300), { method: "deer", chunk: 10 });
    expect(turns).toBe(0);
    clearImmediate(timer);
  });
});

describe("calls at the same time", () => {
  it("give what they give one after the other", async () => {
    const jobs = cells(8).flatMap((target, i) =>
      (
        [{ method: "sequential" }, { method: "quasi-deer", chunk: 5 }, { method: "deer" }] as const
      ).map((options) => ({
        target,
        inputs: target.inputSize > 0 ? normal(mulberry32(i), 60 * target.inputSize) : 60,
        options,
      })),
    );
    const alone: Evaluation[] = [];
    for (const { target, inputs, options } of jobs) {
      alone.push(await runtime.evaluate(target, inputs, options));
    }
    hurryTheClock();
    const together = await Promise.all(
      jobs.map(({ target, inputs, options }) => runtime.evaluate(target, inputs, options)),
    );
    together.forEach((result, i) => {
      expect(identical(result.states, alone[i]!.states)).toBe(true);
      expect(identical(result.finalStates, alone[i]!.finalStates)).toBe(true);
      expect(result.report.iterations).toBe(alone[i]!.report.iterations);
    });
  });

  it("fail alone", async () => {
    const bad = inputsFor(30).fill(Number.NaN, 40);
    const outcomes = await Promise.allSettled([
      runtime.evaluate(cell, inputsFor(30)),
      runtime.evaluate(cell, bad),
      runtime.evaluate(cell, inputsFor(30), { chunk: -1 }),
      runtime.evaluate(cell, inputsFor(30), { method: "deer" }),
    ]);
    const kinds = ["fulfilled", "rejected", "rejected", "fulfilled"];
    expect(outcomes.map(({ status }) => status)).toEqual(kinds);
  });
});

describe("dispose", () => {
  it("refuses later calls, and lets earlier ones finish", async () => {
    const own = await createRuntime({ backend: "wasm", reproducible: true });
    const pending = [1, 2, 3].map((seed) =>
      own.evaluate(cell, inputsFor(500, seed), { method: "deer" }),
    );
    own.dispose();
    await expect(own.evaluate(cell, inputsFor(5))).rejects.toThrow(/disposed/);
    for (const [i, { states }] of (await Promise.all(pending)).entries()) {
      const expected = await runtime.evaluate(cell, inputsFor(500, i + 1), { method: "deer" });
      expect(identical(states, expected.states)).toBe(true);
    }
    await expect(own.evaluate(cell, inputsFor(5), { backend: "reference" })).rejects.toThrow(
      /disposed/,
    );
  });

  it("may be called twice, and by using", async () => {
    let escaped: Runtime;
    {
      using own = await createRuntime();
      escaped = own;
      own.dispose();
      own.dispose();
    }
    await expect(escaped.evaluate(cell, inputsFor(5))).rejects.toThrow(/disposed/);
    expect(escaped[Symbol.dispose]).toBeTypeOf("function");
  });

  it("leaves other runtimes alone", async () => {
    const [a, b] = await Promise.all([createRuntime(), createRuntime()]);
    a.dispose();
    expect((await b.evaluate(cell, inputsFor(20))).report.converged).toBe(true);
    b.dispose();
  });
});
