/** Deno, whose WebGPU is wgpu: another implementation than the Dawn of Node and Chromium. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { denoProgram } from "../../scripts/package/project.mjs";
import { gpuEnvironment } from "./swiftshader.ts";

const LIMIT_MS = 100_000;

/**
 * The last line that an ES module without imports prints.
 *
 * @throws Error with what Deno wrote to its standard error, where the module fails
 */
export async function runInDeno(code: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "antler-deno-"));
  try {
    const program = join(folder, "main.mjs");
    writeFileSync(program, code);
    const args = ["run", "--no-config", "--no-lock", "--no-prompt", "--no-remote", program];
    const { stdout } = await promisify(execFile)(denoProgram(), args, {
      cwd: folder,
      timeout: LIMIT_MS,
      maxBuffer: 2 ** 28,
      env: {
        ...(await gpuEnvironment()),
        DENO_DIR: join(folder, "cache"),
        DENO_NO_UPDATE_CHECK: "1",
      },
    });
    return stdout.trimEnd().split("\n").at(-1)!;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
