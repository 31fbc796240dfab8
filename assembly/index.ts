/**
 * The kernels' exports. The host (src/backend/wasm) owns the whole memory above `heapBase`, lays out
 * programs, weights and states in it, and passes addresses; nothing here allocates.
 */
export { certify } from "./certificate";
export { kalmanDiagonal } from "./kalman";
export { kalmanMatrices, kalmanScratch } from "./kalman-dense";
export { execute } from "./program";
export { runLanes } from "./recurrence";
export { drive } from "./rows";
export {
  allFinite,
  guardProducts,
  measure,
  scanBlock,
  scanDense,
  scanDiagonal,
  setExact,
} from "./scan";

/** First byte that the host may use, a multiple of sixteen. */
export function heapBase(): usize {
  return (__heap_base + 15) & ~15;
}

/** 1 in the relaxed-SIMD build, whose sums may round differently from one CPU to another. */
export function usesRelaxedSimd(): i32 {
  return ASC_FEATURE_RELAXED_SIMD ? 1 : 0;
}
