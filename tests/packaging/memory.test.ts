/**
 * What the packed package holds on to over 1,000 evaluations, in Node and in a page of Chromium, and over
 * many runtimes that are disposed: WebAssembly's memory, buffers on the GPU, and JavaScript's heap.
 */
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import type { Browser, CDPSession, Page } from "playwright";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { launchGpuBrowser } from "../support/chromium-gpu.ts";
import { type Site, serve } from "../support/http.ts";
import { LIMIT_MS, runModule } from "../support/packed-commands.ts";
import type { Held, Load } from "../support/packed-load.ts";
import { pagesBelow } from "../support/packed-pages.ts";
import { type PackedProject, packedProject } from "../support/packed-project.ts";
import { gpuEnvironment } from "../support/swiftshader.ts";

const BATCH = 100;
const WARM_UP = 2;
const BATCHES = WARM_UP + 10;
const RUNTIMES = { wasm: 100, webgpu: 3 } as const;

/** What an evaluation may leave on the heap, in bytes: less than an object with a number takes. */
const HEAP_LIMIT = 24;
/** And what a runtime may. */
const RUNTIME_LIMIT = 512;

/**
 * The engine compiles what runs often, and learns its types, for thousands of evaluations: on the heap,
 * where that would look like a leak.
 */
const STEADY_HEAP = ["--no-opt", "--no-sparkplug", "--no-maglev", "--no-lazy-feedback-allocation"];

/** Without it, SwiftShader takes seconds to compile what zeroes workgroup memory. */
const WITHOUT_ZEROING = "enable-dawn-features=disable_workgroup_init";

/** One after each batch; the last after more runtimes came and went. */
interface Soak {
  readonly held: readonly Held[];
  /** Bytes, after garbage collection. */
  readonly heap: readonly number[];
}

const OPEN = `
  import { createRuntime, gru } from "antler";
  import { openLoad } from "./load.js";`;

const soak = (gpu: string, runtimes: number) => `${OPEN}
  const load = await openLoad({ createRuntime, gru }, ${gpu});
  const [held, heap] = [[], []];
  const pause = () => new Promise((resolve) => setTimeout(resolve, 10));
  const note = async () => {
    let least = Infinity;
    // What finalisers let go is collected only the next time.
    for (let i = 0; i < 5; i++) {
      gc();
      await pause();
      const { heapUsed, external } = process.memoryUsage();
      least = Math.min(least, heapUsed + external);
    }
    heap.push(least);
    held.push(load.held());
  };
  for (let i = 0; i < ${BATCHES}; i++) {
    await load.evaluate(${BATCH});
    await note();
  }
  await load.renew(${runtimes});
  await note();
  load.close();
  console.log(JSON.stringify({ held, heap }));`;

let project: PackedProject;
let site: Site;
beforeAll(async () => {
  project = await packedProject();
  project.link("webgpu");
  const { outputFiles } = buildSync({
    entryPoints: [fileURLToPath(new URL("../support/packed-load.ts", import.meta.url))],
    bundle: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  project.write({
    "load.js": outputFiles[0]!.text,
    "wasm.js": soak("undefined", RUNTIMES.wasm),
    "webgpu.js": `
      import { create, globals } from "webgpu";
      Object.assign(globalThis, globals);
      ${soak(`create(["${WITHOUT_ZEROING}"])`, RUNTIMES.webgpu)}`,
    "page.html": `<!doctype html><title>Antler</title>
      <script type=importmap>
        { "imports": { "antler": "./node_modules/antler/dist/index.js" } }
      </script>
      <script type=module>
        ${OPEN}
        const gpu = location.search === "?webgpu" ? navigator.gpu : undefined;
        openLoad({ createRuntime, gru }, gpu).then((load) => Object.assign(globalThis, { load }));
      </script>`,
  });
  site = await serve(pagesBelow(project.folder));
});
afterAll(async () => {
  await site?.close();
  project?.remove();
});

function expectFlat({ held, heap }: Soak, backend: "wasm" | "webgpu"): void {
  expect(held).toHaveLength(BATCHES + 1);
  const [first] = held;
  expect(first!.memories).toBe(1);
  expect(first!.wasm).toBeGreaterThan(0);
  expect(first!.devices).toBe(backend === "webgpu" ? 1 : 0);
  if (backend === "webgpu") expect(first!.gpu).toBeGreaterThan(0);
  // To the byte; after the runtimes that came and went, too.
  expect(held).toEqual(held.map(() => first));
  const growth = (from: number, to: number) => heap[to]! - heap[from]!;
  const told = `heap: ${heap.join(", ")}`;
  const evaluations = BATCH * (BATCHES - WARM_UP);
  expect(evaluations).toBe(1000);
  const grown = growth(WARM_UP - 1, BATCHES - 1);
  expect(grown, told).toBeLessThanOrEqual(HEAP_LIMIT * evaluations);
  // A device comes with much of the engine's own, which so few runtimes do not outweigh.
  if (backend === "wasm") {
    expect(growth(BATCHES - 1, BATCHES), told).toBeLessThanOrEqual(RUNTIME_LIMIT * RUNTIMES.wasm);
  }
}

describe("in Node", () => {
  it("1,000 evaluations in WebAssembly hold on to nothing", async () => {
    const args = ["--expose-gc", ...STEADY_HEAP];
    expectFlat((await runModule("node", project, "wasm.js", { args })) as Soak, "wasm");
  });

  it("1,000 evaluations on WebGPU hold on to nothing", { timeout: LIMIT_MS }, async () => {
    const args = ["--expose-gc", ...STEADY_HEAP];
    const env = await gpuEnvironment();
    expectFlat((await runModule("node", project, "webgpu.js", { args, env })) as Soak, "webgpu");
  });
});

/** What `page.html` leaves in the page. */
declare const load: Load;

describe("in a page", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchGpuBrowser([`--js-flags=${STEADY_HEAP.join(" ")}`]);
  });
  afterAll(() => browser?.close());

  let page: Page;
  afterEach(() => page?.close());

  /** Bytes on the heap, and in array buffers, after garbage collection. */
  async function heapOf(session: CDPSession): Promise<number> {
    let least = Infinity;
    for (let i = 0; i < 3; i++) {
      await session.send("HeapProfiler.collectGarbage");
      const usage = await session.send("Runtime.getHeapUsage");
      least = Math.min(least, usage.usedSize + usage.backingStorageSize);
    }
    return least;
  }

  it.each(["wasm", "webgpu"] as const)(
    "1,000 evaluations by %s hold on to nothing",
    async (backend) => {
      page = await browser.newPage();
      await page.goto(`${site.origin}/page.html?${backend}`);
      await page.waitForFunction(() => "load" in globalThis);
      const session = await page.context().newCDPSession(page);
      const held: Held[] = [];
      const heap: number[] = [];
      const note = async () => {
        heap.push(await heapOf(session));
        held.push(await page.evaluate(() => load.held()));
      };
      for (let i = 0; i < BATCHES; i++) {
        await page.evaluate((count) => load.evaluate(count), BATCH);
        await note();
      }
      await page.evaluate((count) => load.renew(count), RUNTIMES[backend]);
      await note();
      await page.evaluate(() => load.close());
      expectFlat({ held, heap }, backend);
    },
  );
});
