/** The front door: evaluation on the backend that fits. `create-runtime.ts` finds out which there are. */

import type { Calibration } from "./auto/calibration.ts";
import type { BackendPlan, Planner } from "./auto/planner.ts";
import type { Backend, DeviceBackend, HostBackend } from "./backend/backend.ts";
import type { Cell } from "./cell/define-cell.ts";
import {
  BackendUnavailableError,
  DeviceLostError,
  GpuError,
  TooLargeForGpuError,
} from "./errors.ts";
import { chooseMethod, isSmall, type Plan, suitsGpu } from "./solve/choice.ts";
import { Pacer } from "./solve/pacing.ts";
import { solve } from "./solve/solve.ts";
import type {
  AdapterDescription,
  BackendName,
  Device,
  DeviceArray,
  EvaluateOptions,
  Evaluation,
  FloatArray,
} from "./types.ts";
import { checkJob, checkOneOf, checkShape, type Job, type Shape } from "./validate.ts";

/** Whether this machine has a backend, and which kind of it. */
export interface BackendStatus {
  readonly name: BackendName;
  readonly available: boolean;
  /** Why it is not available. */
  readonly reason?: string;
  /** Which WebAssembly build it uses. */
  readonly simd?: "plain" | "relaxed";
  /** The GPU, or the program that imitates one. */
  readonly adapter?: AdapterDescription;
}

/** A backend that is loaded when it is first asked for. */
export type LateBackend = () => Promise<Backend>;

export const backendChoices = ["auto", "webgpu", "wasm", "reference"] as const;

/**
 * Evaluates recurrences on the backends of this machine; made by `createRuntime`. Calls queue up: one runs at
 * a time.
 *
 * @typeParam States the arrays that states come in: float64 only where "reference" was named.
 */
export class Runtime<States extends FloatArray = Float32Array> {
  /** What this machine has, fastest first. */
  readonly backends: readonly BackendStatus[];
  readonly #backends: Map<BackendName, Backend | LateBackend>;
  /** The backend that the runtime was asked for. */
  readonly #named: BackendName | "auto";
  /** The end of the queue: evaluations share the kernels' memory, so they run one after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  #disposed = false;
  readonly #given: Calibration | undefined;
  /** Decides what "auto" means; loaded when there is something to decide. */
  #planner: Promise<Planner> | null = null;

  /**
   * Use `createRuntime`.
   *
   * @internal
   */
  constructor(
    statuses: readonly BackendStatus[],
    backends: Map<BackendName, Backend | LateBackend>,
    named: BackendName | "auto",
    calibration?: Calibration,
  ) {
    this.#given = calibration;
    this.backends = statuses;
    this.#backends = backends;
    this.#named = named;
  }

  /** The device of the WebGPU backend, on which `output: "gpu"` leaves its buffers; null without one. */
  get device(): Device | null {
    const backend = this.#backends.get("webgpu");
    return isLoaded(backend) && backend.kind === "device" ? backend.device : null;
  }

  /**
   * Evaluates s_t = f(s_{t−1}, x_t) for all t.
   *
   * @param cell the recurrence.
   * @param inputs `[T, inputSize]` row-major, or all sequences of a batch row after row; the number of
   * steps for a cell that reads no input. Must not be changed before the promise settles. WebGPU also
   * takes a `GPUBuffer` of float32 on `runtime.device`, with usage COPY_SRC, which stays the caller's.
   * @returns the states `[T, stateSize]`, the final states, and a report of what ran and how well.
   * @throws TypeError, RangeError for arguments, naming the one; RangeError when the memory that the
   * run needs cannot be had; `NonFiniteError` when the exact states are NaN or infinite;
   * `ConvergenceError` with `onFailure: "throw"`; `BackendUnavailableError`; `DeviceLostError` and
   * `GpuError` when "webgpu" was named (else WebAssembly does the work); the signal's reason.
   */
  evaluate(
    cell: Cell,
    inputs: FloatArray | DeviceArray | number,
    options: EvaluateOptions & { output: "gpu" },
  ): Promise<Evaluation<DeviceArray>>;
  evaluate(
    cell: Cell,
    inputs: FloatArray | number,
    options: EvaluateOptions & { backend: "reference" },
  ): Promise<Evaluation<Float64Array>>;
  evaluate(
    cell: Cell,
    inputs: FloatArray | DeviceArray | number,
    options?: EvaluateOptions,
  ): Promise<Evaluation<States>>;
  async evaluate(
    cell: Cell,
    inputs: FloatArray | DeviceArray | number,
    options: EvaluateOptions = {},
  ): Promise<Evaluation<FloatArray | DeviceArray>> {
    const job = checkJob(cell, inputs, options);
    return this.#enqueue(job, options, async (backend, automatic) => {
      const result = await this.#run(backend, job, automatic);
      // Whoever did not name a backend gets float32, whatever ran.
      return automatic ? inFloat32(result) : result;
    });
  }

  /**
   * Compiles what evaluations of this shape will need, so that the first of them is as fast as the next.
   *
   * @param shape the steps, and those of `evaluate`'s options that matter: `method`, `chunk`,
   * `jacobian`, `damping`, `lengths`, `output`, `backend`, `maxIterations`.
   */
  async warmup(cell: Cell, shape: Shape): Promise<void> {
    const job = checkShape(cell, shape);
    await this.#enqueue(job, shape, async (backend) => {
      if (backend.kind !== "device") return;
      const plan = chooseMethod(backend, job);
      await backend.warmup(plan.job, plan.method === "sequential");
    });
  }

  async #enqueue<Result>(
    job: Job,
    options: EvaluateOptions,
    work: (backend: Backend, automatic: boolean) => Promise<Result>,
  ): Promise<Result> {
    if (this.#disposed) throw new Error("runtime: expected a live runtime, got a disposed one");
    const { backend: name = this.#named } = options;
    const chosen = this.#choose(name, job);
    const before = this.#queue;
    const turn = before.then(async () => work(await this.#load(chosen), name === "auto"));
    this.#queue = turn.catch(() => {});
    // A run looks at the signal itself; while it waits for its turn, this does.
    if (job.signal) await unlessAborted(before, job.signal);
    return turn;
  }

  async #run(
    backend: Backend,
    job: Job,
    automatic: boolean,
  ): Promise<Evaluation<FloatArray | DeviceArray>> {
    const pacer = new Pacer(job.signal);
    const other = this.#backends.get("wasm");
    const needsGpu = job.output === "gpu" || job.deviceInputs !== null;
    const mayMove = backend.kind === "device" && automatic && !needsGpu;
    try {
      const host = mayMove ? other : backend;
      const isOpen = job.method === "auto" && isLoaded(host) && host.kind === "host" && host.pool;
      if (isOpen) {
        const plan = await this.#advise(host, job, mayMove ? backend : null, pacer);
        const result = await solve(plan.backend === backend.name ? backend : host, plan, pacer);
        plan.learn?.(result.report.milliseconds.solve);
        return result;
      }
      const plan = chooseMethod(backend, job);
      return await solve(
        backend,
        automatic ? this.#tellingWhatIsMissing(backend, plan) : plan,
        pacer,
      );
    } catch (error) {
      if (!mayMove || !isLoaded(other) || !isOfTheDevice(error)) throw error;
      const { report, ...result } = await solve(other, chooseMethod(other, job), pacer);
      const failover = `backend "webgpu" failed (${error.message}), so "wasm" did all of the work`;
      return { ...result, report: { ...report, failover } };
    }
  }

  /** What "auto" means for this job, here and now. */
  async #advise(
    host: HostBackend,
    job: Job,
    device: DeviceBackend | null,
    pacer: Pacer,
  ): Promise<BackendPlan> {
    const plain = { ...chooseMethod(host, job), backend: host.name };
    if (isSmall(job)) return plain;
    let planner: Planner;
    try {
      planner = await this.#loadPlanner(host);
    } catch (error) {
      // Where nothing may be loaded late, what needs no decision is right, if not the fastest.
      return { ...plain, choice: `${plain.choice}; ${(error as Error).message}` };
    }
    return planner.plan(job, device, pacer);
  }

  #loadPlanner(host: HostBackend): Promise<Planner> {
    this.#planner ??= import("./auto/planner.ts").then(
      ({ Planner }) => new Planner(host, this.#given),
    );
    return this.#planner;
  }

  /**
   * How fast this machine is, as `method: "auto"` sees it: measured in some milliseconds, if it has not
   * been yet. Plain JSON, for `createRuntime({ calibration })` on the same machine, which then measures
   * nothing and always decides alike.
   *
   * @throws BackendUnavailableError without the backend "wasm".
   */
  async calibration(): Promise<Calibration> {
    const host = this.#backends.get("wasm");
    if (!isLoaded(host) || host.kind !== "host") {
      throw new BackendUnavailableError("wasm", "nothing else is calibrated");
    }
    const planner = this.#loadPlanner(host);
    const turn = this.#queue.then(async () => (await planner).calibration());
    this.#queue = turn.catch(() => {});
    return turn;
  }

  /** "auto" takes the slow oracle only for want of anything else, and its choice says so. */
  #tellingWhatIsMissing({ name }: Backend, plan: Plan): Plan {
    if (name !== "reference") return plan;
    const { reason } = this.backends.find((status) => status.name === "wasm")!;
    return { ...plan, choice: `${plan.choice}; backend "wasm" is not available: ${reason}` };
  }

  /**
   * What "auto" means for this job: a real GPU where it may pay, else the CPU.
   *
   * @throws BackendUnavailableError where there is none at all.
   */
  #preferred(job: Job): BackendName {
    const available = this.backends.filter((status) => status.available);
    if (job.output === "gpu" || job.deviceInputs) return "webgpu";
    const suited = available.filter(({ name }) => name !== "webgpu" || suitsGpu(job));
    const best = suited[0] ?? available[0];
    if (best) return best.name;
    const reasons = this.backends.map(({ name, reason }) => `${name}: ${reason}`);
    throw new BackendUnavailableError("auto", reasons.join("; "));
  }

  /** @throws RangeError, BackendUnavailableError where the backend cannot do this job. */
  #choose(name: BackendName | "auto", job: Job): BackendName {
    checkOneOf("backend", name, backendChoices);
    const chosen = name === "auto" ? this.#preferred(job) : name;
    if (chosen !== "webgpu" && (job.output === "gpu" || job.deviceInputs)) {
      const what = job.output === "gpu" ? `output: "gpu"` : "inputs: a GPUBuffer";
      throw new RangeError(`${what} needs backend "webgpu", got "${chosen}"`);
    }
    if (chosen === "webgpu" && job.method === "threads") {
      throw new RangeError(`method "threads" needs backend "wasm", got "webgpu"`);
    }
    if (this.#backends.has(chosen)) return chosen;
    const status = this.backends.find((other) => other.name === chosen);
    throw new BackendUnavailableError(chosen, status?.reason ?? "this runtime was made without it");
  }

  async #load(name: BackendName): Promise<Backend> {
    const backend = this.#backends.get(name)!;
    if (isLoaded(backend)) return backend;
    const loaded = await backend();
    this.#backends.set(name, loaded);
    return loaded;
  }

  /** Waits for the evaluation in progress, then gives all memory back. Later calls are refused. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#queue = this.#queue.then(() => {
      for (const backend of this.#backends.values()) if (isLoaded(backend)) backend.dispose();
    });
  }

  /** `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

function isLoaded(backend: Backend | LateBackend | undefined): backend is Backend {
  return backend !== undefined && typeof backend !== "function";
}

/** Whether another backend may do better. */
function isOfTheDevice(error: unknown): error is Error {
  const kinds = [DeviceLostError, GpuError, BackendUnavailableError, TooLargeForGpuError];
  return kinds.some((kind) => error instanceof kind);
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

function inFloat32(
  result: Evaluation<FloatArray | DeviceArray>,
): Evaluation<Float32Array | DeviceArray> {
  const convert = (values: FloatArray | DeviceArray) =>
    values instanceof Float64Array ? Float32Array.from(values) : (values as Float32Array);
  const { states, finalStates, report } = result;
  return { states: convert(states), finalStates: convert(finalStates), report };
}
