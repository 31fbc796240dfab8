/** The kernels as they come with the package: in its text, for hosts that compile bytes. */
import { nodeModule } from "../../node-module.ts";
import { kernels } from "./generated/kernels.ts";
import type { BuiltInKernels } from "./load.ts";

/**
 * The built-in copy of the kernels.
 *
 * @throws Error where the host cannot decompress it.
 */
export async function inlinedKernel(simd: "plain" | "relaxed"): Promise<Uint8Array<ArrayBuffer>> {
  // All that run WebAssembly with SIMD have it but Safari 16.0 to 16.3, Firefox before 113, Bun before 1.3.
  if (typeof DecompressionStream === "undefined") {
    throw new Error(
      "this host has no DecompressionStream, which unpacks the built-in kernels;" +
        " hand them over: createRuntime({ wasm })",
    );
  }
  const both = await inflate(decodeBase64(kernels.base64));
  const { plainLength } = kernels;
  return simd === "plain" ? both.slice(0, plainLength) : both.slice(plainLength);
}

/** Without a Blob or a Response, which in Node would load a whole HTTP client first; nor need it any stream. */
async function inflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const zlib = nodeModule<{ inflateSync(bytes: Uint8Array): Uint8Array<ArrayBuffer> }>("zlib");
  // A copy, as it may be a part of a larger buffer.
  if (zlib) return new Uint8Array(zlib.inflateSync(bytes));
  const { writable, readable } = new DecompressionStream("deflate");
  const writer = writable.getWriter();
  // What goes wrong, the reader hears of.
  const written = Promise.all([writer.write(bytes), writer.close()]).catch(() => {});
  const reader = readable.getReader();
  let unpacked = new Uint8Array(0);
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const longer = new Uint8Array(unpacked.length + piece.value.length);
    longer.set(unpacked);
    longer.set(piece.value, unpacked.length);
    unpacked = longer;
  }
  await written;
  return unpacked;
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

const compiled = new Map<"plain" | "relaxed", Promise<WebAssembly.Module>>();

export const inlinedKernels: BuiltInKernels = (simd) => {
  let module = compiled.get(simd);
  if (!module) {
    module = inlinedKernel(simd).then((bytes) => WebAssembly.compile(bytes));
    compiled.set(simd, module);
    // A failure, say for want of permission, must not be remembered.
    module.catch(() => compiled.delete(simd));
  }
  return module;
};
