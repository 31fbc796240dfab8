/** Files as other programs write them: by the formats' own descriptions, and by nothing of Antler. */
import type { FloatArray } from "../../src/index.ts";

export interface TensorSpec {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

const bytesIn = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

export function float32Tensor(data: Float32Array, shape: readonly number[]): TensorSpec {
  return { dtype: "F32", shape, bytes: bytesIn(data) };
}

export function float64Tensor(data: ArrayLike<number>, shape: readonly number[]): TensorSpec {
  return { dtype: "F64", shape, bytes: bytesIn(Float64Array.from(data)) };
}

/** A safetensors file whose tensors follow one another. */
export function safetensors(tensors: Readonly<Record<string, TensorSpec>>): Buffer {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let at = 0;
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  return rawSafetensors(
    JSON.stringify(header),
    Buffer.concat(Object.values(tensors).map(({ bytes }) => bytes)),
  );
}

export function rawSafetensors(header: string, data: Uint8Array): Buffer {
  const text = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, data]);
}

export interface NpyOptions {
  readonly version?: 1 | 2 | 3;
  readonly descr?: string;
  readonly fortran?: boolean;
  /** Multiple of which the header ends at; NumPy's is 64. */
  readonly alignment?: number;
}

/** A .npy file as NumPy writes it. */
export function npy(
  data: FloatArray | Uint8Array | BigInt64Array,
  shape: readonly number[],
  options: NpyOptions = {},
): Buffer {
  const { version = 1, fortran = false, alignment = 64 } = options;
  const descr = options.descr ?? (data instanceof Float64Array ? "<f8" : "<f4");
  const quoted = descr.startsWith("[") ? descr : `'${descr}'`;
  const extents = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const dictionary =
    `{'descr': ${quoted}, 'fortran_order': ${fortran ? "True" : "False"},` +
    ` 'shape': (${extents}), }`;
  const before = version === 1 ? 10 : 12;
  const unpadded = before + dictionary.length + 1;
  const padding = Math.ceil(unpadded / alignment) * alignment - unpadded;
  const text = `${dictionary}${" ".repeat(padding)}\n`;
  const start = Buffer.alloc(before);
  start.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0]);
  if (version === 1) start.writeUInt16LE(text.length, 8);
  else start.writeUInt32LE(text.length, 8);
  return Buffer.concat([start, Buffer.from(text, "latin1"), bytesIn(data)]);
}

export interface ReadNpy {
  readonly descr: string;
  readonly shape: readonly number[];
  readonly data: FloatArray;
}

/** Reads version 1 as the format describes it. */
export function parseNpy(bytes: Buffer): ReadNpy {
  if (bytes.subarray(0, 8).toString("latin1") !== "\x93NUMPY\x01\x00") {
    throw new Error("expected a .npy file of version 1.0");
  }
  const end = 10 + bytes.readUInt16LE(8);
  const header = bytes.subarray(10, end).toString("latin1");
  const parts =
    /^\{'descr': ?'([^']+)', ?'fortran_order': ?False, ?'shape': ?\(([^)]*)\),? ?\} *\n$/.exec(
      header,
    );
  if (!parts) throw new Error(`expected NumPy's header, got ${header}`);
  const shape = parts[2]!
    .split(",")
    .filter((part) => part.trim() !== "")
    .map(Number);
  const body = Uint8Array.from(bytes.subarray(end)).buffer;
  const descr = parts[1]!;
  const data = descr === "<f8" ? new Float64Array(body) : new Float32Array(body);
  return { descr, shape, data };
}
