/** `antler bench`: what it measures, checks and prints. Times are only checked to be there. */
import { describe, expect, it } from "vitest";
import type { BenchResult } from "../../src/cli/bench-run.ts";
import { gpuEnvironment } from "../support/swiftshader.ts";
import { installLyingGpu } from "./lying-gpu.ts";
import { runCli, temporaryFolder } from "./run-cli.ts";

const small = ["bench", "--steps", "200", "--hidden", "6", "--repeats", "3", "--backend", "wasm"];

async function measured(args: readonly string[], env = {}): Promise<BenchResult> {
  const { code, text, stderr } = await runCli([...args, "--json"], { env });
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return JSON.parse(text) as BenchResult;
}

describe("antler bench", () => {
  it("prints a row for every method, with the median of its times and its error", async () => {
    const { code, text, stderr } = await runCli(small);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(text).toContain(
      "gru-reset-after, input 3, hidden 6, 200 steps, 1 sequence; median of 3, seed 1",
    );
    for (const method of ["sequential", "jacobi", "quasi-deer", "quasi-elk"]) {
      expect(text).toMatch(
        new RegExp(`│ wasm +│ ${method} +│ .* │ +\\d\\.\\de-\\d+ │ +[\\d.,]+ │`),
      );
    }
    expect(text).not.toContain("\x1b");
  });

  it("runs each method with each chunk, and repeats itself for a seed", async () => {
    const args = [
      ...small,
      "--cell",
      "lstm",
      "--batch",
      "2",
      "--method",
      "sequential,deer",
      "--method",
      "elk",
    ];
    const first = await measured([...args, "--chunk", "1,32", "--seed", "5"]);
    expect(first.rows.map(({ method, chunk }) => `${method} ${chunk}`)).toEqual([
      "sequential 1",
      "deer 1",
      "deer 32",
      "elk 1",
      "elk 32",
    ]);
    for (const { error, milliseconds } of first.rows) {
      expect(error).toBeLessThan(1e-4);
      expect(milliseconds!.all).toHaveLength(3);
      const sorted = [...milliseconds!.all].sort((a, b) => a - b);
      expect(milliseconds!.median).toBe(sorted[1]);
      expect(milliseconds!.nanosecondsPerStep).toBeCloseTo((1e6 * sorted[1]!) / 400, 6);
    }
    const again = await measured([...args, "--chunk", "1,32", "--seed", "5"]);
    const facts = ({ rows }: BenchResult) => rows.map(({ error, sweeps }) => [error, sweeps]);
    expect(facts(again)).toEqual(facts(first));
    const other = await measured([...args, "--chunk", "1,32", "--seed", "6"]);
    expect(facts(other)).not.toEqual(facts(first));
  });

  it("has a row for threads where there are several, with chunks of its own", async () => {
    const args = [...small, "--threads", "2", "--chunk", "16"];
    const { rows } = await measured(args);
    const ofThreads = rows.filter(({ method }) => method === "threads");
    expect(ofThreads).toMatchObject([{ backend: "wasm", chunk: null, threads: 2 }]);
    const { run, rerun } = ofThreads[0]!.steps!;
    expect([run - rerun, rerun > 0]).toEqual([200, true]);
    expect(ofThreads[0]!.error).toBeLessThan(1e-6);
    for (const row of rows) expect(row.steps !== undefined).toBe(row.method === "threads");
    const { text } = await runCli(args);
    expect(text).toMatch(/│ wasm +│ threads +│ – +│ +– │ +– │ \d\.\de-\d+ │ +[\d.,]+ │/);
    const words = `wasm, threads: 2 threads; ${run} steps evaluated, ${rerun} of them again`;
    expect(text.split("\n")).toContain(words);
    const alone = await measured([...small, "--threads", "1"]);
    expect(alone.rows.map(({ method }) => method)).not.toContain("threads");
  });

  it("runs threads with other chunks and exactly, where that is asked for", async () => {
    const methods = ["--method", "sequential,threads", "--threads", "3"];
    const { rows } = await measured([...small, ...methods, "--chunk", "20,50", "--exact"]);
    expect(rows.map(({ method, chunk }) => [method, chunk])).toEqual([
      ["sequential", 1],
      ["threads", 20],
      ["threads", 50],
    ]);
    // In every bit as the sequential one.
    expect(new Set(rows.map(({ error }) => error))).toHaveLength(1);
    const loose = await measured([...small, ...methods, "--steps", "2000"]);
    expect(loose.rows[1]!.steps!.rerun).toBeLessThan(1000);
  });

  it("tells a method that had to be finished sequentially", async () => {
    const { code, text } = await runCli([
      ...small,
      "--method",
      "picard",
      "--max-iterations",
      "3",
      "--chunk",
      "1",
    ]);
    expect(code).toBe(0);
    expect(text).toMatch(/finished sequentially \[1\]/);
    expect(text).toMatch(/^\[1\] .*not converged after 3 sweeps/m);
  });

  it("times a GPU in software only where it is asked for, and says what that is worth", async () => {
    const env = await gpuEnvironment();
    const few = [
      "bench",
      "--steps",
      "64",
      "--hidden",
      "4",
      "--repeats",
      "1",
      "--method",
      "quasi-deer",
    ];
    const dawn = ["--dawn", "enable-dawn-features=disable_workgroup_init"];
    const { text } = await runCli([...few, ...dawn], { env });
    expect(text).toMatch(/^webgpu: only imitated in software here/m);
    expect(text).not.toMatch(/│ webgpu/);
    const asked = await runCli([...few, ...dawn, "--backend", "webgpu"], { env });
    expect(asked.text).toMatch(/│ webgpu +│ quasi-deer/);
    expect(asked.text).toMatch(/^webgpu: imitated in software/m);
    expect(asked.code).toBe(0);
  });

  it("does not time wrong states, and fails", async () => {
    const cwd = temporaryFolder();
    installLyingGpu(cwd);
    const args = [
      "bench",
      "--steps",
      "64",
      "--hidden",
      "4",
      "--repeats",
      "1",
      "--backend",
      "webgpu",
    ];
    const dawn = ["--dawn", "enable-dawn-features=disable_workgroup_init"];
    const env = await gpuEnvironment();
    const { code, text, stderr } = await runCli([...args, "--method", "sequential", ...dawn], {
      cwd,
      env,
    });
    expect(text).toMatch(/│ webgpu +│ sequential +│ – .*│ +– │ +– │ +– │ failed \[1\] │/);
    expect(text).toMatch(/^\[1\] states \d\.\de-\d from the reference's, 0\.0001 allowed/m);
    expect(stderr).toMatch(/^antler: 1 row of 1 failed: states .*\n$/);
    expect(code).toBe(1);
  });
});
