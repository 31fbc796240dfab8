/** gpu/shared/elementary.wgsl: accuracy over all of float32, special values, and the three widths. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { pointwise } from "../../src/cell/pointwise.ts";
import { nullGpu } from "../support/dawn.ts";
import {
  bitsOf,
  EDGES,
  type ElementaryFunction,
  FUNCTIONS,
  floatOf,
} from "../support/elementary-functions.ts";
import { type Applied, applier, CAPACITY } from "../support/elementary-shader.ts";
import { assortedArguments } from "../support/elementary-suite.ts";
import { useDevice } from "../support/gpu-device.ts";
import { GPU_HOSTS, runInHost } from "../support/gpu-hosts.ts";
import { mulberry32 } from "../support/random.ts";
import { ulpError } from "../support/ulp.ts";

/** What the comments of the file state, in ULP. */
const BOUNDS: Readonly<Record<string, number>> = {
  exp: 1.2,
  tanh: 2.7,
  sigmoid: 2.4,
  log: 1,
  softplus: 1.9,
  sin: 3,
  cos: 3,
  sqrt: 1,
};
/** sin and cos of arguments up to 10,000. */
const BOUND_OF_NEAR_ANGLES = 1.3;

type Function = Pick<ElementaryFunction, "name" | "reference" | "breakpoints" | "hardest">;
const functions: readonly Function[] = [
  ...FUNCTIONS,
  { name: "sqrt", reference: Math.sqrt, breakpoints: [1, 2, 4], hardest: [] },
];

const SMALLEST_NORMAL = 2 ** -126;
const SIGN = 0x80000000;
/** A prime, so that the sweep meets all low bits with all exponents. */
const STRIDE = 4099;
const NEIGHBOURS = 1024;
const NANS = [0x7fc00000, 0xffc00000, 0x7f800001, 0xff800001, 0xffffffff];

const device = useDevice();

/** Every `STRIDE`th float32, and all next to where something changes. */
function sweep({ breakpoints, hardest }: Function): Uint32Array {
  const count = Math.floor(2 ** 32 / STRIDE);
  const inputs = Array.from({ length: count }, (_, i) => i * STRIDE);
  for (const centre of [SMALLEST_NORMAL, 2 ** -24, 2 ** -12, ...breakpoints, ...hardest]) {
    for (let i = -NEIGHBOURS; i <= NEIGHBOURS; i++) {
      inputs.push(bitsOf(centre) + i, SIGN + bitsOf(centre) + i);
    }
  }
  return Uint32Array.from(inputs);
}

async function inPieces(apply: Applied, inputs: Uint32Array): Promise<Uint32Array> {
  const results = new Uint32Array(inputs.length);
  for (let start = 0; start < inputs.length; start += CAPACITY) {
    results.set(await apply(inputs.subarray(start, start + CAPACITY)), start);
  }
  return results;
}

/** In ULP, where subnormal arguments may count as 0 and subnormal results be 0. */
function errorOf(actual: number, x: number, reference: (x: number) => number): number {
  const exact = reference(x);
  const error = ulpError(actual, exact);
  // Just above the subnormals, too, where a rounding error leads there.
  if (Math.abs(exact) < SMALLEST_NORMAL * (1 + 2 ** -20) && actual === 0) return 0;
  if (Math.abs(x) >= SMALLEST_NORMAL) return error;
  return Math.min(error, ulpError(actual, reference(0)));
}

/** NaN of any kind as the same. */
const canonical = (bits: number) => (Number.isNaN(floatOf(bits)) ? NANS[0] : bits);

/** WGSL leaves the sign of zero open. */
const unsigned = (value: number) => value + 0;

describe.each(functions)("$name", (f) => {
  const { name, reference } = f;

  it(`stays within ${BOUNDS[name]} ULP`, async () => {
    const inputs = sweep(f);
    const results = await inPieces(await applier(device(), name, 4, 1), inputs);
    let worst = { error: 0, x: 0 };
    let worstNear = worst;
    for (let i = 0; i < inputs.length; i++) {
      const x = floatOf(inputs[i]);
      const error = errorOf(floatOf(results[i]), x, reference);
      if (error > worst.error) worst = { error, x };
      if (error > worstNear.error && Math.abs(x) <= 10_000) worstNear = { error, x };
    }
    expect(inputs.length).toBeGreaterThan(2 ** 20);
    expect(worst.error, `at x = ${worst.x}`).toBeLessThanOrEqual(BOUNDS[name]);
    if (name === "sin" || name === "cos") {
      expect(worstNear.error, `at x = ${worstNear.x}`).toBeLessThanOrEqual(BOUND_OF_NEAR_ANGLES);
    }
  });

  it("has its limits, its zeros, and NaN", async () => {
    const apply = await applier(device(), name, 4, 1);
    const results = await apply(Uint32Array.from([...EDGES.map(bitsOf), ...NANS]));
    for (const [i, x] of EDGES.entries()) {
      const exact = Math.fround(reference(x));
      if (Math.abs(x) >= SMALLEST_NORMAL || x === 0) {
        const flushed = Math.abs(exact) < SMALLEST_NORMAL ? 0 : exact;
        const isSpecial = flushed === 0 || !Number.isFinite(flushed);
        if (isSpecial) expect(unsigned(floatOf(results[i])), `x = ${x}`).toBe(flushed);
      }
    }
    for (const [i, bits] of NANS.entries()) {
      expect(floatOf(results[EDGES.length + i]), bits.toString(16)).toBeNaN();
    }
  });

  it("gives the same for scalars, pairs and fours, wherever they stand", async () => {
    const random = mulberry32(22);
    const inputs = Uint32Array.from([
      ...[...EDGES, ...f.breakpoints].map(bitsOf),
      ...NANS,
      ...Array.from({ length: 2000 }, () => Math.floor(random() * 2 ** 32)),
      ...Array.from({ length: 2000 }, () => bitsOf((random() - 0.5) * 40)),
    ]);
    const results = await (await applier(device(), name, 4, 1))(inputs);
    for (const width of [1, 2, 4] as const) {
      const apply = await applier(device(), name, width, 1);
      const reversed = (await apply(inputs.slice().reverse())).reverse();
      expect(reversed.map(canonical)).toEqual(results.map(canonical));
    }
  });
});

it("tanh and sin are odd, cos is even, bit for bit", async () => {
  const random = mulberry32(23);
  const inputs = Uint32Array.from({ length: 4000 }, () => bitsOf(Math.exp((random() - 0.4) * 120)));
  const mirrored = inputs.map((bits) => bits ^ SIGN);
  for (const [name, flip] of [
    ["tanh", SIGN],
    ["sin", SIGN],
    ["cos", 0],
  ] as const) {
    const apply = await applier(device(), name, 4, 1);
    const results = (await apply(inputs)).map((bits) => bits ^ flip);
    expect((await apply(mirrored)).map(canonical), name).toEqual(results.map(canonical));
  }
});

describe.each(["relu", "step", "greater", "where", "minimum", "maximum"] as const)("%s", (name) => {
  it("is what the reference says, for special values too", async () => {
    const { arity, value } = pointwise[name];
    const values = [0, -0, 1, -1, 2.5, -3e38, 1e-30, Infinity, -Infinity, Number.NaN];
    // Where arguments are looked at bit by bit, subnormals are numbers as well.
    if (["relu", "step", "where"].includes(name)) values.push(1e-40, -1e-40);
    const specials = [...values.map(bitsOf), 0xffc00000];
    const rows = specials.flatMap((a) => specials.flatMap((b) => specials.map((c) => [a, b, c])));
    const columns = Array.from({ length: arity }, (_, i) =>
      Uint32Array.from(rows, (row) => row[i]),
    );
    for (const width of [1, 2, 4] as const) {
      const results = await (await applier(device(), name, width, arity))(...columns);
      for (const [i, row] of rows.entries()) {
        const args = row.slice(0, arity).map(floatOf) as [number, number, number];
        const expected = Math.fround(value(...args));
        const actual = unsigned(floatOf(results[i]));
        expect(actual, `${name}_${width}(${args})`).toBe(unsigned(expected));
      }
    }
  });
});

it.each(GPU_HOSTS)("keeps to its bounds as %s compiles it", async (host) => {
  const suite = new URL("../support/elementary-suite.ts", import.meta.url);
  const results = (await runInHost(host, suite)) as Record<string, number[]>;
  const inputs = [...assortedArguments()].map(floatOf);
  for (const { name, reference } of functions) {
    const errors = inputs.map((x, i) => errorOf(floatOf(results[name][i]), x, reference));
    const worst = errors.indexOf(Math.max(...errors));
    expect(errors[worst], `${name}(${inputs[worst]})`).toBeLessThanOrEqual(BOUNDS[name]);
  }
});

it("is valid as it stands", async () => {
  const code = readFileSync(new URL("../../gpu/shared/elementary.wgsl", import.meta.url), "utf8");
  const adapter = (await (await nullGpu()).requestAdapter())!;
  const compiler = await adapter.requestDevice();
  compiler.pushErrorScope("validation");
  const { messages } = await compiler.createShaderModule({ code }).getCompilationInfo();
  const error = await compiler.popErrorScope();
  compiler.destroy();
  expect(messages.map(({ message }) => message)).toEqual([]);
  expect(error).toBeNull();
});
