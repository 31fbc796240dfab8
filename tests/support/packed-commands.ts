/** Runs a module of a packed project in the hosts that are started from a command line. */
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { denoProgram } from "../../scripts/package/project.mjs";
import type { PackedProject } from "./packed-project.ts";

export const COMMANDS = ["node", "deno", "bun"] as const;
export type CommandHost = (typeof COMMANDS)[number];

/** For 1,000 evaluations on a GPU that is a program, on a busy machine. */
export const LIMIT_MS = 400_000;

/** Each without a network, without a cache of its own, and Deno without any permission. */
const commands: Readonly<Record<CommandHost, (file: string) => readonly string[]>> = {
  node: (file) => [process.execPath, file],
  deno: (file) => [
    denoProgram(),
    ...["run", "--no-prompt", "--no-lock", "--no-remote", "--node-modules-dir=manual", file],
  ],
  bun: (file) => [bunProgram(), "run", "--no-install", file],
};

/**
 * The program in the package for this system, which is a dependency of `bun`; the file in `bun` itself is
 * put there by an install script.
 */
function bunProgram(): string {
  const require = createRequire(createRequire(import.meta.url).resolve("bun/package.json"));
  const system = process.platform === "win32" ? "windows" : process.platform;
  const processor = process.arch === "arm64" ? "aarch64" : process.arch;
  const name = process.platform === "win32" ? "bun.exe" : "bun";
  return require.resolve(`@oven/bun-${system}-${processor}/bin/${name}`);
}

/**
 * @param file a module of the project, which ends by itself
 * @returns the last line of standard output, parsed as JSON
 * @throws Error with what it wrote to standard error, where it fails or writes anything there
 */
export async function runModule(
  host: CommandHost,
  { folder }: PackedProject,
  file: string,
  { args = [], env = {} }: { args?: readonly string[]; env?: Record<string, string> } = {},
): Promise<unknown> {
  const [command, ...rest] = commands[host](file);
  const { stdout, stderr } = await promisify(execFile)(command!, [...args, ...rest], {
    cwd: folder,
    timeout: LIMIT_MS,
    env: {
      ...process.env,
      DENO_DIR: join(folder, ".deno"),
      DENO_NO_UPDATE_CHECK: "1",
      BUN_INSTALL_CACHE_DIR: join(folder, ".bun"),
      ...env,
    },
  });
  if (stderr) throw new Error(`${host}: expected nothing on standard error, got ${stderr}`);
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
}
