/** The sweep's kernel against float64: every cell, Jacobian and layout of a workgroup. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { phases } from "../../src/backend/webgpu/layout.ts";
import {
  compileCell,
  type GeometryChoice,
  type KernelLimits,
  sweepKernel,
} from "../../src/backend/webgpu/program/index.ts";
import { type Cell, gru, lstm } from "../../src/cell/index.ts";
import { interpreter } from "../../src/cell/interpret.ts";
import {
  diagonalProduct,
  probeSigns,
  SIGNS_PERIOD,
  stateTangent,
} from "../../src/cell/recurrence.ts";
import type { JacobianKind } from "../../src/types.ts";
import { cellNamed, cells } from "../support/cells.ts";
import { useDevice } from "../support/gpu-device.ts";
import {
  Batch,
  type BatchOptions,
  defaultLimits,
  runKernel,
  sliceOf,
} from "../support/gpu-programs.ts";
import { cellOfPlan, programPlans } from "../support/programs.ts";
import { randomWeights } from "../support/random.ts";

const device = useDevice();

/** Relative to 1 + |value|: a few steps of float32, whose errors the random cells may magnify. */
const accuracy = 2e-4;
const jacobians: readonly JacobianKind[] = ["none", "identity", "diagonal", "block", "dense"];

interface Run {
  readonly states: Float32Array;
  readonly ends: Float32Array;
  readonly measures: Float32Array;
  readonly products?: Float32Array;
}

interface RunOptions {
  readonly whole?: boolean;
  readonly choice?: GeometryChoice;
  readonly limits?: KernelLimits;
  readonly slices?: readonly (readonly [number, number])[];
}

/** What nobody wrote. */
const untouched = -77;

async function run(
  batch: Batch,
  jacobian: JacobianKind,
  { whole = false, choice, limits = defaultLimits, slices = [[0, 1e9]] }: RunOptions = {},
): Promise<Run> {
  const { cell, chunks, rows } = batch;
  const compiled = compileCell(cell, whole);
  const kernel = sweepKernel(compiled, jacobian, { limits, chunks: chunks.length, choice });
  const blank = (length: number) => new Float32Array(length).fill(untouched);
  let written: Record<string, Float32Array> = {
    states: blank(rows * cell.stateSize),
    ends: blank(chunks.length * cell.stateSize),
    measures: blank(4 * chunks.length),
    products: blank(chunks.length * kernel.productWidth),
  };
  for (const [begin, end] of slices) {
    const results = await runKernel(device(), kernel, kernel.workgroups(chunks.length), {
      problem: batch.problem.words,
      slice: sliceOf(begin, end),
      control: batch.control.words,
      source: batch.source(compiled.recurrence),
      boundaries: batch.boundaries,
      weights: compiled.weights.values,
      ...written,
    });
    written = { ...written, ...results };
  }
  return written as unknown as Run;
}

/** The chunks one after the other, in float64, from what the device was given. */
function expected(batch: Batch, jacobian: JacobianKind, whole = false): Run {
  const { cell, chunks, boundaries, control } = batch;
  const { stateSize, graph, weights, probes } = cell;
  const { recurrence } = compileCell(cell, whole);
  const source = batch.source(recurrence);
  const { name, size } = recurrence.source;
  const next = interpreter([recurrence.next], weights);
  const seed = graph.leaf("tangent", stateSize);
  const tangent = interpreter([stateTangent(recurrence, seed)], weights);
  const isDiagonal = jacobian === "diagonal" || jacobian === "block";
  const product = isDiagonal ? diagonalProduct(recurrence, jacobian) : null;
  const advance = product ? interpreter([product.next], weights) : null;
  const signs = Float64Array.from(probeSigns(cell));
  const width = product ? product.identity.length : jacobian === "dense" ? stateSize ** 2 : 0;
  const blank = (length: number) => new Float32Array(length).fill(untouched);
  const result = {
    states: blank(batch.rows * stateSize),
    ends: blank(chunks.length * stateSize),
    measures: blank(4 * chunks.length),
    products: blank(chunks.length * width),
  };
  const row = (of: Float32Array, at: number, length: number) =>
    Float64Array.from(of.subarray(at * length, (at + 1) * length));
  for (const [k, chunk] of chunks.entries()) {
    const { sequence, place, rows, isLast, first } = chunk;
    const isFrozen = place < control.words[control.at("exactChunks", sequence)]!;
    if (isFrozen || control.words[control.at("phase", sequence)] !== phases.sweeping) continue;
    let state: Float64Array = row(boundaries, batch.startRow(k), stateSize);
    let carried = product?.identity ?? null;
    let columns = Array.from({ length: stateSize }, (_, j) =>
      Float64Array.from({ length: stateSize }, (_, i) => Number(i === j)),
    );
    for (const [i, at] of rows.entries()) {
      const leaves = { state, [name]: row(source, at, size) };
      const sign = ((first + i) % SIGNS_PERIOD) * probes * stateSize;
      if (advance && carried) {
        const here = signs.subarray(sign, sign + probes * stateSize);
        carried = advance({ ...leaves, product: carried, signs: here })[0]!.slice();
      }
      if (jacobian === "dense") {
        columns = columns.map((column) => tangent({ ...leaves, tangent: column })[0]!.slice());
      }
      state = next(leaves)[0]!.slice();
      result.states.set(state, at * stateSize);
    }
    result.ends.set(state, k * stateSize);
    if (carried) result.products.set(carried, k * width);
    if (jacobian === "dense") {
      for (const [j, column] of columns.entries()) {
        for (const [i, value] of column.entries()) {
          result.products[k * width + i * stateSize + j] = value;
        }
      }
    }
    const boundary = row(boundaries, batch.options.lengths.length + k, stateSize);
    if (!isLast) result.states.set(boundary, rows.at(-1)! * stateSize);
    const defects = state.map((value, i) => value - boundary[i]!);
    const norm = (values: Float64Array) =>
      values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const residual = norm(defects) / (1 + norm(boundary));
    const merit = defects.reduce((sum, value) => sum + value ** 2 / 2, 0);
    const finite = state.every(Number.isFinite);
    const infinite = (value: number) => (Number.isFinite(value) ? value : Infinity);
    result.measures.set([infinite(residual), infinite(merit), 0, Number(finite)], 4 * k);
  }
  return result;
}

/** Largest |difference| / (1 + |expected|); Infinity where one is finite and the other is not. */
function distance(actual: Float32Array, wanted: Float32Array): number {
  expect(actual.length).toBe(wanted.length);
  let worst = 0;
  for (const [i, value] of wanted.entries()) {
    if (!Number.isFinite(value) && !Number.isFinite(actual[i]!)) continue;
    const difference = Math.abs(actual[i]! - value) / (1 + Math.abs(value));
    worst = Number.isNaN(difference) ? Infinity : Math.max(worst, difference);
  }
  return worst;
}

function expectSame(actual: Run, wanted: Run): void {
  expect(distance(actual.states, wanted.states)).toBeLessThan(accuracy);
  expect(distance(actual.ends, wanted.ends)).toBeLessThan(accuracy);
  expect(distance(actual.measures, wanted.measures)).toBeLessThan(accuracy);
  if (wanted.products && wanted.products.length > 0) {
    expect(distance(actual.products!, wanted.products)).toBeLessThan(accuracy);
  }
}

const ragged: BatchOptions = { lengths: [7, 1, 9], chunk: 4 };

describe.each(cells(3).map((cell) => [cell.name, cell] as const))("%s", (_, cell) => {
  it.each(["none", "block", "dense"] as const)("runs ragged chunks, %s", async (jacobian) => {
    const batch = new Batch(cell, ragged);
    expectSame(await run(batch, jacobian), expected(batch, jacobian));
  });

  it("computes its drive in the step", async () => {
    const batch = new Batch(cell, { ...ragged, seed: 5 });
    const options = { whole: true };
    expectSame(await run(batch, "diagonal", options), expected(batch, "diagonal", true));
  });
});

const choices: readonly GeometryChoice[] = [
  { lanes: 2, groups: 1 },
  { lanes: 4, groups: 1 },
  { lanes: 1, groups: 5 },
  { lanes: 4, groups: 2, copies: 1 },
  { lanes: 2, groups: 3, copies: 1 },
];

describe.each(["gru-reset-before", "lstm-plain", "diagonal-lstm"])("%s", (name) => {
  const cell = cellNamed(name, 4);

  it.each(choices)("in a workgroup with %o", async (choice) => {
    const batch = new Batch(cell, { lengths: [23, 6, 0, 11], chunk: 3, seed: 7 });
    expectSame(await run(batch, "block", { choice }), expected(batch, "block"));
  });

  it.each<GeometryChoice>([
    { width: 4, columnGroups: 1 },
    { width: 2, columnGroups: 2, groups: 2 },
    { width: 1, columnGroups: 3, copies: 1 },
    { width: 4, columnGroups: 2, groups: 3, copies: 1 },
  ])("with dense products and %o", async (choice) => {
    const batch = new Batch(cell, { lengths: [8, 5], chunk: 3, seed: 8 });
    expectSame(await run(batch, "dense", { choice }), expected(batch, "dense"));
  });

  it("spreads long vectors over few threads", async () => {
    const limits = { ...defaultLimits, maxInvocations: 3 };
    const batch = new Batch(cell, { lengths: [8, 5], chunk: 3, seed: 9 });
    for (const jacobian of ["block", "dense"] as const) {
      expectSame(await run(batch, jacobian, { limits }), expected(batch, jacobian));
    }
  });

  it.each(["none", "block", "dense"] as const)("stops and goes on, %s", async (jacobian) => {
    const batch = new Batch(cell, { lengths: [17, 3], chunk: 8, seed: 10 });
    const slices = [
      [0, 3],
      [3, 4],
      [4, 8],
    ] as const;
    const sliced = await run(batch, jacobian, { slices });
    const atOnce = await run(batch, jacobian);
    expectSame(sliced, expected(batch, jacobian));
    expect(sliced.states).toEqual(atOnce.states);
    expect(sliced.measures).toEqual(atOnce.measures);
  });

  it("goes backwards, and leaves frozen and other sequences' chunks alone", async () => {
    const batch = new Batch(cell, { lengths: [9, 14, 4], chunk: 3, reverse: true, seed: 11 });
    batch.control.setWords({ exactChunks: 2 }, 0);
    batch.control.setWords({ phase: phases.certifying }, 1);
    for (const choice of [undefined, { lanes: 4 as const, groups: 1 }]) {
      expectSame(await run(batch, "block", { choice }), expected(batch, "block"));
    }
  });
});

describe("random cells", () => {
  it("of any shape", async () => {
    const options = fc.record({
      lanes: fc.constantFrom(1, 2, 4),
      groups: fc.integer({ min: 1, max: 3 }),
      copies: fc.constantFrom(1 as const, 2 as const),
      threads: fc.integer({ min: 2, max: 16 }),
      whole: fc.boolean(),
    });
    const plans = programPlans({ partsOfOneSize: true });
    await fc.assert(
      fc.asyncProperty(
        plans,
        options,
        fc.constantFrom(...jacobians),
        async (plan, drawn, jacobian) => {
          const cell = cellOfPlan(plan);
          const { threads, whole, ...choice } = drawn;
          const limits = { ...defaultLimits, maxInvocations: threads };
          const batch = new Batch(cell, { lengths: [4, 3], chunk: 2, seed: plan.seed });
          batch.inputs.forEach((value, i) => {
            batch.inputs[i] = Math.tanh(value);
          });
          const actual = await run(batch, jacobian, { whole, choice, limits });
          expectSame(actual, expected(batch, jacobian, whole));
        },
      ),
      { numRuns: 25, seed: 5 },
    );
  });
});

describe("what a chunk's record says", () => {
  const cell = cellNamed("gru-reset-after", 1);

  it("an end that is the boundary in every bit", async () => {
    const batch = new Batch(cell, { lengths: [12], chunk: 3 });
    const first = await run(batch, "none");
    const { stateSize } = cell;
    batch.boundaries.set(first.ends.subarray(stateSize, 2 * stateSize), 2 * stateSize);
    const { measures } = await run(batch, "none", { choice: { lanes: 2 } });
    expect([2, 6, 10, 14].map((at) => measures[at])).toEqual([0, 1, 0, 0]);
    expect([...measures.subarray(4, 8)]).toEqual([0, 0, 1, 1]);
  });

  it.each([Number.NaN, Infinity])("a start of %d", async (bad) => {
    const batch = new Batch(cell, { lengths: [12], chunk: 3 });
    batch.boundaries[2 * cell.stateSize] = bad;
    const { measures } = await run(batch, "diagonal");
    // Chunk 1 ends on it, chunk 2 starts from it.
    expect(measures[4]).toBe(Infinity);
    expect(measures[5]).toBe(Infinity);
    expect(measures[7]).toBe(1);
    expect([...measures.subarray(8, 12)]).toEqual([Infinity, Infinity, 0, 0]);
    expect(Number.isFinite(measures[0]!) && Number.isFinite(measures[12]!)).toBe(true);
  });
});

describe("sequential evaluation", () => {
  it("is one chunk a sequence", async () => {
    const batch = new Batch(cellNamed("lstm-plain", 2), { lengths: [19, 4, 30], chunk: 30 });
    expectSame(await run(batch, "none"), expected(batch, "none"));
  });
});

describe("sizes", () => {
  const sized = (make: "gru" | "lstm", hiddenSize: number): Cell => {
    const gates = make === "gru" ? 3 : 4;
    const shapes = {
      weight_ih: [gates * hiddenSize, 2],
      weight_hh: [gates * hiddenSize, hiddenSize],
    };
    const weights = randomWeights(shapes, 1 / Math.sqrt(hiddenSize), 1);
    return { gru, lstm }[make]({ inputSize: 2, hiddenSize, weights } as never);
  };

  it.each([
    ["gru", 512],
    ["lstm", 512],
    ["gru", 300],
  ] as const)("%s of %d", async (make, hiddenSize) => {
    const cell = sized(make, hiddenSize);
    const batch = new Batch(cell, { lengths: [5], chunk: 3 });
    for (const jacobian of ["none", "diagonal"] as const) {
      expectSame(await run(batch, jacobian), expected(batch, jacobian));
    }
    const compiled = compileCell(cell);
    const kernel = sweepKernel(compiled, "dense", { limits: defaultLimits, chunks: 2 });
    device().createShaderModule({ code: kernel.code });
  });

  it("says what does not fit", () => {
    const limits = { ...defaultLimits, maxWorkgroupStorage: 1024 };
    const compiled = compileCell(sized("gru", 300));
    expect(() => sweepKernel(compiled, "none", { limits, chunks: 1 })).toThrow(
      /stateSize 300: needs \d+ bytes of workgroup memory, the device has 1024/,
    );
  });
});
