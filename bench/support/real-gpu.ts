/** WebGPU for benches that time it beside others: a real GPU or none. */

/** The system's GPU by way of the package `webgpu`, or why there is none that is worth timing. */
export async function realGpu(): Promise<GPU | string> {
  try {
    const { create, globals } = await import("webgpu");
    Object.assign(globalThis, globals);
    const gpu = create([]);
    const adapter = await gpu.requestAdapter();
    if (adapter === null) return "no WebGPU adapter here";
    if (isSoftware(adapter.info)) return `${adapter.info.description} only imitates a GPU`;
    return gpu;
  } catch (error) {
    return error instanceof Error ? error.message.split("\n")[0] : String(error);
  }
}

function isSoftware({ vendor, description }: GPUAdapterInfo): boolean {
  return /swiftshader|llvmpipe|lavapipe/i.test(`${vendor} ${description}`);
}
