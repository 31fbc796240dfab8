/**
 * WebGPU elsewhere than in Node, where the other tests run it: in Chromium, which has Dawn as well, and in
 * Deno, whose implementation is wgpu.
 */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";
import type * as Antler from "../../src/index.ts";
import { launchBrowser } from "../support/browser.ts";
import { runInHost } from "../support/gpu-hosts.ts";
import { serve } from "../support/http.ts";
import { usesSwiftShader } from "../support/swiftshader.ts";
import type { HostCase } from "../support/webgpu-suite.ts";

const suite = new URL("../support/webgpu-suite.ts", import.meta.url);

describe.each(["chromium", "deno"] as const)("in %s", (host) => {
  it("every method agrees with the oracle", async () => {
    const results = (await runInHost(host, suite)) as HostCase[];
    expect(results).toHaveLength(9);
    for (const { what, tolerance, report, error, finalError, residual } of results) {
      const told = `${what}: ${JSON.stringify(report)}`;
      expect(report.backend, told).toBe("webgpu");
      expect(report.adapter?.software, told).toBe(usesSwiftShader);
      expect(error, told).toBeLessThanOrEqual(2e-5);
      expect(finalError, told).toBeLessThanOrEqual(2e-5);
      expect(report.converged, told).toBe(true);
      expect(report.residual, told).toBeLessThanOrEqual(tolerance);
      expect(residual, told).toBeLessThanOrEqual(tolerance + 100 * 2 ** -24);
      const mustRepair = report.method === "picard";
      expect(report.fallback?.to, told).toBe(mustRepair ? "sequential" : undefined);
    }
  });
});

/** What the page below leaves in the global scope, for functions that can import nothing. */
declare const antler: typeof Antler;

it("a page without an adapter computes in WebAssembly, and says why", async () => {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("../../src/index.ts", import.meta.url))],
    bundle: true,
    format: "iife",
    globalName: "antler",
    target: "es2022",
    write: false,
    logLevel: "silent",
  });
  const site = await serve({
    "/": { type: "text/html", body: "<!doctype html><script src=/antler.js></script>" },
    "/antler.js": { type: "text/javascript", body: outputFiles[0].text },
  });
  const browser = await launchBrowser(["--disable-gpu"]);
  try {
    const page = await browser.newPage();
    await page.goto(site.origin);
    const found = await page.evaluate(async () => {
      const { createRuntime, diagonalGru } = antler;
      const runtime = await createRuntime();
      const weights = {
        weight_ih: new Float32Array(6).fill(0.5),
        diagonal_hh: new Float32Array(6).fill(0.3),
        bias: new Float32Array(6),
      };
      const cell = diagonalGru({ inputSize: 1, hiddenSize: 2, weights });
      // As many steps as would pay on a GPU.
      const inputs = new Float32Array(20_000).fill(0.1);
      const options = { method: "quasi-deer", chunk: 64 } as const;
      const { states, report } = await runtime.evaluate(cell, inputs, options);
      const named = { ...options, backend: "webgpu" } as const;
      const refused = await runtime.evaluate(cell, inputs, named).catch((error: Error) => error);
      const direct = await createRuntime({ backend: "webgpu" }).catch((error: Error) => error);
      const told = (outcome: unknown) =>
        outcome instanceof Error ? [outcome.name, outcome.message] : ["no error", ""];
      return {
        backends: runtime.backends,
        backend: report.backend,
        converged: report.converged,
        finite: states.every(Number.isFinite),
        refused: told(refused),
        direct: told(direct),
      };
    });
    expect(found.backends.map(({ name, available }) => [name, available])).toEqual([
      ["wasm", true],
      ["webgpu", false],
      ["reference", true],
    ]);
    const { reason } = found.backends[1]!;
    expect(reason).toMatch(/adapter/);
    expect(found).toMatchObject({ backend: "wasm", converged: true, finite: true });
    for (const [name, message] of [found.refused, found.direct]) {
      expect(name).toBe("BackendUnavailableError");
      expect(message).toContain(reason);
    }
  } finally {
    await browser.close();
    await site.close();
  }
});
