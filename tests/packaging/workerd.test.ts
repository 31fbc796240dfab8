/** The packed package in workers of workerd that answer HTTP: from its own modules, and bundled. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Verdict } from "../support/packed-program.ts";
import { type PackedProject, packedProject } from "../support/packed-project.ts";
import { expectRecorded, expectRefusal } from "../support/packed-recorded.ts";
import { startWorker, type WorkerService } from "../support/packed-workerd.ts";

/** A worker that evaluates with the options in its URL, and with the kernels that it is sent. */
const workerWith = (antler: string, conformance: string) => `
  import { createRuntime, gru } from ${JSON.stringify(antler)};
  import { runConformance } from ${JSON.stringify(conformance)};
  import { answer, conform } from "./program.js";

  export default {
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname === "/conformance") {
        return Response.json(await conform(createRuntime, runConformance));
      }
      const backend = searchParams.get("backend") ?? "auto";
      const options = request.method === "POST" ? { wasm: await request.arrayBuffer() } : {};
      return Response.json(await answer({ createRuntime, gru }, { backend, ...options }));
    },
  };`;

const DIST = "node_modules/antler/dist";

/** workerd resolves no names of packages: unbundled, the file is named. */
const unbundled = (entry: string) =>
  workerWith(`./${DIST}/${entry}.js`, `./${DIST}/conformance.js`);

let project: PackedProject;
beforeAll(async () => {
  project = (await packedProject()).write({
    "worker.js": unbundled("workerd"),
    "inlined.js": unbundled("index"),
    "bundled.js": workerWith("antler", "antler/conformance"),
  });
});
afterAll(() => project?.remove());

/** The modules of the package: all but the command line, which is for Node. */
function packageModules(): string[] {
  const names = readdirSync(join(project.folder, DIST));
  const modules = names.filter((name) => /\.(js|wasm)$/.test(name) && name !== "cli.js");
  return modules.map((name) => `${DIST}/${name}`);
}

/** As wrangler bundles: the condition picks the entry, and .wasm files stay modules. */
async function bundle(splitting: boolean): Promise<string> {
  const folder = join(project.folder, splitting ? "split" : "whole");
  const { warnings } = await build({
    absWorkingDir: project.folder,
    entryPoints: ["bundled.js"],
    outdir: folder,
    bundle: true,
    splitting,
    format: "esm",
    target: "es2022",
    conditions: ["workerd", "worker", "browser"],
    loader: { ".wasm": "copy" },
    logLevel: "silent",
  });
  expect(warnings).toEqual([]);
  return folder;
}

const services: Readonly<Record<string, () => Promise<WorkerService>>> = {
  "from its own modules": () =>
    startWorker({
      folder: project.folder,
      paths: ["worker.js", "program.js", ...packageModules()],
    }),
  "bundled by esbuild into one module": async () => {
    const folder = await bundle(false);
    const paths = readdirSync(folder);
    expect(paths.filter((name) => name.endsWith(".js"))).toEqual(["bundled.js"]);
    expect(paths.filter((name) => name.endsWith(".wasm"))).toHaveLength(1);
    return startWorker({ folder, paths });
  },
  "bundled by esbuild into chunks": async () => {
    const folder = await bundle(true);
    const chunks = readdirSync(folder).filter((name) => name !== "bundled.js");
    expect(chunks.length).toBeGreaterThan(2);
    return startWorker({ folder, paths: ["bundled.js", ...chunks] });
  },
};

describe.each(Object.keys(services))("a worker %s", (kind) => {
  let service: WorkerService;
  beforeAll(async () => {
    service = await services[kind]!();
  });
  afterAll(() => service?.stop());

  it("answers with the recorded states, computed in WebAssembly", async () => {
    const { reports } = expectRecorded(await service.ask("/"), "wasm");
    expect(reports.sequential.simd).toBe("plain");
  });

  it("computes them with the reference, and says why there is no WebGPU", async () => {
    expectRecorded(await service.ask("/?backend=reference"), "reference");
    expectRefusal(await service.ask("/?backend=webgpu"), /navigator\.gpu/);
  });

  it("refuses kernels in bytes, as workerd does, and tells its reason", async () => {
    const kernel = readFileSync(join(project.folder, DIST, "kernel.wasm"));
    const sent = await service.ask("/?backend=wasm", new Uint8Array(kernel));
    expectRefusal(sent, /code generation disallowed/);
  });

  it("passes the conformance suite's short run", async () => {
    const verdict = (await service.ask("/conformance")) as Verdict;
    expect(verdict.passed, JSON.stringify(verdict)).toBe(true);
    expect(verdict.results.length).toBeGreaterThan(0);
  });
});

it("With the entry for other hosts, a worker is left with the reference: it needs its own", async () => {
  const service = await startWorker({
    folder: project.folder,
    paths: ["inlined.js", "program.js", ...packageModules()],
  });
  try {
    const { backends } = expectRecorded(await service.ask("/"), "reference");
    const { available, reason } = backends.find(({ name }) => name === "wasm")!;
    expect(available).toBe(false);
    expect(reason).toMatch(/code generation disallowed/);
    expectRefusal(await service.ask("/?backend=wasm"), /code generation disallowed/);
  } finally {
    await service.stop();
  }
});
