/** One evaluation on one backend, from a checked job to states and a report. */
import type { Backend } from "../backend/backend.ts";
import type { DeviceArray, Evaluation, FloatArray, Report } from "../types.ts";
import type { Plan } from "./choice.ts";
import { longest, solveOnHost } from "./host.ts";
import { methods } from "./method.ts";
import type { Pacer } from "./pacing.ts";

export async function solve(
  backend: Backend,
  { job, method, choice }: Plan,
  pacer: Pacer,
): Promise<Evaluation<FloatArray | DeviceArray>> {
  const { started } = pacer;
  const planned = performance.now() - started;
  const solved =
    backend.kind === "device"
      ? await backend.solve(job, method, pacer)
      : { ...(await solveOnHost(backend, job, method, pacer)), prepare: 0 };
  const { states, finalStates, outcome, facts } = solved;
  const prepare = planned + solved.prepare;
  const { fewer } = outcome;
  const total = performance.now() - started;
  const most = longest(job.sequences);
  const inSweeps = method in methods;
  const report: Report = {
    backend: backend.name,
    ...(backend.simd && { simd: backend.simd }),
    method,
    jacobian: inSweeps ? job.jacobian : null,
    chunk: inSweeps ? Math.min(job.chunk, Math.max(most, 1)) : most,
    iterations: outcome.iterations,
    residual: outcome.residual,
    errorEstimate: outcome.errorEstimate,
    converged: outcome.converged,
    ...(outcome.fallback && { fallback: outcome.fallback }),
    milliseconds: { total, prepare, solve: total - prepare },
    ...facts,
    choice: fewer ? `${choice}; ${fewer}` : choice,
  };
  return { states, finalStates, report };
}
