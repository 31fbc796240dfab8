/** Rates measured with clocks of our own, so that what comes out is known. */
import { describe, expect, it } from "vitest";
import {
  type Calibration,
  calibrate,
  checkCalibration,
  type HostRates,
  nominalRates,
  predict,
  trialGru,
} from "../../src/auto/calibration.ts";
import { calibrateDevice, deviceTime, nominalDeviceRates } from "../../src/auto/device.ts";
import { fitRates, typical } from "../../src/auto/fit.ts";
import { cellWork } from "../../src/auto/work.ts";
import { gpuMachine, machine, wasmBackend } from "../support/auto-machine.ts";
import { cells } from "../support/cells.ts";

const scaled = (factor: number, changes: Partial<HostRates> = {}): HostRates => {
  const rates = Object.entries(nominalRates).map(([name, rate]) => [name, rate * factor]);
  return { ...(Object.fromEntries(rates) as unknown as HostRates), ...changes };
};
const workloads = [
  ...cells(1, { inputSize: 8, hiddenSize: 16 }),
  ...cells(1, { inputSize: 96, hiddenSize: 96 }),
].map(cellWork);
/** Largest ratio between what two machines are predicted to take, either way. */
function disagreement(a: HostRates, b: HostRates): number {
  const ratios = workloads.flatMap((work) =>
    ([1, 8] as const).map(
      (lanes) => predict({ rates: a }, work, 1, lanes) / predict({ rates: b }, work, 1, lanes),
    ),
  );
  return Math.max(...ratios, ...ratios.map((ratio) => 1 / ratio));
}

describe("a calibration", () => {
  it.each([
    ["as usual", nominalRates],
    ["ten times slower", scaled(10)],
    ["five times faster", scaled(0.2)],
    ["good at matrices", { ...nominalRates, multiplyAdd1: 0.02, multiplyAdd8: 0.01 }],
    ["bad at functions", { ...nominalRates, pointwise: 1 }],
    ["an interpreter", { ...nominalRates, instruction: 60 }],
    ["slow to copy", { ...nominalRates, byte: 0.5 }],
  ])("of a machine that is %s predicts it within a tenth", async (_, rates) => {
    const { backend, now } = machine({ rates, overhead: 0.02 });
    const calibration = await calibrate(backend, { now });
    expect(disagreement(calibration.rates, rates)).toBeLessThan(1.1);
    expect(calibration).toMatchObject({ version: 1, backend: "wasm", simd: "plain", threads: 1 });
  });

  it("does not see what a call costs beside its steps", async () => {
    const [quick, slow] = [machine({ overhead: 0 }), machine({ overhead: 0.5 })];
    const a = await calibrate(quick.backend, { now: quick.now });
    const b = await calibrate(slow.backend, { now: slow.now });
    for (const name of Object.keys(nominalRates) as (keyof HostRates)[]) {
      expect(b.rates[name]).toBeCloseTo(a.rates[name], 6);
    }
  });

  it("stays within its budget once each run has been measured, and measures more with more", async () => {
    const once = machine();
    await calibrate(once.backend, { now: once.now, budget: 0 });
    const { backend, now, calls } = machine();
    const before = now();
    await calibrate(backend, { now, budget: 5 });
    expect(now() - before).toBeLessThan(10);
    expect(calls()).toBeGreaterThan(once.calls());
  });

  it("gets through with a coarse clock, and with one that stands still", async () => {
    const coarse = machine({ rates: scaled(4), resolution: 0.1 });
    const { rates } = await calibrate(coarse.backend, { now: coarse.now, budget: 40 });
    expect(disagreement(rates, scaled(4))).toBeLessThan(2);
    const still = machine();
    const none = await calibrate(still.backend, { now: stopsAfter(3), budget: 1 });
    expect(none.rates).toEqual(nominalRates);
  });

  it("is bounded, whatever the clock says", async () => {
    const wild = machine({ rates: scaled(1e9) });
    const { rates } = await calibrate(wild.backend, { now: wild.now });
    for (const name of Object.keys(nominalRates) as (keyof HostRates)[]) {
      expect(rates[name]).toBeLessThanOrEqual(nominalRates[name] * 64);
    }
  });

  it("times another thread where there is one", async () => {
    const { backend, now } = machine();
    let pings = 0;
    let waited = 0;
    const ping = async () => {
      pings++;
      waited += 0.05;
    };
    const clock = () => now() + waited;
    const { rates, threads } = await calibrate(backend, { now: clock, threads: 4, ping });
    expect(pings).toBeGreaterThan(1);
    expect(rates.roundTrip).toBeCloseTo(5e4, 0);
    expect(threads).toBe(4);
  });

  it("of the WebAssembly backend is plain JSON, complete, and passes its own check", async () => {
    const backend = await wasmBackend();
    const calibration = await calibrate(backend);
    const copy = JSON.parse(JSON.stringify(calibration));
    expect(copy).toEqual(calibration);
    expect(checkCalibration(copy)).toEqual(calibration);
    expect(Object.keys(calibration.rates).sort()).toEqual(Object.keys(nominalRates).sort());
    backend.dispose();
  });

  it("ends when it is aborted", async () => {
    const backend = await wasmBackend();
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(calibrate(backend, { signal })).rejects.toThrow("enough");
    backend.dispose();
  });
});

/** A clock that ticks for so many calls, and then no more: enough to end any budget. */
function stopsAfter(ticks: number): () => number {
  let calls = 0;
  return () => {
    calls++;
    return calls > 2 && calls % 24 === 0 ? 100 : Math.min(calls, ticks) * 0;
  };
}

describe("predictions", () => {
  it("rank by work, lanes and steps", () => {
    const rates = { rates: nominalRates };
    const times = [8, 32, 64, 128].map((size) => predict(rates, cellWork(trialGru(size)), 100, 1));
    expect(times).toEqual([...times].sort((a, b) => a - b));
    const work = cellWork(trialGru(64));
    expect(predict(rates, work, 200, 1)).toBeCloseTo(2 * predict(rates, work, 100, 1));
    expect(predict(rates, work, 100, 8)).toBeGreaterThan(predict(rates, work, 100, 1));
    expect(predict(rates, work, 100, 8)).toBeLessThan(8 * predict(rates, work, 100, 1));
  });
});

describe("checkCalibration", () => {
  const good: Calibration = { version: 1, backend: "wasm", threads: 2, rates: nominalRates };

  it("takes what calibrate makes", () => {
    expect(checkCalibration(good)).toBe(good);
    const whole = { ...good, simd: "relaxed", device: nominalDeviceRates };
    expect(checkCalibration(whole)).toBe(whole);
  });

  it.each([
    [null, "calibration: expected an object, got null"],
    [[], "calibration: expected an object, got an Array"],
    [
      { ...good, speed: 1 },
      'calibration: expected only version, backend, simd, threads, rates, device, got "speed"',
    ],
    [{ ...good, version: 2 }, "calibration.version: expected one of 1, got 2"],
    [{ ...good, backend: "webgpu" }, 'calibration.backend: expected one of "wasm", got "webgpu"'],
    [
      { ...good, simd: "avx" },
      'calibration.simd: expected one of "plain", "relaxed", undefined, got "avx"',
    ],
    [{ ...good, threads: 0 }, "calibration.threads: expected a positive integer, got 0"],
    [{ ...good, rates: undefined }, "calibration.rates: expected an object, got undefined"],
    [
      { ...good, rates: { ...nominalRates, byte: -1 } },
      "calibration.rates.byte: expected a positive number of nanoseconds, got -1",
    ],
    [
      { ...good, rates: { ...nominalRates, byte: "fast" } },
      'calibration.rates.byte: expected a positive number of nanoseconds, got "fast"',
    ],
    [
      { ...good, device: { ...nominalDeviceRates, submit: Number.NaN } },
      "calibration.device.submit: expected a positive number of nanoseconds, got NaN",
    ],
    [{ ...good, device: null }, "calibration.device: expected an object, got null"],
  ])("refuses %j", (given, message) => {
    expect(() => checkCalibration(given)).toThrow(message);
  });

  it("refuses a rate that is missing, by its name", () => {
    const { start: _, ...rates } = nominalRates;
    expect(() => checkCalibration({ ...good, rates })).toThrow(
      "calibration.rates.start: expected a positive number of nanoseconds, got undefined",
    );
  });
});

describe("a GPU's calibration", () => {
  const small = trialGru(8);
  const large = trialGru(64);

  it.each([1, 0.1, 20])("finds a GPU's rates, %d times the usual", async (factor) => {
    const entries = Object.entries(nominalDeviceRates).map(([name, rate]) => [name, rate * factor]);
    const rates = Object.fromEntries(entries) as typeof nominalDeviceRates;
    const { backend, now, released } = gpuMachine(rates);
    const found = await calibrateDevice(backend, small, large, { now, repeats: 2 });
    expect(released()).toBe(5 * 3);
    for (const [rows, chunk, sweeps] of [
      [10_000, 64, 3],
      [100_000, 256, 2],
      [1000, 1000, 0],
    ] as const) {
      const work = cellWork(large);
      const job = { work, step: work.step, rows, chunk, sweeps };
      const ratio = deviceTime(found, job) / deviceTime(rates, job);
      expect(ratio).toBeGreaterThan(0.7);
      expect(ratio).toBeLessThan(1.4);
    }
  });
});

describe("fitting", () => {
  const nominal = { a: 1, b: 1 };
  const lines = [
    ({ a }: typeof nominal) => 3 * a,
    ({ a, b }: typeof nominal) => a + 2 * b,
    ({ b }: typeof nominal) => b,
  ];

  it("takes what no time speaks of for as much slower as the rest", () => {
    const { a, b } = fitRates(nominal, ["a", "b"], [lines[0]!], [6]);
    expect([a, b]).toEqual([2, 2]);
    expect(fitRates(nominal, ["a"], [lines[0]!], [6])).toEqual({ a: 2, b: 1 });
    expect(fitRates(nominal, ["a", "b"], lines, [0, Number.NaN, -1])).toEqual(nominal);
  });

  it("finds what the times agree on", () => {
    const { a, b } = fitRates(nominal, ["a", "b"], lines, [6, 8, 3]);
    expect(a).toBeCloseTo(2, 1);
    expect(b).toBeCloseTo(3, 1);
  });

  it("takes the least of the times, unless the clock gave none", () => {
    expect(typical([5, 3, 9])).toBe(3);
    expect(typical([0, 1, 0, 1])).toBe(0.5);
    expect(typical([0, 0])).toBe(0);
  });
});
