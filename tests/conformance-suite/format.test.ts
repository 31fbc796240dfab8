/** The report as text. */
import { describe, expect, it } from "vitest";
import {
  type ConformanceReport,
  type ConformanceResult,
  formatConformance,
} from "../../src/conformance/index.ts";

const result: ConformanceResult = {
  backend: "wasm",
  cell: "gru-reset-after",
  method: "deer",
  jacobian: "dense",
  chunk: 7,
  passed: true,
  failures: [],
  largestError: 1.3e-7,
  allowedError: 1.3e-5,
  residual: 3.5e-8,
  iterations: 3,
  milliseconds: 1.25,
};

const adapter = {
  vendor: "acme",
  architecture: "gen-1",
  description: "Acme Fast 9000",
  software: false,
};

function reportOf(results: readonly ConformanceResult[], more: Partial<ConformanceReport> = {}) {
  const passed = results.length > 0 && results.every((one) => one.passed);
  const report = { version: 1, passed, results, unavailable: [], milliseconds: 12, ...more };
  return formatConformance(report);
}

const failed = (changes: Partial<ConformanceResult>, failure = "states are far away") => ({
  ...result,
  passed: false,
  failures: [failure],
  ...changes,
});

describe("the table", () => {
  it("has a row for each cell and method of a backend, with the worst of its evaluations", () => {
    const text = reportOf([
      { ...result, method: "sequential", jacobian: null, iterations: 0, residual: 0 },
      { ...result, chunk: 1, iterations: 5, milliseconds: 2 },
      { ...result, largestError: 4e-7, residual: 1e-9 },
      { ...result, backend: "reference", largestError: 0, milliseconds: 3000 },
    ]);
    expect(text.split("\n")).toEqual([
      "Antler conformance, golden vectors version 1",
      "",
      "wasm: 3 of 3 evaluations passed, 0.0 s",
      "",
      "cell             method      error / allowed  residual  sweeps   ms  verdict",
      "gru-reset-after  sequential  1.3e-7 / 1.3e-5         0  0       1.3  ok",
      "gru-reset-after  deer        4.0e-7 / 1.3e-5    3.5e-8  5, 3    3.3  ok",
      "",
      "reference: 1 of 1 evaluations passed, 3.0 s",
      "",
      "cell             method  error / allowed  residual  sweeps      ms  verdict",
      "gru-reset-after  deer        0 / 1.3e-5    3.5e-8  3       3000.0  ok".replace(
        "  0 /",
        "   0 /",
      ),
      "",
      "Verdict: passed. 4 evaluations on wasm and reference: states are right, and reports are true.",
      "",
    ]);
  });

  it("shows a dash for numbers that are missing, and what was repaired", () => {
    const none = { largestError: Infinity, residual: Number.NaN, iterations: Number.NaN };
    const text = reportOf([
      failed(none, "it threw Error: out of luck"),
      { ...result, method: "elk", fallback: "not converged after 100 sweeps" },
    ]);
    expect(text).toMatch(/^gru-reset-after +deer +– \/ 1\.3e-5 +– +– +1\.3 +FAILED 1 of 1$/m);
    expect(text).toMatch(/^gru-reset-after +elk .* ok, repaired$/m);
    expect(text).toContain("1 evaluation did not converge here");
    expect(text).toContain("wasm, gru-reset-after, elk: not converged after 100 sweeps");
  });

  it("names the GPU", () => {
    const one = { ...result, backend: "webgpu" as const };
    expect(reportOf([one], { adapter })).toContain("\nGPU: acme, gen-1, Acme Fast 9000\n");
    const software = { ...adapter, architecture: "", software: true };
    const text = reportOf([one], { adapter: software });
    expect(text).toContain("\nGPU: acme, Acme Fast 9000 (imitated by a program)\n");
    const nameless = { vendor: "", architecture: "", description: "", software: false };
    expect(reportOf([one], { adapter: nameless })).toContain("\nGPU: unnamed\n");
  });

  it("says when only a part ran", () => {
    const shortened = [{ backend: "wasm" as const, ran: 60, total: 182, reason: "it is slow" }];
    expect(reportOf([result], { shortened })).toContain("(60 of the suite's 182: it is slow)");
  });
});

describe("failures", () => {
  it("are written out with the setting, in the words of the results", () => {
    const text = reportOf([
      failed({ failures: ["one thing", "another"] }),
      failed({ method: "elk", damping: "smoother" }),
      failed({ method: "sequential", jacobian: null, chunk: 60 }, "states are further away"),
      failed({ method: "quasi-elk", jacobian: "diagonal" }),
      failed({ method: "threads", jacobian: null, exact: true, chunk: null }, "a bit is off"),
      failed({ method: "threads", jacobian: null, guessed: true, chunk: 11 }, "a seam is open"),
    ]);
    expect(text).toContain(
      [
        "Failures on wasm:",
        "  gru-reset-after, deer (Jacobian dense, C = 7):",
        "    one thing",
        "    another",
        "  gru-reset-after, elk (Jacobian dense, smoother, C = 7), and 1 other evaluation:",
        "    states are far away",
        "  gru-reset-after, sequential (C = 60):",
        "    states are further away",
        "  gru-reset-after, threads (exact, C by default):",
        "    a bit is off",
        "  gru-reset-after, threads (from a guess, C = 11):",
        "    a seam is open",
      ].join("\n"),
    );
  });

  it("are cut where they are many", () => {
    const text = reportOf(
      Array.from({ length: 25 }, (_, i) => failed({ cell: `cell-${i}` }, `failure ${i}`)),
    );
    expect(text).toContain("  cell-19, deer");
    expect(text).not.toContain("  cell-20, deer");
    expect(text).toContain("  and 5 other failures, marked in the table");
  });
});

describe("the verdict", () => {
  it("advises on a GPU that is wrong, and names the backend to use instead", () => {
    const text = reportOf([result, failed({ backend: "webgpu" })], { adapter });
    expect(text).toContain("Verdict: FAILED on webgpu; wasm passed.");
    expect(text).toContain("Update the graphics driver and the browser");
    expect(text).toContain("The GPU is acme, gen-1, Acme Fast 9000.");
    expect(text).toContain('createRuntime({ backend: "wasm" }), which passed here');
  });

  it("advises on a device that was lost", () => {
    const failure = "the GPU's device was lost during the evaluation: gone";
    const text = reportOf([failed({ backend: "webgpu" }, failure), failed({ backend: "webgpu" })]);
    expect(text).toContain("the GPU's device was lost in 1 evaluation: its driver");
    expect(text).toContain("Until then do not rely on results of this machine");
  });

  it("advises on WebAssembly and on the reference", () => {
    const text = reportOf([failed({}), failed({ backend: "reference" })]);
    expect(text).toContain("Verdict: FAILED on wasm and reference.");
    expect(text).toContain("createRuntime({ reproducible: true })");
    expect(text).toContain("reference: plain JavaScript does not compute what it should");
    expect(text.match(/report\s+it to/g)).toHaveLength(2);
  });

  it("tells what was not checked, and that it was asked for", () => {
    const unavailable = [{ backend: "webgpu" as const, reason: "no navigator.gpu" }];
    const automatic = reportOf([result], { unavailable });
    expect(automatic).toContain("webgpu was not checked: no navigator.gpu");
    expect(automatic).toContain("Verdict: passed. 1 evaluation on wasm: states are right");
    const named = reportOf([result], { unavailable, passed: false });
    expect(named).toContain("Verdict: not passed. All that ran, on wasm, is right, but");
    const nothing = reportOf([], { unavailable });
    expect(nothing).toContain("webgpu was not checked: no navigator.gpu");
    expect(nothing).toContain("Verdict: not passed. No backend could be checked.");
    expect(nothing).not.toContain("cell  ");
  });

  it("keeps to a hundred columns where it quotes nothing long", () => {
    const lost = "the GPU's device was lost during the evaluation: gone";
    const all = (["webgpu", "wasm", "reference"] as const).map((backend) =>
      failed({ backend, cell: "autoregressive-gru", method: "quasi-deer" }, lost),
    );
    const texts = [reportOf(all, { adapter }), reportOf([result, all[0]!], { adapter })];
    for (const line of texts.join("\n").split("\n")) expect(line.length).toBeLessThanOrEqual(100);
  });
});
