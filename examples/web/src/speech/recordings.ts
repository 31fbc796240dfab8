/** Where recordings come from: the bundled one, a file, the microphone. */
import bundledAddress from "../../../vad/speech-16k.wav?url";
import { isWave } from "../../../vad/wave-header.ts";
import type { SpeechInput } from "./tasks.ts";

export interface PageRecording extends Pick<SpeechInput, "id" | "name" | "content"> {
  /** For the audio element; an object URL has to be revoked. */
  readonly address: string;
  readonly bundled: boolean;
}

/** What Silero takes; browsers resample while they decode. */
const SAMPLE_RATE = 16_000;
/** Larger files than this would not fit, once decoded and encoded. */
const MOST_BYTES = 1024 ** 3;
let nextId = 1;

export async function bundledRecording(): Promise<PageRecording> {
  const response = await fetch(bundledAddress);
  if (!response.ok) throw new Error(`the recording could not be loaded: status ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const content = { kind: "wave", bytes } as const;
  const name = "the bundled recording";
  return { id: nextId++, name, content, address: bundledAddress, bundled: true };
}

/** @throws Error in a sentence, when the browser cannot decode it */
export async function recordingOf(file: Blob, name: string): Promise<PageRecording> {
  if (file.size === 0) throw new Error(`${name}: is empty, expected a recording`);
  if (file.size > MOST_BYTES) throw new Error(`${name}: expected at most 1 GB`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  // A WAV file is read here, to the bit; for all else the browser has decoders.
  const content = isWave(bytes) ? ({ kind: "wave", bytes } as const) : await decode(bytes, name);
  const address = URL.createObjectURL(file);
  return { id: nextId++, name, content, address, bundled: false };
}

export function forget(recording: PageRecording | null): void {
  if (recording && !recording.bundled) URL.revokeObjectURL(recording.address);
}

async function decode(bytes: Uint8Array<ArrayBuffer>, name: string) {
  const context = new OfflineAudioContext(1, 1, SAMPLE_RATE);
  let decoded: AudioBuffer;
  try {
    decoded = await context.decodeAudioData(bytes.buffer);
  } catch {
    throw new Error(
      `${name}: this browser cannot decode it; expected a recording, such as a WAV file`,
    );
  }
  const channels = decoded.numberOfChannels;
  const samples = new Float32Array(decoded.length);
  for (let channel = 0; channel < channels; channel++) {
    const data = decoded.getChannelData(channel);
    for (let i = 0; i < data.length; i++) samples[i] += data[i] / channels;
  }
  const mixing = channels === 1 ? "mono" : `${channels} channels mixed down to one`;
  const description = `decoded by the browser, ${mixing}, at 16,000 Hz`;
  return { kind: "samples", samples, description } as const;
}

/** A recording in progress. */
export interface Microphone {
  /** Ends it. */
  stop(): Promise<Blob>;
  /** Ends it, and throws it away. */
  discard(): void;
}

/** @throws Error in a sentence, for each of the ways in which there can be no microphone */
export async function openMicrophone(): Promise<Microphone> {
  if (!navigator.mediaDevices?.getUserMedia || typeof MediaRecorder !== "function") {
    const secure = isSecureContext ? "" : ": it takes https, or localhost";
    throw new Error(`This page cannot use a microphone here${secure}.`);
  }
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (error) {
    throw new Error(whyNoMicrophone(error));
  }
  const release = () => {
    for (const track of stream.getTracks()) track.stop();
  };
  const pieces: Blob[] = [];
  const recorder = new MediaRecorder(stream);
  recorder.ondataavailable = ({ data }) => pieces.push(data);
  const ended = new Promise<Blob>((resolve, reject) => {
    recorder.onstop = () => {
      release();
      resolve(new Blob(pieces, { type: recorder.mimeType }));
    };
    recorder.onerror = () => {
      release();
      reject(new Error("The microphone stopped recording."));
    };
  });
  // Whoever discards it does not wait for it.
  ended.catch(() => {});
  recorder.start(1000);
  const end = () => {
    if (recorder.state !== "inactive") recorder.stop();
  };
  return {
    stop: () => {
      end();
      return ended;
    },
    discard: end,
  };
}

function whyNoMicrophone(error: unknown): string {
  const { name, message } = error as Error;
  if (name === "NotAllowedError") {
    return "The microphone was not allowed. Allow it for this page in the browser’s settings, and try again.";
  }
  if (name === "NotFoundError") return "There is no microphone on this device.";
  if (name === "NotReadableError") return "The microphone is in use by another program.";
  return `The microphone cannot be used: ${message}`;
}
