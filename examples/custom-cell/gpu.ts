/** WebGPU in Node: from the package `webgpu`, on the system's driver. A browser needs none of this. */

/** @returns null where the package is missing; whether it finds a GPU, `runtime.backends` tells. */
export async function findGpu(): Promise<GPU | null> {
  try {
    const { create, globals } = await import("webgpu");
    Object.assign(globalThis, globals);
    return create([]);
  } catch {
    return null;
  }
}
