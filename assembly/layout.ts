/**
 * Where the fields of the structures lie that the host fills in and the kernels read, in bytes. The
 * host's code (src/backend/wasm) imports these too. Fields are 32-bit words.
 */

/** A run of `runLanes`. */
export const enum Job {
  code = 0,
  lanes = 4,
  /** Lane table, see `Lane`. */
  table = 8,
  /** Steps of the longest lane. */
  steps = 12,
  /** What a step reads from outside: floats a row, bytes from step to step, its register. */
  sourceWidth = 16,
  sourceStride = 20,
  sourceRegister = 24,
  /** The registers of what is carried, before and after the step, and their floats a lane. */
  carryRegister = 28,
  nextRegister = 32,
  carryWidth = 36,
  /** The first floats of `next` that are stored after every step, and bytes from row to row. */
  targetWidth = 40,
  targetStride = 44,
  /** Rows of random signs for Hutchinson's probes: 0 if none, floats a row, register, rows. */
  signs = 48,
  signsWidth = 52,
  signsRegister = 56,
  signsRows = 60,
  /** The state is the first `stateWidth` floats of what is carried; the rest starts from here. */
  stateWidth = 64,
  restart = 68,
  /** Code of the first step, where it differs. */
  firstCode = 72,
  size = 76,
}

/** A lane of such a run; the addresses move on as it runs. */
export const enum Lane {
  source = 0,
  target = 4,
  steps = 8,
  /** Row of the signs table. */
  sign = 12,
  /** The state to start from. */
  initial = 16,
  /** Where the final state goes (0: nowhere), and where the rest of what is carried goes. */
  final = 20,
  finalRest = 24,
  size = 32,
}

/** One sequence cut into chunks, as the scans see it. */
export const enum Chunks {
  /** s_1 … s_T, `[steps, stateSize]` in the direction of time. */
  states = 0,
  /** b_0 … b_K, `[chunks + 1, stateSize]`. */
  boundaries = 4,
  /** P_0 …, `productStride` bytes apart: 0 if all are one. */
  products = 8,
  productStride = 12,
  /** Floats of a P_k. */
  productWidth = 16,
  /** Floats from row to row of a dense P_k, a multiple of four. */
  pitch = 20,
  /** Lowest and highest value of each element of the state. */
  low = 24,
  high = 28,
  chunks = 32,
  chunkLength = 36,
  steps = 40,
  stateSize = 44,
  /** k, the size of a unit's block. */
  units = 48,
  /** λ, a float. */
  lambda = 52,
  smoother = 56,
  /** Scratch memory; how much, src/backend/wasm/engine.ts knows. */
  scratch = 60,
  /** What `measure` found: largest scaled defect, half the sum of squares (floats), exact chunks, finite (integers). */
  residual = 64,
  merit = 68,
  exactChunks = 72,
  finite = 76,
  size = 80,
}

/** The certificate of a trajectory. */
export const enum Certify {
  /** Code that takes the state and four tangents one step on. */
  code = 0,
  states = 4,
  /** What the steps read beside the state, `[steps, sourceWidth]`. */
  source = 8,
  sourceWidth = 12,
  sourceRegister = 16,
  stateRegister = 20,
  /** `[stateSize, 4]`. */
  tangentRegister = 24,
  /** The next state, then the next tangents. */
  nextRegister = 28,
  stateSize = 32,
  /** s_0. */
  initial = 36,
  /** Size of one rounding error, relative (a float). */
  rounding = 40,
  /** What was found so far (floats). */
  residual = 44,
  error = 48,
  size = 52,
}

/** Numbers of a P_k that are not finite: what takes their place. */
export const enum ProductKind {
  diagonal,
  block,
  dense,
}
