/** The packed package in Node, Deno and Bun: separate processes, whose projects have nothing else. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { COMMANDS, runModule } from "../support/packed-commands.ts";
import type { Verdict } from "../support/packed-program.ts";
import { type PackedProject, packedProject } from "../support/packed-project.ts";
import { expectRecord, expectRecorded, expectRefusal } from "../support/packed-recorded.ts";
import { gpuEnvironment, usesSwiftShader } from "../support/swiftshader.ts";

const answerWith = (options: string) => `
  import { createRuntime, gru } from "antler";
  import { answer } from "./program.js";
  console.log(JSON.stringify(await answer({ createRuntime, gru }, ${options})));`;

let project: PackedProject;
beforeAll(async () => {
  project = await packedProject();
  project.link("webgpu");
  project.write({
    "auto.js": answerWith("{}"),
    "wasm.js": answerWith(`{ backend: "wasm", reproducible: true }`),
    "reference.js": answerWith(`{ backend: "reference" }`),
    "webgpu.js": answerWith(`{ backend: "webgpu" }`),
    "dawn.js": `
      import { create, globals } from "webgpu";
      Object.assign(globalThis, globals);
      const gpu = create([]);
      ${answerWith(`{ backend: "webgpu", gpu }`)}`,
    "conformance.js": `
      import { createRuntime } from "antler";
      import { runConformance } from "antler/conformance";
      import { conform } from "./program.js";
      console.log(JSON.stringify(await conform(createRuntime, runConformance)));`,
  });
});
afterAll(() => project?.remove());

describe.each(COMMANDS)("%s", (host) => {
  it("computes the recorded states in WebAssembly, unasked", async () => {
    const { backends } = expectRecorded(await runModule(host, project, "auto.js"), "wasm");
    expect(backends.map(({ name }) => name).sort()).toEqual(["reference", "wasm", "webgpu"]);
  });

  it("computes them with the kernels whose results are the same everywhere", async () => {
    const { reports } = expectRecorded(await runModule(host, project, "wasm.js"), "wasm");
    expect(reports.deer.simd).toBe("plain");
  });

  it("computes them with the reference, loaded when asked for", async () => {
    expectRecord(await runModule(host, project, "reference.js"));
  });

  it("passes the conformance suite's short run", async () => {
    const verdict = (await runModule(host, project, "conformance.js")) as Verdict;
    expect(verdict.passed, JSON.stringify(verdict)).toBe(true);
    expect(verdict.results.length).toBeGreaterThan(0);
  });
});

describe.each(["node", "bun"] as const)("%s, which has no WebGPU of its own,", (host) => {
  it("says so where it is asked for it", async () => {
    expectRefusal(await runModule(host, project, "webgpu.js"), /navigator\.gpu/);
  });
});

describe("WebGPU", () => {
  it("computes the recorded states in Node, with the package `webgpu`", async () => {
    const env = await gpuEnvironment();
    const { backends } = expectRecorded(
      await runModule("node", project, "dawn.js", { env }),
      "webgpu",
    );
    const { adapter } = backends.find(({ name }) => name === "webgpu")!;
    expect(adapter?.software).toBe(usesSwiftShader);
  });

  it("computes them in Deno, which has it built in", async () => {
    const env = await gpuEnvironment();
    expectRecorded(await runModule("deno", project, "webgpu.js", { env }), "webgpu");
  });
});
