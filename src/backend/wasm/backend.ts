/** The WebAssembly backend: float32, on the CPU, with SIMD, on one thread or several. */

import { estimatedNanoseconds } from "../../solve/choice.ts";
import type { EngineProblem, SweepEngine } from "../../solve/engine.ts";
import type { Pacer } from "../../solve/pacing.ts";
import type {
  HostBackend,
  HostPool,
  HostRun,
  SequentialProblem,
  ThreadsProblem,
  ThreadsRun,
} from "../backend.ts";
import { createWasmEngine, UNIT_ROUNDOFF } from "./engine.ts";
import {
  type BuiltInKernels,
  type KernelExports,
  type Kernels,
  loadKernels,
  type WasmSource,
} from "./load.ts";
import { KernelMemory } from "./memory.ts";
import { ProgramCache } from "./programs.ts";
import { StepKit } from "./sequential.ts";
import type { Crew } from "./threads/crew.ts";

export interface WasmOptions {
  readonly builtIn: BuiltInKernels;
  /** In place of the built-in ones. */
  readonly source: WasmSource | undefined;
  /** Whether results must not vary by CPU, which rules out relaxed SIMD. */
  readonly reproducible: boolean;
  /** Largest size of the kernels' memory, in bytes; each thread has its own. */
  readonly memoryLimit: number;
  /** Most threads, the caller's included. Default 1. */
  readonly threads?: number;
  /** Where the workers' program is, if it must not come from a blob. */
  readonly worker?: string | URL | undefined;
}

/** Nanoseconds of work from which other threads are worth waking, and worth starting. */
const WORTH_WAKING = 3e6;
const WORTH_STARTING = 1e8;

/** @throws see `loadKernels`. */
export async function createWasmBackend(options: WasmOptions): Promise<HostBackend> {
  const kernels = await loadKernels(options.builtIn, options.source, options.reproducible);
  return new WasmBackend(kernels, options);
}

class WasmBackend implements HostBackend {
  readonly kind = "host";
  readonly name = "wasm";
  readonly simd: "plain" | "relaxed";
  readonly unitRoundoff = UNIT_ROUNDOFF;
  readonly #threads: number;
  readonly #worker: string | URL | undefined;
  readonly #module: WebAssembly.Module;
  /** Null once disposed, so that the kernels' memory can be collected. */
  #live: {
    readonly memory: KernelMemory;
    readonly exports: KernelExports;
    readonly cache: ProgramCache;
    readonly kit: StepKit;
  } | null;
  /** Null until there has been work for it. */
  #crew: Crew | null = null;

  constructor(
    { simd, module, exports }: Kernels,
    { memoryLimit, threads = 1, worker }: WasmOptions,
  ) {
    this.simd = simd;
    this.#threads = threads;
    this.#worker = worker;
    this.#module = module;
    const memory = new KernelMemory(exports.memory, exports.heapBase(), memoryLimit);
    const cache = new ProgramCache(memory);
    this.#live = { memory, exports, cache, kit: new StepKit(memory, exports, cache) };
  }

  allocate(length: number): Float32Array {
    return new Float32Array(length);
  }

  async sequential(problem: SequentialProblem, pacer: Pacer): Promise<HostRun> {
    const { kit } = this.#alive();
    const crew = this.#mayShare(problem) ? await this.#load() : null;
    if (crew && typeof crew !== "string") return crew.sequential(kit, problem, pacer);
    return { finite: await kit.runSequentially(problem, pacer), threads: 1 };
  }

  async threads(problem: ThreadsProblem, pacer: Pacer): Promise<ThreadsRun> {
    const { kit } = this.#alive();
    const crew = await this.#load();
    if (typeof crew !== "string") return crew.inChunks(kit, problem, pacer);
    const finite = await kit.runSequentially(problem, pacer);
    const run = problem.sequences.reduce((sum, { length }) => sum + length, 0);
    const chunk = problem.sequences.reduce((most, { length }) => Math.max(most, length), 0);
    const steps = { run, rerun: 0 };
    return { finite, threads: 1, fewer: crew, chunk, iterations: 0, residual: 0, steps };
  }

  engine(problem: EngineProblem): SweepEngine {
    const { exports, memory, cache } = this.#alive();
    return cache.withRoom((frugal) => createWasmEngine(memory, exports, cache, problem, frugal));
  }

  release(): void {
    this.#live?.memory.release();
  }

  dispose(): void {
    this.#crew?.dispose();
    this.#crew = null;
    this.#live = null;
  }

  get pool(): HostPool {
    const crew = this.#crew;
    const ping = crew?.running ? () => crew.ping() : undefined;
    return { threads: this.#threads, ping, start: () => void this.#load().then(start) };
  }

  /** Whether sequential evaluation is worth other threads. */
  #mayShare(problem: SequentialProblem): boolean {
    if (problem.threads !== undefined) return problem.threads > 1;
    const least = this.#crew ? WORTH_WAKING : WORTH_STARTING;
    return this.#threads > 1 && estimatedNanoseconds(problem) >= least;
  }

  /** The threads, or why there are none but the caller's. */
  async #load(): Promise<Crew | string> {
    try {
      const { Crew } = await import("./threads/index.ts");
      this.#crew ??= new Crew({
        size: this.#threads - 1,
        module: this.#module,
        worker: this.#worker,
      });
      return this.#crew;
    } catch (error) {
      return `only one thread: ${(error as Error).message}`;
    }
  }

  #alive() {
    if (!this.#live) throw new Error("wasm backend: expected a live backend, got a disposed one");
    return this.#live;
  }
}

function start(crew: Crew | string): void {
  if (typeof crew !== "string") crew.start();
}
