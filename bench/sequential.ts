/**
 * Sequential evaluation of one sequence, all states kept: ours beside ONNX Runtime and plain
 * JavaScript, on the same weights and inputs, in turns.
 */
import { createRuntime, gru, lstm, type Runtime } from "../src/index.ts";
import { gruModel, lstmModel } from "../tests/support/onnx.ts";
import {
  type Candidate,
  compare,
  defineBench,
  type Measured,
  mulberry32,
  normal,
  randomWeights,
} from "./harness.ts";
import type { Cell, Column, Table } from "./report.ts";
import { onnxruntimeVersion, openRival } from "./support/onnxruntime.ts";
import { measurePeak } from "./support/peak.ts";
import { plainGru, plainLstm } from "./support/plain-javascript.ts";

const INPUT_SIZE = 3;
/** Of |difference| / (1 + |value|), between any two candidates. */
const AGREEMENT = 1e-5;

type Layer = "GRU" | "LSTM";

interface Size {
  readonly layer: Layer;
  readonly hiddenSize: number;
}

interface Result extends Size {
  /** Ours first, then the rivals. */
  readonly measured: readonly Measured[];
  readonly largestDifference: number;
}

interface Named {
  readonly name: string;
  readonly runtime: Runtime;
}

const layers = {
  GRU: { gates: 3, functions: 3, parts: 1 },
  LSTM: { gates: 4, functions: 5, parts: 2 },
} as const;

function weightsOf({ layer, hiddenSize }: Size) {
  const rows = layers[layer].gates * hiddenSize;
  const shapes = {
    weight_ih: [rows, INPUT_SIZE],
    weight_hh: [rows, hiddenSize],
    bias_ih: [rows],
    bias_hh: [rows],
  };
  return randomWeights(shapes, 1 / Math.sqrt(hiddenSize), 100 * rows + hiddenSize);
}

/** A candidate that returns all hidden states, or what holds them: [T, `width`], h first. */
interface Rival extends Candidate {
  run(): Promise<Float32Array> | Float32Array;
  readonly width: number;
}

async function compareSize(
  size: Size,
  inputs: Float32Array,
  runtimes: readonly Named[],
  repeats: number,
): Promise<Result> {
  const { layer, hiddenSize } = size;
  const weights = weightsOf(size);
  const options = { inputSize: INPUT_SIZE, hiddenSize, weights };
  const cell = layer === "GRU" ? gru(options) : lstm(options);
  const model =
    layer === "GRU"
      ? gruModel({ ...options, variant: "reset-after" })
      : lstmModel({ ...options, variant: "plain" });
  const rival = await openRival(model);
  const plain = layer === "GRU" ? plainGru : plainLstm;
  const candidates: Rival[] = [
    ...runtimes.map(({ name, runtime }) => ({
      name,
      width: cell.stateSize,
      run: async () => {
        const { states } = await runtime.evaluate(cell, inputs, {
          backend: "wasm",
          method: "sequential",
        });
        return states;
      },
    })),
    { name: "onnxruntime-web", width: hiddenSize, run: () => rival.run(inputs) },
    {
      name: "plain JavaScript",
      width: hiddenSize,
      run: () => plain(weights, inputs, INPUT_SIZE, hiddenSize),
    },
  ];
  try {
    const largestDifference = await checkAgreement(candidates, size);
    // Checking has run every candidate once already.
    const measured = await compare(candidates, { warmup: 0, repeats });
    return { ...size, measured, largestDifference };
  } finally {
    await rival.release();
  }
}

/**
 * The largest difference between the first candidate's hidden states and another's.
 * @throws Error if it is too large for the times to be of the same work
 */
async function checkAgreement(
  [first, ...others]: readonly Rival[],
  { layer, hiddenSize }: Size,
): Promise<number> {
  const expected = await first.run();
  let largest = 0;
  for (const { name, run, width } of others) {
    const actual = await run();
    const rows = expected.length / first.width;
    if (actual.length !== rows * width) {
      throw new Error(`${name}: expected ${rows} × ${width} numbers, got ${actual.length}`);
    }
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < hiddenSize; i++) {
        const value = expected[row * first.width + i];
        const difference = Math.abs(actual[row * width + i] - value) / (1 + Math.abs(value));
        if (!(difference <= AGREEMENT)) {
          const where = `${layer}, D = ${hiddenSize}, step ${row}, unit ${i}`;
          throw new Error(`${name} differs from ${first.name} by ${difference} (${where})`);
        }
        largest = Math.max(largest, difference);
      }
    }
  }
  return largest;
}

/** One runtime for each build that this engine runs. */
async function openRuntimes(): Promise<Named[]> {
  const open = async (reproducible: boolean): Promise<Named> => {
    const runtime = await createRuntime({ backend: "wasm", reproducible });
    const { simd } = runtime.backends.find(({ name }) => name === "wasm")!;
    return { name: `ours, ${simd} SIMD`, runtime };
  };
  const fastest = await open(false);
  const plain = await open(true);
  if (plain.name !== fastest.name) return [fastest, plain];
  plain.runtime.dispose();
  return [fastest];
}

export default defineBench({
  description: "how fast is one sequence, step by step, beside ONNX Runtime and plain JavaScript?",
  options: {
    steps: { description: "length of the sequence", default: 100_000 },
    sizes: { description: "hidden sizes D", default: [8, 32, 64, 128] },
    layers: { description: "of GRU, LSTM", default: ["GRU", "LSTM"] },
    repeats: { description: "timed runs of each candidate", default: 5 },
  },
  async run({ options, log }) {
    const { steps, repeats } = options;
    const unknown = options.layers.find((layer) => !(layer in layers));
    if (unknown !== undefined) {
      throw new RangeError(`layers: expected some of GRU, LSTM, got ${unknown}`);
    }
    const runtimes = await openRuntimes();
    const builds = runtimes.map(({ name }) => (name.includes("relaxed") ? "relaxed" : "plain"));
    const peaks = await Promise.all(builds.map(measurePeak));
    const inputs = normal(mulberry32(1), steps * INPUT_SIZE);
    const results: Result[] = [];
    for (const layer of options.layers as readonly Layer[]) {
      for (const hiddenSize of options.sizes) {
        log(`${layer}, D = ${hiddenSize} …`);
        results.push(await compareSize({ layer, hiddenSize }, inputs, runtimes, repeats));
      }
    }
    for (const { runtime } of runtimes) runtime.dispose();
    const differences = results.map(({ largestDifference }) => largestDifference);
    return {
      tables: [timesTable(results, steps), floorTable(results, steps, peaks[0])],
      notes: [
        `T = ${steps}, input ${INPUT_SIZE}, one sequence, all states; medians of ${repeats}.`,
        `onnxruntime-web ${onnxruntimeVersion}: its WebAssembly backend on one thread.`,
        `All agree to ${Math.max(...differences).toExponential(1)} of |difference| / (1 + |value|).`,
        ...builds.map(
          (build, index) =>
            `Peak of ${build} 128-bit SIMD: ${peaks[index].toFixed(1)} multiply–adds a nanosecond.`,
        ),
        "The floor: every multiply–add at that peak, and everything else for nothing.",
      ],
      data: { results, peaks: builds.map((build, index) => ({ build, peak: peaks[index] })) },
    };
  },
});

/** Nanoseconds a step; a candidate that failed has none. */
function nanoseconds({ timing }: Measured, steps: number): number | null {
  return timing ? (timing.median * 1e6) / steps : null;
}

function ratio(numerator: number | null, denominator: number | null): number | null {
  return numerator === null || denominator === null ? null : numerator / denominator;
}

function timesTable(results: readonly Result[], steps: number): Table {
  const names = results[0]?.measured.map(({ name }) => name) ?? [];
  const rival = names.indexOf("onnxruntime-web");
  return {
    title: "Nanoseconds a step",
    columns: [
      "layer",
      "D",
      ...names.map((title): Column => ({ title, align: "right", digits: 0 })),
      { title: "ours / onnxruntime-web", digits: 2 },
    ],
    rows: results.map(({ layer, hiddenSize, measured }) => {
      const times = measured.map((candidate) => nanoseconds(candidate, steps));
      const cells = measured.map(({ error }, index): Cell => error ?? times[index]);
      return [layer, hiddenSize, ...cells, ratio(times[0], times[rival])];
    }),
  };
}

/** What a step has to do at least, and how long that takes at the peak rate. */
function floorTable(results: readonly Result[], steps: number, peak: number): Table {
  return {
    title: "The work of a step",
    columns: [
      "layer",
      "D",
      "multiply–adds",
      "exp and tanh",
      "weight bytes read",
      "bytes streamed",
      { title: "floor, ns", digits: 1 },
      { title: "ours / floor", digits: 2 },
    ],
    rows: results.map(({ layer, hiddenSize, measured }) => {
      const { gates, functions, parts } = layers[layer];
      const multiplyAdds = gates * hiddenSize * (hiddenSize + INPUT_SIZE);
      const weightBytes = 4 * (multiplyAdds + gates * hiddenSize);
      const streamed = 4 * (INPUT_SIZE + parts * hiddenSize);
      const floor = multiplyAdds / peak;
      const ours = nanoseconds(measured[0], steps);
      const work = [multiplyAdds, functions * hiddenSize, weightBytes, streamed];
      return [layer, hiddenSize, ...work, floor, ratio(ours, floor)];
    }),
  };
}
