/** The file that states go to: never one that is there already, unless the user says so. */
import { access, constants, realpath, rm, stat, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { CliError, fileTrouble, reasonOf, UsageError } from "./failure.ts";
import { print } from "./terminal.ts";

/**
 * Fails before the work is done rather than after it.
 *
 * @throws UsageError if the file cannot or should not be written; with `force`, only the files to `keep` are safe.
 */
export async function prepareOutput(
  option: string,
  path: string,
  { force, keep }: { force: boolean; keep: readonly string[] },
): Promise<void> {
  if (path === "-") return;
  if (path === "") throw new UsageError(`${option}: expected a file name, got an empty one`);
  const status = await stat(path).catch(() => null);
  if (status?.isDirectory()) {
    throw new UsageError(`${option} ${path}: expected a file name, got a folder`);
  }
  if (status) {
    const real = await realpath(path);
    for (const other of keep) {
      if ((await realpath(other).catch(() => null)) === real) {
        throw new UsageError(
          `${option} ${path}: expected another file than ${other}, which is read`,
        );
      }
    }
    if (!force) throw exists(path);
    return;
  }
  const folder = dirname(resolve(path));
  try {
    await access(folder, constants.W_OK);
  } catch (error) {
    throw fileTrouble(`${option} ${path}: ${folder}`, error);
  }
}

/** @throws CliError where the system refuses, or the file has come to be since `prepareOutput`. */
export async function writeOutput(path: string, bytes: Uint8Array, force: boolean): Promise<void> {
  if (path === "-") return print(bytes);
  try {
    await writeFile(path, bytes, { flag: force ? "w" : "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw exists(path);
    // Half of a file is worse than none; but what --force was to replace may be no ordinary file.
    if (!force) await rm(path, { force: true });
    throw new CliError(`--output ${path}: ${reasonOf(error)}`);
  }
}

function exists(path: string): UsageError {
  return new UsageError(
    `--output ${path}: expected a new file, got one that exists`,
    "--force replaces it",
  );
}
