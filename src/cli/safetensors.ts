/**
 * A strict reader of safetensors files: a little-endian u64 byte count, a JSON header of that many
 * bytes, then the data of all tensors, without gaps or overlaps.
 * https://github.com/huggingface/safetensors#format
 *
 * Only the header is read at once: a tensor's bytes are read when it is asked for, so that a layer of a large
 * file costs little.
 */
import { type FileHandle, open } from "node:fs/promises";
import type { FloatArray } from "../types.ts";
import { fileTrouble, UsageError } from "./failure.ts";

export interface TensorEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes from the end of the header on. */
  readonly begin: number;
  readonly end: number;
}

/** Bytes of the types that can be read; others can be listed. */
const bytesOf: Readonly<Record<string, number>> = { F32: 4, F64: 8, F16: 2, BF16: 2 };
const readable = Object.keys(bytesOf);
/** The format's own limit. */
const LARGEST_HEADER = 100_000_000;
const PREFIX = 8;

type Fail = (problem: string) => never;

/** An open file; close it when done. */
export class SafetensorsFile {
  /** In the order of the file. */
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readonly #file: FileHandle;
  readonly #dataStart: number;

  private constructor(
    readonly path: string,
    file: FileHandle,
    dataStart: number,
    entries: ReadonlyMap<string, TensorEntry>,
  ) {
    this.entries = entries;
    this.#file = file;
    this.#dataStart = dataStart;
  }

  /** @throws UsageError naming the file and what is wrong with it. */
  static async open(path: string): Promise<SafetensorsFile> {
    let file: FileHandle;
    try {
      file = await open(path, "r");
    } catch (error) {
      throw fileTrouble(path, error);
    }
    try {
      const { size } = await file.stat();
      const fail = failing(path);
      if (size < PREFIX) fail(`expected at least ${PREFIX} bytes, got ${size}`);
      const prefix = await readAt(file, 0, PREFIX);
      const headerLength = checkHeaderLength(prefix, size, fail);
      const header = await readAt(file, PREFIX, headerLength);
      const dataStart = PREFIX + headerLength;
      const entries = parseHeader(header, size - dataStart, path);
      return new SafetensorsFile(path, file, dataStart, entries);
    } catch (error) {
      await file.close();
      throw error instanceof UsageError ? error : fileTrouble(path, error);
    }
  }

  /**
   * The numbers of a tensor, row-major: float64 for F64, else float32.
   *
   * @throws UsageError if there is no such tensor, or its type is none of F32, F64, F16 and BF16.
   */
  async read(name: string): Promise<FloatArray> {
    const entry = this.entries.get(name);
    const fail = failing(this.path);
    if (!entry) return fail(`${name}: no such tensor`);
    if (!readable.includes(entry.dtype)) {
      fail(`${name}: expected type ${readable.join(", ")}, got ${entry.dtype}`);
    }
    const { begin, end, dtype, shape } = entry;
    const needed = bytesOf[dtype]! * shape.reduce((product, extent) => product * extent, 1);
    // Only now, so that a damaged tensor does not keep anyone from the others.
    if (end - begin !== needed) {
      const what = `${name}: expected ${needed} bytes for shape [${shape.join(", ")}] of ${dtype}`;
      fail(`${what}, got ${end - begin} by data_offsets`);
    }
    return decode(await readAt(this.#file, this.#dataStart + begin, end - begin), dtype);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function failing(source: string): Fail {
  return (problem) => {
    throw new UsageError(`${source}: not a valid safetensors file: ${problem}`);
  };
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    // A single read gives at most 2 GiB.
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw new Error(`the file ends ${length - done} bytes early`);
    done += bytesRead;
  }
  return bytes;
}

function checkHeaderLength(prefix: Uint8Array, size: number, fail: Fail): number {
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > LARGEST_HEADER || length > size - PREFIX) {
    const room = Math.min(LARGEST_HEADER, size - PREFIX);
    fail(`expected a header of at most ${room} bytes, got ${length}`);
  }
  return Number(length);
}

/**
 * Reads and checks a header.
 *
 * @param dataLength bytes after the header.
 * @throws UsageError naming `source`, the tensor, what was expected and what came.
 */
export function parseHeader(
  bytes: Uint8Array,
  dataLength: number,
  source: string,
): Map<string, TensorEntry> {
  const fail = failing(source);
  const entries = new Map<string, TensorEntry>();
  for (const [name, value] of Object.entries(parseJson(bytes, fail))) {
    if (name !== "__metadata__") entries.set(name, checkEntry(name, value, fail));
  }
  checkLayout(entries, dataLength, fail);
  return entries;
}

function parseJson(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return fail("the header is not JSON");
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    return fail("expected a JSON object as header");
  }
  return header as Record<string, unknown>;
}

function checkEntry(name: string, value: unknown, fail: Fail): TensorEntry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  if (typeof dtype !== "string") return fail(`${name}: expected a dtype, got ${inJson(dtype)}`);
  if (!isCounts(shape)) return fail(`${name}: expected a shape of sizes, got ${inJson(shape)}`);
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    return fail(`${name}: expected data_offsets [begin, end], got ${inJson(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  return { dtype, shape, begin, end };
}

/** The tensors must fill the data, one after the other. */
function checkLayout(entries: ReadonlyMap<string, TensorEntry>, length: number, fail: Fail): void {
  const inOrder = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  let before = "the header";
  for (const [name, { begin, end }] of inOrder) {
    if (begin < at) fail(`${name}: overlaps ${before}, which ends at byte ${at}, by ${at - begin}`);
    if (begin > at) fail(`${name}: expected to begin at byte ${at}, after ${before}, got ${begin}`);
    at = end;
    before = name;
  }
  if (at > length) fail(`${before}: ends at byte ${at} of the data, which has ${length}`);
  if (at < length) fail(`expected ${at} bytes of data, got ${length}`);
}

function inJson(value: unknown): string {
  return value === undefined ? "nothing" : JSON.stringify(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/** Little-endian numbers of one of the types that can be read. */
export function decode(bytes: Uint8Array, dtype: string): FloatArray {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (dtype === "F64") {
    const numbers = new Float64Array(bytes.length / 8);
    for (let i = 0; i < numbers.length; i++) numbers[i] = view.getFloat64(8 * i, true);
    return numbers;
  }
  const numbers = new Float32Array(bytes.length / bytesOf[dtype]!);
  if (dtype === "F32") {
    for (let i = 0; i < numbers.length; i++) numbers[i] = view.getFloat32(4 * i, true);
  } else if (dtype === "F16") {
    for (let i = 0; i < numbers.length; i++) numbers[i] = halfToNumber(view.getUint16(2 * i, true));
  } else {
    // BF16 is the upper half of a float32.
    const bits = new Uint32Array(numbers.buffer);
    for (let i = 0; i < bits.length; i++) bits[i] = view.getUint16(2 * i, true) << 16;
  }
  return numbers;
}

/** IEEE 754 binary16: 1 bit of sign, 5 of exponent, 10 of fraction. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Infinity;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}
