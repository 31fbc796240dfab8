/** A Chromium whose pages have WebGPU: on SwiftShader or, with ANTLER_GPU=native, on a real GPU. */
import type { Browser } from "playwright";
import { launchBrowser } from "./browser.ts";
import { usesSwiftShader } from "./swiftshader.ts";

/** Only pages of a secure context see `navigator.gpu`, such as those of http://127.0.0.1. */
export function launchGpuBrowser(args: readonly string[] = []): Promise<Browser> {
  const adapter = usesSwiftShader ? ["--use-webgpu-adapter=swiftshader"] : [];
  return launchBrowser(["--enable-unsafe-webgpu", "--enable-features=Vulkan", ...adapter, ...args]);
}
