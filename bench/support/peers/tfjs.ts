/**
 * TensorFlow.js on its WebAssembly backend: a loop over time in its operations, with the inputs of all
 * steps multiplied by their weights beforehand. Its own layers are slower, and have no reset-after GRU.
 */
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { importPeer, missingPeer } from "../../harness.ts";
import type { Contender, Peers } from "../contenders.ts";
import type { Layer } from "../layers.ts";
import { type Task, timeMajor } from "../tasks.ts";
import { inDirection, transposed } from "./rows.ts";

const CORE = "@tensorflow/tfjs-core";
const BACKEND = "@tensorflow/tfjs-backend-wasm";
const NAME = "tfjs-backend-wasm";

/** Steps of one sequence that may be waited for: each is a dozen calls into its backend. */
const STEPS = 500;

/** As much of its interface as is used here. */
interface Tensor {
  dataSync(): Float32Array;
  dispose(): void;
}
interface Core {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tidy<Value>(work: () => Value): Value;
  keep(tensor: Tensor): Tensor;
  tensor2d(values: Float32Array, shape: readonly [number, number]): Tensor;
  matMul(a: Tensor, b: Tensor): Tensor;
  add(a: Tensor, b: Tensor): Tensor;
  sub(a: Tensor, b: Tensor): Tensor;
  mul(a: Tensor, b: Tensor): Tensor;
  sigmoid(a: Tensor): Tensor;
  tanh(a: Tensor): Tensor;
  split(a: Tensor, parts: number, axis: number): Tensor[];
  slice2d(a: Tensor, begin: readonly number[], size: readonly number[]): Tensor;
  concat2d(tensors: readonly Tensor[], axis: number): Tensor;
  zeros(shape: readonly number[]): Tensor;
}
interface Backend {
  setWasmPaths(prefix: string): void;
  setThreadsCount(threads: number): void;
}

export async function tfjsPeers(): Promise<Peers> {
  const tf = await importPeer<Core>(CORE);
  const backend = await importPeer<Backend & { default?: Backend }>(BACKEND);
  if (tf === null || backend === null) {
    return { peers: [], missing: [missingPeer(tf === null ? CORE : BACKEND)] };
  }
  const { setWasmPaths, setThreadsCount } = backend.default ?? backend;
  setWasmPaths(`${dirname(createRequire(import.meta.url).resolve(BACKEND))}/`);
  setThreadsCount(1);
  await tf.setBackend("wasm");
  await tf.ready();
  const longest = ({ batch }: Task) => Math.ceil(STEPS / Math.sqrt(batch));
  const open = (task: Task) => Promise.resolve(openTask(tf, task));
  return {
    peers: [{ name: NAME, library: NAME, threads: 1, longest, open }],
    missing: [],
  };
}

function openTask(tf: Core, task: Task): Contender {
  const { layers, batch, steps } = task;
  const parameters = layers.map((layer) => parametersOf(tf, layer));
  const inputs = timeMajor(task.inputs, batch, steps);
  const width = layers[layers.length - 1].hiddenSize;
  return {
    name: NAME,
    run: () => {
      let values = inputs;
      for (const [index, layer] of layers.entries()) {
        const run = (rows: Float32Array) =>
          tf.tidy(() => runLayer(tf, layer, parameters[index], rows, steps, batch).dataSync());
        values = inDirection(layer, values, steps, run);
      }
      return { values, order: "time", width };
    },
    release: () => {
      for (const tensors of parameters) {
        for (const tensor of Object.values(tensors)) tensor.dispose();
      }
    },
  };
}

type Parameters = ReturnType<typeof parametersOf>;

/** The matrices turned round, for rows · W. */
function parametersOf(tf: Core, { inputSize, hiddenSize, weights }: Layer) {
  const columns = weights.bias_ih.length;
  const matrix = (values: Float32Array, rows: number, width: number) =>
    tf.tensor2d(transposed(values, width, rows), [rows, width]);
  const square = hiddenSize * hiddenSize;
  return {
    input: matrix(weights.weight_ih, inputSize, columns),
    recurrent: matrix(weights.weight_hh, hiddenSize, columns),
    /** The last gate's alone, and the others': for a reset gate that comes before the product. */
    last: matrix(weights.weight_hh.subarray(-square), hiddenSize, hiddenSize),
    others: matrix(weights.weight_hh.subarray(0, -square), hiddenSize, columns - hiddenSize),
    inputBias: tf.tensor2d(weights.bias_ih, [1, columns]),
    recurrentBias: tf.tensor2d(weights.bias_hh, [1, columns]),
  };
}

function runLayer(
  tf: Core,
  { operator, variant, inputSize, hiddenSize }: Layer,
  { input, recurrent, last, others, inputBias, recurrentBias }: Parameters,
  values: Float32Array,
  steps: number,
  batch: number,
): Tensor {
  const rows = tf.tensor2d(values, [steps * batch, inputSize]);
  const bias = variant === "reset-after" ? inputBias : tf.add(inputBias, recurrentBias);
  const drive = tf.add(tf.matMul(rows, input), bias);
  const columns = operator === "GRU" ? 3 * hiddenSize : 4 * hiddenSize;
  const hidden: Tensor[] = [];
  let h = tf.zeros([batch, hiddenSize]);
  let c = h;
  for (let t = 0; t < steps; t++) {
    const [nextH, nextC] = tf.tidy((): [Tensor, Tensor] => {
      const driven = tf.slice2d(drive, [t * batch, 0], [batch, columns]);
      if (variant === "reset-before") {
        const [xr, xz, xn] = tf.split(driven, 3, 1);
        const [hr, hz] = tf.split(tf.matMul(h, others), 2, 1);
        const r = tf.sigmoid(tf.add(xr, hr));
        const z = tf.sigmoid(tf.add(xz, hz));
        const n = tf.tanh(tf.add(xn, tf.matMul(tf.mul(r, h), last)));
        const next = tf.add(n, tf.mul(z, tf.sub(h, n)));
        return [next, next];
      }
      const recurring = tf.add(tf.matMul(h, recurrent), recurrentBias);
      if (operator === "GRU") {
        const [xr, xz, xn] = tf.split(driven, 3, 1);
        const [hr, hz, hn] = tf.split(recurring, 3, 1);
        const r = tf.sigmoid(tf.add(xr, hr));
        const z = tf.sigmoid(tf.add(xz, hz));
        const n = tf.tanh(tf.add(xn, tf.mul(r, hn)));
        const next = tf.add(n, tf.mul(z, tf.sub(h, n)));
        return [next, next];
      }
      const [i, f, g, o] = tf.split(tf.add(driven, recurring), 4, 1);
      const kept = tf.mul(tf.sigmoid(f), c);
      const nextC = tf.add(kept, tf.mul(tf.sigmoid(i), tf.tanh(g)));
      return [tf.mul(tf.sigmoid(o), tf.tanh(nextC)), nextC];
    });
    if (operator === "LSTM" && t > 0) c.dispose();
    h = nextH;
    c = nextC;
    hidden.push(h);
  }
  return tf.concat2d(hidden, 0);
}
