/** The public vocabulary: options in, results out. */

/** A row-major array of numbers; the last axis is contiguous. */
export type FloatArray = Float32Array | Float64Array;

/**
 * A `GPUBuffer`, by way of the global scope, so that these types compile in projects without WebGPU's.
 */
export type DeviceArray = typeof globalThis extends { GPUBuffer: { prototype: infer Buffer } }
  ? Buffer
  : object;

/** A `GPUDevice`, likewise. */
export type Device = typeof globalThis extends { GPUDevice: { prototype: infer D } } ? D : object;
/** A `GPUAdapter`, likewise. */
export type Adapter = typeof globalThis extends { GPUAdapter: { prototype: infer A } } ? A : object;

/** What is needed of a `GPU`: `navigator.gpu`, or the object of the package `webgpu`. */
export interface Gpu {
  /** Gives null where there is no GPU that may be used. */
  requestAdapter(options?: object): Promise<Adapter | null>;
}

/** Where numbers are computed: float64 loops, WebAssembly, or a GPU; the last two in float32. */
export type BackendName = "reference" | "wasm" | "webgpu";

/**
 * How the states are found; all but "sequential" in chunks side by side: "threads" runs them again until
 * they merge, the others in sweeps. See docs/methods.md.
 */
export type MethodName =
  | "sequential"
  | "threads"
  | "jacobi"
  | "picard"
  | "deer"
  | "quasi-deer"
  | "elk"
  | "quasi-elk";

/**
 * The approximation P_k of a chunk's Jacobian: nothing, the identity, its diagonal, one k×k block per
 * unit (the (h, c) pairs of an LSTM), or all of it.
 */
export type JacobianKind = "none" | "identity" | "diagonal" | "block" | "dense";

/** How far a sweep may move the boundary states; see docs/methods.md. */
export interface DampingOptions {
  /** λ = 1/σ² of ELK's Levenberg–Marquardt step; 0 is plain Newton. */
  lambda?: number;
  /** Which Kalman mean is the new iterate; the authors' code returns the filter's. Default "filter". */
  estimate?: "filter" | "smoother";
  /** Scale-ELK: P ← (1 − scale) P, with scale in [0, 1]. */
  scale?: number;
  /** Clip-ELK: P clipped to [−1, 1]; for diagonal Jacobians. */
  clip?: boolean;
  /** Adapt λ between sweeps: reject a sweep that raises ½Σ‖r‖², and divide or multiply λ by 10. */
  trustRegion?: boolean;
}

/** How far an iteration has come. */
export interface IterationProgress {
  /** Index of the sequence in the batch. */
  readonly sequence: number;
  /** Sweeps done so far; 0 before the first boundary update. */
  readonly iteration: number;
  /** Largest scaled defect ‖b_k − Φ(b_{k−1})‖∞ / (1 + ‖b_k‖∞) over the seams. */
  readonly residual: number;
  /** Chunks at the start of the sequence that are exact, and skipped from now on. */
  readonly exactChunks: number;
  readonly chunks: number;
}

/** What `evaluate` may be told beside the cell and its inputs. */
export interface EvaluateOptions {
  /** Default "auto". */
  method?: MethodName | "auto";
  /** Overrides the runtime's backend for this call. */
  backend?: BackendName | "auto";
  /** s_0: `[stateSize]`, or `[B, stateSize]` with one row a sequence. Default zeros. */
  initialState?: FloatArray;
  /** Makes `inputs` a ragged batch: B sequences of these lengths, packed row after row. */
  lengths?: ArrayLike<number>;
  /** Run from the last row to the first; row t of `states` still belongs to row t of `inputs`. */
  reverse?: boolean;
  /** C, steps a chunk. Default 1, which is the paper's method; for "threads", about T over them. */
  chunk?: number;
  /**
   * Whether "threads" must give what sequential evaluation gives, in every bit: chunks then merge only
   * where they are equal. Default false: where they differ by no more than rounding errors.
   */
  exact?: boolean;
  /** λ, or the details. Default: 0, and for `elk` 1e-6, for `quasi-elk` 1e-2. */
  damping?: number | DampingOptions;
  /**
   * Overrides the Jacobian that the method implies. "block" is "diagonal" for a state whose parts
   * differ in size, or that has only one.
   */
  jacobian?: JacobianKind;
  /** Largest residual of a converged result. Default 1e-5. */
  tolerance?: number;
  /** Sweeps before the method gives up. Default 100. */
  maxIterations?: number;
  /** A trajectory `[sum(lengths), stateSize]` to start from. Default zeros. */
  initialGuess?: FloatArray;
  /** What to do when the method does not converge. Default "sequential". */
  onFailure?: "sequential" | "throw" | "return";
  /**
   * Called before every sweep and once after the last; on WebGPU, where nothing is read back between
   * sweeps, for all of them once the last is done.
   */
  onIteration?: (progress: IterationProgress) => void;
  /** Called now and then by "sequential" and "threads" with the number of steps done, of all steps. */
  onProgress?: (done: number, total: number) => void;
  /** Ends the evaluation early: `evaluate` then rejects with the signal's reason. */
  signal?: AbortSignal;
  /**
   * "gpu" leaves `states` and `finalStates` on the device, as buffers that are the caller's to destroy:
   * usage STORAGE, COPY_SRC and COPY_DST, on `runtime.device`. WebGPU only. Default "cpu".
   */
  output?: "cpu" | "gpu";
  /** Whether the report should tell each stage's milliseconds on the GPU's own clock. Default false. */
  profile?: boolean;
}

/** The GPU that did the work, in its driver's words; any of them may be empty. */
export interface AdapterDescription {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** Whether it is no GPU at all but a program that imitates one. */
  readonly software: boolean;
}

/** What an evaluation asked of the GPU. */
export interface Traffic {
  readonly submits: number;
  /** Dispatches recorded, those included that turned out to have no work. */
  readonly dispatches: number;
  readonly bytesUploaded: number;
  readonly bytesDownloaded: number;
  /** Times that the host waited for data. */
  readonly readbacks: number;
  readonly buffersCreated: number;
  readonly pipelinesCompiled: number;
}

/** What ran, and how good the result is. */
export interface Report {
  readonly backend: BackendName;
  /** Which WebAssembly build ran. */
  readonly simd?: "plain" | "relaxed";
  readonly method: MethodName;
  readonly jacobian: JacobianKind | null;
  /** Steps a chunk; the whole sequence for sequential evaluation. */
  readonly chunk: number;
  /**
   * Sweeps (boundary updates); the largest over the batch. 0 for sequential evaluation. With "threads",
   * 1 where all chunks merge, and one more for each in a row that does not.
   */
  readonly iterations: number;
  /** Largest over t of ‖s_t − f(s_{t−1}, x_t)‖∞ / (1 + ‖s_t‖∞), on the returned states. */
  readonly residual: number;
  /** Estimate of the largest over t of ‖s_t − s*_t‖∞ / (1 + ‖s_t‖∞); see docs/methods.md. */
  readonly errorEstimate: number;
  /**
   * residual ≤ tolerance, errorEstimate ≤ 10 × tolerance, and no comparison in the cell's step so close
   * that such an error could turn it over.
   */
  readonly converged: boolean;
  /** Present when the method asked for did not finish the job by itself. */
  readonly fallback?: Fallback;
  /** Threads that worked, the caller's included; WebAssembly only. */
  readonly threads?: number;
  /** Where chunks or sequences were shared out: steps evaluated, and those of them evaluated again. */
  readonly steps?: { readonly run: number; readonly rerun: number };
  /** Why this method and backend ran, in words. */
  readonly choice: string;
  /** Why the work did not stay on the backend that began it, in words. */
  readonly failover?: string;
  /** WebGPU only: the GPU, what was asked of it, and in how many windows of steps. */
  readonly adapter?: AdapterDescription;
  readonly traffic?: Traffic;
  readonly windows?: number;
  /** With `profile`: milliseconds a stage on the GPU's clock, or why there are none. */
  readonly stages?: Readonly<Record<string, number>> | string;
  /** From the start of the run, not from the call: `prepare` is what went by before the first sweep. */
  readonly milliseconds: {
    readonly total: number;
    readonly prepare: number;
    readonly solve: number;
  };
}

/** What became of a sequence that the method did not finish by itself. */
export interface Fallback {
  /** "sequential": it was evaluated step by step from `fromStep` on. "none": it was left as it was. */
  readonly to: "sequential" | "none";
  /** Why, in words. */
  readonly reason: string;
  /** First row that was evaluated sequentially, counted in the direction of time. */
  readonly fromStep: number;
  /** Index of the first sequence of the batch that needed it. */
  readonly sequence: number;
}

/** What `evaluate` gives: arrays, or buffers with `output: "gpu"`. */
export interface Evaluation<States extends FloatArray | DeviceArray = Float32Array> {
  /** `[T, stateSize]`, or `[sum(lengths), stateSize]` for a batch. */
  readonly states: States;
  /** `[stateSize]`, or `[B, stateSize]` for a batch. */
  readonly finalStates: States;
  readonly report: Report;
}
