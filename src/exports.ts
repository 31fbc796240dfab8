/** What every entry of the package exports beside its `createRuntime`. */
export type { Calibration, HostRates } from "./auto/calibration.ts";
export type { DeviceRates } from "./auto/device.ts";
export type { WasmSource } from "./backend/wasm/load.ts";
export * from "./cell/index.ts";
export type { CreateRuntime, RuntimeOptions } from "./create-runtime.ts";
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
  Adapter,
  AdapterDescription,
  BackendName,
  DampingOptions,
  Device,
  DeviceArray,
  EvaluateOptions,
  Evaluation,
  Fallback,
  FloatArray,
  Gpu,
  IterationProgress,
  JacobianKind,
  MethodName,
  Report,
  Traffic,
} from "./types.ts";
export type { Shape } from "./validate.ts";
