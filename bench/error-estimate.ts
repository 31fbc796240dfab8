/**
 * Whether `report.errorEstimate` can be trusted: beside the true largest error against the float64
 * oracle, in the same units, for every method and chunk on trained models in float32.
 *
 * A result that claims to have converged must not have an estimate below a tenth of its true error.
 */
import type { HostBackend } from "../src/backend/backend.ts";
import { blockSize } from "../src/cell/differentiate.ts";
import { exactCertificate } from "../src/solve/engine.ts";
import { largestError } from "../tests/support/agreement.ts";
import { defineBench } from "./harness.ts";
import type { Column, Table } from "./report.ts";
import { createBackend, describeBackend } from "./support/backends.ts";
import { runSweeps, type Setting } from "./support/sweeps.ts";
import { chosenWorkloads, sequentialStates, type Workload } from "./support/workloads.ts";

/** The least estimate/true of a converged result that is acceptable. */
const LEAST_RATIO = 0.1;
const WORST_SHOWN = 12;

const filter = { estimate: "filter" } as const;
const smoother = { estimate: "smoother" } as const;

type Method = Omit<Setting, "chunk">;

const cheap: readonly Method[] = [
  { name: "Jacobi", method: "jacobi" },
  { name: "Picard", method: "picard" },
  { name: "quasi-DEER", method: "quasi-deer" },
  { name: "quasi-DEER, clip", method: "quasi-deer", damping: { clip: true } },
  { name: "quasi-ELK, filter", method: "quasi-elk", damping: filter },
  { name: "quasi-ELK, smoother", method: "quasi-elk", damping: smoother },
];

/** The same as those before for a cell whose units have one element each. */
const blocks: readonly Method[] = [
  { name: "quasi-DEER, block", method: "quasi-deer", jacobian: "block" },
  { name: "quasi-ELK, block, filter", method: "quasi-elk", jacobian: "block", damping: filter },
  { name: "quasi-ELK, block, smoother", method: "quasi-elk", jacobian: "block", damping: smoother },
];

const dense: readonly Method[] = [
  { name: "DEER", method: "deer" },
  { name: "ELK, filter", method: "elk", damping: filter },
  { name: "ELK, smoother", method: "elk", damping: smoother },
];

interface Row {
  readonly model: string;
  readonly method: string;
  /** Null for sequential evaluation. */
  readonly chunk: number | null;
  readonly tolerance: number;
  readonly converged: boolean;
  readonly sweeps: number;
  readonly residual: number;
  readonly errorEstimate: number;
  readonly trueError: number;
  /** errorEstimate / trueError; null where there is no error. */
  readonly ratio: number | null;
}

function makeRow(row: Omit<Row, "ratio">): Row {
  return { ...row, ratio: row.trueError > 0 ? row.errorEstimate / row.trueError : null };
}

async function sequentialRows(
  backend: HostBackend,
  workload: Workload,
  tolerances: readonly number[],
): Promise<Row[]> {
  const { name: model, length, exact, cell } = workload;
  const states = await sequentialStates(backend, workload);
  const trueError = largestError(states, exact, cell.stateSize);
  const certificate = exactCertificate({ unitRoundoff: backend.unitRoundoff, length });
  const common = { model, method: "sequential", chunk: null, converged: true, sweeps: 0 };
  return tolerances.map((tolerance) =>
    makeRow({ ...common, tolerance, trueError, ...certificate }),
  );
}

async function settingRows(
  backend: HostBackend,
  workload: Workload,
  setting: Setting,
  options: { readonly tolerances: readonly number[]; readonly maxIterations: number },
): Promise<Row[]> {
  const { name: model, exact, cell } = workload;
  const rows: Row[] = [];
  await runSweeps(backend, workload, setting, {
    ...options,
    onResult: (tolerance, result, states) => {
      const { converged, iterations: sweeps, residual, errorEstimate } = result;
      const trueError = largestError(states, exact, cell.stateSize);
      const { name: method, chunk } = setting;
      const known = { model, method, chunk, tolerance, converged, sweeps };
      rows.push(makeRow({ ...known, residual, errorEstimate, trueError }));
    },
  });
  return rows;
}

/** The settings that a workload is tried with; dense Jacobians of large states cost too much at times. */
function settingsFor(
  { cell, length }: Workload,
  chunks: readonly number[],
  denseChunks: readonly number[],
): Setting[] {
  const perUnit = blockSize(cell) > 1 ? [...cheap, ...blocks] : cheap;
  const withChunks = (methods: readonly Method[], sizes: readonly number[]) =>
    methods.flatMap((method) =>
      sizes.filter((chunk) => chunk < length).map((chunk) => ({ ...method, chunk })),
    );
  const small = cell.stateSize <= 8;
  return [...withChunks(perUnit, chunks), ...withChunks(dense, small ? chunks : denseChunks)];
}

export default defineBench({
  description: "does errorEstimate ever fall short of the true error of a converged result?",
  options: {
    models: {
      description: "of ar-gru, nanopore, silero",
      default: ["ar-gru", "nanopore", "silero"],
    },
    steps: { description: "longest sequence of the trained layers", default: 6_000 },
    seed: { description: "of the noise that the AR-GRU is fed with", default: 1 },
    backend: { description: "reference, wasm or wasm-plain", default: "wasm" },
    tolerances: { description: "loosest first", default: [1e-3, 1e-4, 1e-5, 1e-6] },
    chunks: { description: "steps a chunk", default: [1, 8, 16, 64, 256, 1024] },
    "dense-chunks": {
      description: "steps a chunk with the dense Jacobian, for states of more than 8 numbers",
      default: [64, 1024],
    },
    sweeps: { description: "after which a method gives up", default: 100 },
    "dense-sweeps": {
      description: "the same with the dense Jacobian of such a state",
      default: 15,
    },
  },
  async run({ options, log }) {
    const { tolerances, chunks, steps, seed } = options;
    const backend = await createBackend(options.backend);
    const workloads = await chosenWorkloads(options.models, { steps, seed });
    const tables: Table[] = [];
    const all: Row[] = [];
    for (const workload of workloads) {
      const groups = [await sequentialRows(backend, workload, tolerances)];
      for (const setting of settingsFor(workload, chunks, options["dense-chunks"])) {
        log(`${workload.name}: ${setting.name}, C = ${setting.chunk} …`);
        const isDense = setting.method === "deer" || setting.method === "elk";
        const fewer = isDense && workload.cell.stateSize > 8;
        const maxIterations = fewer ? options["dense-sweeps"] : options.sweeps;
        groups.push(await settingRows(backend, workload, setting, { tolerances, maxIterations }));
      }
      tables.push(modelTable(workload, groups, tolerances));
      all.push(...groups.flat());
    }
    backend.dispose();
    const converged = all
      .filter(({ converged, ratio }) => converged && ratio !== null)
      .sort((a, b) => a.ratio! - b.ratio!);
    const worst = converged[0]?.ratio ?? Number.POSITIVE_INFINITY;
    if (worst < LEAST_RATIO) process.exitCode = 1;
    const verdict = worst < LEAST_RATIO ? "TOO SMALL: " : "";
    return {
      tables: [...tables, worstTable(converged.slice(0, WORST_SHOWN))],
      notes: [
        `On ${describeBackend(backend)}. Both errors: the largest over t of ‖s_t − s*_t‖∞ / (1 + ‖s_t‖∞).`,
        "A cell: sweeps: estimate / true error = ratio. In parentheses: gave up, with what it had by then.",
        "A dash: not tried, for it gave up at a looser tolerance.",
        `${verdict}the worst ratio of ${converged.length} converged results is ${worst.toPrecision(3)}` +
          `; it must not be below ${LEAST_RATIO}.`,
      ],
      data: all,
    };
  },
});

function modelTable(
  { name, length }: Workload,
  groups: readonly (readonly Row[])[],
  tolerances: readonly number[],
): Table {
  return {
    title: `${name}, T = ${length}`,
    columns: ["method", "C", ...tolerances.map((tolerance) => `tolerance ${tolerance}`)],
    rows: groups.map((rows) => [
      rows[0].method,
      rows[0].chunk,
      ...tolerances.map((tolerance) => {
        const row = rows.find((candidate) => candidate.tolerance === tolerance);
        return row ? describe(row) : null;
      }),
    ]),
  };
}

function describe({ converged, sweeps, errorEstimate, trueError, ratio }: Row): string {
  const errors = `${errorEstimate.toExponential(1)} / ${trueError.toExponential(1)}`;
  const text = `${sweeps}: ${errors} = ${ratio === null ? "–" : ratio.toPrecision(2)}`;
  return converged ? text : `(${text})`;
}

function worstTable(rows: readonly Row[]): Table {
  const numbers = ["tolerance", "sweeps", "residual", "estimate", "true error", "estimate / true"];
  return {
    title: "The converged results whose estimates are the smallest beside the truth",
    columns: ["model", "method", "C", ...numbers.map((title): Column => ({ title }))],
    rows: rows.map((row) => [
      row.model,
      row.method,
      row.chunk,
      row.tolerance,
      row.sweeps,
      row.residual,
      row.errorEstimate,
      row.trueError,
      row.ratio,
    ]),
  };
}
