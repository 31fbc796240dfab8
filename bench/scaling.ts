/**
 * Whether time and memory grow as T does, from a thousand steps to a million: a straight line through
 * what is measured, and how far from it the points lie.
 */
import { createRuntime, type Evaluation, type Runtime } from "../src/index.ts";
import { defineBench } from "./harness.ts";
import type { Table } from "./report.ts";
import { compareRepeated } from "./support/contenders.ts";
import { gridSpecs } from "./support/grid.ts";
import { cellOf, checkLayers, type LayerName } from "./support/layers.ts";
import { type MemoryMeter, openMemoryMeter } from "./support/memory-meter.ts";
import type { Way } from "./support/peers/antler.ts";
import { fitLine } from "./support/straight-line.ts";
import { randomTask, type Task } from "./support/tasks.ts";

/** From the line, for time and memory to pass for linear. */
const LARGEST_DEVIATION = 0.1;

interface Setting {
  readonly name: string;
  readonly threads: number;
  readonly way: Way;
}

const settings: readonly Setting[] = [
  { name: "sequential", threads: 1, way: { method: "sequential" } },
  { name: "threads", threads: 2, way: { method: "threads" } },
  { name: "auto", threads: 2, way: { method: "auto" } },
  { name: "jacobi", threads: 1, way: { method: "jacobi", chunk: 500 } },
];

/** Of one length. */
interface Point {
  readonly steps: number;
  readonly milliseconds: number;
  /** Held by the runtime and the result, once garbage is gone. */
  readonly bytes: number;
  readonly wasm: number;
  readonly shared: number;
  readonly sent: number;
}

interface Series {
  readonly layer: LayerName;
  readonly method: string;
  readonly points: readonly Point[];
}

export default defineBench({
  description: "are time and memory linear in T?",
  options: {
    layers: gridSpecs.layers,
    size: { description: "hidden size D", default: 32 },
    steps: {
      description: "lengths T",
      default: [1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000],
    },
    methods: {
      description: `of ${settings.map(({ name }) => name).join(", ")}`,
      default: ["sequential", "threads", "auto"],
    },
    repeats: { description: "timed runs of each", default: 5 },
  },
  async run({ options, log }) {
    const layers = checkLayers(options.layers);
    const chosen = settings.filter(({ name }) => options.methods.includes(name));
    const meter = openMemoryMeter();
    const series: Series[] = [];
    try {
      for (const layer of layers) {
        const tasks = options.steps.map((steps) => randomTask(layer, options.size, 1, steps));
        for (const setting of chosen) {
          log(`${layer}, ${setting.name} …`);
          const points = await measureSetting(setting, tasks, options.repeats, meter);
          series.push({ layer, method: setting.name, points });
        }
      }
    } finally {
      meter.stop();
    }
    return {
      tables: [linesTable(series), pointsTable(series)],
      notes: [
        `D = ${options.size}, input 3, one sequence, all states; the shortest of ${options.repeats} runs each.`,
        "A line a + b T with the least squares of relative errors; off: the point farthest from it, in %.",
        "bytes: WebAssembly memory of the runtime, and the states returned; shared and sent: with the workers.",
      ],
      data: { series },
    };
  },
});

async function measureSetting(
  { threads, way }: Setting,
  tasks: readonly Task[],
  repeats: number,
  meter: MemoryMeter,
): Promise<Point[]> {
  const memory: Omit<Point, "milliseconds">[] = [];
  // What is compiled and kept for good must not count as the first length's.
  await measureMemory(tasks[0], threads, way, meter);
  for (const task of tasks) memory.push(await measureMemory(task, threads, way, meter));
  const runtime = await createRuntime({ backend: "wasm", threads });
  try {
    const longest = Math.max(...tasks.map(({ steps }) => steps));
    const candidates = tasks.map((task) => ({
      name: String(task.steps),
      // As long a sample as 50,000 steps take, or a tenth of the longest.
      calls: Math.max(1, Math.round(Math.min(50_000, longest / 10) / task.steps)),
      run: () => evaluate(runtime, task, way),
    }));
    for (const { run } of candidates) await run();
    const measured = await compareRepeated(candidates, repeats);
    return measured.map(({ timing, error }, index) => {
      if (!timing) throw new Error(error);
      return { ...memory[index], milliseconds: timing.min };
    });
  } finally {
    runtime.dispose();
  }
}

function evaluate(runtime: Runtime, { layers, inputs }: Task, way: Way): Promise<Evaluation> {
  return runtime.evaluate(cellOf(layers[0]), inputs, { backend: "wasm", ...way });
}

/** In a runtime of its own: a WebAssembly memory grows and never shrinks. */
async function measureMemory(task: Task, threads: number, way: Way, meter: MemoryMeter) {
  const before = await meter.read();
  meter.reset();
  const runtime = await createRuntime({ backend: "wasm", threads });
  const result = await evaluate(runtime, task, way);
  const after = await meter.read();
  if (!Number.isFinite(result.states[0])) throw new Error(`${task.name}: not finite`);
  runtime.dispose();
  return {
    steps: task.steps,
    bytes: Math.max(1, after.live - before.live),
    wasm: after.wasm,
    shared: after.shared,
    sent: after.sent,
  };
}

function linesTable(series: readonly Series[]): Table {
  return {
    title: "Straight lines: time, and bytes held",
    columns: [
      "layer",
      "method",
      { title: "fixed, ms", digits: 3 },
      { title: "ns a step", digits: 1 },
      { title: "time off, %", digits: 1 },
      "within 10 %",
      { title: "fixed, kB", digits: 0 },
      { title: "bytes a step", digits: 1 },
      { title: "bytes off, %", digits: 1 },
      "within 10 %",
    ],
    rows: series.map(({ layer, method, points }) => {
      const time = fitLine(points.map(({ steps, milliseconds }) => [steps, milliseconds]));
      const bytes = fitLine(points.map(({ steps, bytes, wasm }) => [steps, bytes + wasm]));
      return [
        layer,
        method,
        time.fixed,
        1e6 * time.slope,
        100 * time.deviation,
        time.deviation <= LARGEST_DEVIATION ? "yes" : "no",
        bytes.fixed / 1000,
        bytes.slope,
        100 * bytes.deviation,
        bytes.deviation <= LARGEST_DEVIATION ? "yes" : "no",
      ];
    }),
  };
}

function pointsTable(series: readonly Series[]): Table {
  return {
    title: "Every length",
    columns: [
      "layer",
      "method",
      "T",
      { title: "ms", digits: 2 },
      { title: "ns a step", digits: 1 },
      { title: "off the line, %", digits: 1 },
      { title: "MB held", digits: 2 },
      { title: "WebAssembly", digits: 2 },
      { title: "off the line, %", digits: 1 },
      { title: "MB shared", digits: 2 },
      { title: "MB sent", digits: 2 },
    ],
    rows: series.flatMap(({ layer, method, points }) => {
      const time = fitLine(points.map(({ steps, milliseconds }) => [steps, milliseconds]));
      const line = fitLine(points.map(({ steps, bytes, wasm }) => [steps, bytes + wasm]));
      return points.map(({ steps, milliseconds, bytes, wasm, shared, sent }, index) => [
        layer,
        method,
        steps,
        milliseconds,
        (1e6 * milliseconds) / steps,
        100 * time.deviations[index],
        bytes / 1e6,
        wasm / 1e6,
        100 * line.deviations[index],
        shared / 1e6,
        sent / 1e6,
      ]);
    }),
  };
}
