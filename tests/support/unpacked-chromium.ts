/**
 * The files of `@sparticuz/chromium`, unpacked once into the system's temporary folder: a browser, and
 * beside it SwiftShader, which is a Vulkan driver that runs on the CPU. Linux on x64 only.
 */
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

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
    renameSync(aside, folder);
  } catch (error) {
    // Another process may have been faster; its copy is as good.
    if (!existsSync(folder)) throw error;
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

/** Whether the package has files for this system. */
export const isPackedForThisSystem = process.platform === "linux" && process.arch === "x64";

let unpacked: Promise<string> | undefined;

/** The folder with the unpacked files. */
export function unpackedChromium(): Promise<string> {
  unpacked ??= (async () => {
    const folder = join(tmpdir(), `antler-chromium-${packedVersion()}`);
    if (!existsSync(join(folder, "chromium"))) await unpack(folder);
    return folder;
  })();
  return unpacked;
}

/** This process's environment, with the libraries that `folder` holds found by a child process. */
export function withLibrariesOf(...folders: readonly string[]): Record<string, string> {
  const path = [...folders, process.env.LD_LIBRARY_PATH].filter(Boolean).join(":");
  return { ...(process.env as Record<string, string>), LD_LIBRARY_PATH: path };
}
