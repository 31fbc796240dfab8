/**
 * assembly/math.ts: accuracy, special values and symmetry of the SIMD elementary functions, in the
 * plain SIMD build and in the relaxed one, where a multiply-add may round once.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import {
  bitsOf,
  EDGES,
  FUNCTIONS,
  floatOf,
  type Measurements,
  measure,
} from "../support/elementary-functions.ts";
import { ulpError } from "../support/ulp.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "antler-math-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function compile(name: string, ...features: string[]): Promise<string> {
  const output = join(folder, `${name}.wasm`);
  const compiler = join(root, "node_modules/assemblyscript/bin/asc.js");
  const options = ["--runtime", "stub", "--use", "abort=", "--noAssert", "-O3"];
  const enabled = features.flatMap((feature) => ["--enable", feature]);
  const source = join("assembly", "testing.ts");
  await run(process.execPath, [compiler, source, "-o", output, ...options, ...enabled], {
    cwd: root,
  });
  return output;
}

/** The measurements of a module, or why this machine cannot make them. */
type Outcome = Measurements | { readonly unavailable: string };

async function measurePlain(): Promise<Outcome> {
  const file = await compile("plain", "simd");
  return measure(await WebAssembly.compile(readFileSync(file)));
}

/** In this process if its engine has relaxed SIMD, else in one started with the flag for it. */
async function measureRelaxed(): Promise<Outcome> {
  const file = await compile("relaxed", "simd", "relaxed-simd");
  const bytes = readFileSync(file);
  if (WebAssembly.validate(bytes)) return measure(await WebAssembly.compile(bytes));
  const flag = "--experimental-wasm-relaxed-simd";
  const probe =
    "process.exitCode = WebAssembly.validate(require('fs').readFileSync(process.argv[1])) ? 0 : 9";
  try {
    await run(process.execPath, [flag, "-e", probe, file]);
  } catch {
    return { unavailable: `Node ${process.version} has no relaxed SIMD, even with ${flag}` };
  }
  const program = join(root, "tests/support/elementary-functions.ts");
  const { stdout } = await run(process.execPath, [flag, "--import", "tsx", program, file], {
    cwd: root,
    maxBuffer: 2 ** 24,
  });
  return JSON.parse(stdout) as Measurements;
}

/** The bounds that the docstrings of assembly/math.ts state, in ULP. */
const BOUNDS: Readonly<Record<string, number>> = {
  exp: 1.2,
  tanh: 2.7,
  sigmoid: 2.4,
  log: 1,
  softplus: 1.9,
  sin: 1.3,
  cos: 1.3,
};

const TINY = 2 ** -149;
const SMALLEST_NORMAL = 2 ** -126;
const LARGEST = 3.4028234663852886e38;

/** Results that are exact, or the nearest float32, by input; `EDGES` holds every input. */
const EXACT: Readonly<Record<string, ReadonlyArray<readonly [input: number, result: number]>>> = {
  exp: [
    [Infinity, Infinity],
    [-Infinity, 0],
    [0, 1],
    [-0, 1],
    [TINY, 1],
    [88.8, Infinity],
    [-103.9, TINY],
    [-104, 0],
    [LARGEST, Infinity],
    [-LARGEST, 0],
  ],
  tanh: [
    [Infinity, 1],
    [-Infinity, -1],
    [0, 0],
    [-0, -0],
    [TINY, TINY],
    [-TINY, -TINY],
    [SMALLEST_NORMAL, SMALLEST_NORMAL],
    [1e-6, Math.fround(1e-6)],
    [88.8, 1],
    [-104, -1],
    [LARGEST, 1],
    [-LARGEST, -1],
  ],
  sigmoid: [
    [Infinity, 1],
    [-Infinity, 0],
    [0, 0.5],
    [-0, 0.5],
    [TINY, 0.5],
    [88.8, 1],
    [-103.9, TINY],
    [-104, 0],
    [LARGEST, 1],
    [-LARGEST, 0],
  ],
  log: [
    [Infinity, Infinity],
    [-Infinity, Number.NaN],
    [0, -Infinity],
    [-0, -Infinity],
    [-TINY, Number.NaN],
    [-1, Number.NaN],
    [-LARGEST, Number.NaN],
    [1, 0],
    [TINY, Math.fround(-149 * Math.LN2)],
    [SMALLEST_NORMAL, Math.fround(-126 * Math.LN2)],
    [LARGEST, Math.fround(128 * Math.LN2)],
  ],
  softplus: [
    [Infinity, Infinity],
    [-Infinity, 0],
    [0, Math.fround(Math.LN2)],
    [-0, Math.fround(Math.LN2)],
    [88.8, Math.fround(88.8)],
    [-103.9, TINY],
    [-104, 0],
    [LARGEST, LARGEST],
    [-LARGEST, 0],
  ],
  sin: [
    [Infinity, Number.NaN],
    [-Infinity, Number.NaN],
    [0, 0],
    [-0, -0],
    [TINY, TINY],
    [-TINY, -TINY],
    [1e-6, Math.fround(1e-6)],
  ],
  cos: [
    [Infinity, Number.NaN],
    [-Infinity, Number.NaN],
    [0, 1],
    [-0, 1],
    [TINY, 1],
    [1e-6, 1],
  ],
};

const RANGES = [
  ["tanh", -1, 1],
  ["sigmoid", 0, 1],
  ["sin", -1, 1],
  ["cos", -1, 1],
] as const;

const names = FUNCTIONS.map(({ name }) => name);

describe.each([
  ["plain SIMD", measurePlain],
  ["relaxed SIMD", measureRelaxed],
] as const)("elementary functions, %s", (_, measureBuild) => {
  let outcome: Outcome;
  beforeAll(async () => {
    outcome = await measureBuild();
  });
  const measurements = (context: TestContext): Measurements =>
    "unavailable" in outcome ? context.skip(outcome.unavailable) : outcome;

  for (const name of names) {
    it(`${name} stays within ${BOUNDS[name]} ULP over all of float32`, (context) => {
      const { count, maximum, worst } = measurements(context).sweeps[name];
      expect(count).toBeGreaterThan(7.9e6);
      expect(maximum, `at x = ${floatOf(worst)}`).toBeLessThanOrEqual(BOUNDS[name]);
    });

    it(`${name} has its limits and special values`, (context) => {
      const results = measurements(context).edges[name];
      const at = (input: number) => floatOf(results[EDGES.findIndex((x) => Object.is(x, input))]);
      expect(at(Number.NaN)).toBeNaN();
      for (const [input, result] of EXACT[name]) expect(at(input), `x = ${input}`).toBe(result);
    });

    it(`${name} does not depend on the lane`, (context) => {
      expect(measurements(context).laneDependent[name].map(floatOf)).toEqual([]);
    });
  }

  for (const [name, least, greatest] of RANGES) {
    it(`${name} never leaves [${least}, ${greatest}] and reaches both ends`, (context) => {
      expect(measurements(context).sweeps[name].range).toEqual([least, greatest]);
    });
  }

  it("tanh and sin are odd and cos is even, bit for bit", (context) => {
    const { notOdd, notEven } = measurements(context);
    expect(notOdd.tanh.map(floatOf)).toEqual([]);
    expect(notOdd.sin.map(floatOf)).toEqual([]);
    expect(notEven.cos.map(floatOf)).toEqual([]);
    expect(notOdd.exp.length).toBeGreaterThan(0);
  });
});

describe("ulpError", () => {
  it("measures against the spacing of float32 at the exact value", () => {
    expect(ulpError(1, 1)).toBe(0);
    expect(ulpError(1 + 2 ** -23, 1)).toBe(1);
    expect(ulpError(1 - 2 ** -24, 1)).toBe(0.5);
    expect(ulpError(-2, -2 + 2 ** -24)).toBe(0.5);
    expect(ulpError(TINY, 0)).toBe(1);
    expect(ulpError(0, -1.5 * TINY)).toBe(1.5);
    expect(ulpError(floatOf(bitsOf(1e-40)), floatOf(bitsOf(1e-40) + 3))).toBe(3);
  });

  it("treats NaN, infinities and overflow as rounding does", () => {
    expect(ulpError(Number.NaN, Number.NaN)).toBe(0);
    expect(ulpError(Number.NaN, 1)).toBe(Infinity);
    expect(ulpError(1, Number.NaN)).toBe(Infinity);
    expect(ulpError(LARGEST, Infinity)).toBe(Infinity);
    expect(ulpError(Infinity, 2 ** 128)).toBe(0);
    expect(ulpError(-Infinity, 2 ** 128)).toBe(2 ** 25);
    expect(ulpError(LARGEST, 2 ** 200)).toBeGreaterThan(1e20);
    expect(ulpError(Infinity, LARGEST)).toBe(1);
    expect(ulpError(LARGEST, 2 ** 128)).toBe(1);
  });
});
