/** A report in words, for those who have not read the documentation yet. */
import type { AdapterDescription, Report } from "antler";
import { counted, milliseconds, scientific, whole } from "../format.ts";
import { BACKEND_NAMES, hasSweeps } from "./settings.ts";
import type { SolveStart, SweepPicture } from "./tasks.ts";

export interface Verdict {
  readonly kind: "good" | "repaired" | "bad";
  readonly title: string;
}

export function verdictOf(report: Report): Verdict {
  const { method, converged, fallback, iterations, threads = 1 } = report;
  if (fallback?.to === "sequential") {
    const title = `Did not converge in ${counted(iterations, "sweep")}, and was finished sequentially`;
    return { kind: "repaired", title };
  }
  if (!converged) return { kind: "bad", title: "Did not converge" };
  if (method === "sequential") return { kind: "good", title: "Evaluated step after step" };
  if (method === "threads") {
    return { kind: "good", title: `Evaluated on ${counted(threads, "thread")}` };
  }
  return { kind: "good", title: `Converged after ${counted(iterations, "sweep")}` };
}

/** @param error largest measured difference from the sequential result, scaled as in the report. */
export function describeReport(
  report: Report,
  error: number,
  tolerance: number,
  { steps, sequentialBackend }: Pick<SolveStart, "steps" | "sequentialBackend">,
): string[] {
  const { method, residual, errorEstimate, fallback, failover, chunk, jacobian } = report;
  const parallel = hasSweeps(method);
  const chunks = Math.ceil(steps / chunk);
  const sentences: string[] = [];
  if (method === "threads") sentences.push(describeThreads(report, chunks));
  if (parallel) {
    sentences.push(
      `${method} with ${jacobian === "none" ? "no" : `the ${jacobian}`} Jacobian cut ${counted(steps, "step")}` +
        ` into ${counted(chunks, "chunk")} of ${counted(chunk, "step")}. Whatever the cell, it would be exact` +
        ` after ${counted(Math.max(0, chunks - 1), "sweep")} at most; it made ${whole(report.iterations)}.`,
    );
  }
  if (fallback) {
    const from = whole(fallback.fromStep);
    sentences.push(
      fallback.to === "sequential"
        ? `Why it was repaired: ${fallback.reason}. The first ${from} steps were exact already; all others were evaluated one after the other, so the result is right all the same.`
        : `Why it stopped: ${fallback.reason}. The first ${from} steps are exact.`,
    );
  }
  sentences.push(
    method !== "sequential" && !fallback
      ? `The residual is ${scientific(residual)}: evaluate the cell once more at every returned state, and the next` +
          ` state is missed by no more than that (relative to 1 + its size). It had to be at most ${scientific(tolerance, 0)}.`
      : "The residual is 0: sequential evaluation solves the recurrence step by step, up to rounding.",
  );
  sentences.push(
    `The error estimate is ${scientific(errorEstimate)}: so far may the states be from the exact ones, small` +
      " defects and rounding carried through time included." +
      ` Measured against the sequential result (${BACKEND_NAMES[sequentialBackend]}) they differ by ${scientific(error)}.`,
  );
  sentences.push(`Why this method: ${report.choice}.`);
  if (failover) sentences.push(`Another backend took over: ${failover}.`);
  sentences.push(whereItRan(report));
  return sentences.map(withOneStop);
}

function describeThreads({ threads = 1, chunk, steps }: Report, chunks: number): string {
  const where = `On ${counted(threads, "thread")}`;
  if (chunks < 2) return `${where} the steps were evaluated one after the other.`;
  return (
    `${where} ${counted(chunks, "chunk")} of ${counted(chunk, "step")} were evaluated side by side, all but the` +
    " first from a guess, and then again from where the chunk before had ended, until they met what was there:" +
    ` ${counted(steps?.rerun ?? 0, "step")} ran again.`
  );
}

function withOneStop(sentence: string): string {
  return sentence.replace(/\.\.$/, ".");
}

function whereItRan({ backend, simd, adapter, milliseconds: time }: Report): string {
  const build = simd ? `, ${simd} SIMD kernels` : "";
  const gpu = adapter ? `, on ${describeAdapter(adapter)}` : "";
  return `It ran on ${BACKEND_NAMES[backend]}${build}${gpu}, in ${milliseconds(time.total)}.`;
}

export function describeAdapter(adapter: AdapterDescription): string {
  const { vendor, architecture, description, software } = adapter;
  const name = description || [vendor, architecture].filter(Boolean).join(" ") || "an unnamed GPU";
  return software ? `${name} (a program that imitates a GPU: its times say nothing)` : name;
}

/** The heat map in a sentence. */
export function describeErrors(pictures: readonly SweepPicture[], steps: number): string {
  const first = pictures[0];
  const last = pictures.at(-1)!;
  const exact = Math.floor((last.exactChunks / last.chunks) * steps);
  return (
    `Error against the sequential result over ${counted(steps, "time step")} and ` +
    `${counted(pictures.length - 1, "sweep")}: the largest is ${scientific(first.largestError)} at first and` +
    ` ${scientific(last.largestError)} in the end, at step ${whole(last.largestAt)};` +
    ` about the first ${counted(exact, "step")} are exact.`
  );
}

/** The residuals in a sentence. */
export function describeResiduals(pictures: readonly SweepPicture[], tolerance: number): string {
  const last = pictures.at(-1)!;
  const below = pictures.find(({ residual }) => residual <= tolerance);
  const reached = below
    ? `it first is within the tolerance of ${scientific(tolerance, 0)} after ${counted(below.sweep, "sweep")}`
    : `it never is within the tolerance of ${scientific(tolerance, 0)}`;
  return (
    `Residual after each sweep: ${scientific(pictures[0].residual)} at first,` +
    ` ${scientific(last.residual)} after ${counted(last.sweep, "sweep")}; ${reached}.`
  );
}
