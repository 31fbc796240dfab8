/** Numbers and reports in words. */
import type { Report } from "../types.ts";

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];

/** 16384 → "16 KiB". */
export function inBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  const digits = Number.isInteger(value) || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** 123456 → "123,456". */
export function count(value: number): string {
  return value.toLocaleString("en");
}

/** "1 step", "2 steps". */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Two digits: 3.1e-7. */
export function scientific(value: number): string {
  return value === 0 || !Number.isFinite(value) ? String(value) : value.toExponential(1);
}

/** Three digits or so: 0.123, 1.23, 12.3, 123, 12,345. */
export function milliseconds(value: number): string {
  if (value >= 100) return count(Math.round(value));
  const digits = value >= 10 ? 1 : value >= 1 ? 2 : 3;
  return value.toFixed(digits);
}

const LINE = 100;

/** Text in lines of a readable length, the first and the others indented. */
export function wrapped(text: string, first = "", others = first): string {
  const lines: string[] = [];
  let line = first;
  let isEmpty = true;
  for (const word of text.split(" ")) {
    if (!isEmpty && line.length + 1 + word.length > LINE) {
      lines.push(line);
      line = others;
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line].join("\n");
}

/** A left column as wide as its widest entry, and what belongs to it; with `wrap`, in lines of a readable length. */
export function columns(
  rows: readonly (readonly [string, string])[],
  { indent = "", wrap = false } = {},
): string {
  const width = Math.max(0, ...rows.map(([label]) => label.length));
  const below = " ".repeat(indent.length + width + 2);
  const lines = rows.map(([label, text]) => `${indent}${label.padEnd(width)}  ${text}`);
  return lines.map((line) => `${wrap ? wrapped(line, "", below) : line}\n`).join("");
}

/** What ran and how well: rows for `columns`. */
export function reportRows(report: Report, tolerance: number): [string, string][] {
  const rows: [string, string][] = [["method", methodOf(report)]];
  rows.push(["why", report.choice], ["backend", backendOf(report)]);
  const threads = threadsInWords(report);
  if (threads !== null) rows.push(["threads", threads]);
  rows.push(["result", resultOf(report, tolerance)]);
  const { fallback, failover } = report;
  if (fallback) rows.push(["fallback", fallbackOf(fallback)]);
  if (failover) rows.push(["failover", failover]);
  const { total, prepare, solve } = report.milliseconds;
  const parts = ` (${milliseconds(prepare)} of preparation, ${milliseconds(solve)} of work)`;
  rows.push(["time", `${milliseconds(total)} ms${prepare > 0 ? parts : ""}`]);
  return rows;
}

/** "2 threads; 4,160 steps evaluated, 64 of them again"; null if there is nothing to tell. */
export function threadsInWords({ threads = 1, steps }: Pick<Report, "threads" | "steps">) {
  const number = counted(threads, "thread");
  if (!steps) return threads > 1 ? number : null;
  return `${number}; ${counted(steps.run, "step")} evaluated, ${count(steps.rerun)} of them again`;
}

function methodOf({ method, jacobian, chunk }: Report): string {
  if (method === "sequential") return "sequential, one step after the other";
  if (method === "threads") return `threads, ${counted(chunk, "step")} a chunk`;
  return `${method} with Jacobian "${jacobian ?? "none"}", ${counted(chunk, "step")} a chunk`;
}

function backendOf({ backend, simd, adapter, windows }: Report): string {
  if (backend === "reference") return "reference, float64";
  if (backend === "wasm") return `wasm, float32, ${simd} SIMD`;
  const { vendor = "", architecture = "", description = "", software = false } = adapter ?? {};
  const name = description || `${vendor} ${architecture}`.trim() || "unknown adapter";
  const where = software ? `${name} (software: a GPU imitated on the CPU)` : name;
  return `webgpu, float32, ${where}${windows ? `, in ${counted(windows, "window")}` : ""}`;
}

function resultOf(report: Report, tolerance: number): string {
  const { converged, iterations, method, residual, errorEstimate } = report;
  const isSwept = method !== "sequential" && method !== "threads";
  const sweeps = isSwept ? ` after ${counted(iterations, "sweep")}` : "";
  const verdict = converged ? "within the tolerance" : "NOT within the tolerance";
  return (
    `${verdict}${sweeps}: residual ${scientific(residual)} of ${scientific(tolerance)} allowed,` +
    ` error estimated at ${scientific(errorEstimate)}`
  );
}

function fallbackOf({ to, reason, fromStep, sequence }: NonNullable<Report["fallback"]>): string {
  const where = `from step ${count(fromStep)} of sequence ${count(sequence)} on`;
  const what = to === "sequential" ? `evaluated sequentially ${where}` : `left as it is ${where}`;
  return `${what}, because ${reason}`;
}
