/** Random cells over the whole vocabulary have the same states on the oracle, on wasm and on WebGPU. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { BackendName, EvaluateOptions } from "../../src/index.ts";
import { cellOfPlan, programPlans } from "../support/programs.ts";
import { mulberry32, uniform } from "../support/random.ts";
import { agreementOf, oracleOf } from "../support/webgpu-agreement.ts";
import { useWebgpuRuntime } from "../support/webgpu-runtime.ts";

const runtime = useWebgpuRuntime();

const methods: readonly EvaluateOptions[] = [
  { method: "sequential" },
  { method: "quasi-deer", chunk: 3 },
  { method: "deer", chunk: 2 },
];

test("random cells", async () => {
  const run = fc.asyncProperty(
    programPlans(),
    fc.integer({ min: 1, max: 12 }),
    fc.boolean(),
    async (plan, length, reverse) => {
      const cell = cellOfPlan(plan);
      // Within [-1, 1], where these cells are smooth; in few enough steps that none gets far.
      const random = mulberry32(plan.seed);
      const inputs = cell.inputSize > 0 ? uniform(random, length * cell.inputSize) : length;
      const initialState = uniform(random, cell.stateSize);
      const problem = { cell, inputs, lengths: [length], initialState, reverse };
      const oracle = await oracleOf(runtime(), problem);
      const error = async (backend: BackendName, options: EvaluateOptions) => {
        const given = { ...options, backend, initialState, reverse, maxIterations: 8 };
        const result = await runtime().evaluate(cell, inputs as Float32Array, given);
        return { ...agreementOf(problem, result, oracle), report: result.report };
      };
      // What rounding does to a cell that may amplify: as much as it does on wasm, and then some.
      const floor = (await error("wasm", { method: "sequential" })).error;
      for (const options of methods) {
        for (const backend of ["wasm", "webgpu"] as const) {
          const { report, ...agreement } = await error(backend, options);
          const what = `${JSON.stringify(options)} ${JSON.stringify(report)}`;
          const allowed = 20 * floor + 10 * Math.max(report.errorEstimate, 2 ** -20);
          expect(agreement.error, what).toBeLessThanOrEqual(allowed);
          expect(agreement.finalError, what).toBeLessThanOrEqual(allowed);
          expect(report.residual, what).toBeLessThanOrEqual(1e-5);
          expect(agreement.residual, what).toBeLessThanOrEqual(1e-5 + 100 * 2 ** -24);
          expect(report.converged, what).toBe(true);
        }
      }
    },
  );
  await fc.assert(run, { numRuns: 15, seed: 5 });
});
