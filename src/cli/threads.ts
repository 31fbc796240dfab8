/** What the commands know of method "threads": its options, and whether threads start on this machine. */
import { randomStream } from "../conformance/random.ts";
import { type BackendName, createRuntime, gru, type MethodName, type Runtime } from "../index.ts";
import { cellKind, randomWeights } from "./cells.ts";
import { largestError } from "./error.ts";
import { reasonOf, UsageError } from "./failure.ts";

/** Methods whose results are those of sequential evaluation, or can be. */
const canBeExact: readonly (MethodName | "auto")[] = ["threads", "sequential", "auto"];

/**
 * @param backends none: those that are there.
 * @param without backends that cannot run "threads".
 * @throws UsageError for options that have nothing to act on.
 */
export function checkThreadsOptions(
  methods: readonly (MethodName | "auto")[],
  backends: readonly (BackendName | "auto")[],
  without: readonly BackendName[],
  exact = false,
): void {
  if (exact && !methods.some((method) => canBeExact.includes(method))) {
    throw new UsageError(
      `--exact: expected --method threads, sequential or auto, got ${methods.join(", ")}`,
    );
  }
  const isElsewhere =
    backends.length > 0 && backends.every((name) => without.includes(name as never));
  if (isElsewhere && methods.every((method) => method === "threads")) {
    throw new UsageError(`--method threads: expected --backend wasm, got ${backends.join(", ")}`);
  }
}

const sizes = { inputSize: 3, hiddenSize: 16 };
const STEPS = 4096;
const SEED = 5;
const ALLOWED = 1e-4;

/** How a report tells of threads that did not start, or failed. */
const WHY_FEWER = /\b(only \w+ threads?|one thread did it all): .*/s;

export interface ThreadsFindings {
  /** That worked together, the caller's included; 0 if none did. */
  readonly threads: number;
  /** Whether others than the caller's start. */
  readonly workers: boolean;
  /** Whether they share memory with the caller's; if not, data is copied to them. */
  readonly sharedMemory: boolean;
  /** Why there are fewer than could be. */
  readonly reason?: string;
  /** Why there is no shared memory. */
  readonly sharedMemoryReason?: string;
}

/** Evaluates something small on as many threads as a runtime takes by itself. Never throws. */
export async function examineThreads(): Promise<ThreadsFindings> {
  const sharedMemory = typeof SharedArrayBuffer !== "undefined";
  const shared = {
    sharedMemory,
    ...(!sharedMemory && { sharedMemoryReason: "this host has no SharedArrayBuffer" }),
  };
  let runtime: Runtime;
  try {
    runtime = await createRuntime({ backend: "wasm" });
  } catch (error) {
    return { threads: 0, workers: false, ...shared, reason: reasonOf(error) };
  }
  try {
    const random = randomStream(SEED);
    const weights = randomWeights(cellKind("gru"), sizes, "reset-after", random);
    const cell = gru({ ...sizes, weights });
    const inputs = random(STEPS * sizes.inputSize);
    const oracle = await runtime.evaluate(cell, inputs, { method: "sequential" });
    const { states, report } = await runtime.evaluate(cell, inputs, { method: "threads" });
    const { threads = 1, choice } = report;
    const error = largestError(states, oracle.states, cell.stateSize);
    const few = WHY_FEWER.exec(choice)?.[0];
    const wrong = error <= ALLOWED ? undefined : `their states are ${error.toExponential(1)} off`;
    const reason = wrong ?? few;
    const workers = threads > 1 && wrong === undefined;
    return { threads, workers, ...shared, ...(reason !== undefined && { reason }) };
  } catch (error) {
    return { threads: 0, workers: false, ...shared, reason: reasonOf(error) };
  } finally {
    runtime.dispose();
  }
}

/** What can be done about threads that do not start. */
export function adviseOnThreads(
  { threads, workers, reason }: ThreadsFindings,
  { cores, host }: { readonly cores: number; readonly host: string },
): string[] {
  if (workers || threads === 0 || cores === 1 || reason === undefined) return [];
  if (/API has been restricted|permission/i.test(reason)) {
    return ["Node's permission model keeps workers from starting: allow them with --allow-worker"];
  }
  if (/neither Worker nor/.test(reason)) {
    return [`Node 20.16 or 22.3 and newer have what it takes to start workers; this is ${host}`];
  }
  return [`evaluation stays on one thread, which is slower and no less right: ${reason}`];
}
