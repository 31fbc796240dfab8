/** What a visitor hands on: the device, what was checked on it and how fast it was, as data and as text. */
import type { AdapterDescription, BackendStatus } from "antler";
import type { ConformanceReport, ConformanceResult } from "antler/conformance";
import { milliseconds } from "../format.ts";
import type { BenchmarkRow } from "./tasks.ts";

export interface DeviceResult {
  readonly date: string;
  readonly versions: Readonly<Record<string, string | number>>;
  readonly userAgent: string;
  readonly cores: number | null;
  readonly adapter: AdapterDescription | null;
  readonly backends: readonly BackendStatus[];
  readonly conformance: ConformanceReport | null;
  readonly benchmark: readonly BenchmarkRow[];
}

/** The setting of a result: what stands at the head of its column. */
export function settingOf(result: ConformanceResult): string {
  const { method, jacobian, damping, exact, guessed, chunk } = result;
  if (method === "sequential") return "sequential";
  const words = [method, jacobian, damping, exact && "exact", guessed && "from a guess"];
  return [...words, chunk === null ? "own chunk" : `chunk ${chunk}`].filter(Boolean).join(", ");
}

export function countPassed(results: readonly ConformanceResult[]): number {
  return results.filter(({ passed }) => passed).length;
}

/** JSON has no NaN and no infinities: they become texts. */
export function resultAsJson(result: DeviceResult): string {
  const spell = (_: string, value: unknown) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  return JSON.stringify(result, spell, 1);
}

/** @param details the conformance suite's own text. */
export function resultAsText(result: DeviceResult, details: string): string {
  const { date, versions, userAgent, cores, adapter, backends, conformance, benchmark } = result;
  const gpu = adapter
    ? [adapter.vendor, adapter.architecture, adapter.description].filter(Boolean).join(", ") +
      (adapter.software ? " (software)" : "")
    : "none";
  const lines = [
    `Antler ${versions.antler} on this device, ${date}`,
    "",
    `Browser:  ${userAgent}`,
    `Cores:    ${cores ?? "not told"}`,
    `GPU:      ${gpu}`,
    ...backends.map(({ name, available, simd, reason }) => {
      const state = available ? `available${simd ? `, ${simd} SIMD` : ""}` : `missing: ${reason}`;
      return `${`${name}:`.padEnd(10)}${state}`;
    }),
    "",
    conformance ? details.trimEnd() : "The conformance suite has not run.",
    "",
    ...(benchmark.length > 0 ? benchmarkLines(benchmark) : ["The benchmark has not run."]),
  ];
  return `${lines.join("\n")}\n`;
}

function benchmarkLines(rows: readonly BenchmarkRow[]): string[] {
  const cells = rows.map((row) => [
    `GRU ${row.hiddenSize}`,
    String(row.steps),
    row.backend,
    row.method + (row.chunk === null ? "" : `, chunk ${row.chunk}`),
    row.milliseconds === null ? "failed" : milliseconds(row.milliseconds),
    String(row.sweeps),
    row.note,
  ]);
  const head = ["cell", "steps", "backend", "method", "median", "sweeps", ""];
  const widths = head.map((title, i) => Math.max(title.length, ...cells.map((c) => c[i].length)));
  const line = (texts: readonly string[]) =>
    texts
      .map((text, i) => (i === 6 ? text : text.padEnd(widths[i])))
      .join("  ")
      .trimEnd();
  return ["Benchmark", "", line(head), ...cells.map(line)];
}
