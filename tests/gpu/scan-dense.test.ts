/** Boundary updates with dense P_k on WebGPU, undamped and damped, against the float64 reference. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { phases } from "../../src/backend/webgpu/layout.ts";
import { planScan } from "../../src/backend/webgpu/scan.ts";
import { dawnGpu } from "../support/dawn.ts";
import {
  actions,
  expectedScan,
  largestError,
  randomScan,
  runScan,
  type ScanOptions,
  type ScanProblem,
  type ScanResult,
} from "../support/gpu-scan.ts";

const UNIT_ROUNDOFF = 2 ** -24;

const methods = ["affine", "filter", "smoother"] as const;
type Method = (typeof methods)[number];

let device: GPUDevice;
const errors: string[] = [];

beforeAll(async () => {
  // SwiftShader takes a millisecond to compile each number of workgroup memory that is cleared beforehand, which
  // these kernels do not rely on.
  const gpu = await dawnGpu();
  device = await (await gpu.requestAdapter())!.requestDevice();
  device.addEventListener("uncapturederror", (event) => {
    event.preventDefault();
    errors.push(event.error.message);
  });
});

afterEach(async () => {
  await device.queue.onSubmittedWorkDone();
  expect(errors.splice(0)).toEqual([]);
});

afterAll(() => device.destroy());

/** λ of sequence j, from 1e-8 to 10. */
const lambdaOf = (j: number) => Math.fround(10 ** (((j * 4) % 10) - 8));

interface DenseOptions extends Partial<Omit<ScanOptions, "kind" | "sequences">> {
  readonly stateSize: number;
  readonly sequences: ScanOptions["sequences"];
}

/** Sequences keep the λ they are given; of a damped method the others get one each. */
function denseScan(method: Method, { sequences, ...options }: DenseOptions): ScanProblem {
  return randomScan({
    kind: "dense",
    unitSize: 1,
    trustRegion: false,
    ...options,
    estimate: method === "smoother" ? "smoother" : "filter",
    sequences: sequences.map((sequence, j) => ({
      ...sequence,
      lambda: method === "affine" ? 0 : (sequence.lambda ?? lambdaOf(j)),
    })),
  });
}

/**
 * What rounding may come to, relative to the largest number of a sequence. Triangularising in float32 changes P_k
 * by u ‖P‖, and where P_k do not contract that is worth 1/√λ as much.
 */
function tolerance({ sequences }: ScanProblem, growth: number): number {
  const smallest = Math.min(...sequences.map(({ lambda = 0 }) => lambda || 1));
  return 4 * UNIT_ROUNDOFF * (16 + (growth > 1 ? growth / Math.sqrt(smallest) : 0));
}

async function expectRight(problem: ScanProblem, growth = 0.9): Promise<ScanResult> {
  const expected = expectedScan(problem);
  const result = await runScan(device, problem);
  expect(largestError(result.boundaries, expected)).toBeLessThan(tolerance(problem, growth));
  expect(result.states).toEqual(expected.states);
  expect(result.saved).toEqual(expected.saved);
  return result;
}

const lengths = [1, 2, 15, 16, 17, 100, 257];

/** Sequences of these lengths, of which chunks at the start, but never all, are exact. */
const sequencesOf = (chunks: readonly number[]) =>
  chunks.map((count, j) => ({ chunks: count, exact: 1 + ((j * 5) % Math.max(1, count - 1)) }));

describe.each(methods)("the dense scan, %s,", (method) => {
  it.each([
    [1, lengths],
    [2, lengths],
    [3, lengths],
    [4, lengths],
    [5, lengths],
    [8, lengths],
    [17, [1, 2, 15, 16, 17]],
    [33, [1, 15, 2]],
    [64, [2, 1, 4]],
  ])("of %i elements and %j chunks is the reference's", async (stateSize, chunks) => {
    const large = stateSize > 20;
    const problem = denseScan(method, {
      stateSize,
      sequences: sequencesOf(chunks),
      tile: large ? 2 : 3,
      seed: stateSize,
    });
    const labels = planScan(problem.shape).kernels.map(({ label }) => label);
    expect(labels).toContain("scan reduce 1");
    await expectRight(problem);
  });

  it.each(lengths.slice(0, -1))("of one sequence of %i chunks is right", async (chunks) => {
    const sequences = [{ chunks, exact: 1, lambda: 1e-3 }];
    await expectRight(denseScan(method, { stateSize: 3, sequences, seed: chunks }));
  });

  it.each([2, 5])(
    "puts scale and bounds on %i elements, over ragged, reversed chunks",
    async (stateSize) => {
      await expectRight(
        denseScan(method, {
          stateSize,
          sequences: sequencesOf([9, 1, 20]),
          tile: 4,
          keep: 0.7,
          bounded: true,
          reverse: true,
          chunkLength: 4,
        }),
      );
    },
  );

  it("leaves sequences alone that are not swept, and chunks before the last exact one", async () => {
    const sequences = [
      { chunks: 7, exact: 3, phase: phases.certifying },
      { chunks: 11, exact: 6 },
      { chunks: 5, exact: 5, phase: phases.converged },
      { chunks: 9, exact: 9 },
      { chunks: 4, exact: 1, phase: phases.failed },
      { chunks: 8, exact: 2 },
    ];
    const problem = denseScan(method, { stateSize: 4, sequences, tile: 2 });
    const { boundaries } = await expectRight(problem);
    const untouched = (from: number, to: number) =>
      expect(boundaries.subarray(from * 4, to * 4)).toEqual(
        problem.boundaries.subarray(from * 4, to * 4),
      );
    untouched(0, 6 + 7 + 5);
    untouched(6 + 18, 6 + 23 + 8);
    untouched(6 + 32, 6 + 36);
  });

  it("counts P_k with an entry that is not finite as the identity", async () => {
    const problem = denseScan(method, { stateSize: 4, sequences: sequencesOf([12, 7]), tile: 3 });
    for (const [k, value] of [NaN, Infinity, -Infinity].entries()) {
      problem.products[(5 * k + 3) * 16 + 5 * k] = value;
    }
    await expectRight(problem, 1);
  });

  it.each([NaN, Infinity])(
    "keeps what %d spoils as it was, in its own sequence only",
    async (value) => {
      const sequences = sequencesOf([9, 10, 8]);
      const problem = denseScan(method, { stateSize: 4, sequences, tile: 3 });
      const spoiled = { ...problem, ends: problem.ends.slice() };
      spoiled.ends[(9 + 8) * 4 + 1] = value;
      const { boundaries } = await expectRight(spoiled);
      const sound = await runScan(device, problem);
      const others = (result: Float32Array) => [
        ...result.subarray(0, (3 + 9) * 4),
        ...result.subarray((3 + 19) * 4),
      ];
      expect(others(boundaries)).toEqual(others(sound.boundaries));
    },
  );

  it("saves and restores boundaries for the trust region", async () => {
    const sequences = [
      { chunks: 6, exact: 2, action: actions.update },
      { chunks: 7, exact: 1, action: actions.restore },
      { chunks: 8, exact: 4, action: actions.saveAndUpdate },
    ];
    await expectRight(denseScan(method, { stateSize: 3, sequences, tile: 3, trustRegion: true }));
  });
});

describe("the undamped dense scan", () => {
  it("of 512 elements is the reference's", async () => {
    // Two tiles, of which the second is a product of two P_k.
    const sequences = [{ chunks: 4, exact: 1 }];
    const problem = denseScan("affine", { stateSize: 512, sequences, tile: 2 });
    await expectRight(problem);
  });

  it("gives the chunks' ends in every bit where nothing has changed", async () => {
    const problem = denseScan("affine", {
      stateSize: 5,
      sequences: [{ chunks: 30, exact: 2 }],
      tile: 3,
      growth: 3,
    });
    problem.ends.fill(-0, 30, 70);
    // Up to chunk 13 all ends are the next boundaries.
    problem.boundaries.set(problem.ends.subarray(0, 14 * 5), 5);
    const { boundaries } = await runScan(device, problem);
    for (let i = 0; i < 15 * 5; i++) {
      if (!Object.is(boundaries[5 + i], problem.ends[i])) expect.fail(`element ${i}`);
    }
    expect(boundaries.subarray(80)).not.toEqual(problem.ends.subarray(75));
  });

  it("gets past products that overflow", async () => {
    const problem = denseScan("affine", {
      stateSize: 3,
      sequences: [{ chunks: 9, exact: 1 }],
      tile: 3,
    });
    problem.products.fill(1e30, 9, 9 * 5);
    // Nothing changes before chunk 5.
    problem.boundaries.set(problem.ends.subarray(0, 5 * 3), 3);
    const { boundaries } = await expectRight(problem);
    expect(boundaries.every(Number.isFinite)).toBe(true);
  });
});

describe.each(["filter", "smoother"] as const)("the damped dense scan, %s,", (method) => {
  // Plain 5-tuples in float32 are off by 0.01 to 1 on most of these.
  const expanding = [1.5, 10, 100].flatMap((growth) =>
    [1e-8, 1e-6, 1e-3, 1].map((lambda) => [growth, lambda] as const),
  );

  it.each(expanding)(
    "keeps its digits where the P_k expand by %d, λ = %d",
    async (growth, lambda) => {
      const sequences = [{ chunks: 60, exact: 1, lambda: Math.fround(lambda) }];
      const options = { stateSize: 4, sequences, growth, tile: 4, seed: 3 };
      await expectRight(denseScan(method, options), growth);
    },
  );

  it.each([1e-12, 1e3, 1e12])("takes λ = %d", async (lambda) => {
    const sequences = [{ chunks: 20, exact: 1, lambda: Math.fround(lambda) }];
    await expectRight(denseScan(method, { stateSize: 4, sequences, tile: 4 }));
  });

  it("gets past a huge P_k", async () => {
    const sequences = [{ chunks: 20, exact: 1, lambda: 0.5 }];
    const options = { stateSize: 4, sequences, tile: 4 };
    const huge = denseScan(method, options);
    const scaled = denseScan(method, options);
    for (let e = 0; e < 16; e++) {
      const entry = ((e % 4) + 1) * (1 + Math.floor(e / 4)) - (e % 3);
      huge.products[7 * 16 + e] = entry * 2 ** 100;
      scaled.products[7 * 16 + e] = (entry / 16) * 1e6;
    }
    const { boundaries } = await runScan(device, huge);
    expect(largestError(boundaries, expectedScan(scaled))).toBeLessThan(1e-2);
  });

  it("says so when the state is too large", () => {
    const sequences = [{ chunks: 2, exact: 1 }];
    const { shape } = denseScan(method, { stateSize: 1, sequences });
    expect(() => planScan({ ...shape, stateSize: 129 })).toThrow(RangeError);
    expect(() => planScan({ ...shape, stateSize: 129 })).toThrow(/128 elements, got 129/);
    expect(planScan({ ...shape, stateSize: 128 }).bytes).toBeGreaterThan(0);
  });
});
