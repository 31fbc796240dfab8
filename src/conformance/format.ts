/** A report as plain text: a table, what failed, and what to make of it. */
import type { BackendName } from "../types.ts";
import { countOf, describeAdapter, verdictOf } from "./advice.ts";
import type { ConformanceReport, ConformanceResult } from "./types.ts";

/** Different failures that are written out for one backend; the table marks the others. */
const FAILURES_SHOWN = 20;

/**
 * The report as a plain-text table, one row for each cell and method of a backend, and a verdict in
 * words with what to do. Lines are at most 100 columns wide, save those that quote an error.
 */
export function formatConformance(report: ConformanceReport): string {
  const { version, results, adapter, unavailable } = report;
  const backends = [...new Set(results.map(({ backend }) => backend))];
  const blocks = [
    [
      `Antler conformance, golden vectors version ${version}`,
      ...(adapter ? [`GPU: ${describeAdapter(adapter)}`] : []),
    ],
    ...backends.map((backend) => tableOf(backend, report)),
    ...backends.map((backend) => failuresOf(results.filter((one) => one.backend === backend))),
    unavailable.map(({ backend, reason }) => `${backend} was not checked: ${reason}`),
    verdictOf(report),
  ];
  const filled = blocks.filter((lines) => lines.length > 0);
  return `${filled.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

const columns = ["cell", "method", "error / allowed", "residual", "sweeps", "ms", "verdict"];
/** Numbers are set to the right. */
const setRight = [false, false, true, true, false, true, false];

function tableOf(backend: BackendName, report: ConformanceReport): string[] {
  const results = report.results.filter((one) => one.backend === backend);
  const rows = groups(results).map(rowOf);
  const widths = columns.map((name, i) =>
    Math.max(name.length, ...rows.map((row) => row[i]!.length)),
  );
  const line = (row: readonly string[]) =>
    row
      .map((text, i) => (setRight[i] ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd();
  const passed = results.filter((one) => one.passed).length;
  const seconds = results.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / 1000;
  const count = `${passed} of ${results.length} evaluations passed`;
  const short = report.shortened?.find((one) => one.backend === backend);
  return [
    `${backend}: ${count}, ${seconds.toFixed(1)} s`,
    ...(short ? [`(${short.ran} of the suite's ${short.total}: ${short.reason})`] : []),
    "",
    line(columns),
    ...rows.map(line),
  ];
}

/** The results of each cell and method. */
function groups(results: readonly ConformanceResult[]): ConformanceResult[][] {
  const byName = new Map<string, ConformanceResult[]>();
  for (const result of results) {
    const name = `${result.cell} ${result.method}`;
    byName.set(name, [...(byName.get(name) ?? []), result]);
  }
  return [...byName.values()];
}

/** The worst of its evaluations; the sweeps and, together, the time of all. */
function rowOf(group: readonly ConformanceResult[]): string[] {
  const share = ({ largestError, allowedError }: ConformanceResult) => largestError / allowedError;
  const worst = group.reduce((a, b) => (share(b) > share(a) ? b : a));
  // Math.max keeps NaN.
  const residual = Math.max(...group.map((one) => one.residual));
  const sweeps = group.map(({ iterations }) => (Number.isFinite(iterations) ? iterations : "–"));
  const milliseconds = group.reduce((sum, one) => sum + one.milliseconds, 0);
  const failed = group.filter((one) => !one.passed).length;
  const repaired = group.some((one) => one.fallback !== undefined);
  const verdict =
    failed > 0 ? `FAILED ${failed} of ${group.length}` : repaired ? "ok, repaired" : "ok";
  return [
    worst.cell,
    worst.method,
    `${short(worst.largestError)} / ${short(worst.allowedError)}`,
    short(residual),
    sweeps.join(", "),
    milliseconds.toFixed(1),
    verdict,
  ];
}

function short(value: number): string {
  if (value === 0) return "0";
  return Number.isFinite(value) ? value.toExponential(1) : "–";
}

function failuresOf(results: readonly ConformanceResult[]): string[] {
  const failed = results.filter((one) => !one.passed);
  if (failed.length === 0) return [];
  // A backend that is broken altogether says the same each time.
  const byText = new Map<string, ConformanceResult[]>();
  for (const result of failed) {
    const text = result.failures.map((failure) => `    ${failure}`).join("\n");
    byText.set(text, [...(byText.get(text) ?? []), result]);
  }
  const lines = [...byText].slice(0, FAILURES_SHOWN).flatMap(([text, [first, ...others]]) => {
    const alike = others.length > 0 ? `, and ${countOf(others.length, "other evaluation")}` : "";
    return [`  ${settingOf(first!)}${alike}:`, text];
  });
  const more = byText.size - FAILURES_SHOWN;
  return [
    `Failures on ${failed[0]!.backend}:`,
    ...lines,
    ...(more > 0 ? [`  and ${countOf(more, "other failure")}, marked in the table`] : []),
  ];
}

/** Which evaluation it was. */
function settingOf(result: ConformanceResult): string {
  const { cell, method, jacobian, damping, exact, guessed, chunk } = result;
  const how = [
    ...[jacobian && `Jacobian ${jacobian}`, damping, exact && "exact", guessed && "from a guess"],
    chunk === null ? "C by default" : `C = ${chunk}`,
  ].filter(Boolean);
  return `${cell}, ${method} (${how.join(", ")})`;
}
