/** What `method: "auto"` means. */
import type { Backend } from "../backend/backend.ts";
import type { Job } from "../validate.ts";
import type { Plan } from "./solve.ts";

/**
 * On one CPU thread every parallel method does at least the sequential work, so "auto" is sequential
 * there: exact, and never slower.
 */
export function chooseMethod(backend: Backend, job: Job): Plan {
  if (job.method !== "auto") {
    return { method: job.method, choice: `method "${job.method}" was asked for` };
  }
  return {
    method: "sequential",
    choice: `backend "${backend.name}" runs on one CPU thread, where sequential evaluation does the least work`,
  };
}
