/** Plain-text tables: what was found, and how the methods compare. */
import type { MethodResult } from "./methods.ts";
import type { Prompt } from "./prompts.ts";
import { overlap, type Segment } from "./segments.ts";

type Align = "left" | "right";

/** Columns as wide as their widest entry, two spaces apart, under a header and a rule. */
export function renderTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  align: readonly Align[],
): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column].length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) =>
        align[column] === "left" ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
      )
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "─".repeat(width));
  return [header, rule, ...rows].map(line).join("\n");
}

/** The segments that were found, each beside the prompt that it lies in. */
export function renderSegments(segments: readonly Segment[], prompts: readonly Prompt[]): string {
  const header = ["#", "start", "end", "seconds"];
  const align: Align[] = ["right", "right", "right", "right"];
  if (prompts.length > 0) {
    header.push("within", "placed prompt");
    align.push("right", "left");
  }
  const rows = segments.map((segment, index) => {
    const row = [`${index + 1}`, seconds(segment.start), seconds(segment.end), lengthOf(segment)];
    if (prompts.length > 0) {
      const inside = prompts.filter((prompt) => overlap(segment, prompt) > 0);
      const shared = inside.reduce((sum, prompt) => sum + overlap(segment, prompt), 0);
      const share = Math.round((100 * shared) / (segment.end - segment.start));
      row.push(`${share} %`, inside.map((prompt) => prompt.name).join(", ") || "(none)");
    }
    return row;
  });
  return renderTable(header, rows, align);
}

/** The prompts as they were placed, each beside the first and last sound that was found in it. */
export function renderPrompts(segments: readonly Segment[], prompts: readonly Prompt[]): string {
  const rows = prompts.map((prompt) => {
    const inside = segments.filter((segment) => overlap(segment, prompt) > 0);
    const found = inside.reduce((sum, segment) => sum + overlap(segment, prompt), 0);
    const share = Math.round((100 * found) / (prompt.end - prompt.start));
    return [
      prompt.name,
      seconds(prompt.start),
      inside.length > 0 ? seconds(inside[0].start) : "missed",
      seconds(prompt.end),
      inside.length > 0 ? seconds(inside[inside.length - 1].end) : "missed",
      `${inside.length}`,
      `${share} %`,
    ];
  });
  return renderTable(
    ["prompt", "placed from", "found from", "placed to", "found to", "segments", "covered"],
    rows,
    ["left", "right", "right", "right", "right", "right", "right"],
  );
}

/**
 * One row a method, the oracle first. Beside its sweeps stands the largest number that it can need: every
 * sweep makes one more chunk exact, so a method that needs them all has gained nothing.
 */
export function renderMethods(
  results: readonly MethodResult[],
  oracle: MethodResult,
  recordingSeconds: number,
): string {
  const footnotes: string[] = [];
  const noteOn = (result: MethodResult): string => {
    const problem = problemOf(result);
    if (!problem) return "";
    footnotes.push(`[${footnotes.length + 1}] ${problem[0]}: ${problem[1]}`);
    return `${problem[0]} [${footnotes.length}]`;
  };
  const rows = results.map((result) => {
    const { report, milliseconds } = result;
    const sequential = report.method === "sequential";
    const windows = result.probabilities.length;
    const speed = (1000 * recordingSeconds) / milliseconds;
    const isOracle = result === oracle;
    return [
      report.adapter?.software ? `${report.backend} (software)` : report.backend,
      report.method,
      report.jacobian ?? "–",
      sequential ? "–" : `${report.chunk}`,
      sequential ? "–" : `${report.iterations} / ${Math.ceil(windows / report.chunk) - 1}`,
      scientific(report.residual),
      milliseconds < 100 ? milliseconds.toFixed(1) : milliseconds.toFixed(0),
      `${speed < 10 ? speed.toFixed(1) : Math.round(speed).toLocaleString("en")} ×`,
      isOracle ? "–" : scientific(largestDifference(result.probabilities, oracle.probabilities)),
      isOracle ? "the oracle, float64" : noteOn(result),
    ];
  });
  const table = renderTable(
    [
      "backend",
      "method",
      "jacobian",
      "chunk",
      "sweeps / most",
      "residual",
      "ms",
      "real time",
      "max |Δp|",
      "note",
    ],
    rows,
    ["left", "left", "left", "right", "right", "right", "right", "right", "right", "left"],
  );
  const explanation =
    "Every sweep makes one more chunk exact, so the second number of sweeps suffices.";
  return [table, "", explanation, ...footnotes].join("\n");
}

/** The largest difference between two curves of the same length; NaN when either holds one. */
export function largestDifference(a: Float64Array, b: Float64Array): number {
  return a.reduce((largest, value, index) => Math.max(largest, Math.abs(value - b[index])), 0);
}

/** What a reader must know of a run: that it was repaired, or that it did not converge. */
function problemOf({ report: { fallback, converged } }: MethodResult): [string, string] | null {
  if (fallback?.to === "sequential") {
    return ["repaired", `sequential from step ${fallback.fromStep}: ${fallback.reason}`];
  }
  if (fallback) return ["not repaired", fallback.reason];
  return converged ? null : ["not converged", "the residual or the error estimate is too large"];
}

function seconds(value: number): string {
  return value.toFixed(3);
}

function lengthOf({ start, end }: Segment): string {
  return (end - start).toFixed(2);
}

function scientific(value: number): string {
  return value === 0 ? "0" : value.toExponential(1);
}
