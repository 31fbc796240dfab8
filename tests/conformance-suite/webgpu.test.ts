/** The suite on WebGPU: Dawn, on a software GPU unless told otherwise. */
import { describe, expect, it } from "vitest";
import { casesOf } from "../../src/conformance/cases.ts";
import {
  conformanceCells,
  formatConformance,
  runConformance,
} from "../../src/conformance/index.ts";
import { problemOf } from "../../src/conformance/problems.ts";
import type { Runtime } from "../../src/index.ts";
import { lyingRuntime } from "../support/conformance-liars.ts";
import { usesSwiftShader } from "../support/swiftshader.ts";
import { useWebgpuRuntime } from "../support/webgpu-runtime.ts";

/** What every WebGPU has. */
const runtime = useWebgpuRuntime({ gpuLimits: "default" });
const backends = ["webgpu"] as const;
const all = conformanceCells.flatMap((name) => casesOf(problemOf(name), "webgpu"));

describe("on the limits that every WebGPU has", () => {
  it("every cell passes, shortened where a program imitates the GPU", async () => {
    const report = await runConformance(runtime(), { backends });
    const text = formatConformance(report);
    expect(report.results.flatMap(({ failures }) => failures)).toEqual([]);
    expect(report.passed).toBe(true);
    expect(report.adapter?.software).toBe(usesSwiftShader);
    const short = all.filter((one) => one.short).length;
    expect(report.results).toHaveLength(usesSwiftShader ? short : all.length);
    const reason = expect.stringContaining("imitated by a program");
    const shortened = [{ backend: "webgpu", ran: short, total: all.length, reason }];
    expect(report.shortened).toEqual(usesSwiftShader ? shortened : undefined);
    expect(text).toContain(usesSwiftShader ? `(${short} of the suite's ${all.length}: ` : "webgpu");
    for (const result of report.results) {
      const told = JSON.stringify(result);
      expect(result.fallback, told).toBeUndefined();
      expect(result.largestError, told).toBeLessThanOrEqual(result.allowedError / 2);
    }
  }, 600_000);

  it("all of the suite runs on the cells that are named", async () => {
    const cells = ["lstm-peephole"];
    const report = await runConformance(runtime(), { backends, cells });
    expect(report.results.flatMap(({ failures }) => failures)).toEqual([]);
    expect(report.results).toHaveLength(casesOf(problemOf("lstm-peephole"), "webgpu").length);
    expect(report.shortened).toBeUndefined();
  }, 300_000);
});

it("a GPU is not taken for a program's imitation", async () => {
  const { backends: statuses } = runtime();
  const honest = lyingRuntime(runtime(), ({ evaluate }) => evaluate({ backend: "wasm" }));
  const hardware = statuses.map((status) =>
    status.adapter ? { ...status, adapter: { ...status.adapter, software: false } } : status,
  );
  const wrapped = { ...honest, backends: hardware } as unknown as Runtime;
  const report = await runConformance(wrapped, { backends });
  expect(report.results).toHaveLength(all.length);
  expect(report.shortened).toBeUndefined();
  // It was WebAssembly.
  expect(report.results.filter(({ passed }) => passed)).toEqual([]);
});

it("a device that is lost midway is told as such, and the next one goes on", async () => {
  const cells = ["rnn-relu"];
  const methods = ["sequential", "jacobi", "picard"] as const;
  const fragile = lyingRuntime(runtime(), async ({ evaluate, index }) => {
    const result = evaluate();
    // While it compiles what only this method needs.
    if (index === 1) setImmediate(() => (runtime().device as GPUDevice).destroy());
    return result;
  });
  const { passed, results } = await runConformance(fragile, { backends, cells, methods });
  expect(passed).toBe(false);
  expect(results.map((one) => one.passed)).toEqual([true, false, true, true, true]);
  expect(results[1]!.failures[0]).toMatch(/^the GPU's device was lost during the evaluation: /);
  expect(
    formatConformance(await runConformance(runtime(), { backends, cells, methods })),
  ).toContain("Verdict: passed.");
});
