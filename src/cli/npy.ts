/** NumPy's .npy files, by `npyjs`, with the checks that it leaves to its callers. */
import { dump, parse } from "npyjs";
import type { FloatArray } from "../types.ts";
import { UsageError } from "./failure.ts";

export interface NpyArray<Data = FloatArray> {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Data;
}

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** Magic, version, and a length of two bytes; of four from version 2 on. */
const SHORTEST = 10;

/** Whether the bytes begin as a .npy file does. */
export function isNpy(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, i) => bytes[i] === byte);
}

/**
 * Float32 or float64, little-endian, in C order, of any number of dimensions.
 *
 * @throws UsageError naming `source`, what was expected and what came.
 */
export function readNpy(bytes: Uint8Array, source: string): NpyArray {
  const array = parseNpy(bytes, source, ["<f4", "<f8"], "float32 or float64, little-endian");
  return { shape: array.shape, data: array.data as FloatArray };
}

/**
 * Integers as numbers.
 *
 * @throws UsageError as `readNpy`.
 */
export function readNpyIntegers(bytes: Uint8Array, source: string): NpyArray<number[]> {
  const types = ["|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8"];
  const { shape, data } = parseNpy(bytes, source, types, "integers, little-endian");
  return { shape, data: Array.from(data as Int32Array | BigInt64Array, Number) };
}

type Fail = (problem: string, hint?: string) => never;

function parseNpy(bytes: Uint8Array, source: string, types: readonly string[], expected: string) {
  const fail: Fail = (problem, hint) => {
    throw new UsageError(`${source}: ${problem}`, hint);
  };
  if (!isNpy(bytes) || bytes.length < SHORTEST) {
    const zip = bytes[0] === 0x50 && bytes[1] === 0x4b;
    if (zip) fail("expected a .npy file, got an archive (.npz?)", "save one array by numpy.save");
    fail("expected a .npy file, got something else", "numpy.save writes one");
  }
  const { start, end } = headerOf(bytes, fail);
  const header = new TextDecoder("latin1").decode(bytes.subarray(start, end));
  const descr = /'descr'\s*:\s*('[^']*'|\[.*?\])/s.exec(header)?.[1] ?? "none";
  const type = descr.replace(/^'(.*)'$/, "$1");
  if (!types.includes(type)) {
    const hint = expected.startsWith("float") ? "convert it by .astype('<f4')" : undefined;
    fail(`expected ${expected}, got the type ${type}`, hint);
  }
  const size = Number(type.slice(2));
  const rest = (bytes.length - end) % size;
  if (rest !== 0) fail(`the file ends within a number, ${size - rest} bytes early`);
  const array = parse(aligned(bytes, start, end));
  if (array.fortranOrder) {
    fail("expected C order, got Fortran order", "save numpy.ascontiguousarray of it");
  }
  const count = array.shape.reduce((product, extent) => product * extent, 1);
  const got = (array.data as FloatArray).length;
  if (got !== count) {
    fail(`expected ${count} numbers for shape [${array.shape.join(", ")}], got ${got}`);
  }
  return array;
}

/** Where the text of the header lies, checked to be in the file. */
function headerOf(bytes: Uint8Array, fail: Fail): { start: number; end: number } {
  const [major, minor] = [bytes[6]!, bytes[7]!];
  if (major < 1 || major > 3) fail(`expected .npy version 1 to 3, got ${major}.${minor}`);
  const start = major === 1 ? SHORTEST : SHORTEST + 2;
  if (bytes.length < start) fail("the file ends within its header");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = start + (major === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  if (end > bytes.length) fail("the file ends within its header");
  return { start, end };
}

/**
 * A copy whose numbers begin where a typed array may begin: not every writer sees to that, and bytes that
 * were read may lie anywhere in a larger buffer.
 */
function aligned(bytes: Uint8Array, start: number, end: number): ArrayBuffer {
  // As version 2, whose length has four bytes.
  const textStart = SHORTEST + 2;
  const dataStart = Math.ceil((textStart + end - start) / 16) * 16;
  const copy = new Uint8Array(dataStart + bytes.length - end).fill(0x20, textStart, dataStart);
  copy.set([...MAGIC, 2, 0]);
  new DataView(copy.buffer).setUint32(8, dataStart - textStart, true);
  copy.set(bytes.subarray(start, end), textStart);
  copy.set(bytes.subarray(end), dataStart);
  return copy.buffer;
}

/** A .npy file of version 1, in the precision of `data`. */
export function writeNpy(data: FloatArray, shape: readonly number[]): Uint8Array {
  return new Uint8Array(dump(data, [...shape]));
}
