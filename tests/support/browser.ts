/**
 * A Chromium for tests: the headless shell of `@sparticuz/chromium`, unpacked once into the system's
 * temporary folder, driven by Playwright. Linux on x64; elsewhere Playwright's own, if installed.
 */
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Browser, chromium as playwright } from "playwright";

const require = createRequire(import.meta.url);

/** The package unpacks its copies of libraries such as NSS only where this is set. */
const hostVariable = "AWS_EXECUTION_ENV";

/** Unpacks to `folder`: the browser, and the libraries that a bare system lacks, in al2023/lib. */
async function unpack(folder: string): Promise<void> {
  const before = { TMPDIR: process.env.TMPDIR, [hostVariable]: process.env[hostVariable] };
  const aside = mkdtempSync(join(tmpdir(), "antler-unpack-"));
  process.env.TMPDIR = aside;
  process.env[hostVariable] = "AWS_Lambda_nodejs20.x";
  try {
    const { default: chromium } = await import("@sparticuz/chromium");
    await chromium.executablePath();
    // Another process may have been faster; its copy is as good.
    if (!existsSync(folder)) renameSync(aside, folder);
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    rmSync(aside, { recursive: true, force: true });
  }
}

/** The version of the package that holds the browser. */
function packedVersion(): string {
  const entry = require.resolve("@sparticuz/chromium");
  let folder = dirname(entry);
  while (!existsSync(join(folder, "bin"))) folder = dirname(folder);
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).version;
}

/** @throws Error when there is no browser that runs here */
export async function launchBrowser(args: readonly string[] = []): Promise<Browser> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return playwright.launch({ args: [...args] });
  }
  const folder = join(tmpdir(), `antler-chromium-${packedVersion()}`);
  const executablePath = join(folder, "chromium");
  if (!existsSync(executablePath)) await unpack(folder);
  const options = { executablePath, args: ["--no-sandbox", ...args] };
  try {
    return await playwright.launch(options);
  } catch (error) {
    if (!String(error).includes("shared libraries")) throw error;
    const libraries = [join(folder, "al2023", "lib"), process.env.LD_LIBRARY_PATH];
    const env = { ...process.env, LD_LIBRARY_PATH: libraries.filter(Boolean).join(":") };
    return playwright.launch({ ...options, env: env as Record<string, string> });
  }
}
