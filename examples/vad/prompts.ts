/** Where the prompts of the bundled recording were placed. */
import { readFile, realpath } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Segment } from "./segments.ts";

export const BUNDLED_RECORDING = fileURLToPath(new URL("speech-16k.wav", import.meta.url));
const PLACEMENT = new URL("speech-16k.json", import.meta.url);

export interface Prompt extends Segment {
  readonly name: string;
}

/** The prompts in order of time; nothing for any recording but the bundled one. */
export async function readPrompts(recordingPath: string): Promise<Prompt[]> {
  if ((await realpath(recordingPath)) !== (await realpath(BUNDLED_RECORDING))) return [];
  const { placed } = JSON.parse(await readFile(PLACEMENT, "utf8")) as {
    placed: { prompt: string; start: number; end: number }[];
  };
  return placed.map(({ prompt, start, end }) => ({ name: prompt, start, end }));
}
