/** What an advisor looks at, and when: by counting on machines with clocks of their own. */
import { describe, expect, it } from "vitest";
import { Advisor, type Means } from "../../src/auto/advisor.ts";
import { type Calibration, nominalRates, trialGru } from "../../src/auto/calibration.ts";
import { type Cell, lorenz96 } from "../../src/cell/index.ts";
import { Pacer } from "../../src/solve/pacing.ts";
import { checkJob, type Job } from "../../src/validate.ts";
import { gpuMachine, machine, wasmBackend } from "../support/auto-machine.ts";
import { mulberry32, normal } from "../support/random.ts";

const cell = trialGru(32);
const calibration: Calibration = {
  version: 1,
  backend: "wasm",
  threads: 2,
  rates: { ...nominalRates, multiplyAdd8: 0.02 },
};
const idle: Means = { running: true, gpu: null };
const jobOf = (steps: number, given: Partial<Job> = {}, of: Cell = cell): Job => ({
  ...checkJob(of, of.inputSize > 0 ? normal(mulberry32(1), steps * of.inputSize) : steps, {}),
  ...given,
});
const advise = (advisor: Advisor, job: Job, means: Means = idle) =>
  advisor.advise(job, means, new Pacer(undefined));

describe("an advisor", () => {
  it("looks at nothing for a small job", async () => {
    const { backend, calls } = machine();
    const advisor = new Advisor(backend, { threads: 8 });
    for (const steps of [0, 1, 100, 1000]) {
      const { best, words, wantsThreads } = await advise(advisor, jobOf(steps));
      expect(best).toMatchObject({ method: "sequential", threads: 1 });
      expect(words).toMatch(/^a small job: sequential predicted/);
      expect(wantsThreads).toBe(false);
    }
    expect(calls()).toBe(0);
  });

  it("looks at no inputs where even the shortest memory would be of no use", async () => {
    const { backend, calls } = machine();
    const rates = { ...nominalRates, multiplyAdd8: 1, pointwise: 10 };
    const advisor = new Advisor(backend, {
      threads: 1,
      calibration: { ...calibration, threads: 1, rates },
    });
    const { best, words } = await advise(advisor, jobOf(50_000));
    expect(best.method).toBe("sequential");
    expect(words).toMatch(/^sequential predicted/);
    expect(calls()).toBe(0);
  });

  it("measures once there is much work, and only once", async () => {
    const { backend, calls } = machine();
    const advisor = new Advisor(backend, { threads: 1 });
    // Some 6 ms each: nothing is measured for the first, but the inputs are looked at.
    await advise(advisor, jobOf(20_000));
    const looked = calls();
    expect(looked).toBeLessThan(12);
    await advise(advisor, jobOf(20_000));
    expect(calls()).toBe(looked);
    for (let i = 0; i < 20; i++) await advise(advisor, jobOf(20_000));
    const measured = calls();
    expect(measured).toBeGreaterThan(looked + 12);
    for (let i = 0; i < 20; i++) await advise(advisor, jobOf(20_000));
    expect(calls()).toBe(measured);
    const rates = await advisor.calibration();
    expect(await advisor.calibration()).toEqual(rates);
    expect(calls()).toBe(measured);
  });

  it("measures nothing where it is given a calibration, and gives it back", async () => {
    const { backend, calls } = machine();
    const advisor = new Advisor(backend, { threads: 2, calibration });
    expect(await advisor.calibration()).toEqual(calibration);
    expect(calls()).toBe(0);
  });

  it("remembers what it has seen of a cell, until there is much more to see", async () => {
    const backend = await wasmBackend();
    let calls = 0;
    const counting = {
      ...backend,
      allocate: (length: number) => new Float32Array(length),
      release: () => backend.release(),
      sequential: (...problem: Parameters<typeof backend.sequential>) => {
        calls++;
        return backend.sequential(...problem);
      },
    };
    const advisor = new Advisor(counting, { threads: 2, calibration });
    const { best, words } = await advise(advisor, jobOf(20_000));
    expect(best.method).toBe("threads");
    expect(words).toMatch(
      /^memory of about \d+ steps \(Lyapunov exponent -0\.\d+ a step\): threads/,
    );
    const once = calls;
    expect(once).toBeGreaterThan(0);
    await advise(advisor, jobOf(30_000));
    expect(calls).toBe(once);
    await advise(advisor, jobOf(100_000));
    expect(calls).toBeGreaterThan(once);
    const twice = calls;
    await advise(advisor, jobOf(20_000, {}, trialGru(32)));
    expect(calls).toBeGreaterThan(twice);
    backend.dispose();
  });

  it("sees chaos", async () => {
    const backend = await wasmBackend();
    const advisor = new Advisor(backend, { threads: 2, calibration });
    const chaotic = lorenz96({ size: 40 });
    const initialStates = normal(mulberry32(3), 40);
    const { best, words } = await advise(advisor, jobOf(50_000, { initialStates }, chaotic));
    expect(best.method).toBe("sequential");
    expect(words).toMatch(/^chaotic \(Lyapunov exponent 0\.0\d+ a step\): sequential/);
    backend.dispose();
  });

  it("minds that merging may have to be exact", async () => {
    const { backend, calls } = machine();
    const advisor = new Advisor(backend, { threads: 2, calibration });
    expect((await advise(advisor, jobOf(50_000, { exact: true }))).best.method).toBe("sequential");
    expect(calls()).toBe(0);
  });

  it("measures a GPU only where there is much work, and keeps what it found", async () => {
    const { backend } = machine();
    const gpu = gpuMachine();
    const advisor = new Advisor(backend, {
      threads: 1,
      calibration: { ...calibration, threads: 1 },
    });
    await advise(advisor, jobOf(20_000), { running: false, gpu: gpu.backend });
    expect(gpu.released()).toBe(0);
    await advise(advisor, jobOf(1_000_000), { running: false, gpu: gpu.backend });
    const runs = gpu.released();
    expect(runs).toBeGreaterThan(0);
    await advise(advisor, jobOf(1_000_000), { running: false, gpu: gpu.backend });
    expect(gpu.released()).toBe(runs);
    const { device } = await advisor.calibration();
    expect(Object.keys(device!).sort()).toEqual(
      ["byte", "instruction", "multiplyAdd", "submit", "sweep", "throughput"].sort(),
    );
  });

  describe("learns from what evaluations take", () => {
    /** An advisor that has seen the cell already, and how it chooses now. */
    async function learner(options: { calibration?: Calibration } = {}) {
      const backend = await wasmBackend();
      const advisor = new Advisor(backend, { threads: 2, ...options });
      await advisor.calibration();
      return {
        advisor,
        choose: async (of = cell) => (await advise(advisor, jobOf(50_000, {}, of))).best,
      };
    }

    it("that threads are no gain where something else keeps them busy", async () => {
      const { advisor, choose } = await learner();
      const first = await choose();
      expect(first.method).toBe("threads");
      for (let i = 0; i < 8; i++) {
        const best = await choose();
        if (best.method === "sequential") break;
        advisor.learn({ cell }, best, 6 * best.milliseconds);
      }
      expect((await choose()).method).toBe("sequential");
      // Another cell is another matter.
      expect((await choose(trialGru(32))).method).toBe("threads");
    });

    it("that a cell takes longer than it looks, whichever way, and tries again after a while", async () => {
      const { advisor, choose } = await learner();
      const methods: string[] = [];
      for (let i = 0; i < 200; i++) {
        const best = await choose();
        methods.push(best.method);
        const unspoiled = i >= 20;
        const factor = best.method === "threads" && !unspoiled ? 8 : 1;
        advisor.learn({ cell }, best, factor * best.milliseconds);
      }
      expect(methods.slice(10, 20)).toContain("sequential");
      expect(methods.slice(-20)).toContain("threads");
    });

    it("nothing with a calibration that was handed in, and nothing from what is not a time", async () => {
      const fixed = await learner({ calibration });
      const before = await fixed.choose();
      for (let i = 0; i < 5; i++) fixed.advisor.learn({ cell }, before, 100 * before.milliseconds);
      expect(await fixed.choose()).toEqual(before);
      const { advisor, choose } = await learner();
      const best = await choose();
      advisor.learn({ cell }, { ...best, milliseconds: 0 }, 5);
      advisor.learn({ cell }, { ...best, milliseconds: 0.1 }, 5);
      expect(await choose()).toEqual(best);
    });
  });

  it("ends when it is aborted", async () => {
    const backend = await wasmBackend();
    const controller = new AbortController();
    const advisor = new Advisor(backend, { threads: 2, calibration });
    const pacer = new Pacer(controller.signal);
    controller.abort(new Error("enough"));
    await expect(advisor.advise(jobOf(50_000), idle, pacer)).rejects.toThrow("enough");
    backend.dispose();
  });
});
