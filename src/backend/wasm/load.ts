/**
 * Loads the kernels: those that come with the package, or from a URL, bytes or a compiled module; the
 * relaxed-SIMD build where the engine takes it and results may vary by CPU.
 */
import { show } from "../../show.ts";

/** Where the kernels come from, if not from the copy that is built in. */
export type WasmSource = string | URL | ArrayBuffer | ArrayBufferView | WebAssembly.Module;

/** What the module exports; see assembly/index.ts. Addresses are in bytes. */
export interface KernelExports {
  readonly memory: WebAssembly.Memory;
  heapBase(): number;
  /** 1 if `count` floats are all finite, else 0. */
  allFinite(values: number, count: number): number;
  execute(code: number): void;
  runLanes(job: number): void;
  /** Runs a program of products for `steps` rows; addresses as distances from those in the code. */
  drive(
    code: number,
    steps: number,
    source: number,
    sourcePitch: number,
    target: number,
    targetPitch: number,
  ): void;
  measure(chunks: number, from: number): void;
  setExact(chunks: number, from: number): void;
  guardProducts(chunks: number, from: number, kind: number, scale: number, clip: boolean): void;
  scanDiagonal(chunks: number, from: number): void;
  scanBlock(chunks: number, from: number): void;
  scanDense(chunks: number, from: number): void;
  kalmanDiagonal(chunks: number, from: number): void;
  kalmanMatrices(chunks: number, from: number, dense: boolean): void;
  kalmanScratch(stateSize: number, n: number, count: number): number;
  certify(job: number, from: number, to: number): void;
}

export interface Kernels {
  readonly module: WebAssembly.Module;
  readonly exports: KernelExports;
  readonly simd: "plain" | "relaxed";
}

/** The copy of the kernels that comes with the package, compiled. */
export type BuiltInKernels = (simd: "plain" | "relaxed") => Promise<WebAssembly.Module>;

/** A module whose one function is f32x4.relaxed_madd: valid where relaxed SIMD is. */
const relaxedProbe = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0, 10, 13, 1, 11, 0,
  32, 0, 32, 1, 32, 2, 253, 133, 2, 11,
]);

/** Whether this engine compiles relaxed-SIMD instructions. */
export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(relaxedProbe);
}

async function compileSource(source: WasmSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  if (typeof source === "string" || source instanceof URL) {
    return compileBytes(await fetchBytes(source), String(source));
  }
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
    return compileBytes(viewOf(source), "the given bytes");
  }
  throw new TypeError(`wasm: expected a URL, bytes or a WebAssembly.Module, got ${show(source)}`);
}

/** A failure is no TypeError, as fetch's own are, but an Error that names the source. */
async function fetchBytes(source: string | URL): Promise<Uint8Array<ArrayBuffer>> {
  let response: Response;
  try {
    response = await fetch(source);
  } catch (cause) {
    throw new Error(`wasm: cannot fetch ${source}: ${describe(cause)}`, { cause });
  }
  if (!response.ok) {
    throw new Error(`wasm: expected kernels at ${source}, got HTTP status ${response.status}`);
  }
  return new Uint8Array(await response.arrayBuffer());
}

function viewOf(source: ArrayBuffer | ArrayBufferView): Uint8Array<ArrayBuffer> {
  const [buffer, offset] = ArrayBuffer.isView(source)
    ? [source.buffer, source.byteOffset]
    : [source, 0];
  try {
    return new Uint8Array(buffer as ArrayBuffer, offset, source.byteLength);
  } catch (cause) {
    throw new TypeError("wasm: expected bytes, got an array whose buffer is detached", { cause });
  }
}

function compileBytes(bytes: Uint8Array<ArrayBuffer>, where: string): Promise<WebAssembly.Module> {
  if (!magic.every((byte, i) => bytes[i] === byte)) {
    // A server's error page is the usual reason, and shows in its first bytes.
    const start = bytes.subarray(0, 16);
    const text = Array.from(start, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".",
    ).join("");
    throw new Error(
      `wasm: expected kernels in ${where} to begin with ${hexadecimal(magic)},` +
        (start.length > 0
          ? ` got ${hexadecimal(start.subarray(0, 4))} ("${text}")`
          : " got nothing"),
    );
  }
  return WebAssembly.compile(bytes);
}

/** How a WebAssembly module begins: "\0asm". */
const magic = Uint8Array.of(0x00, 0x61, 0x73, 0x6d);

function hexadecimal(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

/** What went wrong, with the reason behind "fetch failed". */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error ? `${error.message} (${cause.message})` : error.message;
}

async function instantiate(module: WebAssembly.Module): Promise<WebAssembly.Exports> {
  // Another module is told by its exports, before any of its code runs.
  if (!WebAssembly.Module.exports(module).some(({ name }) => name === "usesRelaxedSimd")) {
    throw new Error("wasm: expected Antler's kernels, got another module");
  }
  try {
    return (await WebAssembly.instantiate(module, {})).exports;
  } catch (cause) {
    throw new Error(`wasm: cannot instantiate the kernels: ${describe(cause)}`, { cause });
  }
}

/** A given module tells which build it is. */
function simdOf(exports: WebAssembly.Exports): "plain" | "relaxed" {
  return (exports.usesRelaxedSimd as () => number)() === 1 ? "relaxed" : "plain";
}

/**
 * @throws TypeError for a source of the wrong type, RangeError for relaxed-SIMD kernels where results
 * must be reproducible; Error when there is no WebAssembly, when the source cannot be had, or when it
 * does not hold these kernels.
 */
export async function loadKernels(
  builtIn: BuiltInKernels,
  source: WasmSource | undefined,
  reproducible: boolean,
): Promise<Kernels> {
  if (typeof WebAssembly === "undefined") throw new Error("this host has no WebAssembly");
  const module =
    source === undefined
      ? await builtIn(!reproducible && hasRelaxedSimd() ? "relaxed" : "plain")
      : await compileSource(source);
  const exports = await instantiate(module);
  const simd = simdOf(exports);
  if (reproducible && simd === "relaxed") {
    throw new RangeError("wasm: expected kernels whose results are reproducible, got relaxed SIMD");
  }
  return { module, exports: exports as unknown as KernelExports, simd };
}
