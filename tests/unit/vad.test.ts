/** What the speech example takes in: recordings, its command line, and what it refuses. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import wavefile from "wavefile";
import { readArguments } from "../../examples/vad/arguments.ts";
import { UserError } from "../../examples/vad/failure.ts";
import { BUNDLED_RECORDING, readPrompts } from "../../examples/vad/prompts.ts";
import { readRecording } from "../../examples/vad/recording.ts";
import { resample } from "../../examples/vad/resample.ts";
import { windowsWithContext } from "../../examples/vad/silero.ts";

const folder = mkdtempSync(join(tmpdir(), "vad-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface WaveOptions {
  channels?: number;
  rate?: number;
  /** Bits a sample, as the header has them. */
  bits?: number;
  /** 1 is PCM, 3 floating point. */
  format?: number;
  /** Puts the format into an extensible header. */
  extensible?: boolean;
  bigEndian?: boolean;
  /** What the header says of the data's length, where that is not the truth. */
  declaredLength?: number;
}

/** A WAV file, written by hand so that the reader is not tested against its own library. */
function waveBytes(samples: readonly number[], options: WaveOptions = {}): Buffer {
  const { channels = 1, rate = 16_000, bits = 16, format = 1, bigEndian = false } = options;
  const bytesPerSample = Math.ceil(bits / 8);
  const data = Buffer.alloc(samples.length * bytesPerSample);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const littleEndian = !bigEndian;
  samples.forEach((sample, index) => {
    const offset = index * bytesPerSample;
    if (format === 3 && bits === 32) view.setFloat32(offset, sample, littleEndian);
    else if (format === 3) view.setFloat64(offset, sample, littleEndian);
    else if (bits === 8) view.setUint8(offset, Math.round(sample * 128) + 128);
    else if (bits === 16) view.setInt16(offset, Math.round(sample * 2 ** 15), littleEndian);
    else if (bits === 24 && bigEndian) data.writeIntBE(Math.round(sample * 2 ** 23), offset, 3);
    else if (bits === 24) data.writeIntLE(Math.round(sample * 2 ** 23), offset, 3);
    else view.setInt32(offset, Math.round(sample * 2 ** 31), littleEndian);
  });
  const headerLength = options.extensible ? 40 : 16;
  const header = Buffer.alloc(20 + headerLength + 8);
  const headerView = new DataView(header.buffer, header.byteOffset, header.length);
  const write16 = (offset: number, value: number) =>
    headerView.setUint16(offset, value, littleEndian);
  const write32 = (offset: number, value: number) =>
    headerView.setUint32(offset, value, littleEndian);
  header.write(bigEndian ? "RIFX" : "RIFF", 0, "latin1");
  write32(4, header.length - 8 + data.length);
  header.write("WAVEfmt ", 8, "latin1");
  write32(16, headerLength);
  write16(20, options.extensible ? 0xfffe : format);
  write16(22, channels);
  write32(24, rate);
  write32(28, rate * channels * bytesPerSample);
  write16(32, channels * bytesPerSample);
  write16(34, bits);
  if (options.extensible) {
    write16(36, 22);
    write16(38, bits);
    write32(44, format);
    header.write("000010008000", 48, "hex");
    header.write("00aa00389b71", 54, "hex");
  }
  header.write("data", 20 + headerLength, "latin1");
  write32(24 + headerLength, options.declaredLength ?? data.length);
  return Buffer.concat([header, data]);
}

async function fileWith(name: string, content: Uint8Array | string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

function sine(hertz: number, rate: number, count: number, amplitude = 0.5): number[] {
  return Array.from(
    { length: count },
    (_, n) => amplitude * Math.sin((2 * Math.PI * hertz * n) / rate),
  );
}

/** Largest difference, leaving out `margin` samples at both ends. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>, margin = 0): number {
  let largest = 0;
  for (let n = margin; n < a.length - margin; n++) {
    largest = Math.max(largest, Math.abs(a[n] - b[n]));
  }
  return largest;
}

describe("readRecording", () => {
  const signal = sine(440, 16_000, 1600);

  it.each<[string, WaveOptions, number]>([
    ["8-bit", { bits: 8 }, 2 ** -8],
    ["16-bit", { bits: 16 }, 2 ** -16],
    ["24-bit", { bits: 24 }, 2 ** -23],
    ["32-bit", { bits: 32 }, 2 ** -24],
    ["32-bit float", { bits: 32, format: 3 }, 2 ** -24],
    ["64-bit float", { bits: 64, format: 3 }, 2 ** -24],
    ["extensible 24-bit", { bits: 24, extensible: true }, 2 ** -23],
    ["extensible float", { bits: 32, format: 3, extensible: true }, 2 ** -24],
    ["big-endian 16-bit", { bits: 16, bigEndian: true }, 2 ** -16],
    ["big-endian 24-bit", { bits: 24, bigEndian: true }, 2 ** -23],
    ["a stream of unknown length", { declaredLength: 0xffffffff }, 2 ** -16],
    ["a file cut short", { declaredLength: 100_000 }, 2 ** -16],
  ])("reads %s", async (name, options, tolerance) => {
    const path = await fileWith(`${name}.wav`, waveBytes(signal, options));
    const recording = await readRecording(path);
    expect(recording.samples).toBeInstanceOf(Float32Array);
    expect(recording.samples.length).toBe(1600);
    expect(recording.seconds).toBe(0.1);
    expect(distance(recording.samples, signal)).toBeLessThanOrEqual(tolerance);
  });

  it("mixes stereo down to the mean of both channels, and says so", async () => {
    const left = sine(300, 16_000, 1600);
    const right = sine(500, 16_000, 1600, 0.25);
    const interleaved = left.flatMap((sample, n) => [sample, right[n]]);
    const path = await fileWith("stereo.wav", waveBytes(interleaved, { channels: 2 }));
    const { samples, description } = await readRecording(path);
    const mean = left.map((sample, n) => (sample + right[n]) / 2);
    expect(samples.length).toBe(1600);
    expect(distance(samples, mean)).toBeLessThan(2 ** -15);
    expect(description).toBe("16-bit PCM, 2 channels mixed down to one, 16,000 Hz");
  });

  it.each([8_000, 11_025, 22_050, 44_100, 48_000, 96_000])(
    "resamples %i Hz, and says so",
    async (rate) => {
      const path = await fileWith(`${rate}.wav`, waveBytes(sine(440, rate, rate / 5), { rate }));
      const { samples, description } = await readRecording(path);
      expect(samples.length).toBe(3200);
      expect(distance(samples, sine(440, 16_000, 3200), 200)).toBeLessThan(3e-4);
      expect(description).toContain(`${rate.toLocaleString("en")} Hz resampled to 16,000 Hz`);
    },
  );

  it.each(["8a", "8m"])("reads the companded format %s", async (code) => {
    const wave = new wavefile.WaveFile();
    wave.fromScratch(
      1,
      16_000,
      "16",
      Int16Array.from(signal, (sample) => sample * 2 ** 15),
    );
    if (code === "8a") wave.toALaw();
    else wave.toMuLaw();
    const { samples } = await readRecording(await fileWith(`${code}.wav`, wave.toBuffer()));
    expect(distance(samples, signal)).toBeLessThan(0.02);
  });

  it("drops an incomplete last frame", async () => {
    const bytes = waveBytes(signal, { channels: 2 });
    const path = await fileWith("odd.wav", bytes.subarray(0, bytes.length - 1));
    expect((await readRecording(path)).samples.length).toBe(799);
  });

  const silence = new Array<number>(1600).fill(0);
  it.each<[string, Uint8Array | string, RegExp]>([
    ["empty", "", /is empty/],
    ["text", "this is no recording at all", /not a WAV file/],
    ["a few bytes", "RIFF", /not a WAV file/],
    ["RIFF of another kind", "RIFF\x04\0\0\0AVI LIST", /not a WAV file/],
    ["header cut off", waveBytes(silence).subarray(0, 24), /damaged WAV file/],
    ["no data chunk", waveBytes(silence).subarray(0, 36), /damaged WAV file/],
    ["no samples", waveBytes([]), /holds no samples/],
    ["less than a window", waveBytes(silence.slice(0, 511)), /too short: expected at least 512/],
    ["rate too low", waveBytes(silence, { rate: 4000 }), /expected 8000 to 192000 Hz, got 4000/],
    ["rate too high", waveBytes(silence, { rate: 400_000 }), /got 400000/],
    ["rate of zero", waveBytes(silence, { rate: 0 }), /got 0/],
    ["no channels", waveBytes(silence, { channels: 0 }), /0 channels/],
    ["MP3 inside", waveBytes(silence, { format: 85 }), /unsupported encoding: format 85/],
    ["NaN", waveBytes([...silence, Number.NaN], { bits: 32, format: 3 }), /sample 1600 is NaN/],
  ])("refuses a file: %s", async (name, content, message) => {
    const path = await fileWith(`${name}.wav`, content);
    const failure = await readRecording(path).then(
      () => null,
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(UserError);
    expect((failure as UserError).message).toMatch(message);
    expect((failure as UserError).message.startsWith(`${path}: `)).toBe(true);
    expect((failure as UserError).message).not.toContain("\n");
  });

  it("never fails in another way, whatever is in the file", async () => {
    const intact = waveBytes(sine(440, 16_000, 600), { channels: 2 });
    const path = join(folder, "damaged.wav");
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(59), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.nat(intact.length),
        async (changes, length) => {
          const bytes = Buffer.from(intact);
          for (const [offset, value] of changes) bytes[offset] = value;
          await writeFile(path, bytes.subarray(0, length));
          const recording = await readRecording(path).catch((error: unknown) => {
            if (error instanceof UserError) return null;
            throw error;
          });
          return recording === null || recording.samples.every(Number.isFinite);
        },
      ),
      { seed: 20261123, numRuns: 300 },
    );
  });

  it("finds the placed prompts of the bundled recording only", async () => {
    const other = await fileWith("other.wav", await readFile(BUNDLED_RECORDING));
    expect(await readPrompts(other)).toEqual([]);
    const prompts = await readPrompts(BUNDLED_RECORDING);
    expect(prompts).toHaveLength(7);
    expect(prompts[0]).toEqual({ name: "demo-abouttotry", start: 1.5, end: 10.057 });
  });
});

describe("resample", () => {
  it("returns the same samples at the same rate", () => {
    const samples = Float32Array.from(sine(100, 16_000, 50));
    expect(resample(samples, 16_000, 16_000)).toBe(samples);
  });

  it("keeps a constant", () => {
    const output = resample(new Float32Array(4410).fill(0.7), 44_100, 16_000);
    expect(output.length).toBe(1600);
    expect(distance(output, new Float32Array(1600).fill(0.7), 40)).toBeLessThan(1e-6);
  });

  it("removes what the new rate cannot hold, and keeps what it can", () => {
    const margin = 100;
    const above = resample(Float32Array.from(sine(9_000, 48_000, 9600)), 48_000, 16_000);
    expect(distance(above, new Float32Array(above.length), margin)).toBeLessThan(1e-4);
    const below = resample(Float32Array.from(sine(6_500, 48_000, 9600)), 48_000, 16_000);
    expect(distance(below, sine(6_500, 16_000, below.length), margin)).toBeLessThan(1e-4);
  });

  it("keeps every sample in its place when the rate doubles", () => {
    const samples = sine(700, 8_000, 800);
    const output = resample(Float32Array.from(samples), 8_000, 16_000);
    const everyOther = output.filter((_, index) => index % 2 === 0);
    expect(distance(everyOther, samples, 50)).toBeLessThan(1e-4);
  });
});

describe("windowsWithContext", () => {
  it("puts the end of the window before in front of each window, and silence before the first", () => {
    const samples = Float32Array.from({ length: 3 * 512 }, (_, n) => n + 1);
    const block = windowsWithContext(samples, 0, 3);
    const row = (window: number) => block.subarray(window * 576, (window + 1) * 576);
    expect([row(0)[0], row(0)[63], row(0)[64], row(0)[575]]).toEqual([0, 0, 1, 512]);
    expect([row(1)[0], row(1)[64], row(1)[575]]).toEqual([449, 513, 1024]);
    expect(windowsWithContext(samples, 2, 1)).toEqual(row(2));
  });
});

describe("readArguments", () => {
  it("has defaults, and takes what is given", () => {
    const defaults = readArguments([]);
    expect(defaults.recording).toBe(BUNDLED_RECORDING);
    expect(defaults.output).toMatch(/examples[\\/]vad[\\/]out[\\/]vad\.svg$/);
    expect(defaults.table).toBe(true);
    expect(readArguments(["a.wav", "--output", "b.svg", "--no-table"])).toEqual({
      help: false,
      recording: "a.wav",
      output: "b.svg",
      table: false,
    });
  });

  it.each([[["a.wav", "b.wav"]], [["--colour"]], [["--output"]], [["--output="]], [[""]]])(
    "refuses %j in one line",
    (argv) => {
      expect(() => readArguments(argv)).toThrow(UserError);
      expect(() => readArguments(argv)).toThrow(/^[^\n]+$/);
    },
  );
});

describe("the command", () => {
  const main = fileURLToPath(new URL("../../examples/vad/main.ts", import.meta.url));
  const run = (...argv: string[]) =>
    new Promise<{ code: number | null; stdout: string; stderr: string }>((done, fail) => {
      const child = spawn(process.execPath, ["--import", "tsx", main, ...argv]);
      let stdout = "";
      let stderr = "";
      child.stdout.on("data", (text) => (stdout += text));
      child.stderr.on("data", (text) => (stderr += text));
      child.on("error", fail);
      child.on("close", (code) => done({ code, stdout, stderr }));
    });

  it("shows its help", async () => {
    const { code, stdout, stderr } = await run("--help");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("--output FILE");
  });

  it("ends with exit code 1 and one line on stderr for what it cannot use", async () => {
    const directory = join(folder, "directory");
    await mkdir(directory);
    const recording = await fileWith("fine.wav", waveBytes(sine(440, 16_000, 1600)));
    const output = join(folder, "picture.svg");
    const cases: [argv: string[], message: RegExp][] = [
      [[join(folder, "absent.wav"), "--output", output], /no such file/],
      [[directory, "--output", output], /is a folder/],
      [[await fileWith("nothing.wav", ""), "--output", output], /is empty/],
      [[await fileWith("text.wav", "hello hello hello"), "--output", output], /not a WAV file/],
      [[await fileWith("void.wav", waveBytes([])), "--output", output], /holds no samples/],
      [[recording, "--output", directory], /is a folder/],
      [[recording, "--output", recording], /is the recording itself/],
      [
        [recording, "--output", join(recording, "picture.svg")],
        /not a directory|file already exists/,
      ],
      [["--unknown"], /--unknown/],
    ];
    for (const [argv, message] of cases) {
      const { code, stdout, stderr } = await run(...argv);
      expect(stderr, argv.join(" ")).toMatch(/^vad: [^\n]+\n$/);
      expect(stderr).toMatch(message);
      expect([code, stdout]).toEqual([1, ""]);
    }
  }, 60_000);
});
