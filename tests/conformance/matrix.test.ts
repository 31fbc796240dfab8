/**
 * Every cell × method × Jacobian × chunk × length on the WebAssembly backend against the float64
 * oracle. The random cells contract, so all must agree; where a method has no business converging
 * (Picard on a contracting cell, say) the repair must have done it, and be told.
 */
import { describe, expect, test } from "vitest";
import {
  type Cell,
  createRuntime,
  type EvaluateOptions,
  type JacobianKind,
  type MethodName,
} from "../../src/index.ts";
import { largestError } from "../support/agreement.ts";
import { cells } from "../support/cells.ts";
import { mulberry32, normal, uniform } from "../support/random.ts";

const lengths = [0, 1, 2, 63, 1000];
const chunks = [1, 7, 64];
const jacobians: readonly JacobianKind[] = ["none", "identity", "diagonal", "block", "dense"];
/** The residual that a result must reach; the error against the oracle may be a little larger. */
const tolerance = 1e-6;
const largestDifference = 2e-5;

/** The methods by name, then what the names do not cover. */
const settings: readonly (EvaluateOptions & { method: MethodName })[] = [
  ...(["jacobi", "picard", "quasi-deer", "deer", "quasi-elk", "elk"] as const).map((method) => ({
    method,
  })),
  { method: "quasi-deer", jacobian: "block" },
  { method: "quasi-deer", damping: { clip: true } },
  { method: "quasi-deer", damping: { scale: 0.1 } },
  ...(["filter", "smoother"] as const).flatMap((estimate) =>
    jacobians.map(
      (jacobian) => ({ method: "elk", jacobian, damping: { lambda: 1e-2, estimate } }) as const,
    ),
  ),
  { method: "elk", damping: { lambda: 1e-2, trustRegion: true } },
];

const runtime = await createRuntime({ backend: "wasm", reproducible: true });

function problem(cell: Cell, length: number) {
  const random = mulberry32(length + 1);
  const inputs = cell.inputSize > 0 ? normal(random, length * cell.inputSize) : length;
  return { inputs, initialState: uniform(random, cell.stateSize, -0.9, 0.9) };
}

/** Newton's method must converge on a contracting cell without repair, at any chunk. */
function mustConverge({ method, jacobian, damping }: EvaluateOptions): boolean {
  return jacobian === undefined && damping === undefined && (method === "deer" || method === "elk");
}

describe.each(cells(3))("$name", (cell) => {
  for (const length of lengths) {
    const { inputs, initialState } = problem(cell, length);

    test(`T = ${length}: sequential and every method agree with the oracle`, async () => {
      const common = { initialState };
      const oracle = await runtime.evaluate(cell, inputs, { ...common, backend: "reference" });
      const sequential = await runtime.evaluate(cell, inputs, common);
      expect(largestError(sequential.states, oracle.states, cell.stateSize)).toBeLessThan(1e-5);
      expect(sequential.states.length).toBe(length * cell.stateSize);

      for (const setting of settings) {
        for (const chunk of chunks) {
          const options = { ...common, ...setting, chunk, tolerance };
          const { states, finalStates, report } = await runtime.evaluate(cell, inputs, options);
          const what = `${JSON.stringify({ ...setting, chunk })}: ${JSON.stringify(report)}`;
          const error = largestError(states, oracle.states, cell.stateSize);
          expect(error, what).toBeLessThanOrEqual(largestDifference);
          const finalError = largestError(finalStates, oracle.finalStates, cell.stateSize);
          expect(finalError, what).toBeLessThanOrEqual(largestDifference);
          expect(report.residual, what).toBeLessThanOrEqual(tolerance);
          expect(report.converged, what).toBe(true);
          if (mustConverge(setting)) expect(report.fallback, what).toBeUndefined();
        }
      }
    });
  }
});
