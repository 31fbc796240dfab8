/**
 * Time across threads: one sequence in chunks that run side by side, beside one thread. How much sooner,
 * how many steps are run again, and whether the result is as good, by the float64 oracle. Layers that
 * forget, trained ones of which some remember, and a chaotic one, whose chunks can never merge.
 */
import { createRuntime, type Runtime, rnn } from "../src/index.ts";
import { largestError } from "../tests/support/agreement.ts";
import { nanoporeFile } from "../tests/support/nanopore.ts";
import { sharedData } from "../tests/support/shared-data.ts";
import { compare, defineBench, mulberry32, normal, randomWeights, warmUp } from "./harness.ts";
import type { Table } from "./report.ts";
import { gridSpecs } from "./support/grid.ts";
import { checkLayers, INPUT_SIZE } from "./support/layers.ts";
import { randomTask } from "./support/tasks.ts";
import {
  cellWorkload,
  layerWorkload,
  nanoporeWorkloads,
  sileroWorkload,
  type Workload,
} from "./support/workloads.ts";

/** A workload, and whether its chunks are expected to merge. */
interface Case extends Workload {
  readonly merges: boolean;
}

interface Measurement {
  readonly milliseconds: number;
  readonly samples: readonly number[];
  /** Largest over t of ‖s_t − s*_t‖∞ / (1 + ‖s_t‖∞). */
  readonly error: number;
  readonly report: unknown;
}

interface Result {
  readonly name: string;
  readonly steps: number;
  readonly merges: boolean;
  readonly one: Measurement;
  readonly several: Measurement;
  /** One thread's time over several's. */
  readonly speedUp: number;
  /** Largest |difference| / (1 + |value|) between the two. */
  readonly difference: number;
  /** Steps that were evaluated again, as a share of all. */
  readonly rerun: number;
}

const models = ["random", "nanopore", "silero", "chaotic"];

export default defineBench({
  description: "what do threads gain on one sequence, and is the result as good?",
  options: {
    layers: gridSpecs.layers,
    sizes: { description: "hidden sizes D of random layers", default: [8, 32, 64, 128] },
    steps: { description: "length T, or what there is of the trained", default: 100_000 },
    models: { description: `of ${models.join(", ")}`, default: models },
    threads: { description: "the caller's included", default: 2 },
    repeats: { description: "timed runs of each", default: 5 },
    exact: { description: "bitwise merges only", default: false },
    quick: { description: "short, to try the bench", default: false },
  },
  async run({ options, log }) {
    const { threads, repeats, exact } = options;
    const steps = options.quick ? Math.min(options.steps, 4_000) : options.steps;
    const sizes = options.quick ? options.sizes.slice(0, 2) : options.sizes;
    const unknown = options.models.find((name) => !models.includes(name));
    if (unknown !== undefined) {
      throw new RangeError(`models: expected some of ${models.join(", ")}, got ${unknown}`);
    }
    const notes: string[] = [];
    const one = await createRuntime({ backend: "wasm", threads: 1 });
    const several = await createRuntime({ backend: "wasm", threads });
    const results: Result[] = [];
    try {
      const layers = checkLayers(options.layers);
      for await (const work of cases({ ...options, layers, sizes, steps, log, notes })) {
        log(`${work.name} …`);
        results.push(await measureCase(work, one, several, exact, repeats));
      }
    } finally {
      one.dispose();
      several.dispose();
    }
    return {
      tables: [timesTable(results, threads)],
      notes: [
        ...notes,
        "Medians. again: steps that were evaluated a second time, of all steps.",
        "error: the largest over t of ‖s_t − s*_t‖∞ / (1 + ‖s_t‖∞), against the float64 oracle; apart:" +
          " the same between the two results.",
        "A chaotic layer's float32 states have nothing to do with the oracle's after a while; there it" +
          " counts that both results are the same.",
      ],
      data: { results },
    };
  },
});

interface Choice {
  readonly layers: ReturnType<typeof checkLayers>;
  readonly sizes: readonly number[];
  readonly steps: number;
  readonly models: readonly string[];
  readonly notes: string[];
  log(line: string): void;
}

async function* cases(choice: Choice): AsyncGenerator<Case> {
  const { layers, sizes, steps, notes, log } = choice;
  const wanted = (name: string) => choice.models.includes(name);
  if (wanted("random")) {
    for (const operator of layers) {
      for (const hiddenSize of sizes) {
        log(`${operator}, D = ${hiddenSize}: the oracle …`);
        const { layers, inputs } = randomTask(operator, hiddenSize, 1, steps);
        const name = `${operator}, D = ${hiddenSize}`;
        yield { ...(await layerWorkload(name, layers[0], inputs)), merges: true };
      }
    }
  }
  if (wanted("nanopore")) {
    if (sharedData(nanoporeFile) === null) {
      notes.push(`Left out: the nanopore layers, for want of ${nanoporeFile}.`);
    } else {
      log("nanopore: the oracle …");
      for (const [index, workload] of (
        await nanoporeWorkloads(Math.min(steps, 36_285))
      ).entries()) {
        yield { ...workload, merges: index !== 2 && index !== 3 };
      }
    }
  }
  if (wanted("silero")) yield { ...(await sileroWorkload(steps)), merges: false };
  if (wanted("chaotic")) {
    log("chaotic: the oracle …");
    yield { ...(await chaoticWorkload(Math.min(steps, 20_000))), merges: false };
  }
}

/** A tanh RNN whose recurrent weights are six times as large as they may be without chaos. */
function chaoticWorkload(steps: number): Promise<Workload> {
  const hiddenSize = 64;
  const weights = randomWeights(
    { weight_ih: [hiddenSize, INPUT_SIZE], weight_hh: [hiddenSize, hiddenSize] },
    6 / Math.sqrt(hiddenSize),
    1,
  );
  const cell = rnn({ inputSize: INPUT_SIZE, hiddenSize, weights: weights as never });
  const inputs = normal(mulberry32(1), steps * INPUT_SIZE, 0, 0.1);
  return cellWorkload("chaotic RNN, D = 64", cell, inputs);
}

async function measureCase(
  { name, cell, inputs, length, reverse, exact, merges }: Case,
  one: Runtime,
  several: Runtime,
  exactly: boolean,
  repeats: number,
): Promise<Result> {
  const evaluate = (runtime: Runtime, method: "sequential" | "threads") =>
    runtime.evaluate(cell, inputs, {
      backend: "wasm",
      method,
      reverse,
      ...(method === "threads" && { exact: exactly }),
    });
  const first = await evaluate(one, "sequential");
  const second = await evaluate(several, "threads");
  await warmUp(() => evaluate(one, "sequential"));
  await warmUp(() => evaluate(several, "threads"));
  const measured = await compare(
    [
      { name: "one thread", run: () => evaluate(one, "sequential") },
      { name: "several threads", run: () => evaluate(several, "threads") },
    ],
    { warmup: 0, repeats },
  );
  const [a, b] = measured.map(({ timing, error }, index): Measurement => {
    if (!timing) throw new Error(`${name}: ${error}`);
    const { states, report } = index === 0 ? first : second;
    return {
      milliseconds: timing.median,
      samples: timing.samples,
      error: largestError(states, exact, cell.stateSize),
      report,
    };
  });
  return {
    name,
    steps: length,
    merges,
    one: a,
    several: b,
    speedUp: a.milliseconds / b.milliseconds,
    difference: largestError(second.states, first.states, cell.stateSize),
    rerun: (second.report.steps?.rerun ?? Number.NaN) / length,
  };
}

function timesTable(results: readonly Result[], threads: number): Table {
  return {
    title: "Milliseconds on one thread and on several",
    columns: [
      "layer",
      "T",
      { title: "1 thread", digits: 1 },
      { title: `${threads} threads`, digits: 1 },
      { title: "speed-up", digits: 2 },
      { title: "aim", digits: 2 },
      "met",
      { title: "again, %", digits: 2 },
      "error, 1 thread",
      `error, ${threads} threads`,
      { title: "ratio", digits: 2 },
      "apart",
    ],
    rows: results.map(({ name, steps, merges, one, several, speedUp, difference, rerun }) => {
      const ratio = several.error / one.error;
      // Trained layers have no aim of their own but never to lose.
      const random = merges && !name.startsWith("nanopore");
      const aim = random ? 1.75 : 1 / 1.1;
      const good = speedUp >= aim && (!random || ratio <= 1.2);
      return [
        name,
        steps,
        one.milliseconds,
        several.milliseconds,
        speedUp,
        aim,
        good ? "yes" : "no",
        100 * rerun,
        one.error.toExponential(1),
        several.error.toExponential(1),
        ratio,
        difference === 0 ? "0" : difference.toExponential(1),
      ];
    }),
  };
}
