/** Inputs, initial states and lengths, from the files that a user has them in. */
import { readFile, stat } from "node:fs/promises";
import { addAbortSignal } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { FloatArray } from "../types.ts";
import { readCsv } from "./csv.ts";
import { fileTrouble, UsageError } from "./failure.ts";
import { isNpy, readNpy, readNpyIntegers } from "./npy.ts";

export interface Rows {
  /** `[rows, columns]`, row-major. */
  readonly data: FloatArray;
  readonly rows: number;
  readonly columns: number;
  /** As the file has it: one or two extents. */
  readonly shape: readonly number[];
}

/** @param path "-" for stdin, which the signal stops waiting for. */
async function readBytes(path: string, signal?: AbortSignal): Promise<Uint8Array> {
  if (path === "-") {
    const input = signal ? addAbortSignal(signal, process.stdin) : process.stdin;
    try {
      return await buffer(input);
    } catch (error) {
      signal?.throwIfAborted();
      throw fileTrouble("stdin", error);
    }
  }
  try {
    return await readFile(path);
  } catch (error) {
    throw fileTrouble(path, error);
  }
}

function textOf(bytes: Uint8Array, source: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError(`${source}: expected a .npy file or a table in UTF-8, got something else`);
  }
}

/**
 * A .npy file or a table as text: the first bytes tell which.
 *
 * @throws UsageError naming the file, what was expected and what came.
 */
export async function readRows(path: string, signal?: AbortSignal): Promise<Rows> {
  const source = path === "-" ? "stdin" : path;
  const bytes = await readBytes(path, signal);
  if (isNpy(bytes) || /\.np[yz]$/i.test(path)) {
    const { data, shape } = readNpy(bytes, source);
    if (shape.length < 1 || shape.length > 2) {
      const got = `${shape.length}, [${shape.join(", ")}]`;
      throw new UsageError(`${source}: expected one or two dimensions, got ${got}`);
    }
    const [rows, columns = 1] = shape as [number, number?];
    return { data, rows, columns, shape };
  }
  const { data, rows, columns } = readCsv(textOf(bytes, source), source);
  return { data, rows, columns, shape: [rows, columns] };
}

/**
 * Lengths as they stand on the command line, `10,20`, or in a file: text with commas or white space between
 * them, or .npy.
 *
 * @throws UsageError naming `--lengths`.
 */
export async function readLengths(value: string): Promise<number[]> {
  if (/^[\d,\s]+$/.test(value) && !(await isFile(value))) return integersIn(value, "--lengths");
  const bytes = await readBytes(value);
  const source = `--lengths ${value}`;
  if (!isNpy(bytes)) return integersIn(textOf(bytes, source), source);
  const { data, shape } = readNpyIntegers(bytes, source);
  if (shape.length !== 1) {
    throw new UsageError(`${source}: expected one dimension, got [${shape.join(", ")}]`);
  }
  const bad = data.find((length) => !Number.isSafeInteger(length) || length < 0);
  if (bad !== undefined) {
    throw new UsageError(`${source}: expected non-negative integers, got ${bad}`);
  }
  return data;
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() === true;
}

function integersIn(text: string, source: string): number[] {
  const items = text.split(/[,\s]+/).filter((item) => item !== "");
  if (items.length === 0) throw new UsageError(`${source}: expected integers, got none`);
  return items.map((item) => {
    if (/^\d+$/.test(item) && Number.isSafeInteger(Number(item))) return Number(item);
    throw new UsageError(`${source}: expected non-negative integers, got "${item.slice(0, 40)}"`);
  });
}
