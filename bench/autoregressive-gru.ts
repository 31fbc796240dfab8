/**
 * The stability experiment of the ELK paper (arXiv 2407.19115, section 6): its trained autoregressive
 * GRU draws a noisy sine wave, and every method starts from a trajectory of zeros.
 *
 * Two counts of sweeps: until the mean absolute error against the float64 oracle is below a bound,
 * which is the paper's, and until the certificate holds, which is when the library stops by itself.
 */
import type { HostBackend } from "../src/backend/backend.ts";
import type { IterateResult } from "../src/solve/iterate.ts";
import { largestError } from "../tests/support/agreement.ts";
import { defineBench } from "./harness.ts";
import type { Cell, Column, Table } from "./report.ts";
import { createBackend, describeBackend } from "./support/backends.ts";
import { meanAbsoluteError } from "./support/error.ts";
import { describeSweeps, GAVE_UP_NOTES, runSweeps, type Setting } from "./support/sweeps.ts";
import { autoregressiveWorkload, type Workload } from "./support/workloads.ts";

/** The sweeps that the design's simulation in float64 needed until the mean error was below 1e-4. */
interface Compared extends Setting {
  readonly design: string | null;
}

const LENGTH = 10_000;

/** λ = 1/σ²; σ² = 1e6 and 1e2 are the paper's. */
const single: readonly Compared[] = [
  { name: "DEER", method: "deer", chunk: 1, design: "> 300" },
  { name: "quasi-DEER", method: "quasi-deer", chunk: 1, design: "> 60" },
  { name: "ELK, filter", method: "elk", damping: damped(1e6, "filter"), chunk: 1, design: "11" },
  {
    name: "ELK, smoother",
    method: "elk",
    damping: damped(1e6, "smoother"),
    chunk: 1,
    design: "11",
  },
  {
    name: "quasi-ELK, filter",
    method: "quasi-elk",
    damping: damped(1e2, "filter"),
    chunk: 1,
    design: "131",
  },
  {
    name: "quasi-ELK, smoother",
    method: "quasi-elk",
    damping: damped(1e2, "smoother"),
    chunk: 1,
    design: "> 131",
  },
];

const shooting = [
  { method: "deer", jacobian: "dense", design: { 8: "5", 32: "4", 128: "3" } },
  { method: "quasi-deer", jacobian: "diagonal", design: {} },
  { method: "jacobi", jacobian: "none", design: { 128: "7", 512: "3" } },
] as const;

function damped(variance: number, estimate: "filter" | "smoother") {
  return { lambda: 1 / variance, estimate };
}

function comparedSettings(chunks: readonly number[]): Compared[] {
  const multiple = shooting.flatMap(({ method, jacobian, design }) =>
    chunks.map((chunk) => ({
      name: `multiple shooting, ${jacobian}`,
      method,
      jacobian,
      chunk,
      design: (design as Readonly<Record<number, string>>)[chunk] ?? null,
    })),
  );
  return [...single, ...multiple];
}

interface Count {
  readonly backend: string;
  readonly name: string;
  readonly chunk: number;
  /** The first sweep after which the mean error was below the bound; null if none was. */
  readonly byError: number | null;
  /** Sweeps until the certificate held, or until the method gave up. */
  readonly sweeps: number;
  /** Why the certificate never held; empty if it did. */
  readonly reason: string;
  readonly meanError: number;
  readonly largestError: number;
  readonly errorEstimate: number;
  /** The mean absolute error after sweep 0, 1, 2 … */
  readonly meanErrors: readonly number[];
}

async function count(
  backend: HostBackend,
  workload: Workload,
  setting: Compared,
  { bound, tolerance, maxIterations }: Record<"bound" | "tolerance" | "maxIterations", number>,
): Promise<Count> {
  const { exact, cell } = workload;
  const meanErrors: number[] = [];
  let outcome: { result: IterateResult; meanError: number; largest: number } | null = null;
  await runSweeps(backend, workload, setting, {
    tolerances: [tolerance],
    maxIterations,
    onIterate: (_, states) => meanErrors.push(meanAbsoluteError(states, exact)),
    onResult: (_, result, states) => {
      outcome = {
        result,
        meanError: meanAbsoluteError(states, exact),
        largest: largestError(states, exact, cell.stateSize),
      };
    },
  });
  const { result, meanError, largest } = outcome!;
  const { iterations, reason, errorEstimate } = result;
  const below = meanErrors.findIndex((error) => error < bound);
  return {
    backend: backend.name,
    name: setting.name,
    chunk: setting.chunk,
    byError: below < 0 ? null : below,
    sweeps: iterations,
    reason,
    meanError,
    largestError: largest,
    errorEstimate,
    meanErrors,
  };
}

export default defineBench({
  description: "how many sweeps does each method need on the paper's autoregressive GRU?",
  options: {
    steps: { description: "length of the sequence", default: LENGTH },
    seed: { description: "of the noise that the model is fed with", default: 1 },
    chunks: { description: "steps a chunk of multiple shooting", default: [8, 32, 128, 512] },
    backends: { description: "which backends to run on", default: ["reference", "wasm"] },
    bound: { description: "on the mean absolute error", default: 1e-4 },
    tolerance: { description: "of the certificate", default: 1e-5 },
    sweeps: { description: "after which a method gives up", default: 300 },
  },
  async run({ options, log }) {
    const { bound, tolerance, sweeps: maxIterations } = options;
    const workload = await autoregressiveWorkload(options.steps, options.seed);
    const settings = comparedSettings(options.chunks);
    const backends = await Promise.all(options.backends.map(createBackend));
    const counts: Count[][] = [];
    for (const setting of settings) {
      const row: Count[] = [];
      for (const backend of backends) {
        log(`${setting.name}, C = ${setting.chunk}, ${backend.name} …`);
        row.push(await count(backend, workload, setting, { bound, tolerance, maxIterations }));
      }
      counts.push(row);
    }
    for (const backend of backends) backend.dispose();
    const titles = backends.map(describeBackend);
    const length = options.steps;
    return {
      tables: [
        sweepsTable(settings, counts, { titles, bound, tolerance, maxIterations, length }),
        errorsTable(backends, counts),
      ],
      notes: [
        `T = ${options.steps}, started from zeros; K chunks: K − 1 sweeps are one chunk after the other.`,
        ...GAVE_UP_NOTES,
        "C = 1 are the paper's methods; σ² = 1e6 for ELK and 1e2 for quasi-ELK.",
        "The design's counts are of a simulation in float64, to a mean error below 1e-4.",
      ],
      data: counts.flat(),
    };
  },
});

interface SweepsTableOptions {
  readonly titles: readonly string[];
  readonly bound: number;
  readonly tolerance: number;
  readonly maxIterations: number;
  /** T; the design's counts are of 10,000 steps. */
  readonly length: number;
}

function sweepsTable(
  settings: readonly Compared[],
  counts: readonly (readonly Count[])[],
  { titles, bound, tolerance, maxIterations, length }: SweepsTableOptions,
): Table {
  const byError = (sweeps: number | null) => (sweeps === null ? `> ${maxIterations}` : `${sweeps}`);
  return {
    title: `Sweeps until the mean error is below ${bound} | until the certificate holds at ${tolerance}`,
    columns: [
      "method",
      "C",
      "K",
      ...titles.map((title): Column => ({ title, align: "right" })),
      { title: "design", align: "right" },
    ],
    rows: settings.map(({ name, chunk, design }, index) => [
      name,
      chunk,
      Math.ceil(length / chunk),
      ...counts[index].map(
        (count): Cell => `${byError(count.byError)} | ${describeSweeps(count, maxIterations)}`,
      ),
      length === LENGTH ? design : null,
    ]),
  };
}

function errorsTable(
  backends: readonly HostBackend[],
  counts: readonly (readonly Count[])[],
): Table {
  const errors = ["mean error", "largest error", "estimate"].map(
    (title): Column => ({ title, align: "right" }),
  );
  const short = (value: number) => value.toExponential(1);
  const rows = backends.flatMap((backend) =>
    counts.flat().filter((count) => count.backend === backend.name),
  );
  return {
    title: "States in the end, when the certificate held or the method gave up",
    columns: ["backend", "method", "C", ...errors, "certificate"],
    rows: rows.map((count) => [
      count.backend,
      count.name,
      count.chunk,
      short(count.meanError),
      short(count.largestError),
      short(count.errorEstimate),
      count.reason || "holds",
    ]),
  };
}
