/** `antler conformance`: its table, its JSON, and its exit code when a backend is wrong or missing. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ConformanceReport } from "../../src/conformance/index.ts";
import { gpuEnvironment } from "../support/swiftshader.ts";
import { installLyingGpu } from "./lying-gpu.ts";
import { installAlone, runCli, temporaryFolder } from "./run-cli.ts";

const folder = temporaryFolder();
const flag = ["--dawn", "enable-dawn-features=disable_workgroup_init"];
const few = ["--cell", "minimal-gru", "--method", "sequential,quasi-deer"];

describe("antler conformance", () => {
  it("runs all of the suite on the CPU, prints a table and a verdict", async () => {
    const { code, text, stderr } = await runCli(["conformance", "--backend", "wasm,reference"]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    for (const cell of ["rnn-tanh", "gru-reset-before", "lstm-peephole", "lorenz96", "custom"]) {
      expect(text).toMatch(new RegExp(`^${cell} +quasi-deer +.* ok$`, "m"));
    }
    expect(text).toMatch(/^Verdict: passed\./m);
  });

  it("checks a GPU where there is one", async () => {
    const env = await gpuEnvironment();
    const args = ["conformance", "--backend", "webgpu", ...few, ...flag];
    const { code, text } = await runCli(args, { env });
    expect(text).toMatch(/^minimal-gru +quasi-deer .* ok$/m);
    expect(code).toBe(0);
  });

  it("gives the results as JSON, on stdout or in a file", async () => {
    const args = ["conformance", "--backend", "wasm", ...few, "--json"];
    const piped = await runCli(args);
    const report = JSON.parse(piped.text) as ConformanceReport;
    expect(report.passed).toBe(true);
    expect(new Set(report.results.map(({ cell }) => cell))).toEqual(new Set(["minimal-gru"]));
    expect(new Set(report.results.map(({ method }) => method))).toEqual(
      new Set(["sequential", "quasi-deer"]),
    );
    const file = join(folder, "result.json");
    const written = await runCli([...args, file]);
    expect(written.text).toContain("Verdict: passed");
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ passed: true });
  });

  it("fails where a backend that was named is missing", async () => {
    const place = temporaryFolder();
    const program = installAlone(place);
    const args = ["conformance", "--backend", "webgpu", ...few];
    const { code, stderr, text } = await runCli(args, { program, cwd: place });
    expect(code).toBe(1);
    expect(text).toBe("");
    expect(stderr).toMatch(/^antler: --backend webgpu: not available: no navigator\.gpu.*\n$/);
    const all = await runCli(["conformance", ...few], { program, cwd: place });
    expect(all.code).toBe(0);
    expect(all.text).toMatch(/^webgpu was not checked: no navigator\.gpu/m);
  });

  it("catches a GPU that computes wrong states, and says so by its exit code", async () => {
    installLyingGpu(folder);
    const env = await gpuEnvironment();
    const args = ["conformance", "--backend", "webgpu", ...few, ...flag];
    const { code, text, stderr } = await runCli(args, { cwd: folder, env });
    expect(text).toContain("FAILED");
    expect(code).toBe(1);
    expect(stderr).toMatch(/^antler: \d+ evaluations? of \d+ failed \(.*\)\n$/);
  });
});
