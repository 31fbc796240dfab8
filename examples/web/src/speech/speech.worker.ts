/** Finds speech with the parts of examples/vad, in a thread of its own. */
import { type Cell, createRuntime, type Runtime } from "antler";
import { runMethod, sileroCell } from "../../../vad/methods.ts";
import { findSegments, SILERO_OPTIONS } from "../../../vad/segments.ts";
import { type Encoded, encode, SAMPLE_RATE, SECONDS_PER_WINDOW } from "../../../vad/silero.ts";
import { cutSilero, type SileroModel } from "../../../vad/silero-graph.ts";
import { decodeRecording } from "../../../vad/wave.ts";
import { whole } from "../format.ts";
import { serveTasks, type TaskContext } from "../worker/serve.ts";
import { envelopeOf } from "./envelope.ts";
import { SPEECH_METHODS } from "./methods.ts";
import type { SpeechInput, SpeechProgress, SpeechResult, SpeechTasks } from "./tasks.ts";

let opened: Promise<Runtime> | undefined;
const openRuntime = () => {
  opened ??= createRuntime();
  return opened;
};

serveTasks<SpeechTasks>({
  backends: async () => (await openRuntime()).backends,
  find: async (input, context) => find(await openRuntime(), input, context),
});

interface Heard {
  readonly id: number;
  readonly samples: Float32Array;
  readonly description: string;
  readonly encoded: Encoded;
}

let silero: { model: SileroModel; cell: Cell } | undefined;
let heard: Heard | undefined;

async function find(
  runtime: Runtime,
  input: SpeechInput,
  { signal, tell }: TaskContext<SpeechProgress>,
): Promise<SpeechResult> {
  if (!silero) {
    tell({ text: "Loading the model" });
    const model = await loadModel(input.model, signal);
    silero = { model, cell: sileroCell(model) };
  }
  const { model, cell } = silero;
  if (heard?.id !== input.id) heard = await hear(model, input, { signal, tell });
  const { samples, description, encoded } = heard;
  tell({ text: "Running the LSTM" });
  const options = { ...SPEECH_METHODS[input.method], backend: input.backend, signal };
  let last = 0;
  const found = await runMethod(runtime, model, cell, encoded, options, (detail) => {
    if (performance.now() - last < 50) return;
    last = performance.now();
    tell({ text: `Running the LSTM: ${detail}` });
  });
  const { probabilities, report, milliseconds, runs } = found;
  const seconds = samples.length / SAMPLE_RATE;
  return {
    name: input.name,
    ...{ seconds, description, probabilities, report, runs },
    envelope: envelopeOf(samples),
    secondsPerWindow: SECONDS_PER_WINDOW,
    segments: findSegments(probabilities, SECONDS_PER_WINDOW, seconds),
    threshold: SILERO_OPTIONS.threshold,
    milliseconds: { encoder: encoded.milliseconds, recurrence: milliseconds },
  };
}

async function loadModel(address: string, signal: AbortSignal): Promise<SileroModel> {
  const response = await fetch(address, { signal });
  if (!response.ok) throw new Error(`the model could not be loaded: status ${response.status}`);
  return cutSilero(new Uint8Array(await response.arrayBuffer()), address);
}

/** Reads a recording and encodes it: all that does not depend on the method. */
async function hear(
  model: SileroModel,
  { id, name, content }: SpeechInput,
  { signal, tell }: TaskContext<SpeechProgress>,
): Promise<Heard> {
  tell({ text: "Reading the recording" });
  const { samples, description } =
    content.kind === "wave"
      ? decodeRecording(content.bytes, name, () => tell({ text: "Resampling" }))
      : content;
  await turn();
  signal.throwIfAborted();
  tell({ text: "Encoding" });
  const encoded = await encode(model, samples, async (done, total) => {
    tell({ text: `Encoding: ${whole(done)} of ${whole(total)} windows`, done: done / total });
    await turn();
    signal.throwIfAborted();
  });
  return { id, samples, description, encoded };
}

/** Lets messages come in. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
