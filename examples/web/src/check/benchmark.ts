/** A short benchmark: one GRU, sequential and in parallel, on each backend, a few sizes. */
import {
  type BackendStatus,
  type EvaluateOptions,
  gru,
  type MethodName,
  type Runtime,
} from "antler";
import { mulberry32, normal, randomWeights } from "../../../../tests/support/random.ts";
import { counted, whole } from "../format.ts";
import { timeEvaluations } from "../timing.ts";
import type { BenchmarkRow } from "./tasks.ts";

const INPUT_SIZE = 3;
const SIZES = [
  { hiddenSize: 8, steps: 1_000 },
  { hiddenSize: 32, steps: 10_000 },
  { hiddenSize: 64, steps: 20_000 },
] as const;
interface Case {
  readonly hiddenSize: number;
  readonly steps: number;
  readonly backend: BackendStatus;
  readonly method: MethodName;
  readonly chunk: number | null;
}

/** The methods that are worth a comparison, in chunks of about √T steps, which suits GPUs. */
function methodsOf(steps: number, withThreads: boolean): readonly Pick<Case, "method" | "chunk">[] {
  const chunk = 2 ** Math.round(Math.log2(Math.sqrt(steps)));
  return [
    { method: "sequential", chunk: null },
    ...(withThreads ? [{ method: "threads", chunk: null } as const] : []),
    { method: "quasi-deer", chunk },
    { method: "jacobi", chunk: 4 * chunk },
  ];
}

/** What is timed: the reference, and programs that imitate a GPU, do the smallest size only. */
export function benchmarkCases(backends: readonly BackendStatus[], cores: number): Case[] {
  return SIZES.flatMap(({ hiddenSize, steps }) =>
    backends
      .filter((backend) => steps === SIZES[0].steps || isFast(backend))
      .flatMap((backend) =>
        methodsOf(steps, backend.name === "wasm" && cores > 1).map((method) => ({
          hiddenSize,
          steps,
          backend,
          ...method,
        })),
      ),
  );
}

function isFast({ name, adapter }: BackendStatus): boolean {
  return name !== "reference" && adapter?.software !== true;
}

export async function timeCase(
  runtime: Runtime,
  { hiddenSize, steps, backend, method, chunk }: Case,
  signal: AbortSignal,
): Promise<BenchmarkRow> {
  const shapes = {
    weight_ih: [3 * hiddenSize, INPUT_SIZE],
    weight_hh: [3 * hiddenSize, hiddenSize],
    bias_ih: [3 * hiddenSize],
    bias_hh: [3 * hiddenSize],
  };
  const weights = randomWeights(shapes, 1 / Math.sqrt(hiddenSize), 1);
  const cell = gru({ inputSize: INPUT_SIZE, hiddenSize, weights });
  const inputs = normal(mulberry32(2), steps * INPUT_SIZE);
  const options: EvaluateOptions = {
    backend: backend.name,
    method,
    signal,
    ...(chunk !== null && { chunk }),
  };
  const row = { hiddenSize, steps, backend: backend.name, method, chunk };
  try {
    const evaluate = async () => (await runtime.evaluate(cell, inputs, options)).report;
    const { milliseconds, runs, report } = await timeEvaluations(evaluate);
    const { iterations, fallback, threads = 1, steps: work } = report;
    const again = work && `${counted(threads, "thread")}, ${whole(work.rerun)} steps run again`;
    const note = fallback ? `finished sequentially: ${fallback.reason}` : (again ?? "");
    return { ...row, milliseconds, runs, sweeps: work ? 0 : iterations, note };
  } catch (error) {
    signal.throwIfAborted();
    return { ...row, milliseconds: null, runs: 0, sweeps: 0, note: String(error) };
  }
}
