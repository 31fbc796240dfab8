/** The front door: which backends this machine has, and evaluation on the one that fits. */
import type { Backend } from "./backend/backend.ts";
import { createReferenceBackend } from "./backend/reference/backend.ts";
import { createWasmBackend } from "./backend/wasm/backend.ts";
import type { WasmSource } from "./backend/wasm/load.ts";
import type { Cell } from "./cell/define-cell.ts";
import { BackendUnavailableError } from "./errors.ts";
import { show } from "./show.ts";
import { chooseMethod } from "./solve/choice.ts";
import { solve } from "./solve/solve.ts";
import type { BackendName, EvaluateOptions, Evaluation, FloatArray } from "./types.ts";
import { checkJob, checkKeys, checkOneOf, type Job } from "./validate.ts";

export interface RuntimeOptions {
  /** "auto" takes the fastest that this machine has. Default "auto". */
  backend?: BackendName | "auto";
  /** The WebAssembly kernels: a URL, their bytes or a compiled module. Default: the inlined ones. */
  wasm?: WasmSource;
  /**
   * Whether results must be the same on every CPU. If not, the relaxed-SIMD kernels are used where
   * the engine has them; they round some sums differently from one CPU to another. Default false.
   */
  reproducible?: boolean;
  /** Largest size of the WebAssembly memory, in bytes. Default 2 GiB. */
  memoryLimit?: number;
}

export interface BackendStatus {
  readonly name: BackendName;
  readonly available: boolean;
  /** Why it is not available. */
  readonly reason?: string;
  /** Which WebAssembly build it uses. */
  readonly simd?: "plain" | "relaxed";
}

const backendChoices = ["auto", "wasm", "reference"] as const;
const optionNames = ["backend", "wasm", "reproducible", "memoryLimit"];
const DEFAULT_MEMORY_LIMIT = 2 ** 31;
const WASM_PAGE = 65536;

/** @typeParam States the arrays that states come in: float64 only where "reference" was named. */
export class Runtime<States extends FloatArray = Float32Array> {
  /** What this machine has, fastest first. */
  readonly backends: readonly BackendStatus[];
  readonly #backends: ReadonlyMap<BackendName, Backend>;
  readonly #preferred: BackendName;
  /** The backend that the runtime was asked for. */
  readonly #named: BackendName | "auto";
  /** The end of the queue: evaluations share the kernels' memory, so they run one after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  #disposed = false;

  /** Use `createRuntime`. */
  constructor(
    statuses: readonly BackendStatus[],
    backends: ReadonlyMap<BackendName, Backend>,
    named: BackendName | "auto",
  ) {
    this.backends = statuses;
    this.#backends = backends;
    this.#named = named;
    this.#preferred = named === "auto" ? statuses.find((status) => status.available)!.name : named;
  }

  /**
   * Evaluates s_t = f(s_{t−1}, x_t) for all t.
   *
   * @param cell the recurrence.
   * @param inputs `[T, inputSize]` row-major, or all sequences of a batch row after row; the number of
   * steps for a cell that reads no input. Must not be changed before the promise settles.
   * @returns the states `[T, stateSize]`, the final states, and a report of what ran and how well.
   * @throws TypeError, RangeError for arguments, naming the one; RangeError when the memory that the
   * run needs cannot be had; `NonFiniteError` when the exact states are NaN or infinite;
   * `ConvergenceError` with `onFailure: "throw"`; `BackendUnavailableError`; the signal's reason.
   */
  evaluate(
    cell: Cell,
    inputs: FloatArray | number,
    options: EvaluateOptions & { backend: "reference" },
  ): Promise<Evaluation<Float64Array>>;
  evaluate(
    cell: Cell,
    inputs: FloatArray | number,
    options?: EvaluateOptions,
  ): Promise<Evaluation<States>>;
  async evaluate(
    cell: Cell,
    inputs: FloatArray | number,
    options: EvaluateOptions = {},
  ): Promise<Evaluation<FloatArray>> {
    if (this.#disposed) throw new Error("runtime: expected a live runtime, got a disposed one");
    const job = checkJob(cell, inputs, options);
    const { backend: name = this.#named } = options;
    const backend = this.#backend(name);
    const before = this.#queue;
    const turn = before.then(() => this.#run(backend, job, name === "auto"));
    this.#queue = turn.catch(() => {});
    // A run looks at the signal itself; while it waits for its turn, this does.
    if (job.signal) await unlessAborted(before, job.signal);
    return turn;
  }

  async #run(backend: Backend, job: Job, automatic: boolean): Promise<Evaluation<FloatArray>> {
    const result = await solve(backend, job, chooseMethod(backend, job));
    // Whoever did not name a backend gets float32, whatever ran.
    return automatic ? inFloat32(result) : result;
  }

  #backend(name: BackendName | "auto"): Backend {
    checkOneOf("backend", name, backendChoices);
    const chosen = name === "auto" ? this.#preferred : name;
    const backend = this.#backends.get(chosen);
    if (backend) return backend;
    const status = this.backends.find((other) => other.name === chosen);
    throw new BackendUnavailableError(chosen, status?.reason ?? "this runtime was made without it");
  }

  /** Waits for the evaluation in progress, then gives all memory back. Later calls are refused. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#queue = this.#queue.then(() => {
      for (const backend of this.#backends.values()) backend.dispose();
    });
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Waits for `promise`. @throws the signal's reason as soon as it is aborted. */
async function unlessAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  let stopListening = () => {};
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort);
    stopListening = () => signal.removeEventListener("abort", onAbort);
  });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    stopListening();
  }
}

function inFloat32(result: Evaluation<FloatArray>): Evaluation<Float32Array> {
  const convert = (values: FloatArray) =>
    values instanceof Float32Array ? values : Float32Array.from(values);
  const { states, finalStates, report } = result;
  return { states: convert(states), finalStates: convert(finalStates), report };
}

/**
 * Makes a runtime from what this machine has.
 *
 * @throws TypeError, RangeError for options, naming the one; `BackendUnavailableError` when a backend
 * asked for by name cannot run here. With "auto", a missing backend is told in `runtime.backends`.
 */
export function createRuntime(
  options: RuntimeOptions & { backend: "reference" },
): Promise<Runtime<Float64Array>>;
export function createRuntime(options?: RuntimeOptions): Promise<Runtime>;
export async function createRuntime(options: RuntimeOptions = {}): Promise<Runtime<FloatArray>> {
  checkKeys("options", options, optionNames);
  const { backend = "auto", wasm, reproducible = false } = options;
  const { memoryLimit = DEFAULT_MEMORY_LIMIT } = options;
  checkOneOf("backend", backend, backendChoices);
  if (typeof reproducible !== "boolean") {
    throw new TypeError(`reproducible: expected a boolean, got ${show(reproducible)}`);
  }
  const isNumber = typeof memoryLimit === "number";
  if (!isNumber || !(memoryLimit >= WASM_PAGE && memoryLimit <= 2 ** 32)) {
    throw new RangeError(
      `memoryLimit: expected 65536 to 4294967296 bytes, got ${show(memoryLimit)}`,
    );
  }
  const backends = new Map<BackendName, Backend>();
  const statuses: BackendStatus[] = [];
  try {
    const made = await createWasmBackend({ source: wasm, reproducible, memoryLimit });
    backends.set("wasm", made);
    statuses.push({ name: "wasm", available: true, ...(made.simd && { simd: made.simd }) });
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    if (backend === "wasm") throw new BackendUnavailableError("wasm", reason);
    statuses.push({ name: "wasm", available: false, reason });
  }
  backends.set("reference", createReferenceBackend());
  statuses.push({ name: "reference", available: true });
  return new Runtime(statuses, backends, backend);
}
