/** The WebAssembly backend: float32, on the CPU, with SIMD. */

import type { EngineProblem, SweepEngine } from "../../solve/engine.ts";
import type { Pacer } from "../../solve/pacing.ts";
import type { HostBackend, SequentialProblem } from "../backend.ts";
import { createWasmEngine, UNIT_ROUNDOFF } from "./engine.ts";
import { type BuiltInKernels, type Kernels, loadKernels, type WasmSource } from "./load.ts";
import { KernelMemory } from "./memory.ts";
import { ProgramCache } from "./programs.ts";
import { runSequentially } from "./sequential.ts";

export interface WasmOptions {
  readonly builtIn: BuiltInKernels;
  /** In place of the built-in ones. */
  readonly source: WasmSource | undefined;
  /** Whether results must not vary by CPU, which rules out relaxed SIMD. */
  readonly reproducible: boolean;
  /** Largest size of the kernels' memory, in bytes. */
  readonly memoryLimit: number;
}

/** @throws see `loadKernels`. */
export async function createWasmBackend(options: WasmOptions): Promise<HostBackend> {
  const kernels = await loadKernels(options.builtIn, options.source, options.reproducible);
  return new WasmBackend(kernels, options.memoryLimit);
}

class WasmBackend implements HostBackend {
  readonly kind = "host";
  readonly name = "wasm";
  readonly simd: "plain" | "relaxed";
  readonly unitRoundoff = UNIT_ROUNDOFF;
  /** Null once disposed, so that the kernels' memory can be collected. */
  #live: { kernels: Kernels; memory: KernelMemory; cache: ProgramCache } | null;

  constructor(kernels: Kernels, memoryLimit: number) {
    this.simd = kernels.simd;
    const { exports } = kernels;
    const memory = new KernelMemory(exports.memory, exports.heapBase(), memoryLimit);
    this.#live = { kernels, memory, cache: new ProgramCache(memory) };
  }

  allocate(length: number): Float32Array {
    return new Float32Array(length);
  }

  sequential(problem: SequentialProblem, pacer: Pacer): Promise<boolean> {
    const { kernels, memory, cache } = this.#alive();
    return runSequentially(memory, kernels.exports, cache, problem, pacer);
  }

  engine(problem: EngineProblem): SweepEngine {
    const { kernels, memory, cache } = this.#alive();
    const { exports } = kernels;
    return cache.withRoom((frugal) => createWasmEngine(memory, exports, cache, problem, frugal));
  }

  release(): void {
    this.#live?.memory.release();
  }

  dispose(): void {
    this.#live = null;
  }

  #alive() {
    if (!this.#live) throw new Error("wasm backend: expected a live backend, got a disposed one");
    return this.#live;
  }
}
