/** Where the drive of all steps does not fit, the steps compute it themselves: same states, less memory. */
import { expect, test } from "vitest";
import { createRuntime } from "../../src/index.ts";
import { largestError } from "../support/agreement.ts";
import { cellNamed } from "../support/cells.ts";
import { mulberry32, normal, uniform } from "../support/random.ts";

const length = 6000;
const megabyte = 2 ** 20;

test.each(["gru-reset-after", "gru-reset-before", "lstm-plain", "custom-three-layers"])(
  "%s in 6 MiB agrees with the same run in plenty",
  async (name) => {
    const cell = cellNamed(name, 8, { hiddenSize: 24 });
    const inputs = normal(mulberry32(1), length * cell.inputSize);
    const initialState = uniform(mulberry32(2), cell.stateSize);
    const plenty = await createRuntime({ backend: "wasm", reproducible: true });
    const little = await createRuntime({
      backend: "wasm",
      reproducible: true,
      memoryLimit: 6 * megabyte,
    });
    for (const reverse of [false, true]) {
      for (const options of [
        { method: "quasi-deer", chunk: 32 },
        { method: "jacobi", chunk: 500 },
        { method: "deer", chunk: 64 },
      ] as const) {
        const common = { ...options, reverse, initialState, tolerance: 1e-6 };
        const expected = await plenty.evaluate(cell, inputs, common);
        const { states, report } = await little.evaluate(cell, inputs, common);
        expect(largestError(states, expected.states, cell.stateSize)).toBeLessThan(1e-5);
        expect(report).toMatchObject({ converged: true });
        expect(Math.abs(report.iterations - expected.report.iterations)).toBeLessThanOrEqual(1);
      }
    }
    plenty.dispose();
    little.dispose();
  },
);
