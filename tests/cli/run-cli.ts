/** Runs the command line as a user does: as a process, judged by its exit code and what it writes. */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";

const repository = fileURLToPath(new URL("../../", import.meta.url));
/** The program under test, as it is published. */
export const CLI = join(repository, "dist/cli.js");

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly text: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What stdin holds; without it, stdin is empty. */
  readonly input?: Uint8Array | string;
  /** Another copy of the program. */
  readonly program?: string;
  /** Called with the running process. */
  readonly during?: (child: ChildProcess) => unknown;
}

export async function runCli(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const { cwd, env, input, program = CLI, during } = options;
  if (!existsSync(program)) throw new Error(`${program} is missing; run npm run build`);
  const child = spawn(process.execPath, [program, ...args], {
    cwd,
    env: { ...process.env, NO_COLOR: undefined, FORCE_COLOR: undefined, ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const out: Buffer[] = [];
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    stderr += chunk;
  });
  // A program that fails early does not read it.
  child.stdin.on("error", () => {});
  if (input !== undefined || !during) child.stdin.end(input ?? "");
  const ended = new Promise<Pick<Ended, "code" | "signal">>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal }));
  });
  await during?.(child);
  const { code, signal } = await ended;
  const stdout = Buffer.concat(out);
  return { code, signal, stdout, text: stdout.toString("utf8"), stderr };
}

/** A folder of this test file's own, which goes when the file is done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "antler-cli-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The package alone below `folder`, as npm installs it: the program has nothing else beside it. */
export function installAlone(folder: string): string {
  const home = join(folder, "node_modules/antler");
  mkdirSync(home, { recursive: true });
  cpSync(join(repository, "package.json"), join(home, "package.json"));
  cpSync(join(repository, "dist"), join(home, "dist"), {
    recursive: true,
    filter: (path) => !/\.map$|\/types|\/bench|\.build-/.test(path),
  });
  return join(home, "dist/cli.js");
}
