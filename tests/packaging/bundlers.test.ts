/** Apps that import the packed package, bundled by what web developers use, in Chromium. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchBrowser } from "../support/browser.ts";
import { launchGpuBrowser } from "../support/chromium-gpu.ts";
import { type Site, serve } from "../support/http.ts";
import {
  type BundlerName,
  bundlers,
  type DevServer,
  startVite,
} from "../support/packed-bundlers.ts";
import { pagesBelow, showing, visit } from "../support/packed-pages.ts";
import { type PackedProject, packedProject } from "../support/packed-project.ts";
import { expectRecorded } from "../support/packed-recorded.ts";

const pageOf = (script: string) => `<!doctype html><title>App</title>${script}\n`;
const MODULE = "<script type=module src=./main.js></script>";

/** One cell; and all of them, to see that those that are not used are left out of the first. */
const files = {
  ...showing,
  "main.js": `
    import { createRuntime, gru } from "antler";
    import { answer } from "./program.js";
    import { show } from "./show.js";

    const options = Object.fromEntries(new URLSearchParams(location.search));
    answer({ createRuntime, gru }, options).then(show);`,
  "all.js": `
    import * as antler from "antler";
    globalThis.antler = antler;`,
  "index.html": pageOf(MODULE),
  "all.html": pageOf(`<script type=module src=./all.js></script>`),
};

/** A host of the tests' own, whose pages are not secure, and so have no navigator.gpu. */
const INSECURE = "antler.test";

let project: PackedProject;
let browser: Browser;
let gpuBrowser: Browser;
beforeAll(async () => {
  project = (await packedProject()).write(files);
  browser = await launchBrowser([`--host-resolver-rules=MAP ${INSECURE} 127.0.0.1`]);
  gpuBrowser = await launchGpuBrowser();
});
afterAll(async () => {
  await browser?.close();
  await gpuBrowser?.close();
  project?.remove();
});

/** Names of the scripts in a folder whose text has `mark`. */
function scriptsWith(folder: string, mark: string | RegExp): string[] {
  const names = readdirSync(folder, { recursive: true }).map(String);
  return names.filter(
    (name) => /\.js$/.test(name) && readFileSync(join(folder, name), "utf8").search(mark) >= 0,
  );
}

/** What only the part for WebGPU has: its shaders. */
const WEBGPU = "@compute";
const fileName = (path: string) => path.split("/").at(-1)!;

async function expectItWorks(port: number, page: string, webgpuParts: readonly string[]) {
  const isPart = (path: string) => webgpuParts.some((part) => fileName(part) === fileName(path));

  const without = await visit(browser, `http://${INSECURE}:${port}${page}`);
  expect(without.hasWebgpu).toBe(false);
  const { backends } = expectRecorded(without.outcome, "wasm");
  expect(backends.find(({ name }) => name === "webgpu")!.reason).toContain("navigator.gpu");
  expect(without.errors).toEqual([]);
  expect(without.requests.filter(isPart)).toEqual([]);
  expect(without.requests.filter((path) => path.includes(".wasm"))).toEqual([]);

  const withGpu = await visit(gpuBrowser, `http://127.0.0.1:${port}${page}?backend=webgpu`);
  expectRecorded(withGpu.outcome, "webgpu");
  expect(withGpu.errors).toEqual([]);
  expect(withGpu.requests.filter(isPart)).toHaveLength(webgpuParts.length);
}

const cells = ["autoregressive-gru", "diagonal-gru", "diagonal-lstm", "lorenz96", "lstm"];
cells.push("minimal-gru", "rnn");

/** Cells that the scripts in a folder have the text of: their names are in it, as strings. */
const cellsIn = (folder: string) =>
  cells.filter((name) => scriptsWith(folder, new RegExp(`["'\`]${name}["'\`]`)).length > 0);

describe.each(Object.keys(bundlers) as BundlerName[])("%s", (name) => {
  const isVite = name.startsWith("Vite");
  const splits = !name.includes("in one");
  const out = `out-${name.replace(/\W+/g, "-")}`;
  let site: Site;
  const warnings: string[] = [];
  beforeAll(async () => {
    const [entry, all] = isVite ? ["index.html", "all.html"] : ["main.js", "all.js"];
    const bundle = bundlers[name];
    warnings.push(...(await bundle({ folder: project.folder, entry, out })));
    await bundle({ folder: project.folder, entry: all, out: `${out}-all` });
    const pages = pagesBelow(join(project.folder, out), { base: "/some/app/" });
    const script = name.includes("script") ? "<script defer src=./main.js></script>" : MODULE;
    const page = { type: "text/html", body: pageOf(script) };
    site = await serve({ "/some/app/index.html": page, ...pages });
  });
  afterAll(() => site?.close());

  it("bundles an app without a warning", () => {
    expect(warnings).toEqual([]);
  });

  it(`whose bundle computes the recorded states${splits ? ", and loads WebGPU late" : ""}`, async () => {
    const parts = scriptsWith(join(project.folder, out), WEBGPU);
    expect(parts).toHaveLength(1);
    const isEntry = parts[0] === "main.js";
    expect(isEntry).toBe(!splits);
    await expectItWorks(
      Number(new URL(site.origin).port),
      "/some/app/index.html",
      splits ? parts : [],
    );
  });

  it("and leaves out the cells that the app does not use", () => {
    expect(cellsIn(join(project.folder, out))).toEqual([]);
    expect(cellsIn(join(project.folder, `${out}-all`))).toEqual(cells);
  });
});

describe("Vite's server for development", () => {
  let server: DevServer;
  beforeAll(async () => {
    server = await startVite(project.folder, INSECURE);
  });
  afterAll(() => server?.close());

  it("serves the app, which computes the recorded states and loads WebGPU late", async () => {
    // Vite bundles packages when the first page asks for them.
    await visit(browser, `http://${INSECURE}:${server.port}/index.html`);
    const bundled = join(project.folder, "node_modules/.vite/deps");
    const parts = scriptsWith(bundled, WEBGPU);
    expect(parts).toHaveLength(1);
    await expectItWorks(server.port, "/index.html", parts);
    expect(server.warnings).toEqual([]);
  });
});
