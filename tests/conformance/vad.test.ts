/** Silero VAD through Antler against ONNX Runtime on the untouched model, over the whole recording. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createRuntime, type EvaluateOptions, type JacobianKind, type Runtime } from "antler";
import * as ort from "onnxruntime-web/wasm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import wavefile from "wavefile";
import { sileroCell } from "../../examples/vad/methods.ts";
import { BUNDLED_RECORDING, type Prompt, readPrompts } from "../../examples/vad/prompts.ts";
import { type Recording, readRecording } from "../../examples/vad/recording.ts";
import { resample } from "../../examples/vad/resample.ts";
import { findSegments, overlap, type Segment } from "../../examples/vad/segments.ts";
import {
  type Encoded,
  encode,
  SECONDS_PER_WINDOW,
  speechProbabilities,
  windowsWithContext,
} from "../../examples/vad/silero.ts";
import { readSilero, type SileroModel } from "../../examples/vad/silero-model.ts";
import { largestDifference } from "../../examples/vad/table.ts";

/** ONNX Runtime works in float32 as well; the probabilities of both carry that rounding. */
const PROBABILITY_TOLERANCE = 1e-5;

const folder = mkdtempSync(join(tmpdir(), "vad-conformance-"));
let model: SileroModel;
let recording: Recording;
let prompts: Prompt[];
let encoded: Encoded;
let expected: Float64Array;
let runtime: Runtime;

beforeAll(async () => {
  model = await readSilero();
  recording = await readRecording(BUNDLED_RECORDING);
  prompts = await readPrompts(BUNDLED_RECORDING);
  encoded = await encode(model, recording.samples);
  expected = await windowByWindow(model, recording.samples, encoded.windows);
  runtime = await createRuntime({ backend: "wasm" });
}, 120_000);

afterAll(() => {
  runtime?.dispose();
  rmSync(folder, { recursive: true });
});

/** The original graph, one window at a time, the state carried from each call to the next. */
async function windowByWindow(
  { path }: SileroModel,
  samples: Float32Array,
  windows: number,
): Promise<Float64Array> {
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(await readFile(path), { logSeverityLevel: 3 });
  const rate = new ort.Tensor("int64", BigInt64Array.of(16_000n), []);
  let state = new ort.Tensor("float32", new Float32Array(256), [2, 1, 128]);
  const probabilities = new Float64Array(windows);
  for (let window = 0; window < windows; window++) {
    const input = new ort.Tensor("float32", windowsWithContext(samples, window, 1), [1, 576]);
    const result = await session.run({ input, sr: rate, state });
    state = new ort.Tensor("float32", result.stateN.data as Float32Array, [2, 1, 128]);
    probabilities[window] = (result.output.data as Float32Array)[0];
  }
  await session.release();
  return probabilities;
}

async function evaluate(options: EvaluateOptions) {
  const { states, report } = await runtime.evaluate(sileroCell(model), encoded.inputs, options);
  return { probabilities: speechProbabilities(model.head, states), report };
}

describe("Silero on the bundled recording", () => {
  it("is the recording and the model that the numbers below belong to", () => {
    expect(encoded.windows).toBe(2373);
    const above = expected.filter((probability) => probability > 0.5).length;
    expect(above).toBe(1800);
  });

  it.each<[string, EvaluateOptions]>([
    ["on the reference", { backend: "reference", method: "sequential" }],
    ["on WebAssembly", { backend: "wasm", method: "sequential" }],
    ["on WebAssembly, chosen by itself", { method: "auto" }],
  ])(
    "agrees with ONNX Runtime in every window %s",
    async (_, options) => {
      const { probabilities, report } = await evaluate(options);
      expect(report.converged).toBe(true);
      expect(report.fallback).toBeUndefined();
      expect(largestDifference(probabilities, expected)).toBeLessThanOrEqual(PROBABILITY_TOLERANCE);
    },
    60_000,
  );
});

describe("Silero in parallel over time", () => {
  it.each<[JacobianKind, number]>([
    ["block", 16],
    ["block", 64],
    ["diagonal", 64],
  ])("converges with the %s Jacobian, %i steps a chunk", async (jacobian, chunk) => {
    const { probabilities, report } = await evaluate({ method: "quasi-deer", jacobian, chunk });
    expect(report.converged).toBe(true);
    expect(report.fallback).toBeUndefined();
    expect(report.residual).toBeLessThanOrEqual(1e-5);
    expect(report.iterations).toBeLessThan(Math.ceil(encoded.windows / chunk) - 1);
    expect(largestDifference(probabilities, expected)).toBeLessThanOrEqual(PROBABILITY_TOLERANCE);
  });

  it("is repaired, and says so, where the sweeps run out", async () => {
    const { probabilities, report } = await evaluate({ method: "quasi-deer", maxIterations: 5 });
    expect(report.fallback?.to).toBe("sequential");
    expect(report.iterations).toBe(5);
    expect(largestDifference(probabilities, expected)).toBeLessThanOrEqual(PROBABILITY_TOLERANCE);
  });
});

describe("the segments", () => {
  const coverage = (segments: readonly Segment[], span: Segment) =>
    segments.reduce((sum, segment) => sum + overlap(segment, span), 0) / (span.end - span.start);

  it("cover every placed prompt, and nothing that is far from one", async () => {
    const { probabilities } = await evaluate({ method: "sequential" });
    const segments = findSegments(probabilities, SECONDS_PER_WINDOW, recording.seconds);
    for (const prompt of prompts) {
      expect(coverage(segments, prompt), prompt.name).toBeGreaterThan(0.9);
      const inside = segments.filter((segment) => overlap(segment, prompt) > 0);
      expect(Math.abs(inside[0].start - prompt.start)).toBeLessThan(0.1);
      expect(Math.abs(inside[inside.length - 1].end - prompt.end)).toBeLessThan(0.1);
    }
    for (const segment of segments) expect(coverage(prompts, segment)).toBeGreaterThan(0.9);
  });
});

describe("the command", () => {
  const main = fileURLToPath(new URL("../../examples/vad/main.ts", import.meta.url));
  const run = (...argv: string[]) =>
    new Promise<{ code: number | null; stdout: string; stderr: string }>((done, fail) => {
      const child = spawn(process.execPath, ["--import", "tsx", main, ...argv]);
      let stdout = "";
      let stderr = "";
      child.stdout.on("data", (text) => {
        stdout += text;
      });
      child.stderr.on("data", (text) => {
        stderr += text;
      });
      child.on("error", fail);
      child.on("close", (code) => done({ code, stdout, stderr }));
    });

  it("finds the same speech in a stereo file at 44.1 kHz, and draws it", async () => {
    const first = recording.samples.subarray(0, 16_000 * 12);
    const wide = resample(first, 16_000, 44_100);
    const left = Int16Array.from(wide, (sample) => Math.round(sample * 32_767));
    const wave = new wavefile.WaveFile();
    wave.fromScratch(2, 44_100, "16", [left, left]);
    const input = join(folder, "stereo.wav");
    const output = join(folder, "stereo.svg");
    await writeFile(input, wave.toBuffer());

    const { code, stdout, stderr } = await run(input, "--no-table", "--output", output);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("2 channels mixed down to one, 44,100 Hz resampled to 16,000 Hz");
    const rows = [...stdout.matchAll(/^ *\d+ +(\d+\.\d{3}) +(\d+\.\d{3}) +\d+\.\d\d$/gm)];
    const starts = rows.map(([, start]) => Number(start));
    const ends = rows.map(([, , end]) => Number(end));
    const direct = findSegments(expected.subarray(0, 375), SECONDS_PER_WINDOW, 12);
    expect(rows).toHaveLength(direct.length);
    direct.forEach((segment, index) => {
      expect(Math.abs(starts[index] - segment.start)).toBeLessThan(0.07);
      expect(Math.abs(ends[index] - segment.end)).toBeLessThan(0.07);
    });
    expect(await readFile(output, "utf8")).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
  }, 60_000);

  it("says so when there is no speech", async () => {
    const wave = new wavefile.WaveFile();
    wave.fromScratch(1, 16_000, "16", new Int16Array(16_000));
    const input = join(folder, "silence.wav");
    await writeFile(input, wave.toBuffer());
    const { code, stdout } = await run(input, "--no-table", "--output", join(folder, "s.svg"));
    expect(code).toBe(0);
    expect(stdout).toContain("No speech found.");
  }, 60_000);
});
