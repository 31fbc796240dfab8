/** The drive's kernel against float64. */
import { describe, expect, it } from "vitest";
import {
  compileCell,
  driveKernel,
  type GeometryChoice,
} from "../../src/backend/webgpu/program/index.ts";
import { cellNamed, cells } from "../support/cells.ts";
import { useDevice } from "../support/gpu-device.ts";
import { Batch, defaultLimits, runKernel } from "../support/gpu-programs.ts";

const device = useDevice();

const driven = cells(2, { inputSize: 6 }).filter((cell) => compileCell(cell).recurrence.drive.size);

const choices: readonly GeometryChoice[] = [{}, { lanes: 2, groups: 1 }, { lanes: 4, groups: 3 }];

async function worstError(name: string, choice: GeometryChoice, maxInvocations = 256) {
  const cell = cellNamed(name, 2, { inputSize: 6 });
  const compiled = compileCell(cell);
  const limits = { ...defaultLimits, maxInvocations };
  const batch = new Batch(cell, { lengths: [21], chunk: 4 });
  const kernel = driveKernel(compiled, { limits, chunks: batch.rows, choice })!;
  const { source } = await runKernel(device(), kernel, kernel.workgroups(batch.rows), {
    problem: batch.problem.words,
    inputs: batch.inputs,
    source: new Float32Array(batch.rows * compiled.sourceSize).fill(Number.NaN),
    weights: compiled.weights.values,
  });
  const expected = batch.source(compiled.recurrence);
  expect(source).toHaveLength(expected.length);
  const errors = expected.map((value, i) => Math.abs(value - source![i]!) / (1 + Math.abs(value)));
  return errors.reduce((worst, error) => Math.max(worst, error), 0);
}

describe("the drive of all rows", () => {
  it.each(driven.map(({ name }) => name))("of %s", async (name) => {
    expect(await worstError(name, {})).toBeLessThan(2e-6);
  });

  it.each(choices)("in a workgroup with %o", async (choice) => {
    expect(await worstError("lstm-plain", choice)).toBeLessThan(2e-6);
  });

  it("with more elements than threads", async () => {
    expect(await worstError("gru-reset-before", { lanes: 2 }, 4)).toBeLessThan(2e-6);
  });

  it("is left out where nothing can be split off", () => {
    const { cell } = compileCell(cellNamed("lorenz96", 2)).recurrence;
    const options = { limits: defaultLimits, chunks: 1 };
    expect(driveKernel(compileCell(cell), options)).toBeNull();
    expect(driveKernel(compileCell(cellNamed("rnn-tanh", 2), true), options)).toBeNull();
  });
});
