/** The backends by name, for benches that look inside a run. */
import type { HostBackend } from "../../src/backend/backend.ts";
import { createReferenceBackend } from "../../src/backend/reference/backend.ts";
import { createWasmBackend } from "../../src/backend/wasm/backend.ts";
import { inlinedKernels } from "../../src/backend/wasm/inlined.ts";

/**
 * @param name "reference", "wasm" (the build that an evaluation would choose) or "wasm-plain" (the
 *   build without relaxed SIMD, whose results do not vary by CPU).
 * @throws RangeError for any other name.
 */
export async function createBackend(name: string): Promise<HostBackend> {
  switch (name) {
    case "reference":
      return createReferenceBackend();
    case "wasm":
    case "wasm-plain":
      return createWasmBackend({
        builtIn: inlinedKernels,
        source: undefined,
        reproducible: name === "wasm-plain",
        memoryLimit: 2 ** 32,
      });
    default:
      throw new RangeError(`backend: expected reference, wasm or wasm-plain, got ${name}`);
  }
}

/** A backend in a table's words. */
export function describeBackend({ name, simd }: HostBackend): string {
  return simd === undefined ? `${name} (float64)` : `${name} (float32, ${simd} SIMD)`;
}
