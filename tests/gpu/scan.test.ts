/** The boundary updates on WebGPU, for P_k of small units, against the oracle's recursions in float64. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { phases } from "../../src/backend/webgpu/layout.ts";
import { planScan } from "../../src/backend/webgpu/scan.ts";
import type { JacobianKind } from "../../src/types.ts";
import { nullGpu } from "../support/dawn.ts";
import { useDevice } from "../support/gpu-device.ts";
import {
  actions,
  compiled,
  expectedScan,
  largestError,
  randomScan,
  runScan,
  type ScanOptions,
  type ScanProblem,
  type ScanSequence,
} from "../support/gpu-scan.ts";

type Update = "affine" | "filter" | "smoother";
type Options = Partial<ScanOptions> & Pick<ScanOptions, "sequences">;

const kinds: readonly JacobianKind[] = ["none", "identity", "diagonal", "block"];
const updates: readonly Update[] = ["affine", "filter", "smoother"];
const cases = kinds.flatMap((kind) => updates.map((update) => ({ kind, update })));

/** Rounding errors of float32, relative to the largest number of a chain. */
const TOLERANCE = 3e-6;

const device = useDevice();

function scanOf(kind: JacobianKind, update: Update, options: Options): ScanProblem {
  const lambda = update === "affine" ? 0 : 0.02;
  return randomScan({
    kind,
    stateSize: kind === "block" ? 4 : 3,
    unitSize: kind === "block" ? 2 : 1,
    trustRegion: false,
    estimate: update === "smoother" ? "smoother" : "filter",
    ...options,
    sequences: options.sequences.map((sequence) => ({ lambda, ...sequence })),
  });
}

/** Runs a scan, and compares all that it may write. */
async function checkScan(problem: ScanProblem, tolerance = TOLERANCE): Promise<void> {
  const result = await runScan(device(), problem);
  const expected = expectedScan(problem);
  expect(largestError(result.boundaries, expected)).toBeLessThan(tolerance);
  expect(result.states).toEqual(expected.states);
  expect(result.saved).toEqual(expected.saved);
}

/** Exact to different degrees, finished, and with the last chunk the only one that is not exact. */
const ragged: readonly ScanSequence[] = [
  { chunks: 7, exact: 1 },
  { chunks: 12, exact: 5, phase: phases.converged },
  { chunks: 1, exact: 1 },
  { chunks: 31, exact: 9 },
  { chunks: 6, exact: 6 },
  { chunks: 8, exact: 7 },
  { chunks: 9, exact: 3, phase: phases.certifying },
  { chunks: 5, exact: 2, phase: phases.failed },
  { chunks: 40, exact: 2 },
];

describe.each(cases)("$kind, $update", ({ kind, update }) => {
  it.each([1, 2, 255, 256, 257])("%i chunks", async (chunks) => {
    await checkScan(scanOf(kind, update, { sequences: [{ chunks, exact: 1 }], seed: chunks }));
  });

  it("a ragged batch on levels of two and four items", async () => {
    for (const tile of [2, 4]) {
      const problem = scanOf(kind, update, { sequences: ragged, tile, bounded: true, seed: tile });
      await checkScan(problem);
    }
  });

  it("a ragged batch in reverse, with scaled P_k", async () => {
    for (const chunkLength of [1, 4]) {
      const options = { sequences: ragged, chunkLength, reverse: true, keep: 0.7, bounded: true };
      await checkScan(scanOf(kind, update, { ...options, seed: chunkLength }));
    }
  });

  it("gives chunks' ends in every bit where nothing changes", async () => {
    const problem = scanOf(kind, update, { sequences: [{ chunks: 50, exact: 2 }], tile: 4 });
    const { stateSize } = problem.shape;
    problem.ends.fill(-0, 0, stateSize * 30);
    problem.boundaries.set(problem.ends, stateSize);
    const { boundaries } = await runScan(device(), problem);
    expect(boundaries.subarray(stateSize)).toEqual(problem.ends);
  });

  it("survives numbers that are not finite, and keeps them within a sequence", async () => {
    const sequences = [
      { chunks: 9, exact: 1 },
      { chunks: 11, exact: 2 },
      { chunks: 8, exact: 1 },
    ];
    for (const tile of [2, undefined]) {
      const problem = scanOf(kind, update, { sequences, tile, growth: 1.5, seed: 5 });
      const { stateSize } = problem.shape;
      problem.ends[14 * stateSize] = Number.NaN;
      problem.ends[17 * stateSize + 1] = Number.POSITIVE_INFINITY;
      if (problem.products.length > 1) {
        const width = problem.products.length / problem.shape.chunks;
        // In both units of a block: the oracle drops a chunk's blocks all together.
        problem.products.fill(Number.NaN, 3 * width, 3 * width + 2);
        problem.products.fill(Number.NEGATIVE_INFINITY, 4 * width, 4 * width + 2);
        problem.products.fill(Number.POSITIVE_INFINITY, 22 * width, 22 * width + 2);
      }
      await checkScan(problem);
    }
  });

  it("obeys the trust region, sequence by sequence", async () => {
    const sequences = [
      { chunks: 6, exact: 2, action: actions.saveAndUpdate },
      { chunks: 7, exact: 1, action: actions.restore },
      { chunks: 5, exact: 1, action: actions.update },
      { chunks: 6, exact: 2, action: actions.saveAndUpdate, phase: phases.converged },
      { chunks: 3, exact: 3, action: actions.restore },
    ];
    await checkScan(scanOf(kind, update, { sequences, trustRegion: true, bounded: true }));
  });
});

describe("sizes", () => {
  it.each(updates)("65,537 chunks, %s", async (update) => {
    const sequences = [
      { chunks: 65_000, exact: 3 },
      { chunks: 537, exact: 1 },
    ];
    for (const kind of ["identity", "diagonal"] as const) {
      await checkScan(scanOf(kind, update, { stateSize: 1, sequences }), 1e-4);
    }
    await checkScan(scanOf("block", update, { stateSize: 2, sequences }));
  });

  it.each([1, 4, 33, 64, 300])("states of %i elements", async (stateSize) => {
    const sequences = [
      { chunks: 260, exact: 4 },
      { chunks: 5, exact: 1 },
    ];
    for (const update of updates) {
      await checkScan(scanOf("diagonal", update, { stateSize, sequences, bounded: true }));
    }
    await checkScan(scanOf("none", "affine", { stateSize, sequences, bounded: true }));
  });

  // The last is too large for one thread.
  it.each([1, 3, 4, 9])("units of %i elements", async (unitSize) => {
    const sequences = [{ chunks: 40, exact: 4 }];
    for (const update of updates) {
      const options = { stateSize: 5 * unitSize, unitSize, sequences, tile: 4 };
      await checkScan(scanOf("block", update, options));
    }
  });

  it.each([
    [64, 1],
    [65, 2],
    [4097, 3],
    [262_145, 4],
  ])("%i chunks on tiles of 64 take %i levels", (chunks, levels) => {
    const { shape } = scanOf("diagonal", "affine", { sequences: [{ chunks: 1, exact: 1 }] });
    const { kernels } = planScan({ ...shape, chunks, tile: 64 });
    const reduce = kernels.filter(({ label }) => label.includes("reduce"));
    const down = kernels.filter(({ label }) => label.includes("downsweep"));
    expect(reduce).toHaveLength(levels - 1);
    expect(down).toHaveLength(Math.max(1, levels - 1));
  });
});

describe("the whole scan is the recursion", () => {
  const sequence = fc
    .record({
      chunks: fc.integer({ min: 1, max: 40 }),
      first: fc.nat({ max: 39 }),
      sweeps: fc.integer({ min: 0, max: 5 }),
      lambda: fc.constantFrom(1e-8, 1e-4, 1e-2, 1, 100),
    })
    .map(({ chunks, first, sweeps, lambda }) => ({
      chunks,
      exact: 1 + (first % chunks),
      phase: sweeps > 0 ? phases.sweeping : phases.converged,
      lambda,
    }));
  const drawn = fc.record({
    sequences: fc.array(sequence, { minLength: 1, maxLength: 5 }),
    tile: fc.constantFrom(2, 4, undefined),
    growth: fc.constantFrom(0.1, 0.6, 1, 1.3),
    clip: fc.boolean(),
    keep: fc.constantFrom(1, 0.5, 0),
    bounded: fc.boolean(),
    seed: fc.nat({ max: 1e6 }),
  });

  it.each(cases.filter(({ kind }) => kind !== "none"))(
    "$kind, $update",
    async ({ kind, update }) => {
      await fc.assert(
        fc.asyncProperty(drawn, async ({ sequences, clip, ...options }) => {
          const own = sequences.map(({ lambda, ...rest }) => ({
            ...rest,
            lambda: update === "affine" ? 0 : lambda,
          }));
          const mayClip = clip && kind === "diagonal";
          await checkScan(
            scanOf(kind, update, { ...options, clip: mayClip, sequences: own }),
            3e-5,
          );
        }),
        { numRuns: 40 },
      );
    },
  );
});

describe("damped updates where the P_k expand", () => {
  it.each(["filter", "smoother"] as const)("diagonal, %s", async (estimate) => {
    for (const lambda of [1e-8, 1e-5, 1e-2, 1, 100]) {
      for (const growth of [3, 30, 1000]) {
        for (const tile of [4, undefined]) {
          const sequences = [{ chunks: 60, exact: 1, lambda }];
          const options = { sequences, growth, tile, stateSize: 32 };
          await checkScan(scanOf("diagonal", estimate, options), 2e-4);
        }
      }
    }
  });

  it.each(["filter", "smoother"] as const)("block, %s", async (estimate) => {
    for (const lambda of [1e-8, 1e-5, 1e-2, 1, 100]) {
      const sequences = [{ chunks: 60, exact: 1, lambda }];
      // As for dense P_k, rounding is worth 1/√λ as much; plain 5-tuples would be off by up to 1.
      const tolerance = Math.max(1e-3, (4 * 2 ** -24 * 3) / Math.sqrt(lambda));
      await checkScan(
        scanOf("block", estimate, { sequences, growth: 3, stateSize: 64 }),
        tolerance,
      );
    }
  });

  it.each(["filter", "smoother"] as const)(
    "factors that cannot be squared, %s",
    async (estimate) => {
      for (const lambda of [1e-8, 1, 1e12]) {
        const sequences = [{ chunks: 30, exact: 1, lambda }];
        const problem = scanOf("diagonal", estimate, { sequences, growth: 1e30, tile: 4 });
        // The first change is known exactly, so that nothing damps what it is multiplied with.
        problem.products.fill(1, 0, 2 * problem.shape.stateSize);
        await checkScan(problem, 1e-3);
      }
    },
  );
});

it("every variant compiles", async () => {
  const adapter = await (await nullGpu()).requestAdapter();
  const nowhere = await adapter!.requestDevice();
  const complaints: string[] = [];
  nowhere.addEventListener("uncapturederror", ({ error }) => complaints.push(error.message));
  for (const kind of kinds) {
    for (const unitSize of kind === "block" ? [1, 2, 5, 9] : [1]) {
      for (const update of updates) {
        for (const trustRegion of [false, true]) {
          for (const chunks of [1, 5000, 3_000_000]) {
            const shape = { kind, stateSize: 5 * unitSize, unitSize, chunks, trustRegion };
            const damping = { damped: update !== "affine", smoother: update === "smoother" };
            const { kernels } = planScan({ ...shape, ...damping });
            for (const kernel of kernels) compiled(nowhere, kernel);
          }
        }
      }
    }
  }
  await nowhere.queue.onSubmittedWorkDone();
  nowhere.destroy();
  expect(complaints).toEqual([]);
});
