/**
 * Data too large, or not ours, to keep in the repository: a folder `shared/data` next to the
 * repository, or the folder named by the environment variable `ANTLER_SHARED_DATA`.
 *
 * A test that needs a file of it writes
 *
 *     describe.skipIf(sharedData(FILE) === null)(sharedTitle("what is tested", FILE), () => { … });
 *
 * so that a run without the data shows the test as skipped, with the reason in its title.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("../../", import.meta.url));

/** The folder of shared data, whether or not it exists. */
export function sharedDataFolder(): string {
  const override = process.env.ANTLER_SHARED_DATA;
  return override ? resolve(override) : resolve(repository, "../shared/data");
}

/** The path of a shared file, or null where it is missing. */
export function sharedData(name: string): string | null {
  const path = join(sharedDataFolder(), name);
  return existsSync(path) ? path : null;
}

/**
 * The path of a shared file, for code that cannot do without.
 * @throws Error saying where the file was looked for, and how to point elsewhere
 */
export function requireSharedData(name: string): string {
  const path = sharedData(name);
  if (path === null) throw new Error(missing(name));
  return path;
}

/** `title`, and where a file is missing, why the test is skipped. */
export function sharedTitle(title: string, ...names: string[]): string {
  const absent = names.filter((name) => sharedData(name) === null);
  return absent.length === 0 ? title : `${title} (skipped: ${absent.map(missing).join("; ")})`;
}

function missing(name: string): string {
  return `${name} is not in ${sharedDataFolder()}; set ANTLER_SHARED_DATA to its folder`;
}
