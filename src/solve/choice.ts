/** What `method: "auto"` and `backend: "auto"` mean. */
import type { Backend } from "../backend/backend.ts";
import { blockSize } from "../cell/differentiate.ts";
import type { JacobianKind, MethodName } from "../types.ts";
import type { Job } from "../validate.ts";
import { resolveDamping, type SweepMethod } from "./method.ts";

/** Steps below which a GPU's fixed costs outweigh what it saves. */
const SHORTEST_FOR_GPU = 8192;

/** Whether a GPU may do this job faster than the CPU: the steps are many, and can be run side by side. */
export function suitsGpu({ method, rows }: Job): boolean {
  return method !== "sequential" && method !== "threads" && rows >= SHORTEST_FOR_GPU;
}

/** Nanoseconds of sequential evaluation on the CPU for which no machine needs to be looked at. */
const SMALL = 2e6;

/** What a job takes on one CPU thread, by its multiply–adds and the rest of a step: within a factor of two or so. */
export function estimatedNanoseconds({ cell, sequences }: Pick<Job, "cell" | "sequences">): number {
  const { inputSize, stateSize } = cell;
  const steps = sequences.reduce((sum, { length }) => sum + length, 0);
  return steps * (60 + 10 * stateSize + (stateSize * (stateSize + inputSize)) / 4);
}

/** Whether sequential evaluation ends sooner than a closer look at the job could pay. */
export function isSmall(job: Job): boolean {
  return estimatedNanoseconds(job) < SMALL;
}

export interface Plan {
  /** The job, with a method's settings filled in. */
  readonly job: Job;
  readonly method: MethodName;
  /** Why, in words. */
  readonly choice: string;
}

/** A plan for `method`, whose damping is what it implies. */
export function resolvePlan(
  job: Job,
  method: MethodName,
  jacobian: JacobianKind | null,
  choice: string,
): Plan {
  const damping = jacobian && resolveDamping(undefined, method as SweepMethod, jacobian);
  return { job: { ...job, method, jacobian, damping }, method, choice };
}

/**
 * What `auto` means without a closer look (src/auto): sequential on the CPU, which is exact. On a GPU it is
 * quasi-DEER with chunks of about √T steps, which balances the steps that follow one another within a
 * chunk and across chunks.
 */
export function chooseMethod(backend: Backend, job: Job): Plan {
  if (job.method !== "auto") {
    const { method } = job;
    return { job, method, choice: `method "${method}" was asked for` };
  }
  if (backend.kind === "host") {
    const small = isSmall(job) ? "a small job for " : "";
    const choice = `${small}backend "${backend.name}": sequential does the least work`;
    return { job, method: "sequential", choice };
  }
  const longest = job.sequences.reduce((most, { length }) => Math.max(most, length), 1);
  const balanced = 2 ** Math.round(Math.log2(longest) / 2);
  const chunk = job.chunk > 1 ? job.chunk : Math.min(Math.max(balanced, 16), 1024);
  const method = "quasi-deer";
  const jacobian = blockSize(job.cell) > 1 ? "block" : "diagonal";
  const choice = `on a GPU, ${method} in chunks of ${chunk} steps runs ${Math.ceil(longest / chunk)} chunks side by side`;
  return resolvePlan({ ...job, chunk }, method, jacobian, choice);
}
