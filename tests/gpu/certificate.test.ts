/** The certificate's kernel, swept until nothing moves, against the float64 one that runs in order. */
import { describe, expect, it } from "vitest";
import { ErrorPropagation } from "../../src/backend/reference/certificate.ts";
import { phases } from "../../src/backend/webgpu/layout.ts";
import {
  certificateKernel,
  compileCell,
  type GeometryChoice,
} from "../../src/backend/webgpu/program/index.ts";
import type { Cell } from "../../src/cell/index.ts";
import { interpreter } from "../../src/cell/interpret.ts";
import { stateTangent } from "../../src/cell/recurrence.ts";
import { cellNamed, cells } from "../support/cells.ts";
import { useDevice } from "../support/gpu-device.ts";
import {
  Batch,
  type BatchOptions,
  defaultLimits,
  runKernel,
  sliceOf,
} from "../support/gpu-programs.ts";
import { mulberry32, normal } from "../support/random.ts";

const device = useDevice();

const unitRoundoff = 2 ** -24;

interface Trial {
  readonly batch: Batch;
  readonly states: Float32Array;
}

/** True trajectories with defects of about `defect` at every step. */
function trial(cell: Cell, options: BatchOptions, defect: number): Trial {
  const batch = new Batch(cell, options);
  const { stateSize } = cell;
  const { recurrence } = compileCell(cell);
  const { name, size } = recurrence.source;
  const next = interpreter([recurrence.next], cell.weights);
  const source = batch.source(recurrence);
  const states = new Float32Array(batch.rows * stateSize);
  const noise = normal(mulberry32(99), states.length, 0, defect);
  let state = new Float64Array();
  for (const { sequence, place, rows } of batch.errorChunks) {
    if (place === 0) {
      const start = sequence * stateSize;
      state = Float64Array.from(batch.boundaries.subarray(start, start + stateSize));
    }
    for (const row of rows) {
      const drive = Float64Array.from(source.subarray(row * size, (row + 1) * size));
      state = next({ state, [name]: drive })[0]!.map((x, i) => x + noise[row * stateSize + i]!);
      states.set(state, row * stateSize);
      state = Float64Array.from(states.subarray(row * stateSize, (row + 1) * stateSize));
    }
  }
  batch.control.words.forEach((_, i) => {
    if (i % batch.control.layout.words === batch.control.at("phase")) {
      batch.control.words[i] = phases.certifying;
    }
  });
  return { batch, states };
}

/** Residual and estimate of every sequence, in float64. */
function expected({ batch, states }: Trial): { residual: number; errorEstimate: number }[] {
  const { cell } = batch;
  const { stateSize, graph, weights } = cell;
  const { recurrence } = compileCell(cell);
  const { name, size } = recurrence.source;
  const next = interpreter([recurrence.next], weights);
  const seed = graph.leaf("tangent", stateSize);
  const tangent = interpreter([stateTangent(recurrence, seed)], weights);
  const source = batch.source(recurrence);
  return batch.options.lengths.map((_, sequence) => {
    const errors = new ErrorPropagation(stateSize, unitRoundoff);
    let before = Float64Array.from(
      batch.boundaries.subarray(sequence * stateSize, (sequence + 1) * stateSize),
    );
    for (const chunk of batch.errorChunks.filter((other) => other.sequence === sequence)) {
      for (const [i, row] of chunk.rows.entries()) {
        const drive = Float64Array.from(source.subarray(row * size, (row + 1) * size));
        const leaves = { state: before, [name]: drive };
        const state = Float64Array.from(states.subarray(row * stateSize, (row + 1) * stateSize));
        errors.step({
          t: chunk.first + i,
          state,
          next: next(leaves)[0]!,
          tangent: (column) => tangent({ ...leaves, tangent: column })[0]!,
        });
        before = state;
      }
    }
    return errors.certificate;
  });
}

interface SweepOptions {
  readonly sweeps: number;
  readonly choice?: GeometryChoice;
  readonly maxInvocations?: number;
  readonly maxWorkgroupStorage?: number;
  readonly slices?: readonly (readonly [number, number])[];
}

/** The records after some sweeps, each of which leaves another chunk of every sequence exact. */
async function sweep({ batch, states }: Trial, options: SweepOptions) {
  const { sweeps, choice, maxInvocations = 256, slices = [[0, 1e9]] } = options;
  const compiled = compileCell(batch.cell);
  const count = batch.errorChunks.length;
  const { maxWorkgroupStorage = defaultLimits.maxWorkgroupStorage } = options;
  const limits = { maxInvocations, maxWorkgroupStorage };
  const kernel = certificateKernel(compiled, { limits, chunks: count, choice });
  const rows = batch.options.lengths.length + 2 * count;
  const errorBoundaries = new Float32Array(4 * rows * batch.cell.stateSize).fill(Number.NaN);
  errorBoundaries.fill(0, 0, 4 * batch.options.lengths.length * batch.cell.stateSize);
  let written: Record<string, Float32Array> = {
    errorBoundaries,
    errorMeasures: new Float32Array(4 * count).fill(Number.NaN),
  };
  for (let n = 0; n < sweeps; n++) {
    for (const [j] of batch.options.lengths.entries()) {
      const { words } = batch.control;
      const sweepsAt = batch.control.at("certificateSweeps", j);
      // exactErrorChunks comes next.
      words.fill(n, sweepsAt, sweepsAt + 2);
    }
    for (const [begin, end] of slices) {
      written = await runKernel(device(), kernel, kernel.workgroups(count), {
        problem: batch.problem.words,
        slice: sliceOf(begin, end),
        control: batch.control.words,
        source: batch.source(compiled.recurrence),
        states,
        boundaries: batch.boundaries,
        weights: compiled.weights.values,
        ...written,
      });
    }
  }
  return written.errorMeasures!;
}

/** Largest residual, estimate and seam defect of every sequence. */
function summary({ batch }: Trial, measures: Float32Array) {
  return batch.options.lengths.map((_, sequence) => {
    const of = batch.errorChunks.flatMap((chunk, k) => (chunk.sequence === sequence ? [k] : []));
    const most = (field: number) => Math.max(...of.map((k) => measures[4 * k + field]!));
    const finite = of.every((k) => measures[4 * k + 3] === 1);
    return { residual: most(0), errorEstimate: most(1), seam: most(2), finite };
  });
}

async function expectReference(given: Trial, options: SweepOptions): Promise<void> {
  const found = summary(given, await sweep(given, options));
  for (const [j, wanted] of expected(given).entries()) {
    // Defects lie a few float32 roundings of the states apart.
    expect(Math.abs(found[j]!.residual - wanted.residual)).toBeLessThan(
      1e-3 * wanted.residual + 4 * unitRoundoff,
    );
    expect(Math.abs(found[j]!.errorEstimate - wanted.errorEstimate)).toBeLessThan(
      2e-3 * wanted.errorEstimate + 4 * unitRoundoff,
    );
    expect(found[j]!.seam).toBe(0);
    expect(found[j]!.finite).toBe(true);
  }
}

const ragged: BatchOptions = { lengths: [11, 4, 7], chunk: 4 };

describe("swept to the end", () => {
  it.each(cells(3).map((cell) => [cell.name, cell] as const))("%s", async (_, cell) => {
    await expectReference(trial(cell, ragged, 1e-3), { sweeps: 4 });
  });

  it.each<GeometryChoice & { readonly maxInvocations?: number }>([
    { groups: 3 },
    { groups: 2, copies: 1 },
    { maxInvocations: 3 },
    { maxInvocations: 3, copies: 1 },
  ])("in a workgroup with %o", async ({ maxInvocations, ...choice }) => {
    for (const name of ["gru-reset-before", "diagonal-lstm"]) {
      const given = trial(cellNamed(name, 5), { ...ragged, reverse: true }, 1e-3);
      await expectReference(given, { sweeps: 4, choice, maxInvocations });
    }
  });

  it.each(["gru-reset-before", "lstm-peephole"])(
    "with one draw of rounding errors where the workgroup memory is short: %s",
    async (name) => {
      const cell = cellNamed(name, 5);
      const shortOf = (maxWorkgroupStorage: number) => {
        const limits = { ...defaultLimits, maxWorkgroupStorage };
        return certificateKernel(compileCell(cell), { limits, chunks: 1 }).geometry.width;
      };
      let maxWorkgroupStorage = 4096;
      while (shortOf(maxWorkgroupStorage) === 4) maxWorkgroupStorage -= 16;
      const options = { sweeps: 4, maxWorkgroupStorage };
      await expectReference(trial(cell, ragged, 1e-3), options);
      const given = trial(cell, { lengths: [40], chunk: 10 }, 0);
      const [found] = summary(given, await sweep(given, { ...options, sweeps: 5 }));
      const [wanted] = expected(given);
      expect(found!.errorEstimate).toBeGreaterThan(wanted!.errorEstimate / 4);
      expect(found!.errorEstimate).toBeLessThan(wanted!.errorEstimate * 2);
    },
  );

  it("in slices, to the same bits", async () => {
    const given = trial(cellNamed("lstm-plain", 5), ragged, 1e-4);
    const slices = [
      [0, 1],
      [1, 3],
      [3, 4],
    ] as const;
    expect(await sweep(given, { sweeps: 2, slices })).toEqual(await sweep(given, { sweeps: 2 }));
  });

  it("with rounding errors alone", async () => {
    const given = trial(cellNamed("gru-reset-after", 5), { lengths: [40], chunk: 10 }, 0);
    const [found] = summary(given, await sweep(given, { sweeps: 5 }));
    const [wanted] = expected(given);
    expect(found!.errorEstimate).toBeGreaterThan(wanted!.errorEstimate / 2);
    expect(found!.errorEstimate).toBeLessThan(wanted!.errorEstimate * 2);
  });
});

describe("on the way", () => {
  it("seams move less and less", async () => {
    const given = trial(cellNamed("gru-reset-after", 5), { lengths: [60], chunk: 12 }, 1e-3);
    const seams = [];
    for (const sweeps of [1, 2, 3])
      seams.push(summary(given, await sweep(given, { sweeps }))[0]!.seam);
    expect(seams[1]).toBeLessThan(seams[0]! / 4);
    expect(seams[2]).toBeLessThan(seams[1]! / 4);
    expect(seams[2]).toBeGreaterThan(0);
  });

  it.each([Number.NaN, Infinity])("a state of %d is told", async (bad) => {
    const given = trial(cellNamed("gru-reset-after", 5), { lengths: [12], chunk: 4 }, 1e-3);
    given.states[5 * given.batch.cell.stateSize + 1] = bad;
    const measures = await sweep(given, { sweeps: 1 });
    expect([...measures.subarray(4, 6), measures[7]]).toEqual([Infinity, Infinity, 0]);
    expect([measures[3], measures[11]]).toEqual([1, 1]);
  });

  it("leaves sequences alone that are not being certified", async () => {
    const given = trial(cellNamed("rnn-tanh", 5), { lengths: [8, 8], chunk: 4 }, 1e-3);
    given.batch.control.setWords({ phase: phases.sweeping }, 1);
    const measures = await sweep(given, { sweeps: 2 });
    expect(measures.subarray(0, 8).every(Number.isFinite)).toBe(true);
    expect(measures.subarray(8).every(Number.isNaN)).toBe(true);
  });
});
