/**
 * jax-js on WebAssembly: it has no scan, so a step is compiled by `jit` and called in a loop. The inputs of
 * all steps are multiplied by their weights beforehand.
 */
import { importPeer, missingPeer } from "../../harness.ts";
import type { Contender, Peers } from "../contenders.ts";
import type { Layer } from "../layers.ts";
import { type Task, timeMajor } from "../tasks.ts";
import { inDirection, transposed } from "./rows.ts";

const PACKAGE = "@jax-js/jax";
const NAME = "jax-js";

/** Steps of one sequence that may be waited for. */
const STEPS = 500;

/** As much of its interface as is used here. Every use of an array consumes it; `ref` keeps it. */
interface JaxArray {
  readonly ref: JaxArray;
  add(other: JaxArray): JaxArray;
  sub(other: JaxArray): JaxArray;
  mul(other: JaxArray): JaxArray;
  slice(...index: unknown[]): JaxArray;
  dataSync(): Float32Array;
  dispose(): void;
}
type Jitted = ((...args: JaxArray[]) => JaxArray[]) & { dispose?(): void };
interface Jax {
  init(...devices: string[]): Promise<unknown>;
  defaultDevice(device: string): string;
  jit(step: (...args: JaxArray[]) => JaxArray[]): Jitted;
  readonly nn: { sigmoid(a: JaxArray): JaxArray };
  readonly numpy: {
    array(values: Float32Array, options: { shape: readonly number[] }): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
    tanh(a: JaxArray): JaxArray;
    split(a: JaxArray, parts: number, axis: number): JaxArray[];
  };
}

export async function jaxPeers(): Promise<Peers> {
  const jax = await withoutWorkers(() => importPeer<Jax>(PACKAGE));
  if (jax === null) return { peers: [], missing: [missingPeer(PACKAGE)] };
  await withoutWorkers(() => jax.init("wasm"));
  jax.defaultDevice("wasm");
  const longest = ({ batch }: Task) => Math.ceil(STEPS / Math.sqrt(batch));
  const open = (task: Task) => Promise.resolve(openTask(jax, task));
  return {
    peers: [{ name: NAME, library: NAME, threads: 1, longest, open }],
    missing: [],
  };
}

/**
 * Node has no global `Worker` until another peer puts one there; jax-js looks for it whenever it compiles,
 * and fails where its memory was made before.
 */
function withoutWorkers<Value>(work: () => Value): Value {
  const { Worker } = globalThis;
  const restore = () => Object.assign(globalThis, { Worker });
  Object.assign(globalThis, { Worker: undefined });
  let value: Value | undefined;
  try {
    value = work();
    return value;
  } finally {
    if (value instanceof Promise) value.then(restore, restore);
    else restore();
  }
}

function openTask(jax: Jax, task: Task): Contender {
  const { layers, batch, steps } = task;
  const runners = layers.map((layer) => openLayer(jax, layer, batch, steps));
  const inputs = timeMajor(task.inputs, batch, steps);
  const width = layers[layers.length - 1].hiddenSize;
  return {
    name: NAME,
    run: () =>
      withoutWorkers(() => {
        let values = inputs;
        for (const [index, { run }] of runners.entries()) {
          values = inDirection(layers[index], values, steps, run);
        }
        return { values, order: "time", width } as const;
      }),
    release: () => {
      for (const { release } of runners) release();
    },
  };
}

function openLayer(jax: Jax, layer: Layer, batch: number, steps: number) {
  const { numpy: np } = jax;
  const { operator, variant, inputSize, hiddenSize, weights } = layer;
  const columns = weights.bias_ih.length;
  const array = (values: Float32Array, rows: number, width: number) =>
    np.array(values, { shape: [rows, width] });
  const input = array(transposed(weights.weight_ih, columns, inputSize), inputSize, columns);
  const recurrent = array(transposed(weights.weight_hh, columns, hiddenSize), hiddenSize, columns);
  const inputBias = array(weights.bias_ih, 1, columns);
  const recurrentBias = array(weights.bias_hh, 1, columns);
  const drive = jax.jit((rows, w, bias) => [np.matmul(rows, w).add(bias)]);
  const gruSteps = { "reset-after": gruStep, "reset-before": gruResetBeforeStep };
  const step = jax.jit(operator === "GRU" ? gruSteps[variant](jax) : lstmStep(jax));
  return {
    run: (values: Float32Array): Float32Array => {
      const rows = array(values, steps * batch, inputSize);
      const [driven] = drive(rows, input.ref, inputBias.ref);
      const driving = driven.dataSync();
      const hidden = new Float32Array(steps * batch * hiddenSize);
      const zeros = () => array(new Float32Array(batch * hiddenSize), batch, hiddenSize);
      let state = operator === "GRU" ? [zeros()] : [zeros(), zeros()];
      const size = batch * columns;
      for (let t = 0; t < steps; t++) {
        const x = array(driving.slice(t * size, (t + 1) * size), batch, columns);
        state = step(...state, x, recurrent.ref, recurrentBias.ref);
        hidden.set(state[0].ref.dataSync(), t * batch * hiddenSize);
      }
      for (const part of state) part.dispose();
      return hidden;
    },
    release: () => {
      for (const weight of [input, recurrent, inputBias, recurrentBias]) weight.dispose();
      drive.dispose?.();
      step.dispose?.();
    },
  };
}

function gruStep({ numpy: np, nn }: Jax) {
  return (h: JaxArray, x: JaxArray, recurrent: JaxArray, bias: JaxArray): JaxArray[] => {
    const [xr, xz, xn] = np.split(x, 3, 1);
    const [hr, hz, hn] = np.split(np.matmul(h.ref, recurrent).add(bias), 3, 1);
    const r = nn.sigmoid(xr.add(hr));
    const z = nn.sigmoid(xz.add(hz));
    const n = np.tanh(xn.add(r.mul(hn)));
    return [n.ref.add(z.mul(h.sub(n)))];
  };
}

function gruResetBeforeStep({ numpy: np, nn }: Jax) {
  return (h: JaxArray, x: JaxArray, recurrent: JaxArray, bias: JaxArray): JaxArray[] => {
    const [xr, xz, xn] = np.split(x, 3, 1);
    const [br, bz, bn] = np.split(bias, 3, 1);
    const [ur, uz, un] = np.split(recurrent, 3, 1);
    const r = nn.sigmoid(xr.add(br).add(np.matmul(h.ref, ur)));
    const z = nn.sigmoid(xz.add(bz).add(np.matmul(h.ref, uz)));
    const n = np.tanh(xn.add(bn).add(np.matmul(r.mul(h.ref), un)));
    return [n.ref.add(z.mul(h.sub(n)))];
  };
}

function lstmStep({ numpy: np, nn }: Jax) {
  return (
    h: JaxArray,
    c: JaxArray,
    x: JaxArray,
    recurrent: JaxArray,
    bias: JaxArray,
  ): JaxArray[] => {
    const [i, f, g, o] = np.split(np.matmul(h, recurrent).add(bias).add(x), 4, 1);
    const next = nn
      .sigmoid(f)
      .mul(c)
      .add(nn.sigmoid(i).mul(np.tanh(g)));
    return [nn.sigmoid(o).mul(np.tanh(next.ref)), next];
  };
}
