/** Antler: nonlinear recurrences, evaluated in parallel over time. */
export type { WasmSource } from "./backend/wasm/load.ts";
export * from "./cell/index.ts";
export { createRuntime, type RuntimeOptions } from "./create-runtime.ts";
export {
  BackendUnavailableError,
  ConvergenceError,
  DeviceLostError,
  GpuError,
  type GpuErrorKind,
  NonFiniteError,
  type NonFiniteLocation,
} from "./errors.ts";
export { type BackendStatus, Runtime } from "./runtime.ts";
export type {
  AdapterDescription,
  BackendName,
  DampingOptions,
  DeviceArray,
  EvaluateOptions,
  Evaluation,
  Fallback,
  FloatArray,
  IterationProgress,
  JacobianKind,
  MethodName,
  Report,
  Traffic,
} from "./types.ts";
export type { Shape } from "./validate.ts";
