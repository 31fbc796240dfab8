/** One evaluation on one backend, from a checked job to states and a report. */
import type { Backend } from "../backend/backend.ts";
import type { DeviceArray, Evaluation, FloatArray, Report } from "../types.ts";
import type { Plan } from "./choice.ts";
import { solveOnDevice } from "./device.ts";
import { longest, solveOnHost } from "./host.ts";
import { Pacer } from "./pacing.ts";

export async function solve(
  backend: Backend,
  { job, method, choice }: Plan,
): Promise<Evaluation<FloatArray | DeviceArray>> {
  const started = performance.now();
  const pacer = new Pacer(job.signal);
  const solved =
    backend.kind === "device"
      ? await solveOnDevice(backend, job, method, pacer)
      : { ...(await solveOnHost(backend, job, method, pacer)), facts: {}, prepare: 0 };
  const { states, finalStates, outcome, facts, prepare } = solved;
  const total = performance.now() - started;
  const most = longest(job.sequences);
  const sequential = method === "sequential";
  const report: Report = {
    backend: backend.name,
    ...(backend.simd && { simd: backend.simd }),
    method,
    jacobian: sequential ? null : job.jacobian,
    chunk: sequential ? most : Math.min(job.chunk, Math.max(most, 1)),
    iterations: outcome.iterations,
    residual: outcome.residual,
    errorEstimate: outcome.errorEstimate,
    converged: outcome.converged,
    ...(outcome.fallback && { fallback: outcome.fallback }),
    choice,
    milliseconds: { total, prepare, solve: total - prepare },
    ...facts,
  };
  return { states, finalStates, report };
}
