/**
 * Makes src/conformance/golden.ts, the golden vectors of the conformance suite, from the float64
 * reference backend:
 *
 *     npx tsx scripts/golden.ts            writes the file
 *     npx tsx scripts/golden.ts --check    says whether the file is what the oracle gives, to 1e-12
 *
 * Other vectors need another CONFORMANCE_VERSION (src/conformance/version.ts).
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ErrorPropagation } from "../src/backend/reference/certificate.ts";
import { programsOf } from "../src/backend/reference/programs.ts";
import { casesOf, optionsOf } from "../src/conformance/cases.ts";
import { golden as known } from "../src/conformance/golden.ts";
import { conformanceCells, type Problem, problemOf } from "../src/conformance/problems.ts";
import { DECIMALS, forEachStep, isKeyFrame, rowAt } from "../src/conformance/trajectory.ts";
import type { Golden } from "../src/conformance/verdict.ts";
import { createRuntime, type FloatArray, type Runtime } from "../src/index.ts";

export type GoldenVectors = Readonly<Record<string, Golden>>;

const file = fileURLToPath(new URL("../src/conformance/golden.ts", import.meta.url));

/** One unit of the last decimal: engines differ in the last bits of exp, and so in how they round. */
const LARGEST_DIFFERENCE = 1.01 * 10 ** -DECIMALS;

/** The golden vectors of all cells. */
export async function makeGolden(): Promise<GoldenVectors> {
  const runtime = await createRuntime({ backend: "reference" });
  try {
    const all: Record<string, Golden> = {};
    for (const name of conformanceCells) all[name] = await goldenOf(runtime, problemOf(name));
    return all;
  } finally {
    runtime.dispose();
  }
}

async function goldenOf(runtime: Runtime<Float64Array>, problem: Problem): Promise<Golden> {
  const { cell, inputs } = problem;
  const sweeps: Record<string, number> = {};
  let states = new Float64Array(0);
  for (const one of casesOf(problem, "reference")) {
    const options = { ...optionsOf(problem, one), onFailure: "throw" } as const;
    const result = await runtime.evaluate(cell, inputs, { ...options, backend: "reference" });
    if (one.method === "sequential") states = Float64Array.from(result.states);
    else sweeps[one.key] = result.report.iterations;
  }
  const frames: number[] = [];
  forEachStep(problem, ({ t, length, row }) => {
    if (isKeyFrame(t, length)) frames.push(...rowAt(states, row, cell.stateSize));
  });
  return { frames: frames.map(rounded), noise: noiseOf(problem, states), sweeps };
}

function rounded(value: number): number {
  // No negative zero, which JSON does not have.
  return Number(value.toFixed(DECIMALS)) + 0;
}

/** What a certificate estimates for exact states, in unit roundoffs, to the next tenth. */
function noiseOf(problem: Problem, states: FloatArray): number {
  const { cell, inputs, initialState } = problem;
  const { stateSize, inputSize } = cell;
  const programs = programsOf(cell);
  let noise = 0;
  let errors = new ErrorPropagation(stateSize, 1);
  let before: Float64Array;
  forEachStep(problem, ({ sequence, t, row }) => {
    if (t === 0) {
      before = rowAt(initialState, sequence, stateSize);
      errors = new ErrorPropagation(stateSize, 1);
    }
    const input = typeof inputs === "number" ? new Float64Array(0) : rowAt(inputs, row, inputSize);
    const drive = programs.drive(input).slice();
    const state = rowAt(states, row, stateSize);
    const tangent = (seed: Float64Array) => programs.tangent(before, drive, seed);
    errors.step({ t, state, next: state, tangent });
    noise = Math.max(noise, errors.certificate.errorEstimate);
    before = state;
  });
  return Math.ceil(10 * noise) / 10;
}

/** Where two sets of golden vectors differ by more than engines do, in words. */
export function differences(actual: GoldenVectors, expected: GoldenVectors): string[] {
  const names = new Set([...Object.keys(actual), ...Object.keys(expected)]);
  return [...names].flatMap((name) => {
    const [a, b] = [actual[name], expected[name]];
    if (!a || !b) return [`${name}: is in only one of them`];
    const found: string[] = [];
    if (a.frames.length !== b.frames.length) {
      found.push(`${name}: ${a.frames.length} and ${b.frames.length} numbers`);
    }
    const far = a.frames.findIndex((v, i) => !(Math.abs(v - b.frames[i]!) <= LARGEST_DIFFERENCE));
    if (far >= 0) found.push(`${name}: number ${far} is ${a.frames[far]} and ${b.frames[far]}`);
    // It is rounded up to a tenth.
    if (!(Math.abs(a.noise - b.noise) < 0.11)) found.push(`${name}: noise ${a.noise}, ${b.noise}`);
    if (JSON.stringify(a.sweeps) !== JSON.stringify(b.sweeps)) found.push(`${name}: other sweeps`);
    return found;
  });
}

/** The text of src/conformance/golden.ts. */
export function goldenModule(all: GoldenVectors): string {
  const cells = Object.entries(all).map(([name, { frames, noise, sweeps }]) =>
    [
      `  ${keyOf(name)}: {`,
      "    frames: [",
      ...wrap(frames.map((value) => `${value},`)),
      "    ],",
      `    noise: ${noise},`,
      "    sweeps: {",
      ...Object.entries(sweeps).map(([key, count]) => `      ${keyOf(key)}: ${count},`),
      "    },",
      "  },",
    ].join("\n"),
  );
  return [
    "/** Golden vectors of the float64 oracle. Generated by scripts/golden.ts: do not edit. */",
    'import type { Golden } from "./verdict.ts";',
    "",
    `export const golden: Readonly<Record<string, Golden>> = {\n${cells.join("\n")}\n};\n`,
  ].join("\n");
}

function keyOf(name: string): string {
  return /^[a-z]\w*$/.test(name) ? name : JSON.stringify(name);
}

/** Lines of at most a hundred characters. */
function wrap(words: readonly string[]): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= 100) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(`      ${word}`);
    }
  }
  return lines;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { check: { type: "boolean" } } });
  const made = await makeGolden();
  const found = differences(made, known);
  if (values.check) {
    process.stdout.write(found.length > 0 ? `${found.join("\n")}\n` : "as the oracle has it\n");
    process.exitCode = found.length > 0 ? 1 : 0;
  } else {
    writeFileSync(file, goldenModule(made));
    process.stdout.write(`${file}: ${found.length} differences from what there was\n`);
  }
}
