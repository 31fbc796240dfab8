/**
 * ONNX Runtime as a rival: as little as possible around its own run. onnxruntime-web has a module for one
 * thread and one that starts workers in Node; their settings are global, so both are loaded.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type * as Ort from "onnxruntime-web";
import * as web from "onnxruntime-web/wasm";
import { gruModel, lstmModel, type OnnxModel } from "../../tests/support/onnx.ts";
import { importPeer, missingPeer } from "../harness.ts";
import type { Contender, Peer, Peers } from "./contenders.ts";
import type { Layer } from "./layers.ts";
import { realGpu } from "./real-gpu.ts";
import { type Task, timeMajor } from "./tasks.ts";

web.env.wasm.numThreads = 1;
web.env.logLevel = "error";

/** The version that is installed. */
export const onnxruntimeVersion: string = web.env.versions.web ?? web.env.versions.common;

/** What all of its packages have in common. */
type Library = Pick<typeof Ort, "InferenceSession" | "Tensor">;
type SessionOptions = Ort.InferenceSession.SessionOptions;

/** The layer as a model of one node. */
export function modelOf(layer: Layer): OnnxModel {
  const { operator, variant } = layer;
  const direction = layer.reverse ? "reverse" : "forward";
  if (operator === "GRU") return gruModel({ ...layer, variant, direction });
  return lstmModel({ ...layer, variant: "plain", direction });
}

/** A session a layer, run one after the other. */
async function open(
  name: string,
  library: Library,
  options: SessionOptions,
  task: Task,
): Promise<Contender> {
  const { batch, steps } = task;
  const sessions: { session: Ort.InferenceSession; layer: Layer }[] = [];
  for (const layer of task.layers) {
    const session = await library.InferenceSession.create(modelOf(layer).bytes, options);
    sessions.push({ session, layer });
  }
  const inputs = timeMajor(task.inputs, batch, steps);
  const runLayer = async (session: Ort.InferenceSession, layer: Layer, rows: Float32Array) => {
    const { operator, inputSize, hiddenSize } = layer;
    const zeros = () =>
      new library.Tensor("float32", new Float32Array(batch * hiddenSize), [1, batch, hiddenSize]);
    const feeds: Record<string, Ort.Tensor> = {
      X: new library.Tensor("float32", rows, [steps, batch, inputSize]),
      initial_h: zeros(),
      ...(operator === "LSTM" && { initial_c: zeros() }),
    };
    const { Y } = await session.run(feeds, ["Y"]);
    return Y.data as Float32Array;
  };
  return {
    name,
    run: async () => {
      let values = inputs;
      for (const { session, layer } of sessions) values = await runLayer(session, layer, values);
      const width = task.layers[task.layers.length - 1].hiddenSize;
      return { values, order: "time", width };
    },
    release: async () => {
      for (const { session } of sessions) await session.release();
    },
  };
}

function peer(
  library: string,
  threads: number,
  module: Library,
  options: SessionOptions,
  name = `${library}, ${threads} thread${threads === 1 ? "" : "s"}`,
): Peer {
  return { name, library, threads, open: (task) => open(name, module, options, task) };
}

/** onnxruntime-web's WebAssembly provider on one thread. */
export const onnxruntimeWeb: Peer = peer("onnxruntime-web", 1, web, {
  executionProviders: ["wasm"],
});

/** onnxruntime-web's WebAssembly provider on one thread and, where Node gives it workers, on two. */
export async function onnxruntimeWebPeers(): Promise<Peers> {
  const node: typeof Ort = await import("onnxruntime-web");
  node.env.wasm.numThreads = 2;
  node.env.logLevel = "error";
  const two = peer("onnxruntime-web", 2, node, { executionProviders: ["wasm"] });
  return { peers: [onnxruntimeWeb, two], missing: [] };
}

/** onnxruntime-node on one thread and on two: native code, with the widest vectors that the CPU has. */
export async function onnxruntimeNodePeers(): Promise<Peers> {
  const name = "onnxruntime-node";
  const node = await importPeer<{ default: typeof Ort } & typeof Ort>(name);
  if (node === null) return { peers: [], missing: [missingPeer(name)] };
  const library = node.default ?? node;
  const peers = [1, 2].map((threads) =>
    peer(name, threads, library, { intraOpNumThreads: threads, interOpNumThreads: 1 }),
  );
  return { peers, missing: [] };
}

/** Steps of onnxruntime's loop over time on a GPU that may be waited for: two dispatches each. */
const GPU_STEPS = 2_000;

/** onnxruntime-web's WebGPU provider, on a real GPU. */
export async function onnxruntimeWebgpuPeers(): Promise<Peers> {
  const gpu = await realGpu();
  if (typeof gpu === "string") return { peers: [], missing: [`${WEBGPU}: ${gpu}`] };
  return { peers: [await onnxruntimeWebgpu(gpu)], missing: [] };
}

const WEBGPU = "onnxruntime-web, WebGPU";

/** The provider on a device of `gpu`, in Node. */
export async function onnxruntimeWebgpu(gpu: GPU): Promise<Peer> {
  if (!globalThis.navigator) Object.assign(globalThis, { navigator: {} });
  Object.defineProperty(globalThis.navigator, "gpu", { value: gpu, configurable: true });
  copySharedUploads();
  const library: typeof Ort = await import("onnxruntime-web/webgpu");
  const require = createRequire(import.meta.url);
  // In Node its own module cannot fetch a file.
  const binary = require.resolve("onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm");
  library.env.wasm.wasmBinary = new Uint8Array(readFileSync(binary)).buffer;
  library.env.wasm.numThreads = 1;
  library.env.logLevel = "error";
  const made = peer("onnxruntime-web", 0, library, { executionProviders: ["webgpu"] }, WEBGPU);
  return { ...made, longest: () => GPU_STEPS };
}

/** The provider uploads from its shared memory, which the package `webgpu` refuses and browsers take. */
function copySharedUploads(): void {
  const { prototype } = GPUQueue;
  const { writeBuffer } = prototype;
  prototype.writeBuffer = function (buffer, offset, data, from = 0, size) {
    if (!(data instanceof Uint8Array && data.buffer instanceof SharedArrayBuffer)) {
      return writeBuffer.call(this, buffer, offset, data as ArrayBuffer, from, size);
    }
    const end = size === undefined ? undefined : from + size;
    return writeBuffer.call(this, buffer, offset, data.slice(from, end));
  };
}
