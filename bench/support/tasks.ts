/** What the peers are given to do: random layers on noise, and two trained networks on real recordings. */
import { BUNDLED_RECORDING } from "../../examples/vad/prompts.ts";
import { readRecording } from "../../examples/vad/recording.ts";
import { encode, SECONDS_PER_WINDOW } from "../../examples/vad/silero.ts";
import { HIDDEN_SIZE, readSilero } from "../../examples/vad/silero-model.ts";
import { loadNanopore } from "../../tests/support/nanopore.ts";
import { mulberry32, normal } from "../../tests/support/random.ts";
import { type Layer, type LayerName, multiplyAdds, randomLayer } from "./layers.ts";

/** Layers one above the other, and the sequences to run them on, all of one length. */
export interface Task {
  readonly name: string;
  readonly layers: readonly Layer[];
  readonly batch: number;
  readonly steps: number;
  /** `[batch, steps, inputSize]`. */
  readonly inputs: Float32Array;
  /** Of |difference| / (1 + |value|), between any two that do this task. */
  readonly agreement: number;
}

/** Where dynamics contract, float32 results differ by little more than one step's rounding. */
const CONTRACTING = 1e-5;
/** A trained layer remembers, and its rounding errors with it, through all that is above it. */
const TRAINED = 1e-3;

/** One random layer on Gaussian noise. */
export function randomTask(
  operator: LayerName,
  hiddenSize: number,
  batch: number,
  steps: number,
): Task {
  const layer = randomLayer(operator, hiddenSize);
  return {
    name: `${operator}, D = ${hiddenSize}, T = ${steps.toLocaleString("en-US")}, B = ${batch}`,
    layers: [layer],
    batch,
    steps,
    inputs: normal(mulberry32(1), batch * steps * layer.inputSize),
    agreement: CONTRACTING,
  };
}

/**
 * The five GRU layers of a DNA basecaller on one read.
 * @throws Error where the shared file is missing
 */
export function nanoporeTask(): Task {
  const { features, layers, steps, units } = loadNanopore();
  return {
    name: "nanopore, five GRU layers",
    layers: layers.map(({ weights, reverse }) => ({
      operator: "GRU",
      inputSize: units,
      hiddenSize: units,
      weights,
      variant: "reset-before",
      reverse,
    })),
    batch: 1,
    steps,
    inputs: features,
    agreement: TRAINED,
  };
}

/** Silero VAD's LSTM, and its inputs `[windows, 128]` on the bundled recording of 76 seconds. */
export async function sileroLayer(): Promise<{ layer: Layer; inputs: Float32Array }> {
  const model = await readSilero();
  const { samples } = await readRecording(BUNDLED_RECORDING);
  const { inputs } = await encode(model, samples);
  const layer: Layer = {
    operator: "LSTM",
    inputSize: HIDDEN_SIZE,
    hiddenSize: HIDDEN_SIZE,
    weights: { ...model.lstm },
    variant: "reset-after",
    reverse: false,
  };
  return { layer, inputs };
}

/** Silero VAD's LSTM on the recording, over and over until it fills an hour. */
export async function sileroTask(seconds = 3600): Promise<Task> {
  const { layer, inputs } = await sileroLayer();
  const steps = Math.floor(seconds / SECONDS_PER_WINDOW);
  const repeated = new Float32Array(steps * HIDDEN_SIZE);
  for (let at = 0; at < repeated.length; at += inputs.length) {
    repeated.set(inputs.subarray(0, repeated.length - at), at);
  }
  return {
    name: "Silero VAD, one LSTM layer",
    layers: [layer],
    batch: 1,
    steps,
    inputs: repeated,
    agreement: TRAINED,
  };
}

/** The first `steps` steps of every sequence of a task. */
export function shortened(task: Task, steps: number): Task {
  if (steps >= task.steps) return task;
  const { batch } = task;
  const width = task.layers[0].inputSize;
  const inputs = new Float32Array(batch * steps * width);
  for (let b = 0; b < batch; b++) {
    const start = b * task.steps * width;
    inputs.set(task.inputs.subarray(start, start + steps * width), b * steps * width);
  }
  return { ...task, steps, inputs };
}

/** A number of steps rounded down to its first digit; at least 100. */
export function roundedDown(steps: number): number {
  if (steps <= 100) return 100;
  if (steps === Number.POSITIVE_INFINITY) return steps;
  const power = 10 ** Math.floor(Math.log10(steps));
  return power * Math.floor(steps / power);
}

/** Multiply–adds of one step of one sequence through all layers. */
export function workOf({ layers }: Pick<Task, "layers">): number {
  return layers.reduce((sum, layer) => sum + multiplyAdds(layer), 0);
}

/** `[batch, steps, width]` as `[steps, batch, width]`, which most libraries want. */
export function timeMajor(values: Float32Array, batch: number, steps: number): Float32Array {
  if (batch === 1) return values;
  const width = values.length / (batch * steps);
  const turned = new Float32Array(values.length);
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < steps; t++) {
      const from = (b * steps + t) * width;
      turned.set(values.subarray(from, from + width), (t * batch + b) * width);
    }
  }
  return turned;
}
