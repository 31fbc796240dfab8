/** Antler: nonlinear recurrences, evaluated in parallel over time. */
export type { WasmSource } from "./backend/wasm/load.ts";
export * from "./cell/index.ts";
export {
  BackendUnavailableError,
  ConvergenceError,
  NonFiniteError,
  type NonFiniteLocation,
} from "./errors.ts";
export { type BackendStatus, createRuntime, Runtime, type RuntimeOptions } from "./runtime.ts";
export type {
  BackendName,
  DampingOptions,
  EvaluateOptions,
  Evaluation,
  Fallback,
  FloatArray,
  IterationProgress,
  JacobianKind,
  MethodName,
  Report,
} from "./types.ts";
