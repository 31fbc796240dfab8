/**
 * Measurements of the SIMD functions of assembly/math.ts, compiled through assembly/testing.ts.
 *
 * Also a program: `node --import tsx elementary-functions.ts MODULE.wasm` prints the measurements of
 * a module as JSON, for engine features that need a flag when the process starts.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { mulberry32 } from "./random.ts";
import { ulpError } from "./ulp.ts";

export interface ElementaryFunction {
  readonly name: string;
  /** The code that `applyUnary` knows it by. */
  readonly code: number;
  /** The same function in float64. */
  readonly reference: (x: number) => number;
  /** Where the method changes or the result leaves a range; both signs are examined. */
  readonly breakpoints: readonly number[];
  /** The inputs with the largest errors that a search of all float32 found, for each build. */
  readonly hardest: readonly number[];
}

const LN2 = Math.LN2;
const SMALLEST_NORMAL = 2 ** -126;
const quarterTurns = [1, 2, 3, 4, 5, 100, 6366].map((n) => (n * Math.PI) / 2);
const eighthTurns = [0.5, 1.5, 2.5, 3.5].map((n) => (n * Math.PI) / 2);

/** Arguments small enough for results at the edge of the subnormals, common to all functions. */
const nearZero = [0, SMALLEST_NORMAL, 2 ** -24, 2 ** -12];

export const FUNCTIONS: readonly ElementaryFunction[] = [
  {
    name: "exp",
    code: 0,
    reference: Math.exp,
    breakpoints: [LN2 / 2, 1.5 * LN2, 87.3365, 88.0297, 88.7228, 89, 103.2789, 103.9721, 104],
    hardest: [5.2004833, 38.4349747, 5.199101],
  },
  {
    name: "tanh",
    code: 1,
    reference: Math.tanh,
    breakpoints: [LN2 / 4, (3 * LN2) / 4, (5 * LN2) / 4, Math.atanh(0.5), 9.0109, 9.1],
    hardest: [0.1943858116865158],
  },
  {
    name: "sigmoid",
    code: 2,
    reference: (x) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x))),
    breakpoints: [LN2 / 2, 1.5 * LN2, 16.6355, 17.3287, 30, 87.3365, 88.7228, 103.9721, 104],
    hardest: [2.33569956, 5.897341728210449],
  },
  {
    name: "log",
    code: 3,
    reference: Math.log,
    breakpoints: [Math.SQRT1_2, 1, Math.SQRT2, Math.E, 2 ** -103, 2 ** 127],
    hardest: [0.7065256237983704, 0.7048490643501282],
  },
  {
    name: "softplus",
    code: 4,
    reference: (x) => (x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x))),
    breakpoints: [LN2 / 2, Math.log(1 + Math.SQRT2), 16.6355, 87.3365, 103.9721, 104],
    hardest: [1.2674111127853394, 0.8498576879501343],
  },
  {
    name: "sin",
    code: 5,
    reference: Math.sin,
    breakpoints: [...quarterTurns, ...eighthTurns, 10000, 6.19e26, 1.23e27],
    hardest: [120.16622161865234],
  },
  {
    name: "cos",
    code: 6,
    reference: Math.cos,
    breakpoints: [...quarterTurns, ...eighthTurns, 10000, 6.19e26, 1.23e27],
    hardest: [5528.41796875],
  },
];

export interface Sweep {
  /** How many inputs were compared. */
  readonly count: number;
  /** The largest error, in ULP; `Number.MAX_VALUE` stands for infinity. */
  readonly maximum: number;
  /** The bits of the input with the largest error. */
  readonly worst: number;
  /** The range of the results that are not NaN; infinities as +-`Number.MAX_VALUE`. */
  readonly range: readonly [least: number, greatest: number];
}

/** Everything that is measured on a module; plain JSON, floats as the integers of their bits. */
export interface Measurements {
  readonly sweeps: Readonly<Record<string, Sweep>>;
  /** Results for the inputs `EDGES`, in order. */
  readonly edges: Readonly<Record<string, readonly number[]>>;
  /** Inputs whose result depended on their lane or on the other lanes. */
  readonly laneDependent: Readonly<Record<string, readonly number[]>>;
  /** Inputs x with f(-x) unlike -f(x) and unlike f(x), respectively, by their bits. */
  readonly notOdd: Readonly<Record<string, readonly number[]>>;
  readonly notEven: Readonly<Record<string, readonly number[]>>;
}

/** A prime, so that the sweep meets all low bits with all exponents: 7.9 million inputs. */
const STRIDE = 541;
/** Every float32 this many steps up and down from a breakpoint is examined. */
const NEIGHBOURS = 4096;

export const EDGES = [
  Number.NaN,
  Infinity,
  -Infinity,
  0,
  -0,
  2 ** -149,
  -(2 ** -149),
  SMALLEST_NORMAL,
  1e-6,
  1,
  -1,
  88.8,
  -103.9,
  -104,
  3.4028234663852886e38,
  -3.4028234663852886e38,
] as const;

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

export function bitsOf(value: number): number {
  scratch[0] = value;
  return scratchBits[0];
}

export function floatOf(bits: number): number {
  scratchBits[0] = bits;
  return scratch[0];
}

/** Inputs and results in a module's memory, up to `CAPACITY` at a time. */
class Applier {
  static readonly CAPACITY = 16384;
  readonly inputs: Float32Array;
  readonly inputBits: Uint32Array;
  readonly results: Float32Array;
  readonly resultBits: Uint32Array;
  private readonly applyUnary: (op: number, src: number, dst: number, count: number) => void;

  constructor(module: WebAssembly.Module) {
    const { exports } = new WebAssembly.Instance(module, {});
    const memory = exports.memory as WebAssembly.Memory;
    this.applyUnary = exports.applyUnary as typeof this.applyUnary;
    // Pages of our own, clear of the module's static data.
    const bytes = 4 * Applier.CAPACITY;
    const source = 65536 * memory.grow(Math.ceil((2 * bytes) / 65536));
    this.inputs = new Float32Array(memory.buffer, source, Applier.CAPACITY);
    this.inputBits = new Uint32Array(memory.buffer, source, Applier.CAPACITY);
    this.results = new Float32Array(memory.buffer, source + bytes, Applier.CAPACITY);
    this.resultBits = new Uint32Array(memory.buffer, source + bytes, Applier.CAPACITY);
  }

  /** results = f(inputs), for the first `count` of them, rounded up to whole vectors. */
  run(code: number, count: number): void {
    const whole = Math.ceil(count / 4) * 4;
    this.inputs.fill(0, count, whole);
    this.applyUnary(code, this.inputs.byteOffset, this.results.byteOffset, whole);
  }

  /** The bits of f at inputs given by their bits, at most `CAPACITY` of them. */
  resultsOf(code: number, inputBits: Uint32Array): Uint32Array {
    this.inputBits.set(inputBits);
    this.run(code, inputBits.length);
    return this.resultBits.slice(0, inputBits.length);
  }
}

/** The largest error over all bit patterns by `STRIDE` and all neighbours of the breakpoints. */
function sweep(applier: Applier, f: ElementaryFunction): Sweep {
  const { code, reference, breakpoints, hardest } = f;
  let count = 0;
  let maximum = 0;
  let worst = 0;
  let least = Infinity;
  let greatest = -Infinity;
  const examine = (first: number, last: number, stride: number) => {
    for (let bits = first; bits <= last; ) {
      let filled = 0;
      for (; filled < Applier.CAPACITY && bits <= last; bits += stride) {
        applier.inputBits[filled++] = bits;
      }
      applier.run(code, filled);
      for (let i = 0; i < filled; i++) {
        const result = applier.results[i];
        const error = ulpError(result, reference(applier.inputs[i]));
        if (error > maximum) {
          maximum = error;
          worst = applier.inputBits[i];
        }
        if (result < least) least = result;
        if (result > greatest) greatest = result;
      }
      count += filled;
    }
  };
  examine(0, 0xffffffff, STRIDE);
  for (const breakpoint of [...nearZero, ...breakpoints, ...hardest]) {
    for (const sign of [0, 0x80000000]) {
      const centre = bitsOf(breakpoint);
      examine(sign + Math.max(0, centre - NEIGHBOURS), sign + centre + NEIGHBOURS, 1);
    }
  }
  const finite = (value: number) => Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value));
  return { count, maximum: finite(maximum), worst, range: [finite(least), finite(greatest)] };
}

/** Inputs of all magnitudes, special ones among them, whose number is a multiple of four. */
function assortedInputs(breakpoints: readonly number[]): Uint32Array {
  const random = mulberry32(20);
  const special = [...EDGES, ...breakpoints, ...nearZero].map(bitsOf);
  const anyBits = Array.from({ length: 2000 }, () => Math.floor(random() * 2 ** 32));
  const moderate = Array.from({ length: 2000 }, () => bitsOf((random() - 0.5) * 40));
  const inputs = [...special, ...anyBits, ...moderate];
  return Uint32Array.from(inputs.slice(0, inputs.length - (inputs.length % 4)));
}

/** Equal bits, or both NaN: which NaN is up to the engine. */
function same(a: number, b: number): boolean {
  return a === b || (Number.isNaN(floatOf(a)) && Number.isNaN(floatOf(b)));
}

/** The inputs for which some placement gives a result unlike that of four equal lanes. */
function laneDependent(applier: Applier, code: number, inputs: Uint32Array): number[] {
  const alone = new Uint32Array(inputs.length);
  for (let i = 0; i < inputs.length; i++) {
    alone[i] = applier.resultsOf(code, Uint32Array.of(...Array(4).fill(inputs[i])))[0];
  }
  const dependent = new Set<number>();
  const random = mulberry32(21);
  for (let lane = 0; lane < 4; lane++) {
    // Rotation takes each input through all lanes; its neighbours are drawn anew each time.
    const order = Array.from(inputs.keys());
    const partners = order.map(() => Math.floor(random() * inputs.length));
    const placed = new Uint32Array(4 * inputs.length);
    for (const i of order) {
      for (let other = 0; other < 4; other++) {
        placed[4 * i + other] =
          inputs[other === lane ? i : partners[(i + other) % partners.length]];
      }
    }
    for (let start = 0; start < placed.length; start += Applier.CAPACITY) {
      const results = applier.resultsOf(code, placed.subarray(start, start + Applier.CAPACITY));
      for (let j = lane; j < results.length; j += 4) {
        const i = (start + j - lane) / 4;
        if (!same(results[j], alone[i])) dependent.add(inputs[i]);
      }
    }
  }
  return [...dependent];
}

/** Measures every function of a module made from assembly/testing.ts. */
export function measure(module: WebAssembly.Module): Measurements {
  const applier = new Applier(module);
  const perFunction = <T>(work: (f: ElementaryFunction) => T): Record<string, T> =>
    Object.fromEntries(FUNCTIONS.map((f) => [f.name, work(f)]));
  /** The inputs x for which flipping the sign of x does not flip the result's bits by `flip`. */
  const unlikeMirrored = (flip: number) =>
    perFunction(({ code, breakpoints }) => {
      const inputs = assortedInputs(breakpoints);
      const results = applier.resultsOf(code, inputs);
      const mirrored = applier.resultsOf(
        code,
        inputs.map((bits) => bits ^ 0x80000000),
      );
      return [...inputs].filter((_, i) => !same((mirrored[i] ^ flip) >>> 0, results[i]));
    });
  return {
    sweeps: perFunction((f) => sweep(applier, f)),
    edges: perFunction(({ code }) => [
      ...applier.resultsOf(
        code,
        Uint32Array.from(EDGES, (x) => bitsOf(x)),
      ),
    ]),
    laneDependent: perFunction(({ code, breakpoints }) =>
      laneDependent(applier, code, assortedInputs(breakpoints)),
    ),
    notOdd: unlikeMirrored(0x80000000),
    notEven: unlikeMirrored(0),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const module = new WebAssembly.Module(readFileSync(process.argv[2]));
  process.stdout.write(JSON.stringify(measure(module)));
}
