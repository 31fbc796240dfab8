/** Finds out which backends this machine has. */
import type { Backend } from "./backend/backend.ts";
import { createReferenceBackend } from "./backend/reference/backend.ts";
import { createWasmBackend } from "./backend/wasm/backend.ts";
import type { WasmSource } from "./backend/wasm/load.ts";
import type { WebgpuOptions } from "./backend/webgpu/backend.ts";
import { gpuOfHost } from "./backend/webgpu/host.ts";
import { BackendUnavailableError } from "./errors.ts";
import { type BackendStatus, backendChoices, Runtime } from "./runtime.ts";
import { show } from "./show.ts";
import type { BackendName, Device, FloatArray, Gpu } from "./types.ts";
import { checkKeys, checkOneOf } from "./validate.ts";

export interface RuntimeOptions {
  /** "auto" takes the fastest that this machine has. Default "auto". */
  backend?: BackendName | "auto";
  /** The WebAssembly kernels: a URL, their bytes or a compiled module. Default: the inlined ones. */
  wasm?: WasmSource;
  /** Where to find WebGPU: the object of the package `webgpu` in Node. Default `navigator.gpu`. */
  gpu?: Gpu;
  /** A device to use instead of one of our own. It is never destroyed here. */
  device?: Device;
  /**
   * Whether results must be the same on every CPU. If not, the relaxed-SIMD kernels are used where
   * the engine has them; they round some sums differently from one CPU to another. Default false.
   */
  reproducible?: boolean;
  /**
   * Largest size of the WebAssembly memory, and of all buffers of an evaluation on the GPU, in bytes;
   * there a longer evaluation runs in windows of steps. Default 2 GiB.
   */
  memoryLimit?: number;
  /** "default" keeps to the limits that every WebGPU has, to test for them. Default "adapter". */
  gpuLimits?: "adapter" | "default";
}

const optionNames = [
  "backend",
  "wasm",
  "gpu",
  "device",
  "reproducible",
  "memoryLimit",
  "gpuLimits",
];
const DEFAULT_MEMORY_LIMIT = 2 ** 31;
const WASM_PAGE = 65536;

/**
 * Makes a runtime from what this machine has.
 *
 * @throws TypeError, RangeError for options, naming the one; `BackendUnavailableError` when a backend
 * asked for by name cannot run here. With "auto", a missing backend is told in `runtime.backends`.
 */
export function createRuntime(
  options: RuntimeOptions & { backend: "reference" },
): Promise<Runtime<Float64Array>>;
export function createRuntime(options?: RuntimeOptions): Promise<Runtime>;
export async function createRuntime(options: RuntimeOptions = {}): Promise<Runtime<FloatArray>> {
  checkKeys("options", options, optionNames);
  const { backend = "auto", wasm, reproducible = false } = options;
  const { memoryLimit = DEFAULT_MEMORY_LIMIT, gpu, device, gpuLimits = "adapter" } = options;
  checkOneOf("backend", backend, backendChoices);
  if (typeof reproducible !== "boolean") {
    throw new TypeError(`reproducible: expected a boolean, got ${show(reproducible)}`);
  }
  const isNumber = typeof memoryLimit === "number";
  if (!isNumber || !(memoryLimit >= WASM_PAGE && memoryLimit <= 2 ** 32)) {
    throw new RangeError(
      `memoryLimit: expected 65536 to 4294967296 bytes, got ${show(memoryLimit)}`,
    );
  }
  checkOneOf("gpuLimits", gpuLimits, ["adapter", "default"] as const);
  const backends = new Map<BackendName, Backend>();
  const statuses: BackendStatus[] = [];
  const add = async (name: BackendName, make: () => Promise<Backend>) => {
    try {
      const made = await make();
      const { simd, adapter } = made;
      backends.set(name, made);
      statuses.push({ name, available: true, ...(simd && { simd }), ...(adapter && { adapter }) });
    } catch (error) {
      if (error instanceof TypeError || error instanceof RangeError) throw error;
      const reason = reasonOf(error);
      if (backend === name) throw new BackendUnavailableError(name, reason);
      statuses.push({ name, available: false, reason });
    }
  };
  await add("wasm", () => createWasmBackend({ source: wasm, reproducible, memoryLimit }));
  // A device is not free: one is opened only where it may be used.
  if (backend === "auto" || backend === "webgpu" || gpu || device) {
    await add("webgpu", () =>
      loadWebgpuBackend({
        ...(gpu && { gpu: gpu as GPU }),
        ...(device && { device: device as GPUDevice }),
        limits: gpuLimits,
        memoryLimit,
      }),
    );
  } else {
    const reason = `this runtime was made for "${backend}"`;
    statuses.push({ name: "webgpu", available: false, reason });
  }
  await add("reference", async () => createReferenceBackend());
  // A program that imitates a GPU is no match for WebAssembly.
  const rank = ({ name, adapter }: BackendStatus) =>
    name === "webgpu" && adapter?.software === false ? -1 : rankOf.indexOf(name);
  statuses.sort((a, b) => rank(a) - rank(b));
  return new Runtime(statuses, backends, backend);
}

/**
 * The WebGPU backend is as large as all else together, so that only hosts download it that have WebGPU.
 *
 * @throws BackendUnavailableError, TypeError as `createWebgpuBackend`.
 */
async function loadWebgpuBackend(options: WebgpuOptions): Promise<Backend> {
  const where = options.gpu || options.device ? {} : { gpu: gpuOfHost() };
  const { createWebgpuBackend } = await import("./backend/webgpu/backend.ts").catch((error) => {
    // A TypeError, in browsers: but no argument is wrong.
    const reason = `its part of the package cannot be loaded: ${reasonOf(error)}`;
    throw new BackendUnavailableError("webgpu", reason);
  });
  return createWebgpuBackend({ ...options, ...where });
}

/** Fastest first, but for a real GPU, which comes before all. */
const rankOf: readonly BackendName[] = ["wasm", "webgpu", "reference"];

function reasonOf(error: unknown): string {
  if (error instanceof BackendUnavailableError) return error.reason;
  return error instanceof Error ? error.message : String(error);
}
