/**
 * Antler beside what people would use instead: ONNX Runtime for the web and for Node, TensorFlow.js,
 * jax-js and plain JavaScript, on the same weights and inputs, in one process and in turns. All must agree
 * on the numbers before any of them is timed.
 */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type BenchContext, defineBench } from "./harness.ts";
import { contend, type Outcome, type Peer, type Score } from "./support/contenders.ts";
import { writeFigures } from "./support/figures.ts";
import {
  expectedMilliseconds,
  gridShapes,
  gridSpecs,
  quickened,
  quickGrid,
  Schedule,
  type Shape,
} from "./support/grid.ts";
import { onnxruntimeVersion } from "./support/onnxruntime.ts";
import { measurePeak } from "./support/peak.ts";
import { closePeers, openPeers, peerNames } from "./support/peers/index.ts";
import { countSweeps, sweepsTable } from "./support/sweep-counts.ts";
import { nanoporeTask, randomTask, shortened, sileroTask, type Task } from "./support/tasks.ts";
import { aimsTable, lossesTable, timesTables } from "./support/verdicts.ts";

/** A shape of the grid, or a trained network, and what came of it. */
export interface PeersResult extends Outcome {
  readonly task: string;
  /** Null for a trained network. */
  readonly layer: Shape["layer"] | null;
  readonly hiddenSize: number;
  readonly batch: number;
  readonly steps: number;
  readonly measured: number;
}

const trainedNames = ["nanopore", "silero"] as const;
type TrainedName = (typeof trainedNames)[number];

const specs = {
  ...gridSpecs,
  trained: { description: `of ${trainedNames.join(", ")}`, default: [...trainedNames] },
  peers: { description: `of ${peerNames.join(", ")}`, default: [...peerNames] },
  repeats: { description: "timed runs of each, as far as time allows", default: 5 },
  seconds: { description: "for one run; longer ones are measured at fewer steps", default: 1 },
  gigabytes: { description: "for the states of a shape, likewise", default: 0.5 },
  minutes: { description: "after which nothing new is begun", default: 12 },
  figures: { description: "the folder for the charts", default: "dist/bench/figures" },
  quick: { description: "small shapes, to try the bench", default: false },
} as const;

type Context = BenchContext<typeof specs>;

export default defineBench({
  description: "how fast are we beside what people would use instead?",
  options: specs,
  async run({ options: given, log }) {
    const options = given.quick ? quickened(given, specs, quickGrid) : given;
    const trained = checkTrained(options.trained);
    const shapes = gridShapes(options);
    const peak = await measurePeak("plain");
    const opened = await openPeers(options.peers);
    const notes: string[] = opened.missing.map((reason) => `Left out: ${reason}.`);
    try {
      const results = await runAll({ options, log }, shapes, trained, opened.peers, notes);
      const sweeps = await countSweeps(options.quick ? 512 : 4_096, log);
      const data = { results, sweeps, peak };
      const repository = fileURLToPath(new URL("..", import.meta.url));
      const figures = await writeFigures(data, resolve(repository, options.figures));
      return {
        tables: [
          ...timesTables(results),
          aimsTable(results),
          lossesTable(results),
          sweepsTable(sweeps),
        ].filter(({ rows }) => rows.length > 0),
        notes: [...notes, ...notesOn(results, peak), `Charts: ${figures.join(", ")}.`],
        data,
      };
    } finally {
      await closePeers(opened);
    }
  },
});

/** What is to be done, with what it is thought to cost. */
interface Job {
  readonly cost: number;
  readonly name: string;
  make(): Promise<Task> | Task;
  /** The results that its outcome stands for: a shape of T = 100,000 may be measured at 10,000. */
  readonly rows: readonly Omit<PeersResult, keyof Outcome | "task">[];
}

async function runAll(
  { options, log }: Pick<Context, "options" | "log">,
  shapes: readonly Shape[],
  trained: readonly TrainedName[],
  peers: readonly Peer[],
  notes: string[],
): Promise<PeersResult[]> {
  const jobs = [...trainedJobs(trained, options.quick), ...gridJobs(shapes)];
  const schedule = new Schedule(
    options.minutes,
    jobs.reduce((sum, { cost }) => sum + cost, 0),
  );
  const results: PeersResult[] = [];
  for (const { cost, name, make, rows } of jobs) {
    const budget = schedule.budget(cost);
    if (budget === null) {
      notes.push(`Left out: ${name}, for want of time.`);
      continue;
    }
    log(`${name} …`);
    let task: Task;
    try {
      task = await make();
    } catch (error) {
      notes.push(`Left out: ${name}: ${(error as Error).message}.`);
      continue;
    }
    const outcome = await contend(task, peers, { repeats: options.repeats, budget }, shortened);
    for (const row of rows) {
      // Of a trained network the steps are known only now.
      const steps = row.steps || task.steps;
      results.push({ task: task.name, ...row, steps, measured: task.steps, ...outcome });
    }
  }
  return results;
}

/** Milliseconds of what a task costs whatever its size: sessions, compilation, the slowest peers. */
const COST_OF_A_TASK = 30;

/** Shapes that are measured at the same steps are one job. */
function gridJobs(shapes: readonly Shape[]): Job[] {
  const jobs = new Map<string, Shape[]>();
  for (const shape of shapes) {
    const key = [shape.layer, shape.hiddenSize, shape.batch, shape.measured].join();
    jobs.set(key, [...(jobs.get(key) ?? []), shape]);
  }
  return [...jobs.values()].map((rows): Job => {
    const [{ layer, hiddenSize, batch, measured }] = rows;
    const make = () => randomTask(layer, hiddenSize, batch, measured);
    const name = `${layer}, D = ${hiddenSize}, B = ${batch}, T = ${measured}`;
    return { cost: COST_OF_A_TASK + expectedMilliseconds(rows[0]), name, make, rows };
  });
}

/** Milliseconds of one run, about. */
const trainedCost = { nanopore: 800, silero: 700 } as const;

function trainedJobs(names: readonly TrainedName[], quick: boolean): Job[] {
  return names.map((name): Job => {
    const size = { nanopore: 96, silero: 128 }[name];
    const row = { layer: null, hiddenSize: size, batch: 1, steps: 0, measured: 0 };
    const whole = { nanopore: nanoporeTask, silero: sileroTask }[name];
    const make = async () => (quick ? shortened(await whole(), 1_000) : whole());
    return { cost: COST_OF_A_TASK + trainedCost[name], name, make, rows: [row] };
  });
}

function checkTrained(names: readonly string[]): readonly TrainedName[] {
  const known = names.filter((name) => name !== "none");
  const unknown = known.find((name) => !(trainedNames as readonly string[]).includes(name));
  if (unknown === undefined) return known as readonly TrainedName[];
  const expected = [...trainedNames, "none"].join(", ");
  throw new RangeError(`trained: expected some of ${expected}, got ${unknown}`);
}

function notesOn(results: readonly PeersResult[], peak: number): string[] {
  const agreements = [false, true].flatMap((trained) => {
    const own = results.filter(({ layer }) => (layer === null) === trained);
    if (own.length === 0) return [];
    const worst = Math.max(...own.map(({ largestDifference }) => largestDifference));
    return [`to ${worst.toExponential(1)} on ${trained ? "trained" : "random"} layers`];
  });
  const fewer = results.filter(({ steps, measured }) => measured < steps);
  const failed = new Set(
    results.flatMap(({ task, scores }) =>
      scores
        .filter((score): score is Score & { error: string } => score.error !== undefined)
        .map(({ peer, error }) => `${peer} failed on ${task}: ${error}`),
    ),
  );
  return [
    "Medians. Input 3 on the grid; all hidden states of all sequences, from a zero state.",
    `All agree, in |difference| / (1 + |value|): ${agreements.join(", ")}.`,
    ...(fewer.length > 0
      ? [
          `T (at N): ${fewer.length} of ${results.length} shapes were measured at N steps, as more take longer than` +
            " --seconds for a run, or their states more than --gigabytes.",
        ]
      : []),
    "A number with @ was measured at that many steps, for want of patience.",
    `onnxruntime-web ${onnxruntimeVersion}. Peak of plain 128-bit SIMD: ${peak.toFixed(1)} multiply–adds a nanosecond.`,
    ...failed,
  ];
}
