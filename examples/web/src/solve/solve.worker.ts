/** Solves in a thread of its own, so that the page stays responsive whatever is asked for. */
import {
  type BackendName,
  createRuntime,
  type EvaluateOptions,
  type IterationProgress,
  type Runtime,
} from "antler";
import { timeEvaluations } from "../timing.ts";
import { serveTasks, type TaskContext } from "../worker/serve.ts";
import { makeProblem, type Problem } from "./problem.ts";
import { evaluateOptions, hasSweeps, type SolveSettings } from "./settings.ts";
import type { CompareProgress, SolveProgress, SolveTasks } from "./tasks.ts";
import { binCount, errorProfile, sampledSteps, takeRows, traceSolve } from "./trace.ts";

/** Floats that all sampled states of a run may take in the page. */
const MOST_SAMPLES = 4e6;
const MOST_SAMPLED_STEPS = 500;

let opened: { readonly threads: number | null; readonly runtime: Promise<Runtime> } | undefined;

/** Another number of threads takes another runtime. */
function openRuntime(threads: number | null = opened?.threads ?? null): Promise<Runtime> {
  if (opened && opened.threads === threads) return opened.runtime;
  opened?.runtime.then((runtime) => runtime.dispose());
  // The plain kernels give the same bits in every run, so that the trace is the solve itself.
  const runtime = createRuntime({ reproducible: true, ...(threads !== null && { threads }) });
  opened = { threads, runtime };
  return runtime;
}

serveTasks<SolveTasks>({
  backends: async () => (await openRuntime()).backends,
  solve: async (settings, context) => {
    await solve(await openRuntime(settings.threads), settings, context);
    return null;
  },
  compare: async (settings, context) => {
    await compare(await openRuntime(settings.threads), settings, context);
    return null;
  },
});

/** What sequential results come from: the backend itself, but for WebGPU, where they take too long. */
function sequentialBackend(runtime: Runtime, asked: EvaluateOptions["backend"]): BackendName {
  const available = runtime.backends.filter((status) => status.available);
  const has = (name: BackendName) => available.some((status) => status.name === name);
  return asked === "reference" || !has("wasm") ? "reference" : "wasm";
}

async function solve(
  runtime: Runtime,
  settings: SolveSettings,
  { signal, tell }: TaskContext<SolveProgress>,
): Promise<void> {
  const problem = makeProblem(settings);
  const { cell, inputs, initialState, steps } = problem;
  const { stateSize } = cell;
  const options = { ...evaluateOptions(settings), signal };
  const share = paced((done: number) => tell({ kind: "stage", text: "Sequential result", done }));

  const backend = sequentialBackend(runtime, options.backend);
  tell({ kind: "stage", text: "Sequential result" });
  const onProgress = (done: number, total: number) => share(done / total);
  const sequential = await runtime.evaluate(cell, inputs, {
    ...{ method: "sequential", backend, initialState, signal, onProgress },
  });

  const iterations = settings.maxIterations + 1;
  const most = Math.floor(MOST_SAMPLES / (stateSize * iterations));
  const sampled = sampledSteps(steps, Math.min(MOST_SAMPLED_STEPS, most));
  const bins = binCount(steps);
  const start = {
    ...{ cellName: cell.name, stateSize, steps, bins },
    ...{ sampledSteps: sampled, sequentialBackend: backend },
    sequential: takeRows(sequential.states, sampled, stateSize),
  };
  tell({ kind: "start", start });

  const { told, report, states } = await wholeRun(runtime, problem, options, tell);
  const { largest } = errorProfile(states, sequential.states, stateSize, bins);
  tell({ kind: "report", report, error: largest });
  const { method } = report;
  if (!hasSweeps(method)) return;

  // Under "auto" the iterates are those of what it chose.
  const traced = { ...options, method, backend: report.backend, chunk: report.chunk };
  const jacobian = report.jacobian && { jacobian: report.jacobian };
  const iterates = traceSolve(runtime, problem, { ...traced, ...jacobian }, told);
  for await (const { sweep, told, states } of iterates) {
    const { residual, exactChunks, chunks } = told;
    const error = errorProfile(states, sequential.states, stateSize, bins);
    const picture = {
      ...{ sweep, residual, exactChunks, chunks },
      ...{ errors: error.bins, largestError: error.largest, largestAt: error.step },
      states: takeRows(states, sampled, stateSize),
    };
    tell({ kind: "sweep", picture });
  }
}

async function wholeRun(
  runtime: Runtime,
  { cell, inputs, initialState }: Problem,
  options: EvaluateOptions,
  tell: (progress: SolveProgress) => void,
) {
  tell({ kind: "stage", text: "Solving" });
  const told: IterationProgress[] = [];
  const onSweep = paced((text: string) => tell({ kind: "stage", text }));
  const onStep = paced((done: number) => tell({ kind: "stage", text: "Solving", done }));
  const { report, states } = await runtime.evaluate(cell, inputs, {
    ...options,
    initialState,
    onIteration: (progress) => {
      told.push(progress);
      const { iteration, residual } = progress;
      onSweep(`Solving: sweep ${iteration}, residual ${residual.toExponential(1)}`);
    },
    onProgress: (done, total) => onStep(done / total),
  });
  return { told, report, states };
}

async function compare(
  runtime: Runtime,
  settings: SolveSettings,
  { signal, tell }: TaskContext<CompareProgress>,
): Promise<void> {
  const { cell, inputs, initialState } = makeProblem(settings);
  const asked = { ...evaluateOptions(settings), initialState, signal };
  for (const { name: backend, available, adapter } of runtime.backends) {
    if (!available) continue;
    const isAlone =
      asked.method === "sequential" || (asked.method === "threads" && backend !== "wasm");
    const kinds = isAlone ? (["sequential"] as const) : BOTH;
    for (const run of kinds) {
      const options: EvaluateOptions =
        run === "method"
          ? { ...asked, backend }
          : { method: "sequential", backend, initialState, signal };
      tell({ text: `${backend}: ${run === "method" ? settings.method : "sequential"}`, run: null });
      const kept = { backend, run, software: adapter?.software ?? false };
      try {
        const timed = await timeEvaluations(
          async () => (await runtime.evaluate(cell, inputs, options)).report,
        );
        tell({ text: "", run: { ...kept, ...timed, error: null } });
      } catch (error) {
        signal.throwIfAborted();
        const failed = { milliseconds: Number.NaN, runs: 0, report: null, error: String(error) };
        tell({ text: "", run: { ...kept, ...failed } });
      }
    }
  }
}

const BOTH = ["method", "sequential"] as const;

/** Passes on at most twenty calls a second. */
function paced<Value>(pass: (value: Value) => void): (value: Value) => void {
  let last = Number.NEGATIVE_INFINITY;
  return (value) => {
    if (performance.now() - last < 50) return;
    last = performance.now();
    pass(value);
  };
}
