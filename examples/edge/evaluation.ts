/**
 * One evaluation as a stream. It goes window by window, each from the final state of the one before, so
 * that memory does not grow with the sequence, and no further than the client reads.
 */
import { type Cell, NonFiniteError, type Report, type Runtime } from "antler";
import type { Sequence } from "./inputs.ts";
import { asRefusal, Refusal } from "./refusal.ts";
import type { ResultFormat, Summary } from "./results.ts";
import type { Settings } from "./settings.ts";

export interface Work {
  readonly cell: Cell;
  readonly runtime: Runtime;
  readonly sequence: Sequence;
  readonly settings: Settings;
  readonly format: ResultFormat;
  /** Aborted when the client is gone, by hosts that tell. */
  readonly hangUp: AbortSignal;
  /** Called when the steps of a window are done. */
  readonly onSteps: (steps: number) => void;
  /** Called once, when nothing more will be done. */
  readonly onEnd: (end: "done" | "failed" | "abandoned") => void;
}

/**
 * Time for a client to read why its time has run out. One that does not read by then is not reading at
 * all, and its connection is dropped.
 */
export const GRACE_MS = 1000;

/**
 * @returns the stream, once its first window is there: what fails before that can be answered with a status.
 * @throws Refusal
 */
export async function openStream(work: Work): Promise<ReadableStream<Uint8Array>> {
  const { settings, format, hangUp, onEnd } = work;
  const abort = new AbortController();
  const windows = evaluateWindows(work, Date.now() + settings.timeBudgetMs, abort.signal);
  let ended = false;
  const end = (how: "done" | "failed" | "abandoned") => {
    if (ended) return;
    ended = true;
    clearTimeout(timer);
    hangUp.removeEventListener("abort", abandon);
    abort.abort();
    onEnd(how);
  };
  let drop = () => {};
  const timer = setTimeout(() => drop(), settings.timeBudgetMs + GRACE_MS);
  const abandon = () => end("abandoned");
  hangUp.addEventListener("abort", abandon);
  let first: Uint8Array | null;
  try {
    first = (await windows.next()).value;
  } catch (error) {
    end("failed");
    throw error;
  }
  return new ReadableStream<Uint8Array>({
    start(controller) {
      drop = () => {
        end("failed");
        controller.error(outOfTime(settings));
      };
    },
    async pull(controller) {
      try {
        const bytes = first ?? (await windows.next()).value;
        first = null;
        if (ended) return;
        if (bytes) controller.enqueue(bytes);
        else finish("done");
      } catch (error) {
        if (ended) return;
        controller.enqueue(format.error(asRefusal(error).reason));
        finish("failed");
      }
      function finish(how: "done" | "failed") {
        end(how);
        controller.close();
      }
    },
    cancel: abandon,
  });
}

/** The states of each window, encoded, and then the report. */
async function* evaluateWindows(
  { cell, runtime, sequence, settings, format, onSteps }: Work,
  deadline: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, null> {
  const { inputs, steps } = sequence;
  const { windowSteps } = settings;
  let initialState = sequence.initialState;
  const reports: Report[] = [];
  for (let from = 0; from < steps; from += windowSteps) {
    signal.throwIfAborted();
    if (Date.now() > deadline) throw outOfTime(settings, from);
    const rows = inputs.subarray(from * cell.inputSize, (from + windowSteps) * cell.inputSize);
    const { states, finalStates, report } = await runtime
      .evaluate(cell, rows, { initialState, signal })
      .catch((error) => {
        throw explained(error, from);
      });
    onSteps(rows.length / cell.inputSize);
    reports.push(report);
    initialState = finalStates;
    yield format.states(from, states, cell.stateSize);
  }
  yield format.report(summaryOf(reports, steps), initialState);
  return null;
}

/** Finite inputs may still be so large that a sum of theirs is not. */
function explained(error: unknown, from: number): unknown {
  if (!(error instanceof NonFiniteError)) return error;
  const { step, unit } = error.location;
  const message = `the state is not finite from step ${from + step}, unit ${unit} on`;
  return new Refusal(422, "not-finite", { field: `inputs[${from + step}]`, message });
}

function outOfTime({ timeBudgetMs }: Settings, steps = 0): Refusal {
  const message = `the time budget of ${timeBudgetMs} ms ran out after ${steps} steps`;
  return new Refusal(504, "out-of-time", { message });
}

function summaryOf(reports: readonly Report[], steps: number): Summary {
  const { backend, simd = null, method } = reports[0];
  return {
    steps,
    windows: reports.length,
    backend,
    simd,
    method,
    residual: Math.max(...reports.map(({ residual }) => residual)),
    // Sequential evaluation's estimate grows with the square root of the steps.
    errorEstimate: Math.hypot(...reports.map(({ errorEstimate }) => errorEstimate)),
    converged: reports.every(({ converged }) => converged),
    milliseconds: reports.reduce((sum, { milliseconds }) => sum + milliseconds.total, 0),
  };
}
