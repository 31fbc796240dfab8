/** Reads a WAV file from the disk. */
import { readFile, stat } from "node:fs/promises";
import { reasonOf, UserError } from "./failure.ts";
import { decodeRecording, type Recording } from "./wave.ts";

export type { Recording } from "./wave.ts";

/**
 * Reads a WAV file of any usual encoding.
 * @param onResample called before a conversion of the sample rate, which takes a while; nothing is
 *   refused after it.
 * @throws {UserError} in one line, when the file cannot be read or used.
 */
export async function readRecording(
  path: string,
  onResample: () => void = () => {},
): Promise<Recording> {
  return decodeRecording(await readBytes(path), path, onResample);
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    const status = await stat(path);
    if (status.isDirectory()) throw new UserError(`${path}: is a folder, expected a WAV file`);
    if (!status.isFile()) throw new UserError(`${path}: is not a regular file`);
    if (status.size === 0) throw new UserError(`${path}: is empty, expected a WAV file`);
    return await readFile(path);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${path}: ${reasonOf(error)}`);
  }
}
