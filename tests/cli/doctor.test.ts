/** `antler doctor`: on a machine with a GPU (an imitated one), without, and with broken parts. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { gpuEnvironment } from "../support/swiftshader.ts";
import { type Ended, installAlone, runCli, temporaryFolder } from "./run-cli.ts";

const folder = temporaryFolder();
const flag = "enable-dawn-features=disable_workgroup_init";
/** No Vulkan driver, whatever the machine has. */
const withoutGpu = { VK_DRIVER_FILES: join(folder, "gone.json"), VK_ICD_FILENAMES: undefined };

/** A folder in which the package `webgpu` is what `source` says. */
function folderWithPackage(name: string, source: string): string {
  const place = join(folder, name);
  const home = join(place, "node_modules/webgpu");
  mkdirSync(home, { recursive: true });
  writeFileSync(
    join(home, "package.json"),
    JSON.stringify({ name: "webgpu", version: "9.9.9", type: "module", main: "index.js" }),
  );
  writeFileSync(join(home, "index.js"), source);
  return place;
}

interface Found {
  readonly backends: readonly { name: string; works: boolean; reason?: string; advice: string[] }[];
  readonly webgpu: { readonly found: boolean; readonly [key: string]: unknown };
  readonly [key: string]: unknown;
}

function webgpuIn({ text }: Ended): Found["backends"][number] {
  return (JSON.parse(text) as Found).backends.find(({ name }) => name === "webgpu")!;
}

describe("antler doctor", () => {
  it("shows the GPU, its limits and features, and that all backends compute what they should", async () => {
    const env = await gpuEnvironment();
    const { code, text, stderr } = await runCli(["doctor", "--dawn", flag], { env });
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(text).toMatch(/^ {2}host +Node \d+\.\d+\.\d+ \(V8 [\d.]+\), \w+ \w+$/m);
    expect(text).toMatch(/^ {2}CPU +\S.*, \d+ cores?$/m);
    for (const name of ["webgpu", "wasm", "reference"]) {
      const line = new RegExp(
        `^ {2}${name} +works +self test passed: error \\d\\.\\de-\\d+ in`,
        "m",
      );
      expect(text).toMatch(line);
    }
    expect(text).toMatch(/^ {2}SIMD +plain/m);
    expect(text).toMatch(/^ {2}memory +up to \d+ \wiB$/m);
    expect(text).toMatch(/^Threads\n {2}workers +(start +\d+ threads evaluated|none)/m);
    expect(text).toMatch(/^ {2}memory +can be shared with workers$/m);
    expect(text).toMatch(/^ {2}from +package webgpu \d+\.\d+\.\d+, .*node_modules/m);
    expect(text).toMatch(/^ {2}maxBufferSize +\d+/m);
    expect(text).toMatch(/^ {2}maxStorageBufferBindingSize +\d+/m);
    expect(text).toMatch(/^ {2}maxComputeWorkgroupStorageSize +\d+/m);
    expect(text).toMatch(/^ {2}subgroups +(no|of \d+ to \d+)$/m);
    expect(text).toMatch(/^ {2}timestamp-query +(yes|no)/m);
  });

  it("says all of it as JSON, too", async () => {
    const env = await gpuEnvironment();
    const ended = await runCli(["doctor", "--json", "--dawn", flag], { env });
    const found = JSON.parse(ended.text) as Found;
    expect(found).toMatchObject({
      antler: JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))
        .version,
      machine: { host: expect.stringMatching(/^Node /), cores: expect.any(Number) },
      wasm: { relaxedSimd: expect.any(Boolean), largestMemory: expect.any(Number) },
      webgpu: { found: true, source: { kind: "package" } },
    });
    expect(found.backends.map(({ name, works }) => [name, works])).toEqual([
      ["webgpu", true],
      ["wasm", true],
      ["reference", true],
    ]);
    const { facts } = found.webgpu as unknown as {
      facts: { limits: Record<string, number>; features: string[]; selfTest: { error: number } };
    };
    expect(facts.limits.maxBufferSize).toBeGreaterThanOrEqual(2 ** 28);
    expect(facts.features).toContain("core-features-and-limits");
    expect(facts.selfTest.error).toBeLessThan(1e-4);
  });

  it.skipIf(availableParallelism() === 1)("tells how many threads work together", async () => {
    const { text } = await runCli(["doctor", "--json"], { env: withoutGpu });
    const { threads } = JSON.parse(text) as Found;
    const most = Math.min(availableParallelism(), 8);
    expect(threads).toEqual({ threads: most, workers: true, sharedMemory: true });
  });

  it.skipIf(availableParallelism() === 1)("tells why workers do not start", async () => {
    const flags = "--experimental-permission --allow-fs-read=* --allow-fs-write=*";
    const env = { ...withoutGpu, NODE_OPTIONS: `${flags} --allow-child-process --no-warnings` };
    const { code, text } = await runCli(["doctor"], { env });
    expect(text).toMatch(/^ {2}workers +none +only (1|one) threads?: node:worker_threads: \w+/m);
    expect(text).toMatch(
      /^ {2}threads: Node's permission model .*: allow them with --allow-worker/m,
    );
    expect(text).toMatch(/^ {2}wasm +works/m);
    expect(code).toBe(0);
  });

  it("writes the JSON to a file beside the text, where asked", async () => {
    const file = join(folder, "machine.json");
    const { code, text } = await runCli(["doctor", "--json", file], { env: withoutGpu });
    expect(code).toBe(0);
    expect(text).toContain("Backends");
    expect(JSON.parse(readFileSync(file, "utf8"))).toHaveProperty("backends");
  });

  it.skipIf(process.platform !== "linux")("tells a driver file that is not there", async () => {
    const ended = await runCli(["doctor", "--json"], { env: withoutGpu });
    expect(ended.code).toBe(0);
    expect(ended.stderr).toBe("");
    const { works, reason, advice } = webgpuIn(ended);
    expect(works).toBe(false);
    expect(reason).toContain("no adapter");
    expect(advice.join("\n")).toContain(`VK_DRIVER_FILES names ${withoutGpu.VK_DRIVER_FILES}`);
  });

  it("tells how to get the package `webgpu` where there is none", async () => {
    const place = temporaryFolder();
    const program = installAlone(place);
    const { code, text, stderr } = await runCli(["doctor"], { program, cwd: place });
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(text).toMatch(/^ {2}webgpu +missing +no navigator\.gpu, and the optional package/m);
    expect(text).toContain("webgpu: npm install webgpu");
    expect(text).toMatch(/^ {2}wasm +works/m);
  });

  it("prefers the package `webgpu` of the user's folder", async () => {
    const cwd = folderWithPackage(
      "own",
      "export const create = () => ({ requestAdapter: async () => null });",
    );
    const ended = await runCli(["doctor", "--json"], { cwd });
    const { webgpu } = JSON.parse(ended.text) as Found;
    expect(webgpu).toMatchObject({ found: false, stage: "adapter", source: { version: "9.9.9" } });
  });

  it("outlives a driver that crashes, and one that does not load", async () => {
    const crashing = folderWithPackage("crash", "export const create = () => process.abort();");
    const crashed = await runCli(["doctor", "--json"], { cwd: crashing });
    expect(crashed.code).toBe(0);
    expect(webgpuIn(crashed).reason).toMatch(
      /the process that tried WebGPU ended by (signal|exit code)/,
    );
    expect(webgpuIn(crashed).advice[0]).toContain("the driver crashed");
    const failing = folderWithPackage("broken", 'throw new Error("wrong ELF class");');
    const failed = await runCli(["doctor", "--json"], { cwd: failing });
    expect(failed.code).toBe(0);
    expect(webgpuIn(failed).reason).toBe("wrong ELF class");
    expect(webgpuIn(failed).advice[0]).toContain("does not load");
  });

  it("tells that WebAssembly is missing, and does well as long as a backend works", async () => {
    const place = temporaryFolder();
    const program = installAlone(place);
    const env = { NODE_OPTIONS: "--jitless" };
    const { code, text } = await runCli(["doctor"], { program, cwd: place, env });
    expect(text).toMatch(/^ {2}wasm +missing +.*no WebAssembly/m);
    expect(text).toMatch(/wasm: WebAssembly with SIMD is needed/);
    expect(text).toMatch(/^ {2}workers +none +.*no WebAssembly/m);
    expect(text).toMatch(/^ {2}reference +works/m);
    expect(code).toBe(0);
  });

  it("fails where no backend works at all", async () => {
    const place = temporaryFolder();
    const program = installAlone(place);
    rmSync(join(program, "../reference.js"));
    const env = { NODE_OPTIONS: "--jitless" };
    const { code, text, stderr } = await runCli(["doctor"], { program, cwd: place, env });
    expect(text).toMatch(/^ {2}reference +missing +its part of the package cannot be loaded/m);
    expect(stderr).toMatch(/^antler: no backend works here \(.*\)\n$/m);
    expect(code).toBe(1);
  });
});
