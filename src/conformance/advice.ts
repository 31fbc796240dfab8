/** What a report comes to, in words, and what to do about it. */
import type { AdapterDescription, BackendName } from "../types.ts";
import { type ConformanceReport, type ConformanceResult, DEVICE_LOST } from "./types.ts";

/** "3 results", "1 result". */
export function countOf(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}

/** The GPU in one line. */
export function describeAdapter(adapter: AdapterDescription): string {
  const { vendor, architecture, description, software } = adapter;
  const words = [vendor, architecture, description].filter((word) => word !== "").join(", ");
  return `${words || "unnamed"}${software ? " (imitated by a program)" : ""}`;
}

/** The last lines of a formatted report. */
export function verdictOf(report: ConformanceReport): string[] {
  const { results, passed } = report;
  if (results.length === 0) return ["Verdict: not passed. No backend could be checked."];
  const backends = [...new Set(results.map(({ backend }) => backend))];
  const failing = backends.filter((backend) =>
    results.some((one) => one.backend === backend && !one.passed),
  );
  const right = backends.filter((backend) => !failing.includes(backend));
  const lines: string[] = [];
  if (failing.length > 0) {
    const others = right.length > 0 ? `; ${list(right)} passed` : "";
    lines.push(`Verdict: FAILED on ${list(failing)}${others}.`);
    for (const backend of failing) lines.push(...adviceFor(backend, report, right));
  } else if (!passed) {
    lines.push(
      `Verdict: not passed. All that ran, on ${list(backends)}, is right, but a backend that was`,
      "asked for could not be checked.",
    );
  } else {
    const ran = countOf(results.length, "evaluation");
    lines.push(
      `Verdict: passed. ${ran} on ${list(backends)}: states are right, and reports are true.`,
    );
  }
  return [...lines, ...repairsOf(results)];
}

function repairsOf(results: readonly ConformanceResult[]): string[] {
  const [first, ...others] = results.filter((one) => one.passed && one.fallback !== undefined);
  if (!first) return [];
  const count = countOf(1 + others.length, "evaluation");
  return [
    `${count} did not converge here, though elsewhere they do, and came right by sequential repair,`,
    "as their reports tell. Parallel methods may be slow on this machine. The first of them:",
    `  ${first.backend}, ${first.cell}, ${first.method}: ${first.fallback}`,
  ];
}

function adviceFor(
  backend: BackendName,
  { results, adapter }: ConformanceReport,
  right: readonly BackendName[],
): string[] {
  const other = right.find((name) => name !== "reference") ?? right[0];
  const instead = other
    ? `Until then use createRuntime({ backend: "${other}" }), which passed here.`
    : "Until then do not rely on results of this machine.";
  if (backend === "webgpu") {
    const lost = results.filter((one) => one.failures.some((text) => text.startsWith(DEVICE_LOST)));
    const times = countOf(lost.length, "evaluation");
    const reasons =
      lost.length > 0
        ? [
            `webgpu: the GPU's device was lost in ${times}: its driver crashed or was updated, the`,
            "computer slept, or memory ran out. Close other programs that use the GPU.",
          ]
        : ["webgpu: most likely a fault of the GPU's driver or of the browser's WebGPU."];
    return [
      ...reasons,
      "Update the graphics driver and the browser (or the package webgpu), and run this again. If it",
      "still fails, report it to Antler's maintainers: this output, and the browser's version.",
      ...(adapter ? [`The GPU is ${describeAdapter(adapter)}.`] : []),
      instead,
    ];
  }
  if (backend === "wasm") {
    return [
      "wasm: the WebAssembly kernels do not compute what they should. Update the browser or runtime,",
      "and try createRuntime({ reproducible: true }), which does without relaxed SIMD. If it still",
      "fails, report it to Antler's maintainers: this output, and the engine's version.",
      instead,
    ];
  }
  return [
    "reference: plain JavaScript does not compute what it should, so that no verdict on this machine",
    "can be relied on. Reinstall the package, and update the browser or runtime. If it still fails,",
    "report it to Antler's maintainers: this output, and the engine's version.",
  ];
}

function list(names: readonly string[]): string {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
