/** Runtimes for the commands: with WebGPU where there is one that works. */
import {
  type BackendName,
  BackendUnavailableError,
  createRuntime,
  type Runtime,
} from "../index.ts";
import { CliError } from "./failure.ts";
import { type GpuOptions, openGpu } from "./gpu.ts";

export interface OpenRuntime {
  readonly runtime: Runtime;
  /** Whether the GPU, if there is one, is a program that imitates one. */
  readonly software: boolean;
  /** Why there is no WebGPU; null if there is. */
  readonly gpuReason: string | null;
}

export interface RuntimeChoice extends GpuOptions {
  readonly withGpu: boolean;
  /** MiB. */
  readonly memoryLimit?: number;
  /** The caller's included. */
  readonly threads?: number;
}

/**
 * A runtime with what this machine has, with a look at its GPU or without: that takes time.
 *
 * @param needed backends that must be there.
 * @throws CliError for one of them that is not; the signal's reason.
 */
export async function openRuntime(
  needed: readonly BackendName[],
  options: RuntimeChoice,
  signal: AbortSignal,
): Promise<OpenRuntime> {
  const { memoryLimit, threads } = options;
  const limits = {
    ...(memoryLimit !== undefined && { memoryLimit: memoryLimit * 2 ** 20 }),
    ...(threads !== undefined && { threads }),
  };
  if (!options.withGpu) {
    const runtime: Runtime = await createRuntime({ ...limits, backend: "wasm" }).catch(
      // Without WebAssembly, what is left; but not for an option that is wrong.
      (error) => {
        if (!(error instanceof BackendUnavailableError)) throw error;
        return createRuntime({ ...limits, backend: "reference" }) as Promise<Runtime<never>>;
      },
    );
    return { runtime: checked(runtime, needed), software: false, gpuReason: null };
  }
  const found = await openGpu(options, signal);
  if (found.gpu === null && needed.includes("webgpu")) throw missing("webgpu", found.reason);
  const runtime = await createRuntime({ ...limits, ...(found.gpu && { gpu: found.gpu }) });
  const status = runtime.backends.find(({ name }) => name === "webgpu");
  return {
    runtime: checked(runtime, needed),
    software: found.gpu !== null && found.software,
    gpuReason: status?.available ? null : found.gpu ? (status?.reason ?? "") : found.reason,
  };
}

function checked(runtime: Runtime, needed: readonly BackendName[]): Runtime {
  for (const name of needed) {
    const status = runtime.backends.find((other) => other.name === name);
    if (status?.available) continue;
    runtime.dispose();
    throw missing(name, status?.reason ?? "this host does not have it");
  }
  return runtime;
}

function missing(name: BackendName, reason: string): CliError {
  return new CliError(
    `--backend ${name}: not available: ${reason}`,
    "`antler doctor` tells what to do about it",
  );
}
