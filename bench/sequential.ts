/**
 * Sequential evaluation of one sequence on one thread, all states kept: ours beside ONNX Runtime and plain
 * JavaScript, and beside the least that a step has to do.
 */
import { defineBench } from "./harness.ts";
import type { Table } from "./report.ts";
import { contend, type Outcome } from "./support/contenders.ts";
import { gridShapes, gridSpecs, type Shape } from "./support/grid.ts";
import {
  functionsPerUnit,
  INPUT_SIZE,
  multiplyAdds,
  partsPerUnit,
  weightCount,
} from "./support/layers.ts";
import { onnxruntimeVersion, onnxruntimeWeb } from "./support/onnxruntime.ts";
import { measurePeak } from "./support/peak.ts";
import { antlerPeer, openRuntimes } from "./support/peers/antler.ts";
import { plainJavaScript } from "./support/peers/plain.ts";
import { randomTask, shortened } from "./support/tasks.ts";
import { best, isOurs, timesTables } from "./support/verdicts.ts";

type Result = Shape & Outcome & { readonly task: string };

export default defineBench({
  description: "how fast is one sequence, step by step, and how far from the arithmetic's limit?",
  options: {
    steps: { description: "length of the sequence", default: 100_000 },
    sizes: { description: "hidden sizes D", default: [8, 32, 64, 128] },
    layers: gridSpecs.layers,
    repeats: { description: "timed runs of each candidate", default: 5 },
  },
  async run({ options, log }) {
    const { steps, repeats } = options;
    const limits = { batches: [1], seconds: Number.POSITIVE_INFINITY, gigabytes: 4 };
    const shapes = gridShapes({ ...options, ...limits, steps: [steps] });
    const runtimes = await openRuntimes(1);
    const ours = runtimes.map(({ simd, runtime }) =>
      antlerPeer(`antler, ${simd} SIMD`, runtime, 1, { method: "sequential" }),
    );
    const peaks = await Promise.all(runtimes.map(({ simd }) => measurePeak(simd)));
    const peers = [...ours, onnxruntimeWeb, plainJavaScript];
    const results: Result[] = [];
    for (const shape of shapes) {
      const task = randomTask(shape.layer, shape.hiddenSize, 1, shape.measured);
      log(`${task.name} …`);
      const effort = { repeats, budget: Number.POSITIVE_INFINITY };
      const outcome = await contend(task, peers, effort, shortened);
      results.push({ task: task.name, ...shape, ...outcome });
    }
    for (const { runtime } of runtimes) runtime.dispose();
    const differences = results.map(({ largestDifference }) => largestDifference);
    const builds = runtimes.map(({ simd }, index) => ({ build: simd, peak: peaks[index] }));
    return {
      tables: [...timesTables(results), floorTable(results, peaks[0])],
      notes: [
        `Input ${INPUT_SIZE}, one sequence, all states; medians of ${repeats}. With @: at so many steps.`,
        `onnxruntime-web ${onnxruntimeVersion}: its WebAssembly backend on one thread.`,
        `All agree to ${Math.max(...differences).toExponential(1)} of |difference| / (1 + |value|).`,
        ...builds.map(
          ({ build, peak }) =>
            `Peak of ${build} 128-bit SIMD: ${peak.toFixed(1)} multiply–adds a nanosecond.`,
        ),
        "The floor: every multiply–add at that peak, and everything else for nothing.",
      ],
      data: { results, peaks: builds },
    };
  },
});

/** What a step has to do at least, and how long that takes at the peak rate. */
function floorTable(results: readonly Result[], peak: number): Table {
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
    rows: results.map((result) => {
      const { layer, hiddenSize } = result;
      const sizes = { operator: layer, hiddenSize, inputSize: INPUT_SIZE };
      const floor = multiplyAdds(sizes) / peak;
      const ours = best(result, isOurs);
      return [
        layer,
        hiddenSize,
        multiplyAdds(sizes),
        functionsPerUnit[layer] * hiddenSize,
        4 * weightCount(sizes),
        4 * (INPUT_SIZE + partsPerUnit[layer] * hiddenSize),
        floor,
        ours && ours.nanoseconds / floor,
      ];
    }),
  };
}
