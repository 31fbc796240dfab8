/** The hosts that the tests of WebGPU run in: each is there and works, on the driver that we mean. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { launchBrowser } from "../support/browser.ts";
import { GPU_HOSTS, runInHost } from "../support/gpu-hosts.ts";
import { serve } from "../support/http.ts";
import { usesSwiftShader } from "../support/swiftshader.ts";
import type { WorkgroupSum } from "../support/workgroup-sum.ts";

const workgroupSum = new URL("../support/workgroup-sum.ts", import.meta.url);

const folder = mkdtempSync(join(tmpdir(), "antler-suites-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function suiteOf(name: string, body: string): string {
  const path = join(folder, `${name}.ts`);
  writeFileSync(path, `export default async (gpu: GPU) => { ${body} };`);
  return path;
}

describe.each(GPU_HOSTS)("%s", (host) => {
  it("sums up in a workgroup, and finds a mistake in a shader", async () => {
    const result = (await runInHost(host, workgroupSum)) as WorkgroupSum;
    expect(result.sum).toBe(result.expected);
    expect(result.complaint).toEqual({ type: "error", line: 2 });
    // The default limit, which a shader has to fit.
    expect(result.storageBuffers).toBe(8);
    expect(result.adapter.isFallback).toBe(usesSwiftShader);
  });

  it("passes on what a suite throws", async () => {
    const suite = suiteOf("throws", `throw new Error("on purpose");`);
    await expect(runInHost(host, suite)).rejects.toThrow("on purpose");
  });

  it("fails where nothing captures an error", async () => {
    const suite = suiteOf(
      "invalid",
      `const device = await (await gpu.requestAdapter())!.requestDevice();
      device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
      await device.queue.onSubmittedWorkDone();
      device.destroy();`,
    );
    await expect(runInHost(host, suite)).rejects.toThrow("uncaptured");
  });
});

it("Chromium has no adapter where it may not use a GPU", async () => {
  const site = await serve({ "/": { type: "text/html", body: "<!doctype html>" } });
  const browser = await launchBrowser(["--disable-gpu"]);
  try {
    const page = await browser.newPage();
    await page.goto(site.origin);
    expect(await page.evaluate(() => navigator.gpu.requestAdapter())).toBeNull();
  } finally {
    await browser.close();
    await site.close();
  }
});
