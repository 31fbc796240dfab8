/**
 * A reader of the safetensors format: a little-endian u64 byte count, a JSON header of that many
 * bytes, then one block of raw little-endian data that the header's offsets point into.
 * https://github.com/huggingface/safetensors#format
 */
import { readFileSync } from "node:fs";
import { endianness } from "node:os";

export interface Tensor<Data = Float32Array> {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Data;
}

/** The tensors of a file, by name. */
export interface Safetensors {
  /** The F32 tensors. */
  readonly floats: ReadonlyMap<string, Tensor>;
  /** The I32 tensors. */
  readonly integers: ReadonlyMap<string, Tensor<Int32Array>>;
  /** The free text of `__metadata__`. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Guards against reading a file of another format as a gigantic header; the format's own cap. */
const largestHeader = 100_000_000;

export interface ReadOptions {
  /** Accept more bytes for a tensor than its shape needs, and drop them. Default false. */
  readonly allowPadding?: boolean;
}

/**
 * Reads a file.
 * @throws Error naming the file and what is wrong with it
 */
export function readSafetensors(path: string, options?: ReadOptions): Safetensors {
  return parseSafetensors(readFileSync(path), path, options);
}

/**
 * Reads the bytes of a file; `source` names it in messages.
 * @throws Error if the bytes are cut short, the header is no JSON, a tensor is neither F32 nor I32,
 *   or its offsets do not fit its shape or the file
 */
export function parseSafetensors(
  bytes: Uint8Array,
  source: string,
  options: ReadOptions = {},
): Safetensors {
  const allowPadding = options.allowPadding ?? false;
  const fail = (problem: string): never => {
    throw new Error(`${source}: ${problem}`);
  };
  // Typed arrays have the machine's byte order.
  if (endianness() !== "LE") fail("safetensors are read on little-endian machines only");
  if (bytes.length < 8) fail(`expected at least 8 bytes, got ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerLength = Number(view.getBigUint64(0, true));
  if (headerLength > largestHeader || 8 + headerLength > bytes.length) {
    fail(`header of ${headerLength} bytes does not fit a file of ${bytes.length} bytes`);
  }
  const header = parseHeader(bytes.subarray(8, 8 + headerLength), fail);
  const payload = bytes.subarray(8 + headerLength);

  const floats = new Map<string, Tensor>();
  const integers = new Map<string, Tensor<Int32Array>>();
  let metadata: Record<string, string> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") {
      metadata = entry as Record<string, string>;
      continue;
    }
    const { dtype, shape, begin, end } = checkEntry(
      name,
      entry,
      payload.length,
      allowPadding,
      fail,
    );
    // A copy: offsets need not be aligned, and a Buffer's `slice` would be a view of the whole file.
    const data = new Uint8Array(payload.subarray(begin, end)).buffer;
    if (dtype === "F32") floats.set(name, { shape, data: new Float32Array(data) });
    else integers.set(name, { shape, data: new Int32Array(data) });
  }
  return { floats, integers, metadata };
}

/**
 * The data of the tensor called `name`, of exactly this shape.
 * @throws Error if it is missing or shaped otherwise
 */
export function tensorData<Data>(
  tensors: ReadonlyMap<string, Tensor<Data>>,
  name: string,
  shape: readonly number[],
): Data {
  const tensor = tensors.get(name);
  if (tensor === undefined) {
    throw new Error(`${name}: no such tensor; there are ${[...tensors.keys()].join(", ")}`);
  }
  if (tensor.shape.join() !== shape.join()) {
    throw new Error(`${name}: expected the shape [${shape}], got [${tensor.shape}]`);
  }
  return tensor.data;
}

type Fail = (problem: string) => never;

function parseHeader(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    return fail(`the header is not JSON: ${(error as Error).message}`);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    return fail("the header is not a JSON object");
  }
  return header as Record<string, unknown>;
}

interface Entry {
  dtype: "F32" | "I32";
  shape: number[];
  begin: number;
  end: number;
}

function checkEntry(
  name: string,
  entry: unknown,
  available: number,
  allowPadding: boolean,
  fail: Fail,
): Entry {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
  if (dtype !== "F32" && dtype !== "I32") {
    return fail(`${name}: expected dtype F32 or I32, got ${String(dtype)}`);
  }
  if (!isCounts(shape)) {
    return fail(`${name}: expected a shape of sizes, got ${JSON.stringify(shape)}`);
  }
  if (!isCounts(offsets) || offsets.length !== 2) {
    return fail(`${name}: expected two data_offsets, got ${JSON.stringify(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  const expected = 4 * shape.reduce((product, extent) => product * extent, 1);
  const given = end - begin;
  if (allowPadding ? given < expected : given !== expected) {
    return fail(`${name}: shape [${shape}] needs ${expected} bytes, data_offsets give ${given}`);
  }
  if (end > available) {
    return fail(`${name}: data_offsets end at ${end}, the file's data at ${available}`);
  }
  return { dtype, shape, begin, end: begin + expected };
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}
