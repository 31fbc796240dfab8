/** Cells as WGSL. */

export type { Geometry, GeometryChoice, KernelLimits } from "./geometry.ts";
export {
  CERTIFICATE_COLUMNS,
  type CompiledCell,
  certificateKernel,
  compileCell,
  driveKernel,
  type KernelOptions,
  type ProgramKernel,
  type SweepKernel,
  sweepKernel,
} from "./kernels.ts";
