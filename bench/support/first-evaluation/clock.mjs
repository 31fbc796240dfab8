/**
 * What the children of bench/first-evaluation.ts share: the model from the folder that they are given, and
 * a clock of stages. A child prints one line of JSON: milliseconds a stage, and the last hidden state.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const { steps, inputSize, hiddenSize } = JSON.parse(process.argv[3]);

export const problem = { steps, inputSize, hiddenSize };

/** A file of the folder, as numbers. */
export function numbers(name) {
  const bytes = readFileSync(join(folder, name));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

export function bytes(name) {
  return new Uint8Array(readFileSync(join(folder, name)));
}

const milliseconds = {};

/** Runs a stage and keeps its time. */
export async function stage(name, work) {
  const start = performance.now();
  const value = await work();
  milliseconds[name] = performance.now() - start;
  return value;
}

/** @param last the hidden state after the last step */
export function finish(last) {
  process.stdout.write(`${JSON.stringify({ milliseconds, last: Array.from(last) })}\n`);
  // A pool of threads of a peer must not count as its work.
  process.exit(0);
}
