/**
 * WebGPU in Node: Dawn, of the package `webgpu`, on SwiftShader or, with ANTLER_GPU=native, on the
 * system's own driver. The globals of WebGPU (`GPUBufferUsage` and others) come with it.
 */
import { loadSwiftShader, usesSwiftShader } from "./swiftshader.ts";

/**
 * Zeroing workgroup memory costs SwiftShader seconds to compile where there is much of it. Our shaders do not count
 * on it; Chromium and Deno run them with it.
 */
const WITHOUT_ZEROING = "enable-dawn-features=disable_workgroup_init";

/** Also holds on to the objects: one that is collected takes its devices along. */
const opened = new Map<string, Promise<GPU>>();

/**
 * @param flags Dawn's, such as "backend=vulkan"
 * @returns one object per process for the same flags; a device must be destroyed for Node to exit
 */
export function dawnGpu(flags: readonly string[] = []): Promise<GPU> {
  return open(usesSwiftShader ? [WITHOUT_ZEROING, ...flags] : flags, usesSwiftShader);
}

/** Without a driver: nothing runs, but shaders are compiled and calls validated. */
export function nullGpu(): Promise<GPU> {
  return open(["backend=null"], false);
}

function open(flags: readonly string[], swiftShader: boolean): Promise<GPU> {
  const key = flags.join();
  const known = opened.get(key);
  if (known) return known;
  const gpu = (async () => {
    if (swiftShader) await loadSwiftShader();
    const { create, globals } = await import("webgpu");
    Object.assign(globalThis, globals);
    return create([...flags]);
  })();
  opened.set(key, gpu);
  return gpu;
}
