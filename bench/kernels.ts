/**
 * The kernels by themselves, beside the fastest that WebAssembly multiplies and adds on this machine:
 * the matrix product of a step for one sequence and for several, that of the drive, and whole steps.
 */
import { hasRelaxedSimd } from "../src/backend/wasm/load.ts";
import { gru, lstm } from "../src/index.ts";
import { defineBench, randomWeights } from "./harness.ts";
import type { Table } from "./report.ts";
import {
  type Kernels,
  openKernels,
  type Simd,
  type Timed,
  type TimedStep,
  timeProduct,
  timeRows,
  timeStep,
} from "./support/kernel-work.ts";
import { measurePeak } from "./support/peak.ts";

const GATES = { GRU: 3, LSTM: 4 } as const;
type Layer = keyof typeof GATES;

interface Build {
  readonly simd: Simd;
  /** Multiply–adds a nanosecond. */
  readonly peak: number;
  readonly kernels: Kernels;
}

interface ProductRow extends Timed {
  readonly simd: Simd;
  readonly kernel: string;
  readonly hiddenSize: number;
  readonly lanes: number;
  readonly peak: number;
}

interface StepRow extends TimedStep {
  readonly simd: Simd;
  readonly layer: Layer;
  readonly hiddenSize: number;
  readonly lanes: number;
  readonly peak: number;
}

function cellOf(layer: Layer, hiddenSize: number) {
  const inputSize = 3;
  const rows = GATES[layer] * hiddenSize;
  const shapes = {
    ...{ weight_ih: [rows, inputSize], weight_hh: [rows, hiddenSize] },
    ...{ bias_ih: [rows], bias_hh: [rows] },
  };
  const weights = randomWeights(shapes, 1 / Math.sqrt(hiddenSize), rows);
  const options = { inputSize, hiddenSize, weights };
  return layer === "GRU" ? gru(options) : lstm(options);
}

export default defineBench({
  description: "how near to the processor's peak are the matrix kernels, and what is in a step?",
  options: {
    sizes: { description: "hidden sizes D of the products", default: [32, 64, 96, 128, 256] },
    steps: { description: "hidden sizes D of the whole steps", default: [8, 32, 128] },
    lanes: { description: "sequences side by side: 1, or multiples of 4", default: [1, 4, 8] },
  },
  async run({ options, log }) {
    const wrong = options.lanes.find((lanes) => lanes !== 1 && (lanes < 4 || lanes % 4 !== 0));
    if (wrong !== undefined) {
      throw new RangeError(`lanes: expected 1 or multiples of 4, got ${wrong}`);
    }
    const builds: Build[] = [];
    for (const simd of hasRelaxedSimd() ? (["plain", "relaxed"] as const) : (["plain"] as const)) {
      builds.push({ simd, peak: await measurePeak(simd), kernels: await openKernels(simd) });
    }
    const products: ProductRow[] = [];
    const steps: StepRow[] = [];
    for (const { simd, peak, kernels } of builds) {
      for (const hiddenSize of options.sizes) {
        log(`${simd}, products, D = ${hiddenSize} …`);
        const rows = GATES.LSTM * hiddenSize;
        for (const lanes of options.lanes) {
          const timed = await timeProduct(kernels, rows, hiddenSize, lanes);
          products.push({ simd, kernel: "step", hiddenSize, lanes, peak, ...timed });
        }
        const timed = await timeRows(kernels, rows, hiddenSize);
        products.push({ simd, kernel: "drive", hiddenSize, lanes: 1, peak, ...timed });
      }
      for (const layer of ["GRU", "LSTM"] as const) {
        for (const hiddenSize of options.steps) {
          log(`${simd}, ${layer} steps, D = ${hiddenSize} …`);
          for (const lanes of options.lanes) {
            const timed = await timeStep(kernels, cellOf(layer, hiddenSize), lanes);
            steps.push({ simd, layer, hiddenSize, lanes, peak, ...timed });
          }
        }
      }
    }
    const peaks = builds.map(({ simd, peak }) => ({ simd, peak }));
    return {
      tables: [productTable(products), stepTable(steps), workTable(steps)],
      notes: [
        "Least times of many short runs: what the kernels can do, not what a busy machine leaves of it.",
        ...peaks.map(
          ({ simd, peak }) =>
            `Peak of ${simd} 128-bit SIMD: ${peak.toFixed(1)} multiply–adds a nanosecond.`,
        ),
        "Products are those of an LSTM's gates, [4 D, D]; the drive's goes through 256 rows at once.",
        "Bytes: what a product reads and writes, weights included, counted once.",
        "A step is one of all lanes, its drive given, its states stored; the program is what of it remains without fetching, storing and moving on.",
        ...(builds.length === 1
          ? ["This engine has no relaxed SIMD (Node 20: node --experimental-wasm-relaxed-simd)."]
          : []),
      ],
      data: {
        peaks,
        products,
        steps: steps.map(({ work, ...step }) => ({
          ...step,
          work: { ...work, vectors: [...work.vectors] },
        })),
      },
    };
  },
});

function productTable(rows: readonly ProductRow[]): Table {
  return {
    title: "Matrix products",
    columns: [
      ...["SIMD", "kernel", "D", "lanes", "multiply–adds", "bytes"],
      { title: "ns", digits: 0 },
      { title: "multiply–adds / ns", digits: 1 },
      { title: "of the peak, %", digits: 0 },
      { title: "bytes / ns", digits: 1 },
    ],
    rows: rows.map((row) => {
      const { nanoseconds, multiplyAdds, bytes } = row;
      const rate = multiplyAdds / nanoseconds;
      return [
        ...[row.simd, row.kernel, row.hiddenSize, row.lanes, multiplyAdds, bytes],
        ...[nanoseconds, rate, (100 * rate) / row.peak, bytes / nanoseconds],
      ];
    }),
  };
}

function stepTable(rows: readonly StepRow[]): Table {
  return {
    title: "A step, ns",
    columns: [
      ...["SIMD", "layer", "D", "lanes"],
      { title: "whole", digits: 0 },
      { title: "a lane", digits: 1 },
      { title: "program", digits: 0 },
      { title: "products at the peak", digits: 0 },
      { title: "of the peak, %", digits: 0 },
    ],
    rows: rows.map(({ simd, layer, hiddenSize, lanes, peak, nanoseconds, program, work }) => {
      const floor = work.multiplyAdds / peak;
      return [
        ...[simd, layer, hiddenSize, lanes, nanoseconds, nanoseconds / lanes],
        ...[program, floor, (100 * floor) / nanoseconds],
      ];
    }),
  };
}

/** The same for every build. */
function workTable(rows: readonly StepRow[]): Table {
  return {
    title: "What a step's program does",
    columns: ["layer", "D", "lanes", "instructions", "multiply–adds", "vector operations", "bytes"],
    rows: rows
      .filter(({ simd }) => simd === "plain")
      .map(({ layer, hiddenSize, lanes, work }) => [
        ...[layer, hiddenSize, lanes, work.instructions],
        ...[work.multiplyAdds, work.vectorOperations, work.bytes],
      ]),
  };
}
