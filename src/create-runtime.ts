/** Finds out which backends this machine has. */
import type { Calibration } from "./auto/calibration.ts";
import type { Backend } from "./backend/backend.ts";
import { createWasmBackend } from "./backend/wasm/backend.ts";
import type { BuiltInKernels, WasmSource } from "./backend/wasm/load.ts";
import type { WebgpuOptions } from "./backend/webgpu/backend.ts";
import { gpuOfHost } from "./backend/webgpu/host.ts";
import {
  checkBoolean,
  checkInteger,
  checkKeys,
  checkOneOf,
  requireType,
  requireValue,
} from "./checks.ts";
import { BackendUnavailableError } from "./errors.ts";
import { nodeModule } from "./node-module.ts";
import { type BackendStatus, backendChoices, type LateBackend, Runtime } from "./runtime.ts";
import type { BackendName, Device, FloatArray, Gpu } from "./types.ts";

/** What `createRuntime` may be told about this machine. */
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
   * Largest size of the WebAssembly memory, of which each thread has one, and of all buffers of an
   * evaluation on the GPU, in bytes; there a longer evaluation runs in windows of steps. Default 2 GiB.
   */
  memoryLimit?: number;
  /**
   * Most threads that evaluate on WebAssembly, the caller's included. The others are workers, started
   * when a job first has work for them; where the host refuses, `report.choice` says why. Default: as many
   * as the machine has cores, up to 8; 1 is none but the caller's.
   */
  threads?: number;
  /**
   * Where the file `antler/worker.js` is, for pages whose policy refuses workers from blobs and whose
   * bundler has not found the file by itself.
   */
  worker?: string | URL;
  /** What `runtime.calibration()` gave on this machine, so that "auto" need not measure it again. */
  calibration?: Calibration;
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
  "threads",
  "worker",
  "calibration",
  "gpuLimits",
];
/** More would wait for memory, and for each other, more than they help. */
const MOST_THREADS = 8;
const DEFAULT_MEMORY_LIMIT = 2 ** 31;
const WASM_PAGE = 65536;

/**
 * Makes a runtime from what this machine has.
 *
 * @throws TypeError, RangeError for options, naming the one; `BackendUnavailableError` when a backend
 * asked for by name cannot run here. With "auto", a missing backend is told in `runtime.backends`.
 */
export interface CreateRuntime {
  (options: RuntimeOptions & { backend: "reference" }): Promise<Runtime<Float64Array>>;
  (options?: RuntimeOptions): Promise<Runtime>;
}

/** `createRuntime` with the kernels that an entry of the package brings along. */
export function createRuntimeWith(builtIn: BuiltInKernels): CreateRuntime {
  return (options: RuntimeOptions = {}) => openRuntime(builtIn, options) as Promise<Runtime<never>>;
}

async function openRuntime(
  builtIn: BuiltInKernels,
  options: RuntimeOptions,
): Promise<Runtime<FloatArray>> {
  checkKeys("options", options, optionNames);
  const { backend = "auto", wasm, reproducible = false } = options;
  const { memoryLimit = DEFAULT_MEMORY_LIMIT, gpu, device, gpuLimits = "adapter" } = options;
  checkOneOf("backend", backend, backendChoices);
  checkBoolean("reproducible", reproducible);
  const isNumber = typeof memoryLimit === "number";
  requireValue(
    isNumber && memoryLimit >= WASM_PAGE && memoryLimit <= 2 ** 32,
    "memoryLimit",
    "65536 to 4294967296 bytes",
    memoryLimit,
  );
  checkOneOf("gpuLimits", gpuLimits, ["adapter", "default"] as const);
  const { threads = Math.min(coresOfHost(), MOST_THREADS) } = options;
  checkInteger("threads", threads, 1);
  const { worker } = options;
  const isAddress = worker === undefined || typeof worker === "string" || worker instanceof URL;
  requireType(isAddress, "worker", "a URL", worker);
  const { calibration } = options;
  if (calibration) (await import("./auto/planner.ts")).checkCalibration(calibration);
  const backends = new Map<BackendName, Backend | LateBackend>();
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
  await add("wasm", () =>
    createWasmBackend({ builtIn, source: wasm, reproducible, memoryLimit, threads, worker }),
  );
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
  if (backend === "reference" || backends.size === 0) {
    await add("reference", loadReferenceBackend);
  } else {
    // The oracle is for tests and rare hosts: downloaded where it is asked for.
    backends.set("reference", loadReferenceBackend);
    statuses.push({ name: "reference", available: true });
  }
  // A program that imitates a GPU is no match for WebAssembly.
  const rank = ({ name, adapter }: BackendStatus) =>
    name === "webgpu" && adapter?.software === false ? -1 : rankOf.indexOf(name);
  statuses.sort((a, b) => rank(a) - rank(b));
  return new Runtime(statuses, backends, backend, calibration);
}

/**
 * The WebGPU backend is as large as all else together, so that only hosts download it that have WebGPU.
 *
 * @throws BackendUnavailableError, TypeError as `createWebgpuBackend`.
 */
async function loadWebgpuBackend(options: WebgpuOptions): Promise<Backend> {
  const where = options.gpu || options.device ? {} : { gpu: gpuOfHost() };
  const { createWebgpuBackend } = await part("webgpu", import("./backend/webgpu/backend.ts"));
  return createWebgpuBackend({ ...options, ...where });
}

/** @throws BackendUnavailableError where its part of the package cannot be loaded. */
async function loadReferenceBackend(): Promise<Backend> {
  return (
    await part("reference", import("./backend/reference/backend.ts"))
  ).createReferenceBackend();
}

function part<Module>(backend: BackendName, module: Promise<Module>): Promise<Module> {
  return module.catch((error) => {
    // A TypeError, in browsers: but no argument is wrong.
    const reason = `its part of the package cannot be loaded: ${reasonOf(error)}`;
    throw new BackendUnavailableError(backend, reason);
  });
}

/** Cores that this host may use; 1 where it does not say. Node has had a navigator only since 21. */
function coresOfHost(): number {
  const os = nodeModule<{ availableParallelism(): number }>("os");
  return globalThis.navigator?.hardwareConcurrency || os?.availableParallelism() || 1;
}

/** Fastest first, but for a real GPU, which comes before all. */
const rankOf: readonly BackendName[] = ["wasm", "webgpu", "reference"];

function reasonOf(error: unknown): string {
  if (error instanceof BackendUnavailableError) return error.reason;
  return error instanceof Error ? error.message : String(error);
}
