/** The matrix kernel against plain loops, for every shape around its panels and tiles. */
import { describe, expect, it } from "vitest";
import { Opcode } from "../../assembly/opcode.ts";
import { inlinedKernels } from "../../src/backend/wasm/inlined.ts";
import { loadKernels } from "../../src/backend/wasm/load.ts";
import { KernelMemory } from "../../src/backend/wasm/memory.ts";
import { packedLength, packMatrix } from "../../src/backend/wasm/pack.ts";
import { mulberry32, uniform } from "../support/random.ts";

const { exports } = await loadKernels(inlinedKernels, undefined, true);
const memory = new KernelMemory(exports.memory, exports.heapBase(), 2 ** 24);

/** More rows than one panel of 32 and one of 8; columns around the four that are unrolled. */
const mostRows = 40;
const mostColumns = 9;
const widths = [1, 4, 8, 12];
const sequences = Math.max(...widths);
/** Numbers around every array, to see what is touched. */
const margin = 16;

interface Product {
  readonly rows: number;
  readonly columns: number;
  /** `[rows, columns]`. */
  readonly weights: Float32Array;
  /** `[sequences, columns]`. */
  readonly sources: Float32Array;
  /** `[sequences, rows]`, or null for none. */
  readonly initials: Float32Array | null;
}

/** An array amid NaN, as a vector with lanes: element i of lane l is `values[first + l][i]`. */
function place(values: Float32Array, size: number, first: number, width: number): number {
  const address = memory.allocateFloats(size * width + 2 * margin) + margin * 4;
  memory.view(address - margin * 4, size * width + 2 * margin).fill(Number.NaN);
  const target = memory.view(address, size * width);
  for (let lane = 0; lane < width; lane++) {
    for (let i = 0; i < size; i++) target[i * width + lane] = values[(first + lane) * size + i]!;
  }
  return address;
}

/** The kernel's results for lanes `first` … `first + width − 1`: `[width, rows]`. */
function runKernel(product: Product, first: number, width: number): Float32Array {
  const { rows, columns, weights, sources, initials } = product;
  const packed = memory.allocateFloats(packedLength(rows, columns));
  packMatrix(weights, rows, columns, memory.view(packed, packedLength(rows, columns)));
  const source = place(sources, columns, first, width);
  const initial = initials ? place(initials, rows, first, width) : 0;
  const target = place(new Float32Array(sequences * rows).fill(7), rows, first, width);
  const code = memory.allocate(64);
  memory.words.set(
    [Opcode.Linear, rows, target, source, packed, initial, columns, width, Opcode.End],
    code / 4,
  );
  exports.execute(code);
  const result = new Float32Array(width * rows);
  for (let lane = 0; lane < width; lane++) {
    for (let i = 0; i < rows; i++) {
      result[lane * rows + i] = memory.floats[target / 4 + i * width + lane]!;
    }
  }
  const before = memory.view(target - margin * 4, margin);
  const after = memory.view(target + rows * width * 4, margin);
  expect([...before, ...after].every(Number.isNaN), "writes outside the target").toBe(true);
  memory.release();
  return result;
}

/** Every element summed in the order of columns, as the kernel promises: `[sequences, rows]`. */
function plainLoops(product: Product, round: (x: number) => number): Float64Array {
  const { rows, columns, weights, sources, initials } = product;
  return Float64Array.from({ length: sequences * rows }, (_, index) => {
    const lane = Math.floor(index / rows);
    const row = index % rows;
    let sum = initials ? initials[index]! : 0;
    for (let j = 0; j < columns; j++) {
      const term = round(weights[row * columns + j]! * sources[lane * columns + j]!);
      sum = round(sum + term);
    }
    return sum;
  });
}

function randomProduct(rows: number, columns: number, withInitials: boolean): Product {
  const random = mulberry32(rows * 100 + columns);
  return {
    rows,
    columns,
    weights: uniform(random, rows * columns),
    sources: uniform(random, sequences * columns),
    initials: withInitials ? uniform(random, sequences * rows) : null,
  };
}

function forEveryShape(visit: (product: Product, what: string) => void): void {
  for (let rows = 1; rows <= mostRows; rows++) {
    for (let columns = 1; columns <= mostColumns; columns++) {
      for (const withInitials of [false, true]) {
        const what = `${rows} × ${columns}${withInitials ? " + initial" : ""}`;
        visit(randomProduct(rows, columns, withInitials), what);
      }
    }
  }
}

describe("the matrix kernel", () => {
  it.each(widths)("is the float64 product up to rounding, %i wide", (width) => {
    forEveryShape((product, what) => {
      const expected = plainLoops(product, (x) => x);
      const actual = runKernel(product, 0, width);
      // Terms and sums of at most columns + 1 numbers below one, each rounded.
      const bound = (product.columns + 1) ** 2 * 2 ** -24;
      const worst = actual.reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i]!)), 0);
      expect(worst, what).toBeLessThan(bound);
    });
  });

  it("gives the same bits at every width, those of sums in the order of columns", () => {
    forEveryShape((product, what) => {
      const expected = Float32Array.from(plainLoops(product, Math.fround));
      for (const width of widths) {
        for (let first = 0; first + width <= sequences; first += width) {
          const part = expected.subarray(first * product.rows, (first + width) * product.rows);
          expect(runKernel(product, first, width), `${what}, ${width} wide`).toEqual(part);
        }
      }
    });
  });

  it("keeps NaN and infinity in their own row and lane", () => {
    const product = randomProduct(11, 5, false);
    product.weights[3 * 5 + 2] = Infinity;
    product.sources[1 * 5 + 4] = Number.NaN;
    for (const width of widths.filter((lanes) => lanes > 1)) {
      const actual = runKernel(product, 0, width);
      actual.forEach((value, index) => {
        const lane = Math.floor(index / 11);
        const what = `row ${index % 11} of lane ${lane}`;
        if (lane === 1) expect(value, what).toBeNaN();
        else expect(Number.isFinite(value), what).toBe(index % 11 !== 3);
      });
    }
  });
});
