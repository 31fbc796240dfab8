/**
 * A Chromium for tests: the headless shell of `@sparticuz/chromium`, driven by Playwright, on Linux on
 * x64; elsewhere Playwright's own, if installed.
 */
import { join } from "node:path";
import { type Browser, chromium as playwright } from "playwright";
import { isPackedForThisSystem, unpackedChromium, withLibrariesOf } from "./unpacked-chromium.ts";

/** @throws Error when there is no browser that runs here */
export async function launchBrowser(args: readonly string[] = []): Promise<Browser> {
  if (!isPackedForThisSystem) return playwright.launch({ args: [...args] });
  const folder = await unpackedChromium();
  const options = { executablePath: join(folder, "chromium"), args: ["--no-sandbox", ...args] };
  try {
    return await playwright.launch(options);
  } catch (error) {
    if (!String(error).includes("shared libraries")) throw error;
    const env = withLibrariesOf(join(folder, "al2023", "lib"));
    return playwright.launch({ ...options, env });
  }
}
