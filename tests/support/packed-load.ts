/**
 * Many evaluations, and what they hold on to: for hosts of all kinds, with the package from the tarball,
 * which is handed over.
 */
import type * as Antler from "../../src/index.ts";
import { seededProblem } from "./packed-program.ts";
import { type BufferWatch, watchBuffers, wrappedGpu } from "./wrapped-gpu.ts";

/** In bytes, where not said otherwise. What is collected as garbage only counts until it is. */
export interface Held {
  /** Number of WebAssembly memories. */
  readonly memories: number;
  readonly wasm: number;
  /** Devices of the GPU, and the number of buffers on them. */
  readonly devices: number;
  readonly buffers: number;
  readonly gpu: number;
}

export interface Load {
  /** Evaluates `count` times, by one method after the other. @throws Error if a result differs from the first */
  evaluate(count: number): Promise<void>;
  /** Makes `count` more runtimes one after the other, evaluates once in each and disposes it. */
  renew(count: number): Promise<void>;
  /** Of this load's runtimes. */
  held(): Held;
  close(): void;
}

/**
 * Few sweeps, for WebGPU records all that there may be; and every other evaluation a sequential one, which
 * is quick on a GPU that is a program.
 */
const maxIterations = 4;
const sequential: Antler.EvaluateOptions = { method: "sequential" };
const onAny: readonly Antler.EvaluateOptions[] = [
  sequential,
  { method: "deer", chunk: 4, maxIterations },
  sequential,
  { method: "elk", chunk: 5, maxIterations },
  sequential,
  { method: "quasi-deer", chunk: 5, maxIterations },
];
const onWasm: readonly Antler.EvaluateOptions[] = [...onAny, { method: "threads", chunk: 10 }];
const STEPS = 20;

/** Weak, for what is counted must be free to go. */
const memories = new Set<WeakRef<WebAssembly.Memory>>();

/** From now on, memories that modules bring along are counted. */
function watchMemories(): void {
  const instantiate = WebAssembly.instantiate;
  WebAssembly.instantiate = (async (module: WebAssembly.Module, imports: WebAssembly.Imports) => {
    const instance = await instantiate(module, imports);
    // Hosts have modules of their own, such as Node's parser of HTTP.
    const { heapBase, memory } = instance.exports;
    if (heapBase) memories.add(new WeakRef(memory as WebAssembly.Memory));
    return instance;
  }) as typeof instantiate;
}

/** @param gpu where to find WebGPU; without, WebAssembly does the work */
export async function openLoad(
  { createRuntime, gru }: Pick<typeof Antler, "createRuntime" | "gru">,
  gpu?: GPU,
): Promise<Load> {
  watchMemories();
  const watches = new Set<BufferWatch>();
  const watched =
    gpu &&
    wrappedGpu(gpu, {
      device: (device) => {
        const { members, watch } = watchBuffers(device);
        watches.add(watch);
        const destroy = () => {
          // The buffers that it leaves behind would stay in the count.
          if (watch.live.size === 0) watches.delete(watch);
          device.destroy();
        };
        return { ...members, destroy };
      },
    });
  const backend = watched ? ("webgpu" as const) : ("wasm" as const);
  const { inputs: allInputs, ...recurrence } = seededProblem();
  const inputs = allInputs.slice(0, STEPS * recurrence.inputSize);
  const cell = gru(recurrence);
  const options = watched ? onAny : onWasm;
  const open = () =>
    createRuntime({ backend, threads: 2, ...(watched && { gpu: watched as Antler.Gpu }) });

  const first = new Map<Antler.EvaluateOptions, Float32Array>();
  const evaluateOn = async (runtime: Antler.Runtime, index: number) => {
    const chosen = options[index % options.length]!;
    const { states, report } = await runtime.evaluate(cell, inputs, chosen);
    const { method } = chosen;
    if (report.backend !== backend || report.method !== method || !report.converged) {
      throw new Error(`${backend} ${method}: got ${JSON.stringify(report)}`);
    }
    const before = first.get(chosen) ?? states;
    first.set(chosen, before);
    const same = states.length === before.length && states.every((value, i) => value === before[i]);
    if (!same) throw new Error(`${backend} ${method}: expected the same states every time`);
  };

  const runtime = await open();
  let done = 0;
  return {
    async evaluate(count) {
      for (const end = done + count; done < end; done++) await evaluateOn(runtime, done);
    },
    async renew(count) {
      for (let i = 0; i < count; i++) {
        const other = await open();
        await evaluateOn(other, (2 * i + 1) % onAny.length);
        other.dispose();
      }
    },
    held() {
      let [wasm, buffers, bytesOnGpu] = [0, 0, 0];
      for (const memory of memories) {
        const live = memory.deref();
        if (live) wasm += live.buffer.byteLength;
        else memories.delete(memory);
      }
      for (const { live, bytes } of watches) {
        buffers += live.size;
        bytesOnGpu += bytes;
      }
      const [memoriesNow, devices] = [memories.size, watches.size];
      return { memories: memoriesNow, wasm, devices, buffers, gpu: bytesOnGpu };
    },
    close: () => runtime.dispose(),
  };
}
