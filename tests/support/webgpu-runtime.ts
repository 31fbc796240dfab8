/** A runtime with Dawn's WebGPU for all tests of a file, beside WebAssembly and the reference. */
import { afterAll, beforeAll } from "vitest";
import { createRuntime, type Runtime, type RuntimeOptions } from "../../src/index.ts";
import { dawnGpu } from "./dawn.ts";

/** `const runtime = useWebgpuRuntime();`, in tests `runtime()`. WebGPU has to be named in each call. */
export function useWebgpuRuntime(options: RuntimeOptions = {}): () => Runtime {
  let runtime: Runtime | undefined;
  beforeAll(async () => {
    runtime = await createRuntime({ gpu: await dawnGpu(), reproducible: true, ...options });
    const status = runtime.backends.find(({ name }) => name === "webgpu");
    if (!status?.available) throw new Error(`no WebGPU: ${status?.reason}`);
  });
  afterAll(() => runtime?.dispose());
  return () => {
    if (!runtime) throw new Error("the runtime is there in tests and hooks only");
    return runtime;
  };
}
