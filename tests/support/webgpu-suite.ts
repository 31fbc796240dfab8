/**
 * A suite for every host of WebGPU: a dozen evaluations that between them run every kind of kernel, each
 * held against the float64 oracle of the same host.
 */
import {
  type Cell,
  createRuntime,
  type EvaluateOptions,
  type MethodName,
  type Report,
} from "../../src/index.ts";
import { cells } from "./cells.ts";
import {
  type Agreement,
  agreementOf,
  optionsOf,
  oracleOf,
  webgpuProblem,
} from "./webgpu-agreement.ts";

export interface HostCase extends Agreement {
  /** Cell and options. */
  readonly what: string;
  /** Largest residual that the result may have. */
  readonly tolerance: number;
  readonly report: Report;
}

type Setting = EvaluateOptions & { readonly method: MethodName };
type Case = readonly [cell: string, lengths: readonly number[], setting: Setting, reverse?: true];

const small: readonly Case[] = [
  ["gru-reset-after", [33, 0, 7], { method: "sequential" }],
  ["gru-reset-after", [33, 0, 7], { method: "jacobi", chunk: 16 }, true],
  ["gru-reset-after", [100], { method: "quasi-deer" }],
  ["gru-reset-after", [100], { method: "deer", chunk: 4 }],
  ["lstm-peephole", [64, 31], { method: "quasi-deer", jacobian: "block", chunk: 7 }],
  [
    "lstm-peephole",
    [64],
    { method: "elk", jacobian: "block", damping: { lambda: 1e-2, trustRegion: true }, chunk: 2 },
  ],
  ["autoregressive-gru", [60], { method: "elk", chunk: 3 }, true],
  [
    "custom-two-layers",
    [50],
    { method: "quasi-elk", damping: { lambda: 1e-2, estimate: "smoother" }, chunk: 2 },
  ],
  // Runs out of sweeps, and is repaired.
  ["lorenz96", [40], { method: "picard", maxIterations: 3, chunk: 5 }],
];

export default async function webgpuSuite(gpu: GPU): Promise<HostCase[]> {
  const runtime = await createRuntime({ backend: "webgpu", gpu });
  const known = new Map<string, Cell>(cells(5).map((cell) => [cell.name, cell]));
  const results: HostCase[] = [];
  for (const [name, lengths, setting, reverse = false] of small) {
    const problem = webgpuProblem(known.get(name)!, lengths, { seed: 3, reverse });
    const tolerance = 1e-6;
    const options = { maxIterations: 24, ...optionsOf(problem), ...setting, tolerance };
    const oracle = await oracleOf(runtime, problem);
    const inputs = problem.inputs as Float32Array;
    const result = await runtime.evaluate(problem.cell, inputs, { ...options, backend: "webgpu" });
    const { report } = result;
    const what = `${name} ${lengths} ${JSON.stringify(setting)}${reverse ? " in reverse" : ""}`;
    results.push({ what, tolerance, report, ...agreementOf(problem, result, oracle) });
  }
  runtime.dispose();
  return results;
}
