/** What is chosen for which machine, job and memory. */
import { describe, expect, it } from "vitest";
import { type HostRates, nominalRates, predict, trialGru } from "../../src/auto/calibration.ts";
import { type Choice, choose, isSmall, type Situation } from "../../src/auto/choose.ts";
import { nominalDeviceRates } from "../../src/auto/device.ts";
import type { Probe } from "../../src/auto/probe.ts";
import { cellWork } from "../../src/auto/work.ts";
import { cellNamed } from "../support/cells.ts";

const wide = cellWork(trialGru(64));
const small = cellWork(trialGru(8));
/** A machine on which lanes are a gain: what eight share costs a third. */
const sharing: HostRates = { ...nominalRates, multiplyAdd1: 0.06, multiplyAdd8: 0.02 };
/** A machine on which they are none. */
const plain: HostRates = {
  ...nominalRates,
  multiplyAdd1: 0.05,
  multiplyAdd8: 0.05,
  instruction: 0.01,
};

const remembering = (merge: number, given: Partial<Probe> = {}): Probe => ({
  exponent: -14.5 / merge,
  spread: 0.1 / merge,
  merge,
  measured: merge < 500,
  near: true,
  places: 4,
  steps: 1000,
  ...given,
});

function situation(given: Partial<Situation> & { rates?: HostRates; threads?: number } = {}) {
  const { rates = plain, threads = 2, ...rest } = given;
  const whole: Situation = {
    work: wide,
    lengths: [100_000],
    calibration: { threads, rates },
    running: true,
    probe: remembering(50),
    exact: false,
    gpu: null,
    blockSize: 1,
    maxIterations: 100,
    ...rest,
  };
  return whole;
}

const chosen = (given?: Parameters<typeof situation>[0]) => choose(situation(given));
const predicted = ({ candidates }: Choice, method: string, threads: number, lanes = 1) =>
  candidates.find((c) => c.method === method && c.threads === threads && c.lanes === lanes)!
    .milliseconds;

describe("the method", () => {
  it("is threads where chunks forget soon, in as many chunks as there are threads and lanes", () => {
    const { best } = chosen();
    expect(best).toMatchObject({ method: "threads", backend: "wasm", threads: 2, sweeps: 0 });
    expect(best.chunk).toBe(50_000);
    expect(best.jacobian).toBeNull();
    expect(chosen({ rates: sharing }).best).toMatchObject({ threads: 2, lanes: 8, chunks: 16 });
    expect(chosen({ threads: 8 }).best).toMatchObject({ threads: 8, lanes: 1, chunk: 12_500 });
  });

  it("is threads on one thread where lanes alone are a gain, and sequential where not", () => {
    expect(chosen({ threads: 1, rates: sharing }).best).toMatchObject({
      method: "threads",
      threads: 1,
      lanes: 8,
    });
    expect(chosen({ threads: 1 }).best).toMatchObject({ method: "sequential", threads: 1 });
  });

  it("turns to sequential as the memory grows, without a gap or a way back", () => {
    const merges = [10, 100, 1000, 10_000, 30_000, 50_000, 100_000, Infinity];
    const methods = merges.map((merge) => chosen({ probe: remembering(merge) }).best.method);
    const turn = methods.indexOf("sequential");
    expect(turn).toBeGreaterThan(2);
    expect(methods.slice(0, turn).every((method) => method === "threads")).toBe(true);
    expect(methods.slice(turn).every((method) => method === "sequential")).toBe(true);
  });

  it("takes fewer and longer chunks where they take longer to merge", () => {
    const chunks = [20, 4000, 12_000].map((merge) => {
      return chosen({ rates: sharing, probe: remembering(merge) }).best.chunks;
    });
    expect(chunks).toEqual([...chunks].sort((a, b) => b - a));
    expect(chunks[0]).toBeGreaterThan(chunks[2]!);
  });

  it("takes fewer threads where as many chunks as there are threads would not merge", () => {
    const { best } = chosen({ threads: 8, probe: remembering(18_000) });
    expect(best).toMatchObject({ method: "threads", threads: 4, chunk: 25_000 });
  });

  it("keeps each chunk to its thread where trajectories did not come near each other", () => {
    const { best, candidates } = chosen({
      rates: sharing,
      probe: remembering(50, { near: false, measured: false }),
    });
    expect(best).toMatchObject({ method: "threads", threads: 2, lanes: 1, chunks: 2 });
    expect(candidates.some(({ method, lanes }) => method === "threads" && lanes > 1)).toBe(false);
  });

  it("is sequential in chaos, without a probe, and where merging must be exact", () => {
    const chaos = remembering(100, { exponent: 0.02, spread: 0.005, merge: Infinity });
    expect(chosen({ probe: chaos }).best.method).toBe("sequential");
    // A merge that was seen by accident does not make it safe.
    expect(chosen({ probe: { ...chaos, merge: 50 } }).best.method).toBe("sequential");
    expect(chosen({ probe: null }).best.method).toBe("sequential");
    expect(chosen({ exact: true }).best.method).toBe("sequential");
  });

  it("must promise a sixth to leave sequential evaluation", () => {
    for (const merge of [10, 1000, 20_000, 25_000, 28_000, 30_000, 33_000, 36_000, 40_000]) {
      const choice = chosen({ probe: remembering(merge) });
      const { best } = choice;
      if (best.method === "sequential") continue;
      const rival = predicted(choice, "sequential", 1);
      expect(best.milliseconds).toBeLessThanOrEqual(0.85 * rival);
    }
    // And a gain that is smaller is there at 33,000: it is not taken.
    const near = chosen({ probe: remembering(33_000) });
    expect(near.candidates[0]!.method).toBe("threads");
    expect(near.best.method).toBe("sequential");
  });

  it("is never one that neither certifies nor repairs, and is always a candidate", () => {
    for (const merge of [1, 30, 1000, 1e5, Infinity]) {
      for (const threads of [1, 2, 8]) {
        for (const lengths of [[], [0], [10], [5000], [100_000], Array(64).fill(700)]) {
          const { best, candidates } = chosen({ probe: remembering(merge), threads, lengths });
          expect(candidates).toContain(best);
          expect(["sequential", "threads", "jacobi", "quasi-deer", "deer"]).toContain(best.method);
          expect(Number.isFinite(best.milliseconds)).toBe(true);
        }
      }
    }
  });
});

describe("candidates", () => {
  it("are ranked, the fastest first, and deterministic", () => {
    const { candidates } = chosen({ gpu: nominalDeviceRates });
    const times = candidates.map(({ milliseconds }) => milliseconds);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(chosen({ gpu: nominalDeviceRates }).candidates).toEqual(candidates);
  });

  it("have every method, several chunks, and both backends where there is a GPU", () => {
    const { candidates } = chosen({ gpu: nominalDeviceRates });
    const found = new Set(candidates.map(({ method, backend }) => `${method} ${backend}`));
    expect([...found].sort()).toEqual([
      "deer wasm",
      "deer webgpu",
      "jacobi wasm",
      "jacobi webgpu",
      "quasi-deer wasm",
      "quasi-deer webgpu",
      "sequential wasm",
      "threads wasm",
    ]);
    expect(new Set(candidates.map(({ chunk }) => chunk)).size).toBeGreaterThan(5);
    expect(chosen().candidates.some(({ backend }) => backend === "webgpu")).toBe(false);
  });

  it("that sweep on the one CPU thread never come before sequential evaluation", () => {
    for (const merge of [1, 30, 300, 3000]) {
      for (const rates of [plain, sharing, nominalRates]) {
        for (const work of [small, wide]) {
          const choice = chosen({ work, rates, probe: remembering(merge), threads: 1 });
          const sequential = predicted(choice, "sequential", 1);
          for (const { sweeps, milliseconds } of choice.candidates) {
            if (sweeps > 0) expect(milliseconds).toBeGreaterThan(sequential);
          }
        }
      }
    }
  });

  it("predict fewer sweeps for better Jacobians and longer chunks, and more for longer memories", () => {
    const sweepsOf = (merge: number, method: string, chunk: number) =>
      chosen({ probe: remembering(merge), maxIterations: 1000 }).candidates.find(
        (c) => c.method === method && c.chunk === chunk,
      )!.sweeps;
    // Jacobi: what is forgotten within a chunk takes a sweep or two; see docs/methods.md.
    expect(sweepsOf(55, "jacobi", 64)).toBe(2);
    expect(sweepsOf(1100, "jacobi", 64)).toBe(19);
    expect(sweepsOf(1100, "jacobi", 256)).toBe(6);
    expect(sweepsOf(7300, "jacobi", 64)).toBe(116);
    expect(sweepsOf(7300, "quasi-deer", 64)).toBeLessThan(116 / 4);
    expect(sweepsOf(7300, "deer", 64)).toBeLessThan(sweepsOf(7300, "quasi-deer", 64));
    expect(sweepsOf(55, "deer", 1024)).toBeLessThanOrEqual(sweepsOf(55, "jacobi", 1024));
  });

  it("leave out what would take more sweeps than it may, or as many as there are chunks", () => {
    const { candidates } = chosen({ probe: remembering(7300), maxIterations: 20 });
    expect(candidates.every(({ sweeps }) => sweeps <= 20)).toBe(true);
    const short = chosen({ lengths: [4000], probe: remembering(7300) }).candidates;
    expect(short.every(({ sweeps, chunks }) => sweeps <= Math.max(chunks - 1, 0))).toBe(true);
  });

  it("take blocks where units have parts", () => {
    const kinds = (blockSize: number) =>
      chosen({ blockSize }).candidates.find(({ method }) => method === "quasi-deer")!.jacobian;
    expect(kinds(1)).toBe("diagonal");
    expect(kinds(2)).toBe("block");
  });
});

describe("a batch", () => {
  it("is spread over lanes, then over threads", () => {
    const lengths = Array<number>(16).fill(100_000);
    const one = chosen({ lengths, threads: 1, probe: null, rates: sharing });
    expect(one.best).toMatchObject({ method: "sequential", threads: 1, lanes: 8 });
    const two = chosen({ lengths, threads: 2, probe: null, rates: sharing });
    expect(two.best).toMatchObject({ method: "sequential", threads: 2, lanes: 8 });
    const [slow, fast] = [one, two].map(({ best }) => best.milliseconds);
    expect(slow! / fast!).toBeCloseTo(2, 1);
  });

  it("is not cut into chunks where there are sequences enough", () => {
    const lengths = Array<number>(16).fill(10_000);
    expect(chosen({ lengths, rates: sharing }).best.method).toBe("sequential");
  });

  it("takes as long as its longest sequence", () => {
    const running = { probe: null, threads: 2, running: true };
    const even = chosen({ ...running, lengths: [50_000, 50_000, 50_000, 50_000] });
    const ragged = chosen({ ...running, lengths: [170_000, 10_000, 10_000, 10_000] });
    const ratio = ragged.best.milliseconds / even.best.milliseconds;
    expect(ratio).toBeGreaterThan(1.65);
    expect(ratio).toBeLessThan(1.75);
  });

  it("of very many sequences is no problem", () => {
    const { best } = chosen({ lengths: Array<number>(300_000).fill(10) });
    expect(best).toMatchObject({ method: "sequential", lanes: 8 });
  });

  it("ignores sequences without steps", () => {
    const best = (lengths: number[]) => chosen({ lengths, probe: null }).best.milliseconds;
    expect(best([0, 100_000, 0])).toBe(best([100_000]));
  });
});

describe("a single sequence", () => {
  it("has its drive computed by other threads where it is large", () => {
    const cell = cellWork(cellNamed("gru-reset-after", 1, { inputSize: 96, hiddenSize: 96 }));
    const choice = chosen({ work: cell, probe: null });
    const [one, two] = [1, 2].map((threads) => predicted(choice, "sequential", threads));
    expect(two!).toBeLessThan(0.7 * one!);
    const narrow = chosen({ probe: null });
    const times = [1, 2].map((threads) => predicted(narrow, "sequential", threads));
    expect(times[1]).toBeGreaterThan(times[0]!);
  });
});

describe("starting threads", () => {
  const slow: HostRates = { ...plain, start: 1e9 };

  it("is charged to the job that would start them", () => {
    expect(chosen({ rates: slow, running: false }).best.method).toBe("sequential");
    expect(chosen({ rates: slow, running: true }).best.method).toBe("threads");
  });

  it("is wanted where running threads would have been chosen", () => {
    expect(chosen({ rates: slow, running: false }).wantsThreads).toBe(true);
    expect(chosen({ rates: slow, running: true }).wantsThreads).toBe(true);
    const forever = remembering(Infinity);
    expect(chosen({ rates: slow, running: false, probe: forever }).wantsThreads).toBe(false);
    expect(chosen({ threads: 1 }).wantsThreads).toBe(false);
  });

  it("never happens for a job that ends before a message has gone there and back", () => {
    expect(chosen({ lengths: [60], rates: plain }).best.threads).toBe(1);
  });
});

describe("a GPU", () => {
  const gpu = nominalDeviceRates;

  it("is for long jobs that forget", () => {
    expect(chosen({ gpu, lengths: [1_000_000] }).best.backend).toBe("webgpu");
    expect(chosen({ gpu, lengths: [1000] }).best.backend).toBe("wasm");
    expect(chosen({ gpu, lengths: [1_000_000], probe: remembering(Infinity) }).best).toMatchObject({
      backend: "wasm",
      method: "sequential",
    });
  });

  it("is not for one that is as slow as a program that imitates it", () => {
    const slow = Object.entries(gpu).map(([name, rate]) => [name, rate * 1000]);
    const imitation = Object.fromEntries(slow) as unknown as typeof gpu;
    expect(chosen({ gpu: imitation, lengths: [1_000_000] }).best.backend).toBe("wasm");
  });

  it("takes shorter chunks and better Jacobians where it must sweep more", () => {
    const { best } = chosen({ gpu, lengths: [1_000_000], probe: remembering(5000) });
    expect(best).toMatchObject({ backend: "webgpu" });
    expect(best.method).not.toBe("jacobi");
  });
});

describe("small jobs", () => {
  it("are those of less than about 2 ms on a usual machine", () => {
    const steps = Math.floor(2e6 / predict({ rates: nominalRates }, wide, 1, 1));
    expect(isSmall(wide, [steps])).toBe(true);
    expect(isSmall(wide, [steps + 1])).toBe(false);
    expect(isSmall(small, [steps])).toBe(true);
    expect(isSmall(wide, [])).toBe(true);
    expect(isSmall(wide, [0, 0])).toBe(true);
  });
});

describe("the words", () => {
  it.each<[string, Parameters<typeof situation>[0], RegExp]>([
    [
      "threads",
      { probe: remembering(55, { exponent: -0.27 }) },
      /^memory of about 55 steps \(Lyapunov exponent -0\.27 a step\): threads on 2 threads in 2 chunks predicted \d+ ms, sequential predicted \d+ ms$/,
    ],
    [
      "lanes",
      { threads: 1, rates: sharing },
      /: threads: 8 chunks side by side predicted \d+ ms, sequential predicted \d+ ms$/,
    ],
    [
      "long memories",
      { probe: remembering(43_210, { exponent: -0.0003 }) },
      /^memory of about 40000 steps \(Lyapunov exponent -0\.00030 a step\): sequential predicted \d+ ms, threads on 2 threads in 2 chunks predicted \d+ ms$/,
    ],
    [
      "no end of it",
      { probe: remembering(Infinity, { exponent: -0.001 }) },
      /^no end of its memory in sight \(Lyapunov exponent -0\.0010 a step\): sequential predicted/,
    ],
    [
      "chaos",
      { probe: remembering(Infinity, { exponent: 0.0167, spread: 0.001 }) },
      /^chaotic \(Lyapunov exponent 0\.017 a step\): sequential predicted/,
    ],
    [
      "states that are not finite",
      { probe: remembering(Infinity, { places: 0, exponent: Number.NaN }) },
      /^states that are not finite: sequential predicted/,
    ],
    ["nothing known", { probe: null, threads: 1 }, /^sequential predicted \d+ ms$/],
    [
      "a GPU",
      { gpu: nominalDeviceRates, lengths: [1_000_000] },
      /: (jacobi|quasi-deer) on webgpu in chunks of \d+, \d+ sweeps, predicted \d+ ms, /,
    ],
    [
      "small numbers",
      { lengths: [1000], probe: null, threads: 1 },
      /^sequential predicted 0\.\d\d ms$/,
    ],
  ])("of %s", (_, given, words) => {
    expect(chosen(given).words).toMatch(words);
  });
});
