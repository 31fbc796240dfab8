/** The methods that the example compares. */
import type { EvaluateOptions } from "antler";

/**
 * What the table compares on WebAssembly, and on a GPU if there is one. Chunks of one step are the
 * methods as published, longer ones multiple shooting. The dense Jacobian is left out: it converges too, but
 * carries 256 tangents where the diagonal carries one, and would take longer than all the rest together.
 */
export const COMPARED: readonly EvaluateOptions[] = [
  { method: "sequential" },
  { method: "quasi-deer", jacobian: "diagonal", chunk: 1 },
  { method: "quasi-deer", jacobian: "block", chunk: 1, maxIterations: 300 },
  { method: "quasi-deer", jacobian: "block", chunk: 16 },
  { method: "quasi-deer", jacobian: "block", chunk: 64 },
  { method: "quasi-deer", jacobian: "block", chunk: 256 },
  { method: "quasi-deer", jacobian: "diagonal", chunk: 64 },
  { method: "quasi-elk", jacobian: "block", chunk: 64 },
  { method: "jacobi", chunk: 256 },
];

const onAnyGpu: readonly EvaluateOptions[] = [
  { method: "sequential" },
  { method: "quasi-deer", jacobian: "block", chunk: 64 },
];

/** What runs on WebGPU: little where it is a program on the CPU, which is slow. */
export function comparedOnGpu(software: boolean): readonly EvaluateOptions[] {
  return software ? onAnyGpu : COMPARED;
}
