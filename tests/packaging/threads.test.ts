/** Worker threads of the packed package: in Node, Deno and Bun, and in Chromium's contexts under their policies. */
import { readFileSync } from "node:fs";
import { build } from "esbuild";
import type { Browser } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchBrowser } from "../support/browser.ts";
import { type BuiltPool, buildPool } from "../support/built-pool.ts";
import { type Site, serve } from "../support/http.ts";
import { COMMANDS, runModule } from "../support/packed-commands.ts";
import { pagesBelow, showing, visit } from "../support/packed-pages.ts";
import { type PackedProject, packedProject } from "../support/packed-project.ts";
import { expectOneThread, expectTwoThreads, threadsProgram } from "../support/packed-threads.ts";

const DIST = "./node_modules/antler/dist";
const FILE = "node_modules/antler/dist/worker.js";

const PROGRAM = `
  import { createRuntime, gru } from "${DIST}/index.js";
  import { onThreads } from "./threads.js";
  const run = (options) => onThreads({ createRuntime, gru }, options);`;

const files = {
  ...showing,
  ...threadsProgram,
  // Nothing awaits the answer: a process that ended too early would print nothing.
  "command.js": `
    import { createRuntime, gru } from "antler";
    import { onThreads } from "./threads.js";
    onThreads({ createRuntime, gru }).then((found) => console.log(JSON.stringify(found)));`,
  "named.js": `
    import { createRuntime, gru } from "antler";
    import { onThreads } from "./threads.js";
    const worker = import.meta.resolve("antler/worker.js");
    onThreads({ createRuntime, gru }, { worker }).then(({ report }) => {
      console.log(JSON.stringify(report));
    });`,
  "disposed.js": `
    import { createRuntime, gru } from "antler";
    import { onThreads } from "./threads.js";
    let [started, ended] = [0, 0];
    process.on("worker", (worker) => {
      started++;
      worker.on("exit", () => ended++);
    });
    for (let i = 0; i < 10; i++) {
      const { report } = await onThreads({ createRuntime, gru }, { dispose: true, threads: 3 });
      if (report.threads !== 3) throw new Error(report.choice);
    }
    // Or the process would end before it has heard of all.
    const waiting = setInterval(() => ended === started && clearInterval(waiting), 5);
    process.on("exit", () => console.log(JSON.stringify({ started, ended })));`,
  "violations.js": `
    globalThis.violations = [];
    addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
      globalThis.violations.push(effectiveDirective + " " + blockedURI.replace(/^http.*\\//, ""));
    });`,
  "page.html": `<!doctype html><title>Antler</title>
    <script src="violations.js"></script><script type="module" src="page.js"></script>`,
  "page.js": `${PROGRAM}
    import { show } from "./show.js";

    const hosts = {
      page: run,
      worker: (options) =>
        new Promise((resolve, reject) => {
          const worker = new Worker("nesting.js", { type: "module" });
          worker.onerror = (event) => reject(new Error(event.message));
          worker.onmessage = ({ data }) => resolve(data);
          worker.postMessage(options);
        }),
      serviceWorker: async ({ script }) => {
        await navigator.serviceWorker.register(script, { type: "module" });
        const { active } = await navigator.serviceWorker.ready;
        return new Promise((resolve) => {
          const { port1, port2 } = new MessageChannel();
          port1.onmessage = ({ data }) => resolve(data);
          active.postMessage({}, [port2]);
        });
      },
    };
    const { host, ...options } = Object.fromEntries(new URLSearchParams(location.search));
    const found = await hosts[host](options);
    // Events of violations are tasks of their own: those that are due come first.
    await new Promise((resolve) => setTimeout(resolve, 20));
    show({ found, violations });`,
  "nesting.js": `${PROGRAM}
    onmessage = async ({ data }) => postMessage(await run(data));`,
  "service-worker.js": `${PROGRAM}
    onmessage = (event) => {
      event.waitUntil(run({}).then((found) => event.ports[0].postMessage(found)));
    };`,
  // What is left of the threads of runtimes that are disposed, counted by the test.
  "many.html": `<!doctype html><title>Antler</title><script type="module" src="many.js"></script>`,
  "many.js": `${PROGRAM}
    import { show } from "./show.js";
    for (let i = 1; i < 10; i++) await run({ dispose: true });
    show(await run({ dispose: true }));`,
};

let project: PackedProject;
let browser: Browser;
beforeAll(async () => {
  project = (await packedProject()).write(files);
  await build({
    absWorkingDir: project.folder,
    entryPoints: ["service-worker.js"],
    outfile: "bundled.js",
    bundle: true,
    format: "esm",
    logLevel: "silent",
  });
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
  project?.remove();
});

describe.each(COMMANDS)("%s", (host) => {
  it("computes the recorded states on two threads, and ends by itself, not before", async () => {
    expectTwoThreads(await runModule(host, project, "command.js"));
  });
});

it("Node takes the worker's file, too", async () => {
  expect(await runModule("node", project, "named.js")).toMatchObject({ threads: 2 });
});

it("Node has no thread left of runtimes that were disposed", async () => {
  expect(await runModule("node", project, "disposed.js")).toEqual({ started: 20, ended: 20 });
});

it("Node without the permission for threads stays on one, and says why", async () => {
  const flags = process.allowedNodeEnvironmentFlags;
  const permission = flags.has("--permission") ? "--permission" : "--experimental-permission";
  const args = ["--no-warnings", permission, "--allow-fs-read=*"];
  const found = await runModule("node", project, "command.js", { args });
  expectOneThread(found, /: node:worker_threads: .*restricted/);
});

describe("the pool by itself", () => {
  let built: BuiltPool;
  beforeAll(() => {
    built = buildPool();
    built.write(
      "survive.js",
      `import { ThreadPool } from "./pool.js";
      import { inlinedKernels } from "./inlined.js";

      /** @param end the task by which a thread ends */
      export async function survive(worker, end) {
        const told = [];
        const tell = (call) =>
          call.then(
            ({ value }) => told.push(value),
            ({ name, message }) => told.push(name + ": " + message),
          );
        const pool = new ThreadPool({ size: 2, module: await inlinedKernels("plain"), worker });
        const [first, second] = await pool.start();
        await tell(first.call({ task: "fail", what: "RangeError" }));
        await tell(first.call({ task: end }));
        const [other] = (await pool.start()).filter((thread) => thread !== second);
        await tell(other.call({ task: "after", ms: 200, value: 5 }));
        const hanging = tell(other.call({ task: "spin" }));
        await new Promise((resolve) => setTimeout(resolve, 50));
        pool.terminate();
        await hanging;
        const [another] = await pool.start();
        await tell(another.call({ task: "after", ms: 0, value: 6 }));
        return { reason: pool.reason, told };
      }`,
    );
  });
  afterAll(() => built?.remove());

  const survived = (ending: string) => ({
    reason: null,
    told: [
      "RangeError: too far",
      `Error: threads: a worker ended before it had answered: ${ending}`,
      5,
      "Error: threads: a worker ended before it had answered: the pool was terminated",
      6,
    ],
  });

  it.each(["deno", "bun"] as const)(
    "survives its threads in %s, and holds the process while a call is pending, but not longer",
    async (host) => {
      // Deno would not read a worker from a file without a permission.
      const code = encodeURIComponent(readFileSync(built.worker, "utf8"));
      const worker = JSON.stringify(`data:text/javascript,${code}`);
      built.write(
        "main.js",
        `import { survive } from "./survive.js";
        survive(${worker}, "exit").then((found) => console.log(JSON.stringify(found)));`,
      );
      const found = await runModule(host, { ...project, folder: built.folder }, "main.js");
      expect(found).toEqual(survived("exit code 3"));
    },
  );

  it("survives its threads in Chromium, whose page does not hear of it", async () => {
    built.write("show.js", showing["show.js"]);
    built.write(
      "page.js",
      `import { show } from "./show.js";
      import { survive } from "./survive.js";
      survive("worker.js", "crash").then(show);`,
    );
    built.write("page.html", `<!doctype html><script type=module src=page.js></script>`);
    const site = await serve(pagesBelow(built.folder));
    try {
      const { outcome, errors } = await visit(browser, `${site.origin}/page.html`);
      expect(outcome).toEqual(survived("Uncaught Error: out of the blue"));
      expect(errors).toEqual([]);
    } finally {
      await site.close();
    }
  });
});

/** As a careful site has it: nothing but its own scripts, and WebAssembly. */
const strict = (more = "") => ({
  "content-security-policy": `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'${more}`,
});
const headers: Readonly<Record<string, Record<string, string>>> = {
  "/plain/": {},
  "/isolated/": {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
  },
  "/strict/": strict("; worker-src 'self'"),
  "/no-workers/": strict("; worker-src 'none'"),
  "/trusted/": strict("; worker-src 'self' blob:; require-trusted-types-for 'script'"),
};

describe("Chromium", () => {
  let site: Site;
  beforeAll(async () => {
    const pages = Object.entries(headers).map(([base, of]) =>
      pagesBelow(project.folder, { base, headers: of }),
    );
    site = await serve(Object.assign({}, ...pages));
  });
  afterAll(() => site?.close());

  async function visitHost(kind: string, host: string, query = "") {
    const before = site.requests.length;
    const url = `${site.origin}/${kind}/page.html?host=${host}${query}`;
    const { outcome, isolated, errors } = await visit(browser, url);
    const { found, violations } = outcome as { found: unknown; violations: string[] };
    const requested = site.requests.slice(before).some((path) => path.endsWith(FILE));
    return { found, violations, isolated, errors, requested };
  }

  describe.each(["page", "worker"] as const)("a %s", (host) => {
    it.each([
      ["isolated", true],
      ["plain", false],
    ] as const)("has a worker from a blob: %s", async (kind, isIsolated) => {
      const { found, isolated, ...rest } = await visitHost(kind, host);
      expectTwoThreads(found);
      expect(isolated).toBe(isIsolated);
      expect(rest).toEqual({ violations: [], errors: [], requested: false });
    });

    it("has one from the file beside where the policy refuses blobs", async () => {
      const { found, violations, requested } = await visitHost("strict", host);
      expectTwoThreads(found);
      expect(requested).toBe(true);
      // Once, also with more threads: the others know which way to go. A worker keeps it to itself.
      expect(violations).toEqual(host === "page" ? ["worker-src blob"] : []);
    });

    it("has one from the file that it names, without a violation", async () => {
      const { found, ...rest } = await visitHost("strict", host, `&worker=${FILE}`);
      expectTwoThreads(found);
      expect(rest).toMatchObject({ violations: [], errors: [], requested: true });
    });
  });

  it("a page whose policy refuses workers stays on one thread, and says why", async () => {
    const { found, violations, requested } = await visitHost("no-workers", "page");
    expectOneThread(found, /blob: .*policy.*; worker\.js: .*policy/);
    expect(violations).toEqual(["worker-src blob", "worker-src worker.js"]);
    expect(requested).toBe(false);
  });

  it("so does one that must trust every URL of a script", async () => {
    const { found } = await visitHost("trusted", "page");
    expectOneThread(found, /blob: .*TrustedScriptURL/);
  });

  it.each([
    ["which cannot load the part for threads", "service-worker.js", /import\(\) is disallowed/],
    ["which has no workers, in one script", "bundled.js", /neither Worker nor node:worker_threads/],
  ])("so does a service worker, %s", async (_, script, reason) => {
    const { found, errors } = await visitHost("plain", "serviceWorker", `&script=${script}`);
    expectOneThread(found, reason);
    expect(errors).toEqual([]);
  });

  it("a page that disposes of its runtimes has no worker left", async () => {
    const context = await browser.newContext();
    try {
      const page = await context.newPage();
      let started = 0;
      page.on("worker", () => started++);
      await page.goto(`${site.origin}/plain/many.html`);
      const text = await page.locator("#outcome").textContent();
      expectTwoThreads(JSON.parse(text!).outcome);
      expect(started).toBe(10);
      await expect.poll(() => page.workers().length).toBe(0);
    } finally {
      await context.close();
    }
  });
});
