/**
 * Loads the kernels: inlined by default, or from a URL, bytes or a compiled module; the relaxed-SIMD
 * build where the engine takes it and results may vary by CPU.
 */
import plainKernel from "./generated/kernel.ts";
import relaxedKernel from "./generated/kernel-relaxed.ts";

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
  readonly exports: KernelExports;
  readonly simd: "plain" | "relaxed";
}

export function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

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
    const response = await fetch(source);
    if (!response.ok) {
      throw new Error(`wasm: expected kernels at ${source}, got HTTP status ${response.status}`);
    }
    return compileBytes(await response.arrayBuffer(), String(source));
  }
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
    return compileBytes(source as BufferSource, "the given bytes");
  }
  throw new TypeError(
    `wasm: expected a URL, bytes or a WebAssembly.Module, got ${typeof source === "object" ? "an object" : String(source)}`,
  );
}

async function compileBytes(bytes: BufferSource, where: string): Promise<WebAssembly.Module> {
  const view = ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes);
  if (view[0] !== 0 || view[1] !== 0x61 || view[2] !== 0x73 || view[3] !== 0x6d) {
    // A server's error page is the usual reason.
    const start = Array.from(view.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0"));
    throw new Error(
      `wasm: expected kernels in ${where} to begin with 00 61 73 6d, got ${start.join(" ") || "nothing"}`,
    );
  }
  return WebAssembly.compile(bytes);
}

const compiled = new Map<"plain" | "relaxed", Promise<WebAssembly.Module>>();

function compileInlined(simd: "plain" | "relaxed"): Promise<WebAssembly.Module> {
  let module = compiled.get(simd);
  if (!module) {
    module = WebAssembly.compile(decodeBase64(simd === "relaxed" ? relaxedKernel : plainKernel));
    compiled.set(simd, module);
    // A failure, say for want of permission, must not be remembered.
    module.catch(() => compiled.delete(simd));
  }
  return module;
}

/** A given module tells by its export's name which build it is. */
function simdOf(exports: WebAssembly.Exports): "plain" | "relaxed" {
  return (exports.usesRelaxedSimd as () => number)() === 1 ? "relaxed" : "plain";
}

/**
 * @throws TypeError for a source of the wrong type; Error when there is no WebAssembly, or what the
 * source holds are not these kernels.
 */
export async function loadKernels(
  source: WasmSource | undefined,
  reproducible: boolean,
): Promise<Kernels> {
  if (typeof WebAssembly === "undefined") throw new Error("this host has no WebAssembly");
  const module =
    source === undefined
      ? await compileInlined(!reproducible && hasRelaxedSimd() ? "relaxed" : "plain")
      : await compileSource(source);
  const { exports } = await WebAssembly.instantiate(module, {});
  if (typeof exports.usesRelaxedSimd !== "function") {
    throw new Error("wasm: expected Antler's kernels, got another module");
  }
  return { exports: exports as unknown as KernelExports, simd: simdOf(exports) };
}
