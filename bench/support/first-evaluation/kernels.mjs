/** What becomes of the kernels between download and use, in a process of its own. */
import { bytes, finish, stage } from "./clock.mjs";

const deflated = bytes("kernels.deflate");
const kernel = bytes("kernel.wasm");

// As src/backend/wasm/inlined.ts does it.
await stage("inflate", async () => {
  const { writable, readable } = new DecompressionStream("deflate");
  const writer = writable.getWriter();
  const written = Promise.all([writer.write(deflated), writer.close()]);
  const reader = readable.getReader();
  for (let piece = await reader.read(); !piece.done; ) piece = await reader.read();
  await written;
});
const module = await stage("compile", () => WebAssembly.compile(kernel));
await stage("instantiate", () => WebAssembly.instantiate(module));
finish([]);
