/** What `method: "auto"` and `backend: "auto"` mean. */
import type { Backend } from "../backend/backend.ts";
import { blockSize } from "../cell/differentiate.ts";
import type { MethodName } from "../types.ts";
import type { Job } from "../validate.ts";
import { resolveDamping } from "./method.ts";

/** Steps below which a GPU's fixed costs outweigh what it saves. */
const SHORTEST_FOR_GPU = 8192;

/** Whether a GPU may do this job faster than the CPU: the steps are many, and can be run side by side. */
export function suitsGpu({ method, rows }: Job): boolean {
  return method !== "sequential" && rows >= SHORTEST_FOR_GPU;
}

export interface Plan {
  /** The job, with a method's settings filled in. */
  readonly job: Job;
  readonly method: MethodName;
  /** Why, in words. */
  readonly choice: string;
}

/**
 * On one CPU thread every parallel method does at least the sequential work, so "auto" is sequential
 * there: exact, and never slower. On a GPU it is quasi-DEER with chunks of about √T steps, which
 * balances the steps that follow one another within a chunk and across chunks.
 */
export function chooseMethod(backend: Backend, job: Job): Plan {
  if (job.method !== "auto") {
    const { method } = job;
    return { job, method, choice: `method "${method}" was asked for` };
  }
  if (backend.kind === "host") {
    const why = "runs on one CPU thread, where sequential evaluation does the least work";
    return { job, method: "sequential", choice: `backend "${backend.name}" ${why}` };
  }
  const longest = job.sequences.reduce((most, { length }) => Math.max(most, length), 1);
  const balanced = 2 ** Math.round(Math.log2(longest) / 2);
  const chunk = job.chunk > 1 ? job.chunk : Math.min(Math.max(balanced, 16), 1024);
  const method = "quasi-deer";
  const jacobian = blockSize(job.cell) > 1 ? "block" : "diagonal";
  const damping = resolveDamping(undefined, method, jacobian);
  const choice = `on a GPU, ${method} in chunks of ${chunk} steps runs ${Math.ceil(longest / chunk)} chunks side by side`;
  return { job: { ...job, method, jacobian, damping, chunk }, method, choice };
}
