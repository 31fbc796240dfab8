/** The playground's Speech tab in Chromium, against the command-line example's parts in this process. */
import { readFileSync } from "node:fs";
import { createRuntime } from "antler";
import type { Browser, Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import wavefile from "wavefile";
import { runMethod, sileroCell } from "../../examples/vad/methods.ts";
import { BUNDLED_RECORDING } from "../../examples/vad/prompts.ts";
import { resample } from "../../examples/vad/resample.ts";
import { findSegments } from "../../examples/vad/segments.ts";
import { encode, SECONDS_PER_WINDOW } from "../../examples/vad/silero.ts";
import { readSilero } from "../../examples/vad/silero-model.ts";
import { decodeRecording } from "../../examples/vad/wave.ts";
import { launchBrowser } from "../support/browser.ts";
import { launchGpuBrowser } from "../support/chromium-gpu.ts";
import {
  endOf,
  keepPicture,
  openPlayground,
  type Playground,
  panelOf,
  readFact,
  readTable,
  runTask,
  servePlayground,
  textOf,
} from "../support/playground.ts";

/** Twelve seconds in stereo at 44.1 kHz: what is dropped has to be mixed down and resampled. */
function stereoFile(): Buffer {
  const { samples } = decodeRecording(readFileSync(BUNDLED_RECORDING), "bundled");
  const wide = resample(samples.subarray(0, 16_000 * 12), 16_000, 44_100);
  const left = Int16Array.from(wide, (sample) => Math.round(sample * 32_767));
  const wave = new wavefile.WaveFile();
  wave.fromScratch(2, 44_100, "16", [left, left]);
  return Buffer.from(wave.toBuffer());
}

/** The rows of the table of segments, as the example's own parts find them. */
async function segmentsHere(file: Uint8Array): Promise<string[][]> {
  const model = await readSilero();
  const recording = decodeRecording(file, "here");
  const encoded = await encode(model, recording.samples);
  const runtime = await createRuntime({ backend: "wasm" });
  const { probabilities } = await runMethod(runtime, model, sileroCell(model), encoded, {});
  runtime.dispose();
  const segments = findSegments(probabilities, SECONDS_PER_WINDOW, recording.seconds);
  return segments.map(({ start, end }, index) => [
    String(index + 1),
    start.toFixed(3),
    end.toFixed(3),
    (end - start).toFixed(2),
    "Play",
  ]);
}

let playground: Playground;
let browser: Browser;
const stereo = stereoFile();
let expectedOfStereo: string[][];
beforeAll(async () => {
  [playground, browser, expectedOfStereo] = await Promise.all([
    servePlayground(),
    launchGpuBrowser(),
    segmentsHere(stereo),
  ]);
});
afterAll(async () => {
  await browser?.close();
  await playground?.close();
});

async function inPage(work: (page: Page) => Promise<void>, hash = "tab=speech"): Promise<void> {
  const watched = await openPlayground(browser, playground, hash);
  try {
    await work(watched.page);
    expect(watched.complaints).toEqual([]);
  } finally {
    await watched.close();
  }
}

const SEGMENTS = "Segments of speech";

/** As a drag from the desktop ends. */
async function drop(page: Page, name: string, type: string, bytes: Buffer): Promise<void> {
  const transfer = await page.evaluateHandle(
    ({ name, type, base64 }) => {
      const data = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([data], name, { type }));
      return transfer;
    },
    { name, type, base64: bytes.toString("base64") },
  );
  await page.locator(".drop").dispatchEvent("drop", { dataTransfer: transfer });
}

describe("speech", () => {
  it("is found in the bundled recording, by several methods and backends alike", async () => {
    const expected = await segmentsHere(readFileSync(BUNDLED_RECORDING));
    expect(expected.length).toBeGreaterThan(7);
    await inPage(async (page) => {
      const panel = panelOf(page);
      expect(await textOf(panel)).toContain("CC-BY-SA-3.0");
      const found = `Found ${expected.length} segments of speech.`;
      expect(await runTask(page, "Find speech")).toBe(found);
      expect(await readTable(page, SEGMENTS)).toEqual(expected);
      expect(await readFact(page, "Method")).toBe("sequential");
      await panel
        .getByRole("img", { name: /^Waveform/ })
        .locator("canvas")
        .first()
        .waitFor();
      await keepPicture(page, "speech-light");

      for (const [method, backend] of [
        ["quasi-deer, block Jacobian, chunk 64", "wasm"],
        ["jacobi, chunk 256", "webgpu"],
      ] as const) {
        await panel.getByLabel("Method").selectOption({ label: method });
        await panel.getByLabel("Runs on").selectOption(backend);
        expect(await runTask(page, "Find speech")).toBe(found);
        expect(await readFact(page, "Backend")).toBe(backend);
        expect(await readFact(page, "Method")).toBe(method.split(",")[0]);
        expect(await readTable(page, SEGMENTS)).toEqual(expected);
      }
    });
  });

  it("is found in a WAV file that is dropped, and in one that is picked", async () => {
    expect(expectedOfStereo.length).toBeGreaterThan(1);
    await inPage(async (page) => {
      await drop(page, "meeting.wav", "audio/wav", stereo);
      expect(await endOf(page, "Find speech")).toMatch(/^Found/);
      expect(await readTable(page, SEGMENTS)).toEqual(expectedOfStereo);
      const said = await textOf(panelOf(page));
      expect(said).toContain(
        "meeting.wav: 16-bit PCM, 2 channels mixed down to one, 44,100 Hz resampled to 16,000 Hz",
      );
      const [chooser] = await Promise.all([
        page.waitForEvent("filechooser"),
        panelOf(page).getByRole("button", { name: "Choose a file" }).click(),
      ]);
      await chooser.setFiles({ name: "picked.wav", mimeType: "audio/wav", buffer: stereo });
      await expect.poll(() => textOf(panelOf(page))).toContain("picked.wav: 16-bit PCM");
      expect(await readTable(page, SEGMENTS)).toEqual(expectedOfStereo);
    });
  });

  it("is not looked for in what is no recording, which is said in a sentence", async () => {
    await inPage(async (page) => {
      await drop(page, "notes.txt", "text/plain", Buffer.from("nothing to hear"));
      expect(await endOf(page, "Find speech")).toContain(
        "notes.txt: this browser cannot decode it",
      );
      await drop(page, "cut.wav", "audio/wav", stereo.subarray(0, 30));
      expect(await endOf(page, "Find speech")).toContain("cut.wav: damaged WAV file");
      await drop(page, "empty.wav", "audio/wav", Buffer.alloc(0));
      expect(await endOf(page, "Find speech")).toContain("empty.wav: is empty");
    });
  });

  it("can be cancelled while it is being looked for", async () => {
    await inPage(async (page) => {
      const panel = panelOf(page);
      await panel.getByLabel("Runs on").selectOption("reference");
      await panel
        .getByLabel("Method")
        .selectOption({ label: "quasi-deer, block Jacobian, chunk 1" });
      await panel.getByRole("button", { name: "Find speech" }).click();
      await panel
        .getByText(/Running the LSTM/)
        .first()
        .waitFor({ state: "attached" });
      await panel.getByRole("button", { name: "Cancel" }).click();
      expect(await endOf(page, "Find speech")).toBe("Cancelled.");
      expect(await textOf(panel)).toContain("Nothing has been listened to yet");
    });
  });
});

describe("the microphone", () => {
  it("is refused in a sentence where it is not allowed", async () => {
    await inPage(async (page) => {
      await panelOf(page).getByRole("button", { name: "Use the microphone" }).click();
      await expect
        .poll(() => textOf(panelOf(page).locator(".microphone [role=alert]")))
        .toMatch(/^(The microphone was not allowed|There is no microphone)/);
    });
  });

  it("is listened to until it is stopped", async () => {
    const listening = await launchBrowser([
      "--use-fake-ui-for-media-stream",
      "--use-fake-device-for-media-stream",
      `--use-file-for-fake-audio-capture=${BUNDLED_RECORDING}`,
    ]);
    const watched = await openPlayground(listening, playground, "tab=speech&speechBackend=wasm", {
      permissions: ["microphone"],
    });
    try {
      const { page } = watched;
      const panel = panelOf(page);
      await panel.getByRole("button", { name: "Use the microphone" }).click();
      // Its first 1.5 seconds are a pause.
      await expect
        .poll(() => textOf(panel.locator(".elapsed")), { timeout: 20_000 })
        .toMatch(/^0:0[5-9]/);
      await panel.getByRole("button", { name: "Stop the microphone" }).click();
      await panel.getByRole("region", { name: "Report" }).waitFor();
      expect(await endOf(page, "Find speech")).toMatch(/^Found [1-9]/);
      expect(await textOf(panel)).toContain("what the microphone heard: decoded by the browser");
      expect(watched.complaints).toEqual([]);
    } finally {
      await watched.close();
      await listening.close();
    }
  });
});
