/** Worker threads in apps that bundle the packed package, in Chromium; and in workerd, which has none. */
import { copyFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchBrowser } from "../support/browser.ts";
import { type Page, type Site, serve } from "../support/http.ts";
import { type BundlerName, bundlers, startVite } from "../support/packed-bundlers.ts";
import { pagesBelow, showing, visit } from "../support/packed-pages.ts";
import { type PackedProject, packedProject } from "../support/packed-project.ts";
import { expectOneThread, expectTwoThreads, threadsProgram } from "../support/packed-threads.ts";
import { startWorker } from "../support/packed-workerd.ts";

const DIST = "node_modules/antler/dist";
const pageOf = (script: string) => `<!doctype html><title>App</title>${script}\n`;
const MODULE = "<script type=module src=./main.js></script>";
const CLASSIC = "<script defer src=./main.js></script>";

/** Where the apps are served, as one of the bundlers is told. */
const BASE = "/some/app/";

/** No blob: is a worker, then, from a file of the site's own. */
const STRICT = {
  "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'",
};

let project: PackedProject;
let browser: Browser;
beforeAll(async () => {
  project = (await packedProject()).write({
    ...showing,
    ...threadsProgram,
    "main.js": `
      import { createRuntime, gru } from "antler";
      import { onThreads } from "./threads.js";
      import { show } from "./show.js";

      const options = Object.fromEntries(new URLSearchParams(location.search));
      onThreads({ createRuntime, gru }, options).then(show);`,
    "index.html": pageOf(MODULE),
    "service.js": `
      import { createRuntime, gru } from "./${DIST}/workerd.js";
      import { onThreads } from "./threads.js";

      export default {
        async fetch() {
          return Response.json(await onThreads({ createRuntime, gru }));
        },
      };`,
  });
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
  project?.remove();
});

describe.each(Object.keys(bundlers) as BundlerName[])("%s", (name) => {
  const isVite = name.startsWith("Vite");
  /** Those that look for workers in the code, and emit their files. */
  const emits = isVite || name === "webpack";
  const out = `out-${name.replace(/\W+/g, "-")}`;
  let sites: { readonly plain: Site; readonly strict: Site };
  let warnings: readonly string[];
  beforeAll(async () => {
    const entry = isVite ? "index.html" : "main.js";
    warnings = await bundlers[name]({ folder: project.folder, entry, out });
    const folder = join(project.folder, out);
    copyFileSync(join(project.folder, DIST, "worker.js"), join(folder, "copied.js"));
    const page: Page = {
      type: "text/html",
      body: pageOf(name.includes("script") ? CLASSIC : MODULE),
    };
    const serveWith = (headers: Record<string, string>) =>
      serve({
        // As servers of apps do, these answer with a page where there is no such file.
        [`${BASE}worker.js`]: page,
        [`${BASE}index.html`]: { ...page, headers },
        ...pagesBelow(folder, { base: BASE, headers }),
      });
    sites = { plain: await serveWith({}), strict: await serveWith(STRICT) };
  });
  afterAll(async () => {
    await sites?.plain.close();
    await sites?.strict.close();
  });

  const visitApp = (site: "plain" | "strict", query = "") =>
    visit(browser, `${sites[site].origin}${BASE}index.html${query}`);

  it("bundles an app without a warning, whose worker comes from a blob", async () => {
    expect(warnings).toEqual([]);
    const { outcome, errors } = await visitApp("plain");
    expectTwoThreads(outcome);
    expect(errors).toEqual([]);
  });

  it(`under a policy without blobs, ${emits ? "finds the emitted file" : "says that there is no file"}`, async () => {
    const { outcome } = await visitApp("strict");
    if (emits) expectTwoThreads(outcome);
    else expectOneThread(outcome, /: blob: .*policy.*; worker\.js: .+/);
  });

  it("takes the file that the app names, without an error", async () => {
    const { outcome, errors } = await visitApp("strict", "?worker=copied.js");
    expectTwoThreads(outcome);
    expect(errors).toEqual([]);
  });
});

it("Vite's server for development serves an app with a worker", async () => {
  const server = await startVite(project.folder, "127.0.0.1");
  try {
    const url = `http://127.0.0.1:${server.port}/index.html`;
    // Vite bundles packages when the first page asks for them, and may load the page again.
    await visit(browser, url);
    const { outcome, errors } = await visit(browser, url);
    expectTwoThreads(outcome);
    expect(errors).toEqual([]);
    expect(server.warnings).toEqual([]);
  } finally {
    await server.close();
  }
});

it("A worker of workerd stays on its one thread, and says why", async () => {
  const names = readdirSync(join(project.folder, DIST));
  const modules = names.filter(
    (name) => /\.(js|wasm)$/.test(name) && !/^(cli|worker)\./.test(name),
  );
  const paths = ["service.js", "threads.js", "program.js"];
  paths.push(...modules.map((name) => `${DIST}/${name}`));
  const service = await startWorker({ folder: project.folder, paths });
  try {
    expectOneThread(await service.ask("/"), /: this host has neither Worker nor/);
  } finally {
    await service.stop();
  }
});
