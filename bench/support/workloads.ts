/** The trained recurrences that benches run on, each with its exact states. */
import { BUNDLED_RECORDING } from "../../examples/vad/prompts.ts";
import { readRecording } from "../../examples/vad/recording.ts";
import { encode } from "../../examples/vad/silero.ts";
import { HIDDEN_SIZE, readSilero } from "../../examples/vad/silero-model.ts";
import type { HostBackend } from "../../src/backend/backend.ts";
import { createReferenceBackend } from "../../src/backend/reference/backend.ts";
import { autoregressiveGru, type Cell, gru, lstm } from "../../src/cell/index.ts";
import { Pacer } from "../../src/solve/pacing.ts";
import { autoregressiveSine } from "../../tests/support/autoregressive-sine.ts";
import { loadNanopore } from "../../tests/support/nanopore.ts";

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
  const { features, steps, layers, units } = loadNanopore();
  if (length > steps) {
    throw new RangeError(`steps: expected at most ${steps}, the length of the read, got ${length}`);
  }
  const workloads: Workload[] = [];
  let inputs = features.slice(0, length * units);
  for (const [index, { weights, reverse }] of layers.entries()) {
    const workload = await withOracle({
      name: `nanopore ${index}`,
      cell: gru({ inputSize: units, hiddenSize: units, variant: "reset-before", weights }),
      inputs,
      length,
      reverse,
      initialState: new Float32Array(units),
    });
    workloads.push(workload);
    inputs = Float32Array.from(workload.exact);
  }
  return workloads;
}

/** Silero VAD's LSTM on the bundled recording, or on its first `length` windows of 32 ms. */
export async function sileroWorkload(length = Number.POSITIVE_INFINITY): Promise<Workload> {
  const model = await readSilero();
  const { samples } = await readRecording(BUNDLED_RECORDING);
  const encoded = await encode(model, samples);
  const windows = Math.min(length, encoded.windows);
  return withOracle({
    name: "Silero",
    cell: lstm({ inputSize: HIDDEN_SIZE, hiddenSize: HIDDEN_SIZE, weights: { ...model.lstm } }),
    inputs: encoded.inputs.slice(0, windows * HIDDEN_SIZE),
    length: windows,
    reverse: false,
    initialState: new Float32Array(2 * HIDDEN_SIZE),
  });
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
  const problem = { cell, inputs, sequences, reverse, initialStates: initialState, states };
  try {
    await backend.sequential(problem, new Pacer(undefined));
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
