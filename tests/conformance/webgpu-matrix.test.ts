/**
 * Every cell × method × Jacobian × chunk × length on WebGPU against the float64 oracle, thinned: each
 * cell meets every Jacobian, and one cell of every shape of state every kind of damping, while chunks,
 * lengths, batches, direction and guesses take turns. The random cells contract, so all must agree.
 */
import { describe, expect, test } from "vitest";
import {
  type Cell,
  type EvaluateOptions,
  gru,
  type JacobianKind,
  lstm,
  type MethodName,
} from "../../src/index.ts";
import { cellNamed, cells } from "../support/cells.ts";
import { mulberry32, randomWeights, uniform } from "../support/random.ts";
import {
  agreementOf,
  optionsOf,
  oracleOf,
  type WebgpuProblem,
  webgpuProblem,
} from "../support/webgpu-agreement.ts";
import { useWebgpuRuntime } from "../support/webgpu-runtime.ts";

type Setting = EvaluateOptions & { readonly method: MethodName };

const runtime = useWebgpuRuntime();
/** Twice the error that a certificate lets pass at a tolerance of 1e-6. */
const largestDifference = 2e-5;

/** One a Jacobian. */
const undamped: readonly Setting[] = [
  { method: "jacobi" },
  { method: "picard" },
  { method: "quasi-deer" },
  { method: "quasi-deer", jacobian: "block" },
  { method: "deer" },
];

/** What damping has kernels for, under one Jacobian. */
const dampedWith = (jacobian: JacobianKind): Setting[] =>
  [
    { lambda: 1e-2 },
    { lambda: 1e-2, estimate: "smoother" as const },
    { lambda: 1e-2, trustRegion: true },
    { scale: 0.1, trustRegion: true },
  ].map((damping) => ({ method: "elk", jacobian, damping }));

const damped: Readonly<Record<string, readonly Setting[]>> = {
  "gru-reset-after": [
    { method: "quasi-elk" },
    { method: "elk" },
    { method: "quasi-deer", damping: { clip: true } },
    ...(["none", "identity", "diagonal", "dense"] as const).flatMap(dampedWith),
  ],
  // Two parts, which blocks couple.
  "lstm-plain": [
    { method: "elk", jacobian: "block", damping: { scale: 0.1 } },
    ...dampedWith("block"),
  ],
};

const chunks = [1, 7, 64, 1000];
const batches: readonly (readonly number[])[] = [
  [1],
  [100],
  [2],
  [33],
  [33, 0, 7, 64],
  [31],
  [0],
  [32],
  [0, 1, 65],
];

/** Newton's method must converge on a contracting cell without repair, at any chunk. */
const mustConverge = ({ method, damping }: Setting) => method === "deer" && damping === undefined;

async function expectRight(problem: WebgpuProblem, options: EvaluateOptions, repairs = true) {
  const { cell, inputs } = problem;
  const oracle = await oracleOf(runtime(), problem);
  const given = { tolerance: 1e-6, ...optionsOf(problem), ...options };
  const { tolerance } = given;
  const result = await runtime().evaluate(cell, inputs as Float32Array, {
    ...given,
    backend: "webgpu",
  });
  const { report } = result;
  const { initialGuess, ...shown } = { ...options, lengths: problem.lengths };
  const reverse = problem.reverse ? " in reverse" : "";
  const guess = initialGuess ? " from a guess" : "";
  const what = `${cell.name}${reverse}${guess}: ${JSON.stringify(shown)}: ${JSON.stringify(report)}`;
  const { error, finalError, residual } = agreementOf(problem, result, oracle);
  expect(report.backend, what).toBe("webgpu");
  expect(error, what).toBeLessThanOrEqual(largestDifference);
  expect(finalError, what).toBeLessThanOrEqual(largestDifference);
  expect(report.residual, what).toBeLessThanOrEqual(tolerance);
  // Measured in float64, it also has the rounding of the states themselves.
  expect(residual, what).toBeLessThanOrEqual(tolerance + 100 * 2 ** -24);
  expect(report.converged, what).toBe(true);
  if (!repairs) expect(report.fallback, what).toBeUndefined();
  return result;
}

/** The cell under every setting, each at the next turn of chunks, batches, directions and guesses. */
async function expectAllRight(cell: Cell, settings: readonly Setting[], firstTurn: number) {
  for (const [i, setting] of settings.entries()) {
    const turn = firstTurn + i;
    const problem = webgpuProblem(cell, batches[turn % batches.length]!, {
      seed: turn,
      reverse: turn % 2 === 1,
    });
    const rows = problem.lengths.reduce((sum, length) => sum + length, 0);
    const guess = uniform(mulberry32(turn), rows * cell.stateSize);
    const options: EvaluateOptions = {
      ...setting,
      chunk: chunks[turn % chunks.length],
      maxIterations: 20,
      ...(turn % 5 === 0 && { initialGuess: guess }),
    };
    await expectRight(problem, options, !mustConverge(setting));
  }
}

describe("every Jacobian", () => {
  test.each(cells(3).map((cell, index) => [cell.name, cell, index] as const))(
    "%s",
    async (_, cell, index) => {
      const problem = webgpuProblem(cell, [5, 0, 40], { seed: index, reverse: index % 2 === 0 });
      await expectRight(problem, { method: "sequential" }, false);
      await expectAllRight(cell, undamped, 11 * index);
    },
  );
});

describe("every damping", () => {
  test.each(Object.keys(damped))("%s", async (name) => {
    for (const turn of [0, 5]) await expectAllRight(cellNamed(name, 4), damped[name]!, turn);
  });
});

describe("every size", () => {
  const gruOf = (hiddenSize: number) => {
    const inputSize = 2;
    const shapes = {
      weight_ih: [3 * hiddenSize, inputSize],
      weight_hh: [3 * hiddenSize, hiddenSize],
      bias_ih: [3 * hiddenSize],
      bias_hh: [3 * hiddenSize],
    };
    const weights = randomWeights(shapes, 1 / Math.sqrt(hiddenSize), hiddenSize);
    return gru({ inputSize, hiddenSize, weights });
  };
  const lstmOf = (hiddenSize: number) => {
    const inputSize = 3;
    const shapes = {
      weight_ih: [4 * hiddenSize, inputSize],
      weight_hh: [4 * hiddenSize, hiddenSize],
      bias_ih: [4 * hiddenSize],
    };
    const weights = randomWeights(shapes, 1 / Math.sqrt(hiddenSize), hiddenSize);
    return lstm({ inputSize, hiddenSize, weights });
  };

  test.each([1, 3, 33, 64, 130])("GRU of %i units", async (units) => {
    const problem = webgpuProblem(gruOf(units), [40], { seed: units });
    for (const options of [
      { method: "sequential" },
      { method: "jacobi", chunk: 16 },
      { method: "quasi-deer", chunk: 7 },
    ] satisfies Setting[]) {
      await expectRight(problem, { ...options, maxIterations: 12 });
    }
  });

  test.each([1, 33])("LSTM of %i units, in blocks", async (units) => {
    const problem = webgpuProblem(lstmOf(units), [40, 3], { seed: units, reverse: true });
    await expectRight(problem, { method: "quasi-deer", jacobian: "block", chunk: 7 });
  });

  test.each([1, 17])("GRU of %i units, dense", async (units) => {
    const problem = webgpuProblem(gruOf(units), [40], { seed: units });
    await expectRight(problem, { method: "deer", chunk: 4, maxIterations: 12 }, false);
  });

  test("GRU of 512 units", async () => {
    const problem = webgpuProblem(gruOf(512), [4]);
    for (const method of ["jacobi", "quasi-deer"] as const) {
      await expectRight(problem, { method, chunk: 1, maxIterations: 4 });
    }
  });
});

test("scans of more than one level", async () => {
  const plain = cellNamed("gru-reset-after", 6);
  const pairs = cellNamed("lstm-plain", 6);
  for (const [cell, setting] of [
    [plain, { method: "quasi-deer" }],
    [plain, { method: "quasi-elk" }],
    [pairs, { method: "quasi-deer", jacobian: "block" }],
    [pairs, { method: "elk", jacobian: "block", damping: { lambda: 1e-2, estimate: "smoother" } }],
  ] satisfies [Cell, Setting][]) {
    const problem = webgpuProblem(cell, [3, 1100, 9], { seed: 7 });
    await expectRight(problem, { ...setting, maxIterations: 16 });
  }
  // Seventeen chunks need a second level where P_k is dense.
  const problem = webgpuProblem(plain, [300], { seed: 8 });
  await expectRight(problem, { method: "deer", maxIterations: 12 }, false);
});
