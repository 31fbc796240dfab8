/** What a probe says of recurrences whose memory is known. */
import { describe, expect, it } from "vitest";
import { MERGED, type Probe, type ProbedJob, probe } from "../../src/auto/probe.ts";
import type { HostBackend } from "../../src/backend/backend.ts";
import {
  add,
  autoregressiveGru,
  type Cell,
  concat,
  defineCell,
  exp,
  gru,
  lorenz96,
  lstm,
  multiply,
  tanh,
} from "../../src/cell/index.ts";
import { Pacer } from "../../src/solve/pacing.ts";
import type { FloatArray } from "../../src/types.ts";
import { wasmBackend } from "../support/auto-machine.ts";
import { autoregressiveSine, autoregressiveSineFile } from "../support/autoregressive-sine.ts";
import { loadNanopore, nanoporeFile } from "../support/nanopore.ts";
import { mulberry32, normal, randomWeights } from "../support/random.ts";
import { sharedData, sharedTitle } from "../support/shared-data.ts";
import { scaling } from "../support/sweeps.ts";

const backend = await wasmBackend();

function jobOf(cell: Cell, length: number, given: Partial<ProbedJob> = {}): ProbedJob {
  const lengths = given.sequences?.length ?? 1;
  return {
    cell,
    inputs: normal(mulberry32(1), length * cell.inputSize),
    sequences: [{ offset: 0, length }],
    reverse: false,
    initialStates: new Float32Array(lengths * cell.stateSize),
    initialGuess: null,
    ...given,
  };
}

const look = (job: ProbedJob, on: HostBackend = backend) => probe(on, job, new Pacer(undefined));

async function lookAt(cell: Cell, length: number, given?: Partial<ProbedJob>): Promise<Probe> {
  const seen = await look(jobOf(cell, length, given));
  expect(seen).not.toBeNull();
  return seen!;
}

/** A GRU or LSTM with random weights, `scale` times as large as PyTorch's. */
function layer(kind: "gru" | "lstm", scale: number, seed = 11): Cell {
  const [inputSize, hiddenSize] = [3, 32];
  const rows = (kind === "gru" ? 3 : 4) * hiddenSize;
  const shapes = {
    weight_ih: [rows, inputSize],
    weight_hh: [rows, hiddenSize],
    bias_ih: [rows],
    bias_hh: [rows],
  };
  const weights = randomWeights(shapes, scale / Math.sqrt(hiddenSize), seed);
  return (kind === "gru" ? gru : lstm)({ inputSize, hiddenSize, weights });
}

describe("a linear recurrence", () => {
  it.each([0.5, 0.8, 0.9])(
    "h' = %d h + x has the exponent and the memory that it must",
    async (w) => {
      const seen = await lookAt(scaling([w, w / 2, w / 3]), 100_000);
      expect(seen.exponent).toBeCloseTo(Math.log(w), 2);
      expect(seen.spread).toBeLessThan(0.02);
      expect(seen.measured).toBe(true);
      // From a difference of about 1 relative to 1 + ‖s‖∞, give or take a factor of 5.
      const [least, most] = [0.2, 5].map((start) => Math.log(MERGED / start) / Math.log(w));
      expect(seen.merge).toBeGreaterThan(least!);
      expect(seen.merge).toBeLessThan(most! + 1);
    },
  );

  it("that forgets slowly is extrapolated, on the safe side of twice the slope's promise", async () => {
    const w = 0.995;
    const seen = await lookAt(scaling([w]), 20_000);
    expect(seen.measured).toBe(false);
    expect(seen.exponent).toBeCloseTo(Math.log(w), 3);
    const exact = Math.log(MERGED) / Math.log(w);
    // ln of the difference at first is about 1 to 3 off that of 1, of 14.5 until they have merged.
    expect(seen.merge).toBeGreaterThan(1.7 * exact);
    expect(seen.merge).toBeLessThan(2.5 * exact);
  });

  it("that never forgets does not merge, and has the exponent 0", async () => {
    const seen = await lookAt(scaling([1]), 20_000);
    expect(seen.exponent).toBeCloseTo(0, 2);
    expect(seen.merge).toBeGreaterThan(20_000);
    expect(seen.measured).toBe(false);
  });

  it("that grows has a positive exponent, and does not merge", async () => {
    const seen = await lookAt(scaling([1.02]), 20_000);
    expect(seen.exponent).toBeGreaterThan(seen.spread);
    expect(seen.merge).toBe(Infinity);
  });

  it("with a quick and a slow element is as slow as the slow one", async () => {
    const seen = await lookAt(scaling([0.1, 0.9]), 100_000);
    expect(seen.exponent).toBeCloseTo(Math.log(0.9), 2);
  });
});

describe("networks", () => {
  it.each(["gru", "lstm"] as const)("%s: the memory grows with the weights", async (kind) => {
    const seen: Probe[] = [];
    for (const scale of [1, 2, 4, 6]) seen.push(await lookAt(layer(kind, scale), 100_000));
    const merges = seen.map(({ merge }) => merge);
    expect(merges).toEqual([...merges].sort((a, b) => a - b));
    const exponents = seen.map(({ exponent }) => exponent);
    expect(exponents).toEqual([...exponents].sort((a, b) => a - b));
    // Measured over whole trajectories: 35 to 45 steps until two of PyTorch's initialisation meet for good.
    expect(seen[0]!.merge).toBeGreaterThan(15);
    expect(seen[0]!.merge).toBeLessThan(60);
    expect(seen[0]!.measured).toBe(true);
  });

  it("two stable states: what starts in the wrong one does not merge", async () => {
    const bistable = defineCell({
      name: "bistable",
      inputSize: 1,
      state: { h: { size: 4, bounds: [-1, 1] } },
      step: ({ h }, x) => {
        const input = multiply(0.01, concat(x, x, x, x));
        return { h: tanh(add(multiply(2, h), input, -0.1)) };
      },
    });
    // Zeros fall to the lower one, the initial state is near the upper one.
    const seen = await lookAt(bistable, 20_000, { initialStates: Float32Array.of(1, 1, 1, 1) });
    // Each of them contracts, so that the exponent is negative; but they are not near each other.
    expect(seen).toMatchObject({ measured: false, near: false });
  });

  it("Lorenz-96 is chaotic at F = 8, and is not at F = 0.5", async () => {
    const initialStates = normal(mulberry32(3), 40);
    const chaos = await lookAt(lorenz96({ size: 40 }), 50_000, { initialStates });
    expect(chaos.exponent).toBeGreaterThan(0);
    expect(chaos.merge).toBe(Infinity);
    // Its places differ, though without inputs they could all be one.
    expect(chaos.spread).toBeGreaterThan(0);
    // 1.67 a time unit (Lorenz and Emanuel), where a step is 0.01 of one.
    expect(chaos.exponent).toBeGreaterThan(0.005);
    expect(chaos.exponent).toBeLessThan(0.05);
    const calm = await lookAt(lorenz96({ size: 40, forcing: 0.5 }), 50_000, { initialStates });
    expect(calm.exponent).toBeLessThan(-0.003);
    expect(calm.merge).toBeLessThan(10_000);
  });
});

describe("a probe", () => {
  const cell = layer("gru", 2);

  it("is the same every time, and changes nothing of the job", async () => {
    const job = jobOf(cell, 30_000);
    const copy = job.inputs.slice();
    const first = await look(job);
    expect(await look(job)).toEqual(first);
    expect(job.inputs).toEqual(copy);
    expect(job.initialStates.every((value: number) => value === 0)).toBe(true);
  });

  it("runs about 2 % of the steps, at least those of two places, and never more than it may", async () => {
    for (const cellOf of [layer("gru", 1), layer("gru", 6), scaling([1]), lorenz96({ size: 8 })]) {
      for (const length of [100, 1000, 20_000, 100_000]) {
        const { steps } = await lookAt(cellOf, length);
        expect(steps).toBeLessThanOrEqual(Math.max(0.02 * length, 160));
        expect(steps).toBeGreaterThan(50);
      }
    }
  });

  it("says nothing of sequences that are too short", async () => {
    for (const length of [0, 1, 10, 63]) expect(await look(jobOf(cell, length))).toBeNull();
    expect(await look(jobOf(cell, 64))).not.toBeNull();
    const sequences = Array.from({ length: 100 }, (_, i) => ({ offset: 40 * i, length: 40 }));
    expect(await look(jobOf(cell, 4000, { sequences }))).toBeNull();
  });

  it("in reverse sees what it sees of the reversed inputs", async () => {
    const job = jobOf(cell, 20_000);
    const reversed = new Float32Array(job.inputs.length);
    for (let t = 0; t < 20_000; t++) {
      reversed.set(job.inputs.subarray(3 * t, 3 * t + 3), 3 * (20_000 - 1 - t));
    }
    const forward = await look(job);
    expect(await look({ ...job, inputs: reversed, reverse: true })).toEqual(forward);
  });

  it("looks at several sequences of a ragged batch, from their own initial states", async () => {
    const lengths = [5000, 0, 30, 20_000, 64, 9000];
    let offset = 0;
    const sequences = lengths.map((length) => {
      const sequence = { offset, length };
      offset += length;
      return sequence;
    });
    const initialStates = normal(mulberry32(4), lengths.length * 32);
    const seen = await lookAt(cell, offset, { sequences, initialStates });
    expect(seen.places).toBe(4);
    const alone = await lookAt(cell, 20_000);
    expect(Math.abs(seen.merge - alone.merge)).toBeLessThan(30);
  });

  it("stops where inputs end", async () => {
    const sequences = Array.from({ length: 500 }, (_, i) => ({ offset: 100 * i, length: 100 }));
    const initialStates = new Float32Array(500);
    const seen = await lookAt(scaling([0.999]), 50_000, { sequences, initialStates });
    expect(seen.exponent).toBeCloseTo(Math.log(0.999), 2);
    expect(seen.measured).toBe(false);
    expect(seen.merge).toBeGreaterThan(100);
  });

  it("starts its second trajectory from the guess, within the cell's bounds", async () => {
    const [w, length] = [0.9, 100_000];
    const initialGuess = new Float32Array(length).fill(100);
    const free = await lookAt(scaling([w]), length);
    const far = await lookAt(scaling([w]), length, { initialGuess });
    // A start 100 away instead of about 1 takes so many steps more.
    const longer = -Math.log(100) / Math.log(w);
    expect(far.merge - free.merge).toBeGreaterThan(0.7 * longer);
    expect(far.merge - free.merge).toBeLessThan(1.3 * longer);
    const bounded = await lookAt(scaling([w], [-1, 1]), length, { initialGuess });
    expect(bounded.merge).toBeLessThan(free.merge + 0.3 * longer);
    const useless = await lookAt(scaling([w]), length, { initialGuess: initialGuess.fill(NaN) });
    expect(useless).toEqual(free);
  });

  it.each([
    ["explodes", (h: number) => h > 0],
    ["explodes from the guess alone", (h: number) => h === 0],
  ])("gets through a recurrence that %s", async (_, isFatal) => {
    const wild = defineCell({
      name: "wild",
      inputSize: 0,
      state: { h: 2 },
      step: ({ h }) => ({ h: isFatal(1) ? exp(multiply(50, h)) : exp(add(exp(exp(h)), 80)) }),
    });
    const seen = await lookAt(wild, 10_000, { initialStates: Float32Array.of(1, 1) });
    expect(seen.merge).toBe(Infinity);
    expect(seen.measured).toBe(false);
    expect(seen.places).toBe(0);
  });

  it("gets through inputs that are not finite", async () => {
    const inputs = normal(mulberry32(1), 30_000).fill(Number.NaN, 0, 15_000);
    const seen = await lookAt(scaling([0.9, 0.9, 0.9]), 10_000, { inputs });
    // One of the two places is in the midst of them.
    expect(seen).toMatchObject({ places: 1, merge: Infinity, measured: false });
  });

  it("ends when it is aborted", async () => {
    const controller = new AbortController();
    const pacer = new Pacer(controller.signal);
    controller.abort(new Error("enough"));
    await expect(probe(backend, jobOf(cell, 10_000), pacer)).rejects.toThrow("enough");
  });
});

/** Steps until a trajectory from zeros at `at` is as near the one of all steps as rounding lets it. */
async function stepsToMerge(job: ProbedJob, states: FloatArray, at: number): Promise<number> {
  const { cell, inputs, sequences, reverse } = job;
  const { inputSize: I, stateSize: D } = cell;
  const length = sequences[0]!.length - at;
  const rest = reverse ? inputs.subarray(0, length * I) : inputs.subarray(at * I);
  const other = new Float32Array(length * D);
  const initialStates = new Float32Array(D);
  const one = [{ offset: 0, length }];
  const problem = { cell, inputs: rest, sequences: one, reverse, initialStates };
  await backend.sequential({ ...problem, states: () => other }, new Pacer(undefined));
  backend.release();
  for (let t = 0; t < length; t++) {
    const [a, b] = reverse ? [length - 1 - t, length - 1 - t] : [t, at + t];
    let [difference, scale] = [0, 0];
    for (let i = 0; i < D; i++) {
      difference = Math.max(difference, Math.abs(other[a * D + i]! - states[b * D + i]!));
      scale = Math.max(scale, Math.abs(states[b * D + i]!));
    }
    if (difference <= MERGED * (1 + scale)) return t + 1;
  }
  return Infinity;
}

describe.skipIf(sharedData(nanoporeFile) === null)(
  sharedTitle("layers of a trained network", nanoporeFile),
  () => {
    it("are told apart as whole trajectories do: two merge soon, one late, two hardly", async () => {
      const { features, layers, steps, units } = loadNanopore();
      let inputs: Float32Array = features;
      for (const [index, { weights, reverse }] of layers.entries()) {
        const options = { inputSize: units, hiddenSize: units, weights };
        const cell = gru({ ...options, variant: "reset-before" });
        const job = jobOf(cell, steps, { inputs, reverse });
        const states = new Float32Array(steps * units);
        await backend.sequential({ ...job, states: () => states }, new Pacer(undefined));
        backend.release();
        const seen = (await look(job))!;
        const merges = [
          await stepsToMerge(job, states, Math.floor(0.3 * steps)),
          await stepsToMerge(job, states, Math.floor(0.5 * steps)),
        ];
        const slowest = Math.max(...merges);
        const where = `layer ${index}: ${seen.merge} beside ${merges}`;
        expect(seen.exponent, where).toBeLessThan(0);
        if (index < 2) {
          expect(seen.merge, where).toBeGreaterThan(slowest / 2);
          expect(seen.merge, where).toBeLessThan(slowest * 2);
        } else {
          expect(seen.measured, where).toBe(false);
          expect(seen.merge, where).toBeGreaterThan(Math.min(slowest, 15_000) / 3);
          expect(seen.merge, where).toBeLessThan(slowest * 3);
        }
        inputs = states;
      }
    });
  },
);

describe.skipIf(sharedData(autoregressiveSineFile) === null)(
  sharedTitle("the autoregressive GRU", autoregressiveSineFile),
  () => {
    it("remembers for hundreds of steps", async () => {
      const { hiddenSize, weights, initialState, inputs } = autoregressiveSine(100_000);
      const cell = autoregressiveGru({ hiddenSize, weights });
      const seen = await lookAt(cell, 100_000, { inputs, initialStates: initialState });
      expect(seen.exponent).toBeLessThan(0);
      expect(seen.merge).toBeGreaterThan(300);
      expect(seen.merge).toBeLessThan(6000);
    });
  },
);
