/** Runs one and the same module where WebGPU is to be had: Node and Chromium (Dawn), Deno (wgpu). */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { launchGpuBrowser } from "./chromium-gpu.ts";
import { dawnGpu } from "./dawn.ts";
import { runInDeno } from "./deno.ts";
import { serve } from "./http.ts";

export const GPU_HOSTS = ["node", "chromium", "deno"] as const;
export type GpuHost = (typeof GPU_HOSTS)[number];

const JAVASCRIPT = "text/javascript";

/** One ES module whose function `run(gpu)` gives the suite's result as JSON, and `more`. */
async function bundle(suiteModule: string, more: string): Promise<string> {
  const imports = `
    import { runSuite } from "./gpu-suite.ts";
    import suite from ${JSON.stringify(suiteModule)};
    const run = (gpu: GPU) => runSuite(suite, gpu);`;
  const resolveDir = fileURLToPath(new URL(".", import.meta.url));
  const { outputFiles } = await build({
    stdin: { contents: imports + more, resolveDir, loader: "ts" },
    bundle: true,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    write: false,
    logLevel: "silent",
  });
  return outputFiles[0].text;
}

const runners: Readonly<Record<GpuHost, (suiteModule: string) => Promise<string>>> = {
  async node(suiteModule) {
    const code = await bundle(suiteModule, "export { run };");
    const url = `data:${JAVASCRIPT};base64,${Buffer.from(code).toString("base64")}`;
    const { run } = (await import(url)) as { run(gpu: GPU): Promise<string> };
    return run(await dawnGpu());
  },

  async chromium(suiteModule) {
    const site = await serve({
      "/": { type: "text/html", body: "<!doctype html><title>Antler</title>" },
      "/suite.js": { type: JAVASCRIPT, body: await bundle(suiteModule, "export { run };") },
    });
    try {
      const browser = await launchGpuBrowser();
      try {
        const page = await browser.newPage();
        await page.goto(site.origin);
        // As a string, since tools that run this file have their own idea of import().
        return await page.evaluate('import("/suite.js").then(({ run }) => run(navigator.gpu))');
      } finally {
        await browser.close();
      }
    } finally {
      await site.close();
    }
  },

  async deno(suiteModule) {
    return runInDeno(await bundle(suiteModule, "console.log(await run(navigator.gpu));"));
  },
};

/**
 * @param suiteModule the file, as a URL or an absolute path; its default export is a `GpuSuite`
 * @returns the suite's result, by way of JSON
 * @throws Error where the suite does not bundle, throws, or leaves a WebGPU error uncaptured
 */
export async function runInHost(host: GpuHost, suiteModule: URL | string): Promise<unknown> {
  const path = suiteModule instanceof URL ? fileURLToPath(suiteModule) : suiteModule;
  return JSON.parse(await runners[host](path));
}
