/** The packed package in Chromium without a bundler: pages and workers of all kinds, under their policies. */
import { build } from "esbuild";
import type { Browser } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchBrowser } from "../support/browser.ts";
import { launchGpuBrowser } from "../support/chromium-gpu.ts";
import { type Site, serve } from "../support/http.ts";
import { pagesBelow, showing, visit } from "../support/packed-pages.ts";
import type { States, Verdict } from "../support/packed-program.ts";
import { type PackedProject, packedProject } from "../support/packed-project.ts";
import { expectRecorded, expectRefusal } from "../support/packed-recorded.ts";
import { usesSwiftShader } from "../support/swiftshader.ts";

const DIST = "./node_modules/antler/dist";
const PROGRAM = `
  import { createRuntime, gru } from "${DIST}/index.js";
  import { answer } from "./program.js";
  const run = async (options) => {
    const found = await answer({ createRuntime, gru }, options);
    // Events of violations are tasks of their own: those that are due come first.
    await new Promise((resolve) => setTimeout(resolve, 20));
    return { found, violations };
  };`;

/** The query tells where to run, and with which options. */
const files = {
  ...showing,
  "violations.js": `
    globalThis.violations = [];
    addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
      globalThis.violations.push(effectiveDirective + " " + blockedURI);
    });`,
  "page.html": `<!doctype html><title>Antler</title>
    <script src="violations.js"></script><script type="module" src="page.js"></script>`,
  "page.js": `${PROGRAM}
    import { show } from "./show.js";

    const hosts = {
      page: run,
      worker: (options) =>
        new Promise((resolve, reject) => {
          const worker = new Worker("worker.js", { type: "module" });
          worker.onerror = (event) => reject(new Error(event.message));
          worker.onmessage = ({ data }) => resolve(data);
          worker.postMessage(options);
        }),
      serviceWorker: async (options) => {
        const { script = "service-worker.js", ...rest } = options;
        await navigator.serviceWorker.register(script, { type: "module" });
        const { active } = await navigator.serviceWorker.ready;
        return new Promise((resolve) => {
          const { port1, port2 } = new MessageChannel();
          port1.onmessage = ({ data }) => resolve(data);
          active.postMessage(rest, [port2]);
        });
      },
    };
    const { host, ...options } = Object.fromEntries(new URLSearchParams(location.search));
    show(await hosts[host](options));`,
  "worker.js": `import "./violations.js";${PROGRAM}
    onmessage = async ({ data }) => postMessage(await run(data));`,
  "service-worker.js": `import "./violations.js";${PROGRAM}
    onmessage = (event) => {
      const work = run(event.data).then((found) => event.ports[0].postMessage(found));
      event.waitUntil(work);
    };`,
  "mapped.html": `<!doctype html><title>Antler</title>
    <script type="importmap">
      {
        "imports": {
          "antler": "${DIST}/index.js",
          "antler/conformance": "${DIST}/conformance.js"
        }
      }
    </script>
    <script type="module" src="mapped.js"></script>`,
  "mapped.js": `
    import { createRuntime, gru } from "antler";
    import { runConformance } from "antler/conformance";
    import { answer, conform } from "./program.js";
    import { show } from "./show.js";

    show({
      found: await answer({ createRuntime, gru }),
      verdict: await conform(createRuntime, runConformance),
    });`,
};

/** As a careful site has it: nothing but its own scripts, and WebAssembly. */
const strict = (more: string) => ({
  "content-security-policy": `default-src 'none'; script-src 'self'${more}`,
});
const headers: Readonly<Record<string, Record<string, string>>> = {
  "/plain/": {},
  "/strict/": strict(" 'wasm-unsafe-eval'"),
  "/no-wasm/": strict(""),
  "/isolated/": {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
  },
};

let project: PackedProject;
let site: Site;
let browser: Browser;
beforeAll(async () => {
  project = (await packedProject()).write(files);
  await build({
    absWorkingDir: project.folder,
    entryPoints: ["service-worker.js"],
    outfile: "bundled-worker.js",
    bundle: true,
    format: "esm",
    logLevel: "silent",
  });
  const pages = Object.entries(headers).map(([base, of]) =>
    pagesBelow(project.folder, { base, headers: of }),
  );
  site = await serve(Object.assign({}, ...pages));
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
  project?.remove();
});

type Host = "page" | "worker" | "serviceWorker";

async function visitHost(kind: string, host: Host, query = "backend=auto", other = browser) {
  const before = site.requests.length;
  const url = `${site.origin}/${kind}/page.html?host=${host}&${query}`;
  const { outcome, isolated, errors } = await visit(other, url);
  const { found, violations } = outcome as { found: unknown; violations: string[] };
  return { outcome: found, violations, isolated, errors, requests: site.requests.slice(before) };
}

const statusOf = ({ backends }: States, name: string) =>
  backends.find((status) => status.name === name)!;

/** What hosts without dynamic import say of a part that is loaded by it. */
const NO_IMPORT = /its part of the package cannot be loaded: .*import\(\) is disallowed/;

describe.each(["page", "worker", "serviceWorker"] as const)("%s", (host) => {
  it("computes the recorded states in WebAssembly, without a request for it", async () => {
    const { outcome, requests, errors } = await visitHost("plain", host);
    expectRecorded(outcome, "wasm");
    expect(requests).toContain("/plain/node_modules/antler/dist/index.js");
    if (host !== "page") expect(requests.join()).toContain("worker.js");
    expect(requests.filter((path) => path.includes(".wasm"))).toEqual([]);
    expect(errors).toEqual([]);
  });

  it("computes them under a strict policy, without a violation", async () => {
    const { outcome, violations, errors } = await visitHost("strict", host);
    expectRecorded(outcome, "wasm");
    expect(violations).toEqual([]);
    expect(errors).toEqual([]);
  });
});

describe.each(["page", "worker"] as const)("%s", (host) => {
  it("computes them with the reference", async () => {
    const { outcome, requests } = await visitHost("plain", host, "backend=reference");
    expectRecorded(outcome, "reference");
    expect(requests).toContain("/plain/node_modules/antler/dist/reference.js");
  });

  it("falls back to the reference where a policy forbids WebAssembly, and says why", async () => {
    const { outcome, violations } = await visitHost("no-wasm", host);
    const { available, reason } = statusOf(expectRecorded(outcome, "reference"), "wasm");
    expect(available).toBe(false);
    expect(reason).toMatch(/unsafe-eval|Content Security Policy/);
    expect(violations).toContain("script-src wasm-eval");
    const { outcome: named } = await visitHost("no-wasm", host, "backend=wasm");
    expectRefusal(named, /unsafe-eval|Content Security Policy/);
  });

  it("computes them where it is cross-origin isolated, and where it is not", async () => {
    for (const [kind, isolated] of [
      ["isolated", true],
      ["plain", false],
    ] as const) {
      const found = await visitHost(kind, host);
      expect(found.isolated).toBe(isolated);
      expectRecorded(found.outcome, "wasm");
      expect(found.errors).toEqual([]);
    }
  });
});

describe("a service worker, where import() is forbidden,", () => {
  it("refuses the reference, and says why", async () => {
    const { outcome } = await visitHost("plain", "serviceWorker", "backend=reference");
    expectRefusal(outcome, NO_IMPORT);
    const { outcome: gpu } = await visitHost("plain", "serviceWorker", "backend=webgpu");
    expectRefusal(gpu, /no navigator\.gpu|cannot be loaded/);
  });

  it("has no backend where a policy forbids WebAssembly, too, and says why", async () => {
    const { outcome } = await visitHost("no-wasm", "serviceWorker");
    expectRefusal(outcome, /unsafe-eval|Content Security Policy/);
  });
});

it("A page with an import map computes them, and passes the conformance suite's short run", async () => {
  const { outcome, errors } = await visit(browser, `${site.origin}/plain/mapped.html`);
  const { found, verdict } = outcome as { found: unknown; verdict: Verdict };
  expectRecorded(found, "wasm");
  expect(verdict.passed, JSON.stringify(verdict)).toBe(true);
  expect(verdict.results.length).toBeGreaterThan(0);
  expect(errors).toEqual([]);
});

describe("with WebGPU", () => {
  let gpuBrowser: Browser;
  beforeAll(async () => {
    gpuBrowser = await launchGpuBrowser();
  });
  afterAll(() => gpuBrowser?.close());

  it.each([
    ["plain", "page"],
    ["plain", "worker"],
    ["strict", "page"],
    ["isolated", "worker"],
  ] as const)("%s: the %s computes the recorded states on the GPU", async (kind, host) => {
    const { outcome, errors, violations } = await visitHost(
      kind,
      host,
      "backend=webgpu",
      gpuBrowser,
    );
    const { adapter } = statusOf(expectRecorded(outcome, "webgpu"), "webgpu");
    expect(adapter?.software).toBe(usesSwiftShader);
    expect([...errors, ...violations]).toEqual([]);
  });

  it("a service worker computes in WebAssembly, and says why not on the GPU", async () => {
    const { outcome, errors } = await visitHost(
      "plain",
      "serviceWorker",
      "backend=auto",
      gpuBrowser,
    );
    const { available, reason } = statusOf(expectRecorded(outcome, "wasm"), "webgpu");
    expect(available).toBe(false);
    expect(reason).toMatch(NO_IMPORT);
    expect(errors).toEqual([]);
    const { outcome: named } = await visitHost(
      "plain",
      "serviceWorker",
      "backend=webgpu",
      gpuBrowser,
    );
    expectRefusal(named, NO_IMPORT);
  });

  it("a service worker bundled into one script has all backends", async () => {
    for (const backend of ["webgpu", "reference"] as const) {
      const query = `script=bundled-worker.js&backend=${backend}`;
      const { outcome } = await visitHost("plain", "serviceWorker", query, gpuBrowser);
      expectRecorded(outcome, backend);
    }
  });
});
