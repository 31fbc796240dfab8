/** The trained recurrences that benches run on, each with its exact states. */
import type { HostBackend } from "../../src/backend/backend.ts";
import { createReferenceBackend } from "../../src/backend/reference/backend.ts";
import { autoregressiveGru, type Cell } from "../../src/cell/index.ts";
import { Pacer } from "../../src/solve/pacing.ts";
import { autoregressiveSine } from "../../tests/support/autoregressive-sine.ts";
import { cellOf, type Layer } from "./layers.ts";
import { nanoporeTask, sileroLayer } from "./tasks.ts";

/** One sequence for a trained cell. */
export interface Workload {
  readonly name: string;
  readonly cell: Cell;
  /** `[length, inputSize]`. */
  readonly inputs: Float32Array;
  readonly length: number;
  readonly reverse: boolean;
  /** `[stateSize]`. */
  readonly initialState: Float32Array;
  /** The float64 oracle's states `[length, stateSize]`, rows as those of `inputs`. */
  readonly exact: Float64Array;
}

/** The paper's autoregressive GRU, which draws a noisy sine wave. */
export function autoregressiveWorkload(length: number, seed: number): Promise<Workload> {
  const { hiddenSize, weights, initialState, inputs } = autoregressiveSine(length, seed);
  const cell = autoregressiveGru({ hiddenSize, weights });
  return withOracle({ name: "AR-GRU", cell, inputs, length, reverse: false, initialState });
}

/**
 * The five GRU layers of the nanopore basecaller on the first `length` steps of the read. Each is fed
 * with the exact states of the layer before, rounded to float32 so that every backend sees the same.
 *
 * @throws RangeError where the read is shorter.
 */
export async function nanoporeWorkloads(length: number): Promise<Workload[]> {
  const { layers, steps, inputs: features } = nanoporeTask();
  if (length > steps) {
    throw new RangeError(`steps: expected at most ${steps}, the length of the read, got ${length}`);
  }
  const workloads: Workload[] = [];
  let inputs = features.slice(0, length * layers[0].inputSize);
  for (const [index, layer] of layers.entries()) {
    const workload = await layerWorkload(`nanopore ${index}`, layer, inputs);
    workloads.push(workload);
    inputs = Float32Array.from(workload.exact);
  }
  return workloads;
}

/** Silero VAD's LSTM on the bundled recording, or on its first `length` windows of 32 ms. */
export async function sileroWorkload(length = Number.POSITIVE_INFINITY): Promise<Workload> {
  const { layer, inputs } = await sileroLayer();
  return layerWorkload("Silero", layer, inputs.slice(0, length * layer.inputSize));
}

/** One sequence for a layer, from a zero state. */
export function layerWorkload(name: string, layer: Layer, inputs: Float32Array): Promise<Workload> {
  return cellWorkload(name, cellOf(layer), inputs, layer.reverse);
}

/** One sequence for a cell, from a zero state. */
export function cellWorkload(
  name: string,
  cell: Cell,
  inputs: Float32Array,
  reverse = false,
): Promise<Workload> {
  const length = inputs.length / cell.inputSize;
  const initialState = new Float32Array(cell.stateSize);
  return withOracle({ name, cell, inputs, length, reverse, initialState });
}

async function withOracle(workload: Omit<Workload, "exact">): Promise<Workload> {
  const exact = await sequentialStates(createReferenceBackend(), workload);
  return { ...workload, exact: exact as Float64Array };
}

/** The states `[length, stateSize]` that a backend gets by sequential evaluation. */
export async function sequentialStates(backend: HostBackend, workload: Omit<Workload, "exact">) {
  const { cell, inputs, length, reverse, initialState } = workload;
  const states = backend.allocate(length * cell.stateSize);
  const sequences = [{ offset: 0, length }];
  const shape = { cell, inputs, sequences, reverse, initialStates: initialState };
  try {
    await backend.sequential({ ...shape, states: () => states }, new Pacer(undefined));
  } finally {
    backend.release();
  }
  return states;
}

const workloadNames = ["ar-gru", "nanopore", "silero"] as const;

/**
 * The workloads by the names of `workloadNames`: the AR-GRU at its 10,000 steps or fewer, the others
 * at `steps` or what there is.
 *
 * @throws RangeError for any other name.
 */
export async function chosenWorkloads(
  names: readonly string[],
  { steps, seed }: { readonly steps: number; readonly seed: number },
): Promise<Workload[]> {
  const unknown = names.find((name) => !(workloadNames as readonly string[]).includes(name));
  if (unknown !== undefined) {
    throw new RangeError(`models: expected some of ${workloadNames.join(", ")}, got ${unknown}`);
  }
  const workloads: Workload[] = [];
  if (names.includes("ar-gru")) workloads.push(await autoregressiveWorkload(10_000, seed));
  if (names.includes("nanopore")) workloads.push(...(await nanoporeWorkloads(steps)));
  if (names.includes("silero")) workloads.push(await sileroWorkload(steps));
  return workloads;
}
