/** The built package in Chromium, in a page and in a module worker, against this process. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { transformSync } from "esbuild";
import type { Browser, Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RuntimeOptions } from "../../src/index.ts";
import * as antler from "../../src/index.ts";
import { largestError } from "../support/agreement.ts";
import { launchBrowser } from "../support/browser.ts";
import { evaluateEverywhere, type HostResult } from "../support/evaluate-everywhere.ts";
import { type Site, serve } from "../support/http.ts";

const file = (path: string) => new URL(`../../${path}`, import.meta.url);

/** Our modules, the kernel, the job as a browser understands it, and a worker that runs it. */
function siteFiles() {
  const script = (body: string) => ({ type: "text/javascript", body });
  if (!existsSync(file("dist/index.js"))) {
    throw new Error("dist/index.js is missing: run `npm run build`");
  }
  const modules = readdirSync(file("dist"))
    .filter((name) => name.endsWith(".js"))
    .map((name) => [`/${name}`, script(readFileSync(file(`dist/${name}`), "utf8"))]);
  const page = "<!doctype html><title>Antler</title><script type=module src=/page.js></script>";
  // Without 'wasm-unsafe-eval' nothing can be compiled.
  const policy = "script-src 'self'";
  const job = readFileSync(file("tests/support/evaluate-everywhere.ts"), "utf8");
  return {
    "/": { type: "text/html", body: page },
    ...Object.fromEntries(modules),
    "/job.js": script(transformSync(job, { loader: "ts", format: "esm", target: "es2022" }).code),
    "/page.js": script(`
      import * as antlerInPage from "/index.js";
      import { evaluateEverywhere as evaluateInPage } from "/job.js";
      Object.assign(globalThis, { antlerInPage, evaluateInPage });`),
    "/worker.js": script(`
      import * as antler from "/index.js";
      import { evaluateEverywhere } from "/job.js";
      onmessage = async ({ data }) => {
        try {
          postMessage({ result: await evaluateEverywhere(antler, data) });
        } catch (error) {
          postMessage({ error: String(error) });
        }
      };`),
    "/kernel.wasm": { type: "application/wasm", body: readFileSync(file("dist/kernel.wasm")) },
    "/strict": {
      type: "text/html",
      body: page.replace(
        "<title>",
        `<meta http-equiv=Content-Security-Policy content="${policy}">$&`,
      ),
    },
  };
}

type Options = Pick<RuntimeOptions, "backend" | "reproducible"> & { wasm?: string };

/** What /page.js leaves in a page for `page.evaluate`, whose functions can import nothing. */
declare const antlerInPage: typeof antler;
declare const evaluateInPage: typeof evaluateEverywhere;

const hosts = {
  page: (options: Options): Promise<HostResult> => evaluateInPage(antlerInPage, options),
  worker: (options: Options): Promise<HostResult> =>
    new Promise((resolve, reject) => {
      const worker = new Worker("/worker.js", { type: "module" });
      worker.onerror = (event) => reject(new Error(event.message));
      worker.onmessage = ({ data }) => {
        worker.terminate();
        if (data.error) reject(new Error(data.error));
        else resolve(data.result);
      };
      worker.postMessage(options);
    }),
};

let site: Site;
let browser: Browser;
let page: Page;
beforeAll(async () => {
  site = await serve(siteFiles());
  browser = await launchBrowser();
  page = await browser.newPage();
  await page.goto(site.origin);
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});

describe.each(["page", "worker"] as const)("in a %s", (host) => {
  it("gives the bits of this process where results are reproducible", async () => {
    const options = { backend: "wasm", reproducible: true } as const;
    const actual = await page.evaluate(hosts[host], options);
    const expected = await evaluateEverywhere(antler, options);
    expect(expected.simd).toBe("plain");
    expect(expected.converged).toEqual(Array(6).fill(true));
    expect(actual).toEqual(expected);
  });

  it("gives them with kernels from a URL, too", async () => {
    const options = { backend: "wasm", reproducible: true } as const;
    const wasm = `${site.origin}/kernel.wasm`;
    const actual = await page.evaluate(hosts[host], { ...options, wasm });
    expect(actual).toEqual(await evaluateEverywhere(antler, options));
  });

  it("takes relaxed SIMD by default, within rounding", async () => {
    const actual = await page.evaluate(hosts[host], {});
    expect(actual.simd).toBe("relaxed");
    const expected = await evaluateEverywhere(antler, { reproducible: true });
    for (const [what, states] of Object.entries(actual.states)) {
      const size = what.startsWith("lstm") ? 26 : 13;
      const [a, b] = [Float64Array.from(states), Float64Array.from(expected.states[what]!)];
      expect(largestError(a, b, size), what).toBeLessThan(1e-5);
    }
  });
});

describe("a browser", () => {
  it("that forbids WebAssembly gets the reference, and is told why", async () => {
    const strict = await browser.newPage();
    await strict.goto(`${site.origin}/strict`);
    const found = await strict.evaluate(async () => {
      const { createRuntime } = antlerInPage;
      const runtime = await createRuntime();
      const named = await createRuntime({ backend: "wasm" }).catch((error: Error) => error.name);
      return { backends: runtime.backends, named };
    });
    expect(found.named).toBe("BackendUnavailableError");
    const [wasm, webgpu, reference] = found.backends;
    expect(found.backends).toHaveLength(3);
    expect(wasm).toMatchObject({ name: "wasm", available: false });
    expect(wasm!.reason).toMatch(/unsafe-eval|Content Security Policy/);
    expect(webgpu).toMatchObject({ name: "webgpu", available: false });
    expect(webgpu!.reason).toMatch(/navigator\.gpu|no adapter/);
    expect(reference).toEqual({ name: "reference", available: true });
    await strict.close();
  });

  it("downloads what WebGPU needs where it may be used, and nowhere else", async () => {
    const other = await browser.newPage();
    const paths: string[] = [];
    other.on("request", (request) => paths.push(new URL(request.url()).pathname));
    await other.goto(site.origin);
    const runOn = (backend: "wasm" | "webgpu") =>
      other.evaluate(async (name) => {
        const made = await antlerInPage.createRuntime({ backend: name }).catch(String);
        return typeof made === "string" ? made : made.dispose();
      }, backend);
    await runOn("wasm");
    expect(paths).toContain("/index.js");
    expect(paths).not.toContain("/webgpu.js");
    expect(paths).not.toContain("/reference.js");
    const refusal = await runOn("webgpu");
    const hasWebgpu = await other.evaluate(() => Boolean(navigator.gpu));
    expect(paths.includes("/webgpu.js")).toBe(hasWebgpu);
    if (!hasWebgpu) expect(refusal).toContain("navigator.gpu");
    await other.close();
  });

  it("keeps drawing while a long run goes on", async () => {
    const frames = await page.evaluate(async () => {
      const { createRuntime, lorenz96 } = antlerInPage;
      const runtime = await createRuntime({ backend: "wasm" });
      let turns = 0;
      let running = true;
      const count = () => {
        turns++;
        if (running) setTimeout(count);
      };
      setTimeout(count);
      // Until the event loop had three turns, however long a run takes here.
      for (let steps = 20_000; turns < 3 && steps < 1e8; steps *= 2) {
        await runtime.evaluate(lorenz96({ size: 40, timeStep: 0.001 }), steps);
      }
      running = false;
      runtime.dispose();
      return turns;
    });
    expect(frames).toBeGreaterThanOrEqual(3);
  });
});
