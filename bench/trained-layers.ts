/**
 * Trained recurrences with long memories: the five GRU layers of a DNA basecaller, and the LSTM of
 * Silero VAD on speech. Which methods solve them, at which chunks, in how many sweeps?
 *
 * Every layer is fed with the exact states of the layer before, and starts from a guess of zeros.
 */
import type { HostBackend } from "../src/backend/backend.ts";
import { blockSize } from "../src/cell/differentiate.ts";
import { largestError } from "../tests/support/agreement.ts";
import { defineBench } from "./harness.ts";
import type { Column, Table } from "./report.ts";
import { createBackend, describeBackend } from "./support/backends.ts";
import {
  describeSweeps,
  GAVE_UP_NOTES,
  runSweeps,
  type Setting,
  type SweepResult,
} from "./support/sweeps.ts";
import { chosenWorkloads, sequentialStates, type Workload } from "./support/workloads.ts";

type Method = Omit<Setting, "chunk">;

const none: Method = { name: "none", method: "jacobi" };
const diagonal: Method = { name: "diagonal", method: "quasi-deer" };
const clipped: Method = {
  name: "diagonal, clipped",
  method: "quasi-deer",
  damping: { clip: true },
};
const block: Method = { name: "block", method: "quasi-deer", jacobian: "block" };
const dense: Method = { name: "dense", method: "deer" };

interface Outcome {
  readonly model: string;
  readonly method: string;
  readonly chunk: number;
  readonly chunks: number;
  /** The first sweep after which the largest error was below the bound; null if none was. */
  readonly byError: number | null;
  /** Sweeps until the certificate held, or until the method gave up. */
  readonly sweeps: number;
  /** The most sweeps that it was given. */
  readonly limit: number;
  /** Why the certificate never held; empty if it did. */
  readonly reason: string;
  readonly residual: number;
  readonly errorEstimate: number;
  readonly trueError: number;
  readonly milliseconds: number;
  /** The largest scaled error after sweep 0, 1, 2 … */
  readonly errors: readonly number[];
}

interface Limits {
  readonly bound: number;
  readonly tolerance: number;
  readonly maxIterations: number;
}

async function solve(
  backend: HostBackend,
  workload: Workload,
  setting: Setting,
  { bound, tolerance, maxIterations }: Limits,
): Promise<Outcome> {
  const { name: model, length, exact, cell } = workload;
  const errors: number[] = [];
  let first: { result: SweepResult; trueError: number } | null = null;
  await runSweeps(backend, workload, setting, {
    // The estimate may be ten times the tolerance: the second one is there to reach the bound.
    tolerances: [tolerance, Math.min(tolerance, bound / 10)],
    maxIterations,
    onIterate: (sweep, states) => {
      errors[sweep] = largestError(states, exact, cell.stateSize);
    },
    onResult: (_, result, states) => {
      first ??= { result, trueError: largestError(states, exact, cell.stateSize) };
    },
  });
  const { result, trueError } = first!;
  const below = errors.findIndex((error) => error < bound);
  return {
    model,
    method: setting.name,
    chunk: setting.chunk,
    chunks: Math.ceil(length / setting.chunk),
    byError: below < 0 ? null : below,
    sweeps: result.iterations,
    limit: maxIterations,
    reason: result.reason,
    residual: result.residual,
    errorEstimate: result.errorEstimate,
    trueError,
    milliseconds: result.milliseconds,
    errors,
  };
}

/** C = 1 are the paper's methods; clipping P is only of use there, where it is one step's Jacobian. */
function settingsFor(
  { cell, length }: Workload,
  chunks: readonly number[],
  denseChunks: readonly number[],
): Setting[] {
  const at = (method: Method, sizes: readonly number[]) =>
    sizes.filter((chunk) => chunk < length).map((chunk) => ({ ...method, chunk }));
  // Units of one element have the diagonal for their blocks.
  const perUnit = blockSize(cell) > 1 ? at(block, [1, ...chunks]) : [];
  return [
    ...at(none, chunks),
    ...at(diagonal, [1, ...chunks]),
    ...at(clipped, [1]),
    ...perUnit,
    ...at(dense, denseChunks),
  ];
}

export default defineBench({
  description: "which methods solve trained layers with long memories, and in how many sweeps?",
  options: {
    models: { description: "of nanopore, silero", default: ["nanopore", "silero"] },
    steps: { description: "longest sequence", default: 6_000 },
    backend: { description: "reference, wasm or wasm-plain", default: "wasm" },
    chunks: { description: "steps a chunk, beside 1", default: [16, 64, 256, 1024] },
    "dense-chunks": { description: "the same with the dense Jacobian", default: [1, 64] },
    bound: { description: "on the largest scaled error", default: 1e-5 },
    tolerance: { description: "of the certificate", default: 1e-5 },
    sweeps: { description: "after which a method gives up", default: 100 },
    "dense-sweeps": { description: "the same with the dense Jacobian", default: 20 },
  },
  async run({ options, log }) {
    const { bound, tolerance, steps } = options;
    const backend = await createBackend(options.backend);
    const workloads = await chosenWorkloads(options.models, { steps, seed: 1 });
    const sequential = new Map<string, number>();
    const outcomes: Outcome[] = [];
    for (const workload of workloads) {
      await sequentialStates(backend, workload);
      const start = performance.now();
      await sequentialStates(backend, workload);
      sequential.set(workload.name, performance.now() - start);
      for (const setting of settingsFor(workload, options.chunks, options["dense-chunks"])) {
        log(`${workload.name}: ${setting.name}, C = ${setting.chunk} …`);
        const maxIterations = options[setting.method === "deer" ? "dense-sweeps" : "sweeps"];
        const limits = { bound, tolerance, maxIterations };
        outcomes.push(await solve(backend, workload, setting, limits));
      }
    }
    backend.dispose();
    return {
      tables: [sweepsTable(outcomes, bound, tolerance), detailsTable(outcomes, sequential)],
      notes: [
        `On ${describeBackend(backend)}; ${workloads.map(describeLength).join(", ")}.`,
        "Errors: the largest over t of ‖s_t − s*_t‖∞ / (1 + ‖s_t‖∞) against the float64 oracle.",
        ...GAVE_UP_NOTES,
        '"=": K − 1 sweeps of K chunks, no better than one chunk after the other.',
        "A dash: not tried. The dense Jacobian takes one tangent for every number of the state, so it",
        "gets fewer chunks and fewer sweeps here. C = 1 with the diagonal is quasi-DEER, with the dense",
        "Jacobian DEER.",
        "ms: the sweeps and the certificate, one run, without the repair of those that gave up.",
      ],
      data: outcomes,
    };
  },
});

function describeLength({ name, length }: Workload): string {
  return `${name} T = ${length}`;
}

const gaveUp = ({ reason, sweeps, chunks }: Outcome) => reason !== "" || sweeps >= chunks - 1;

function sweepsTable(outcomes: readonly Outcome[], bound: number, tolerance: number): Table {
  const chunks = [...new Set(outcomes.map(({ chunk }) => chunk))].sort((a, b) => a - b);
  const groups = new Map<string, Outcome[]>();
  for (const outcome of outcomes) {
    const key = `${outcome.model}\n${outcome.method}`;
    groups.set(key, [...(groups.get(key) ?? []), outcome]);
  }
  return {
    title: `Sweeps until the largest error is below ${bound} | until the certificate holds at ${tolerance}`,
    columns: [
      "model",
      "jacobian",
      ...chunks.map((chunk): Column => ({ title: `C = ${chunk}`, align: "right" })),
      "gives up at C",
    ],
    rows: [...groups.values()].map((group) => [
      group[0].model,
      group[0].method,
      ...chunks.map((chunk) => {
        const outcome = group.find((candidate) => candidate.chunk === chunk);
        return outcome ? describeOutcome(outcome) : null;
      }),
      group
        .filter(gaveUp)
        .map(({ chunk }) => chunk)
        .join(", ") || "none of these",
    ]),
  };
}

function describeOutcome(outcome: Outcome): string {
  const { byError, sweeps, chunks, limit, reason } = outcome;
  const reached = byError === null ? "–" : `${byError}`;
  const mark = reason === "" && sweeps >= chunks - 1 ? "=" : "";
  return `${reached} | ${describeSweeps(outcome, limit)}${mark}`;
}

const short = (value: number) => value.toExponential(1);

function detailsTable(
  outcomes: readonly Outcome[],
  sequential: ReadonlyMap<string, number>,
): Table {
  return {
    title:
      "What the library would report of them, and the sequential evaluation's time beside theirs",
    columns: [
      "model",
      "jacobian",
      "C",
      "K",
      "sweeps",
      ...["residual", "estimate", "true error"].map((title): Column => ({ title, align: "right" })),
      { title: "ms", digits: 0 },
      { title: "sequential ms", digits: 0 },
      "gave up because",
    ],
    rows: outcomes.map((outcome) => [
      outcome.model,
      outcome.method,
      outcome.chunk,
      outcome.chunks,
      outcome.sweeps,
      short(outcome.residual),
      short(outcome.errorEstimate),
      short(outcome.trueError),
      outcome.milliseconds,
      sequential.get(outcome.model)!,
      outcome.reason,
    ]),
  };
}
