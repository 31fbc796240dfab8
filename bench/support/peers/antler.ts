/** Antler as a peer among others: on one thread, on several, and left to choose. */
import {
  createRuntime,
  type EvaluateOptions,
  type Report,
  type Runtime,
} from "../../../src/index.ts";
import type { Contender, Hidden, Peer, Peers } from "../contenders.ts";
import { cellOf } from "../layers.ts";
import { realGpu } from "../real-gpu.ts";
import type { Task } from "../tasks.ts";

/** What `evaluate` is told beside the sequences. */
export type Way = Pick<EvaluateOptions, "method" | "jacobian" | "chunk" | "damping" | "exact">;

/** A runtime and a way to use it, as a peer. */
export function antlerPeer(
  name: string,
  runtime: Runtime,
  threads: number,
  way: Way,
  backend: "wasm" | "webgpu" = "wasm",
): Peer {
  return {
    name,
    library: "antler",
    threads,
    open: (task) => Promise.resolve(contender(name, runtime, task, { ...way, backend })),
  };
}

function contender(
  name: string,
  runtime: Runtime,
  task: Task,
  way: Pick<EvaluateOptions, keyof Way | "backend">,
): Contender {
  const { batch, steps, inputs } = task;
  const layers = task.layers.map((layer) => ({ cell: cellOf(layer), reverse: layer.reverse }));
  const lengths = batch === 1 ? undefined : new Array<number>(batch).fill(steps);
  let reports: Report[] = [];
  return {
    name,
    run: async (): Promise<Hidden> => {
      reports = [];
      let states = inputs;
      for (const { cell, reverse } of layers) {
        const options = { reverse, ...(lengths && { lengths }), ...way };
        const evaluation = await runtime.evaluate(cell, states, options);
        states = evaluation.states;
        reports.push(evaluation.report);
      }
      const width = layers[layers.length - 1].cell.stateSize;
      return { values: states, order: "batch", width };
    },
    remarks: () => reports,
  };
}

/** One runtime for each build that this engine runs, the fastest first, on this many threads. */
export async function openRuntimes(
  threads: number,
): Promise<{ readonly simd: "plain" | "relaxed"; readonly runtime: Runtime }[]> {
  const open = async (reproducible: boolean) => {
    const runtime = await createRuntime({ backend: "wasm", reproducible, threads });
    const { simd } = runtime.backends.find(({ name }) => name === "wasm")!;
    return { simd: simd!, runtime };
  };
  const fastest = await open(false);
  if (fastest.simd === "plain") return [fastest];
  return [fastest, await open(true)];
}

/** The names of ours, and how each evaluates. */
export const ONE_THREAD = "antler, 1 thread";
export const SPREAD = "antler, sequential, 2 threads";
export const TWO_THREADS = "antler, 2 threads";
export const AUTO = "antler, auto";

/**
 * Sequential evaluation on one thread (by every build that this engine runs), sequential evaluation and
 * the method "threads" on `threads`, and "auto".
 */
export async function antlerPeers(threads = 2): Promise<Peers> {
  const peers: Peer[] = [];
  const singles = await openRuntimes(1);
  for (const [index, { simd, runtime }] of singles.entries()) {
    const name = index === 0 ? ONE_THREAD : `${ONE_THREAD}, ${simd} SIMD`;
    const peer = antlerPeer(name, runtime, 1, { method: "sequential" });
    peers.push({ ...peer, close: () => runtime.dispose() });
  }
  const runtime = await createRuntime({ backend: "wasm", threads });
  const several = [
    antlerPeer(SPREAD, runtime, threads, { method: "sequential" }),
    antlerPeer(TWO_THREADS, runtime, threads, { method: "threads" }),
    antlerPeer(AUTO, runtime, threads, { method: "auto" }),
  ];
  peers.push({ ...several[0], close: () => runtime.dispose() }, ...several.slice(1));
  return { peers, missing: [] };
}

/** Left to choose its method on a real GPU, where there is one. */
export async function antlerWebgpuPeers(): Promise<Peers> {
  const name = "antler, WebGPU";
  const gpu = await realGpu();
  if (typeof gpu === "string") return { peers: [], missing: [`${name}: ${gpu}`] };
  return { peers: [await antlerWebgpu(name, gpu)], missing: [] };
}

/** Left to choose its method on a device of `gpu`. */
export async function antlerWebgpu(name: string, gpu: GPU): Promise<Peer> {
  const runtime = await createRuntime({ backend: "webgpu", gpu });
  const peer = antlerPeer(name, runtime, 0, { method: "auto" }, "webgpu");
  return { ...peer, close: () => runtime.dispose() };
}
