/**
 * Finds speech in a recording: reads it, encodes it, runs Silero's LSTM through Antler, prints the segments
 * and how the methods compare, and draws a picture. Exit code 1, with one line on stderr, when it cannot.
 */
import { mkdir, realpath, stat, writeFile } from "node:fs/promises";
import { basename, dirname, relative, resolve } from "node:path";
import { createRuntime, type EvaluateOptions, type Runtime } from "antler";
import { type Arguments, HELP, readArguments } from "./arguments.ts";
import { reasonOf, UserError } from "./failure.ts";
import { describeGpu, openGpuRuntime } from "./gpu.ts";
import { COMPARED, comparedOnGpu, type MethodResult, runMethod, sileroCell } from "./methods.ts";
import { renderPicture } from "./picture.ts";
import { createProgress, type Progress } from "./progress.ts";
import { type Prompt, readPrompts } from "./prompts.ts";
import { type Recording, readRecording } from "./recording.ts";
import { findSegments, overlap, type Segment, SILERO_OPTIONS } from "./segments.ts";
import { type Encoded, encode, SECONDS_PER_WINDOW } from "./silero.ts";
import { readSilero, type SileroModel } from "./silero-model.ts";
import { renderMethods, renderPrompts, renderSegments } from "./table.ts";

async function main(options: Arguments, progress: Progress): Promise<void> {
  await prepareOutput(options);
  const recording = await readRecording(options.recording, () => progress.stage("resampling"));
  const prompts = await readPrompts(options.recording);
  progress.stage("reading the model");
  const model = await readSilero();
  const runtime = await createRuntime({ backend: "wasm" });
  try {
    progress.stage("encoding");
    const encoded = await encode(model, recording.samples, (done, total) =>
      progress.detail(`${done.toLocaleString("en")} of ${total.toLocaleString("en")} windows`),
    );
    await findSpeech({ options, recording, prompts, model, runtime, encoded, progress });
  } finally {
    runtime.dispose();
  }
}

interface Work {
  options: Arguments;
  recording: Recording;
  prompts: Prompt[];
  model: SileroModel;
  runtime: Runtime;
  encoded: Encoded;
  progress: Progress;
}

async function findSpeech(work: Work): Promise<void> {
  const { options, recording, model, runtime, encoded, progress } = work;
  const cell = sileroCell(model);
  progress.stage("running the LSTM");
  const found = await runMethod(runtime, model, cell, encoded, {}, progress.detail);
  const segments = findSegments(found.probabilities, SECONDS_PER_WINDOW, recording.seconds);
  progress.clear();
  printFindings(work, found, segments);
  await drawPicture(work, found, segments);
  if (options.table) await compareMethods(work);
}

async function drawPicture(
  { options, recording, prompts }: Work,
  found: MethodResult,
  segments: readonly Segment[],
): Promise<void> {
  const svg = renderPicture({
    title: `Speech in ${basename(recording.path)}`,
    samples: recording.samples,
    seconds: recording.seconds,
    probabilities: found.probabilities,
    secondsPerWindow: SECONDS_PER_WINDOW,
    thresholds: [SILERO_OPTIONS.threshold, SILERO_OPTIONS.lowerThreshold],
    segments,
    prompts,
  });
  try {
    await writeFile(options.output, svg);
  } catch (error) {
    throw new UserError(`${options.output}: ${reasonOf(error)}`);
  }
  console.log(`\nPicture: ${displayed(options.output)}`);
}

function printFindings(work: Work, found: MethodResult, segments: readonly Segment[]): void {
  const { recording, prompts, encoded } = work;
  const { report } = found;
  const speech = segments.reduce((sum, { start, end }) => sum + end - start, 0);
  const above = found.probabilities.filter((p) => p > SILERO_OPTIONS.threshold).length;
  const share = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)} %`;

  console.log(`Recording: ${displayed(recording.path)}`);
  console.log(`           ${recording.seconds.toFixed(2)} s, ${recording.description}`);
  console.log(
    `Model:     Silero VAD, LSTM 128 → 128, ${encoded.windows.toLocaleString("en")} windows of 32 ms;` +
      ` p > ${SILERO_OPTIONS.threshold} in ${share(above, encoded.windows)}`,
  );
  console.log(`Encoder:   ${encoded.milliseconds.toFixed(0)} ms (onnxruntime-web, WebAssembly)`);
  console.log(
    `LSTM:      ${found.milliseconds.toFixed(1)} ms (Antler, ${report.backend}` +
      `${report.simd ? `, ${report.simd} SIMD` : ""}, ${report.method})\n` +
      `           ${report.choice}\n`,
  );
  if (segments.length === 0) {
    console.log("No speech found.");
    return;
  }
  const count = segments.length === 1 ? "1 segment" : `${segments.length} segments`;
  console.log(`Speech: ${count}, ${speech.toFixed(2)} s of ${recording.seconds.toFixed(2)} s\n`);
  console.log(renderSegments(segments, prompts));
  if (prompts.length === 0) return;
  const inside = segments.flatMap((segment) => prompts.map((prompt) => overlap(segment, prompt)));
  const insideSeconds = inside.reduce((sum, value) => sum + value, 0);
  console.log(`\nWhere the prompts were placed, and what was found of them:\n`);
  console.log(renderPrompts(segments, prompts));
  console.log(`\n${share(insideSeconds, speech)} of the speech found lies within a placed prompt.`);
}

/** The table of methods, the float64 oracle first. */
async function compareMethods(work: Work): Promise<void> {
  const { recording, progress } = work;
  const results: MethodResult[] = [];
  const run = async (runtime: Runtime, options: EvaluateOptions) => {
    const { backend, method, jacobian, chunk } = options;
    progress.stage(
      [backend, method, jacobian, chunk && `chunk ${chunk}`].filter(Boolean).join(", "),
    );
    const cell = sileroCell(work.model);
    results.push(
      await runMethod(runtime, work.model, cell, work.encoded, options, progress.detail),
    );
  };
  await run(work.runtime, { backend: "reference", method: "sequential" });
  for (const options of COMPARED) await run(work.runtime, { backend: "wasm", ...options });
  progress.stage("looking for WebGPU");
  const gpu = await openGpuRuntime();
  if (gpu.runtime) {
    for (const options of comparedOnGpu(gpu.software)) {
      await run(gpu.runtime, { backend: "webgpu", ...options });
    }
    gpu.runtime.dispose();
  }
  progress.clear();
  console.log("\nThe recurrence alone, by every method:\n");
  console.log(renderMethods(results, results[0]!, recording.seconds));
  console.log(`\n${describeGpu(gpu)}`);
}

/** A path as short as it can be said from here. */
function displayed(path: string): string {
  const short = relative(process.cwd(), resolve(path));
  return short.startsWith("..") ? path : short;
}

/** Fails before the work is done rather than after it. */
async function prepareOutput({ output, recording }: Arguments): Promise<void> {
  try {
    await mkdir(dirname(output), { recursive: true });
    const status = await stat(output).catch(() => null);
    if (status?.isDirectory()) throw new UserError(`${output}: is a folder, expected a file name`);
    if (status && (await realpath(output)) === (await realpath(recording).catch(() => null))) {
      throw new UserError(`${output}: is the recording itself`);
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${output}: ${reasonOf(error)}`);
  }
}

// A reader that stops early, such as `head`, is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

const progress = createProgress();
try {
  const options = readArguments(process.argv.slice(2));
  if (options.help) process.stdout.write(HELP);
  else await main(options, progress);
} catch (error) {
  progress.clear();
  if (!(error instanceof UserError)) throw error;
  console.error(`vad: ${error.message}`);
  process.exitCode = 1;
}
