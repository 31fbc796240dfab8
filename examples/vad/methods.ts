/** Silero's recurrence through Antler, under several methods, timed and compared with the oracle. */
import {
  type Cell,
  type EvaluateOptions,
  type FloatArray,
  lstm,
  type Report,
  type Runtime,
} from "antler";
import { type Encoded, speechProbabilities } from "./silero.ts";
import { HIDDEN_SIZE, type SileroModel } from "./silero-graph.ts";

export { COMPARED, comparedOnGpu } from "./compared.ts";

/** Cheap runs are repeated, and the median counts: how often, for runs under so many milliseconds. */
const REPETITIONS = [
  { under: 200, runs: 5 },
  { under: 800, runs: 3 },
] as const;

export interface MethodResult {
  readonly report: Report;
  /** Wall-clock time of the recurrence alone, the encoder not included; median of `runs`. */
  readonly milliseconds: number;
  readonly runs: number;
  /** Speech probability of every window. */
  readonly probabilities: Float64Array;
}

/** Silero's LSTM as a cell: inputs `[windows, 128]`, states `[windows, 256]`. */
export function sileroCell(model: SileroModel): Cell {
  const { lstm: weights } = model;
  return lstm({ inputSize: HIDDEN_SIZE, hiddenSize: HIDDEN_SIZE, weights: { ...weights } });
}

/**
 * Evaluates the recurrence, several times where that is cheap.
 * @param onDetail told in words how far a run has come.
 */
export async function runMethod(
  runtime: Runtime,
  model: SileroModel,
  cell: Cell,
  encoded: Encoded,
  options: EvaluateOptions,
  onDetail: (text: string) => void = () => {},
): Promise<MethodResult> {
  const times: number[] = [];
  const told: EvaluateOptions = {
    ...options,
    onProgress: (done, total) => onDetail(`step ${done.toLocaleString("en")} of ${total}`),
    onIteration: ({ iteration, exactChunks, chunks, residual }) =>
      onDetail(
        `sweep ${iteration}, ${exactChunks} of ${chunks} chunks exact,` +
          ` residual ${residual.toExponential(1)}`,
      ),
  };
  // Compiles shaders, which is not what is to be timed.
  await runtime.warmup(cell, { steps: encoded.windows, ...told });
  const run = async () => {
    const started = performance.now();
    const evaluation = await runtime.evaluate(cell, encoded.inputs, told);
    times.push(performance.now() - started);
    return evaluation;
  };
  const { states, report }: { states: FloatArray; report: Report } = await run();
  const repetitions = REPETITIONS.find(({ under }) => times[0] < under)?.runs ?? 1;
  while (times.length < repetitions) await run();
  return {
    report,
    milliseconds: median(times),
    runs: times.length,
    probabilities: speechProbabilities(model.head, states),
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
