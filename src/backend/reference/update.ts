/** The boundary update of all units of the state, damped or not. */
import type { Damping } from "../../solve/method.ts";
import type { JacobianKind } from "../../types.ts";
import { affineUpdate, type Chain } from "./affine.ts";
import { add, addScaled } from "./dense.ts";
import { kalmanFilter, rtsSmoother } from "./kalman.ts";

/** What the sweep found; index 0 is the first chunk whose start was not exact. */
export interface Sweep {
  readonly jacobian: JacobianKind;
  /** n: the size of a unit's block of P_k. */
  readonly units: number;
  /** P_0 … P_{K−1}, `[units, units, stateSize / units]` each. */
  readonly products: readonly Float64Array[];
  /** Φ_0 … Φ_{K−1}, `[stateSize]` each. */
  readonly ends: readonly Float64Array[];
  /** b_0 … b_K as they were before the sweep. */
  readonly boundaries: readonly Float64Array[];
  /** The new b_0, exact. */
  readonly start: Float64Array;
}

/**
 * The new b_1 … b_K, not guarded yet. Non-finite numbers spread through a chain, so that the result is
 * what a parallel scan gives.
 */
export function updatedBoundaries(sweep: Sweep, damping: Damping): Float64Array[] {
  const { jacobian, units, ends, boundaries, start } = sweep;
  const products = sweep.products.map((product) => preparedProduct(product, sweep, damping));
  const updated = ends.map((end) => new Float64Array(end.length));
  const links = ends.length;
  const size = start.length / units;
  const firstDifference = addScaled(start, -1, boundaries[0]!);
  for (let unit = 0; unit < size; unit++) {
    const gather = (state: Float64Array) =>
      Float64Array.from({ length: units }, (_, a) => state[a * size + unit]!);
    const gatherBlock = (product: Float64Array) =>
      Float64Array.from({ length: units * units }, (_, entry) => product[entry * size + unit]!);
    // Without a Jacobian nothing passes from one boundary to the next, 0 · NaN included.
    const step = jacobian === "none" ? 1 : links;
    for (let k = 0; k < links; k += step) {
      const chain: Chain = {
        start: k === 0 ? gather(firstDifference) : new Float64Array(units),
        matrices: products.slice(k, k + step).map(gatherBlock),
      };
      const unitEnds = ends.slice(k, k + step).map(gather);
      const unitOld = boundaries.slice(k + 1, k + 1 + step).map(gather);
      updatedChain(chain, unitEnds, unitOld, damping).forEach((values, i) => {
        for (let a = 0; a < units; a++) updated[k + i]![a * size + unit] = values[a]!;
      });
    }
  }
  return updated;
}

/** @returns the new boundaries after each of the chain's links. */
function updatedChain(
  chain: Chain,
  ends: readonly Float64Array[],
  old: readonly Float64Array[],
  { lambda, estimate }: Damping,
): Float64Array[] {
  if (lambda === 0) return affineUpdate(chain, ends, old);
  const defects = ends.map((end, k) => addScaled(end, -1, old[k]!));
  const result = kalmanFilter(chain, defects, lambda);
  const means =
    estimate === "smoother" ? rtsSmoother(chain, result) : result.filtered.map(({ mean }) => mean);
  return means.map((mean, k) => add(old[k]!, mean));
}

/** P_k with the guard against non-finite entries, scale-ELK and clip-ELK. */
function preparedProduct(
  product: Float64Array,
  { units }: Sweep,
  { scale, clip }: Damping,
): Float64Array {
  const finite = product.every(Number.isFinite);
  const size = product.length / units ** 2;
  return product.map((value, index) => {
    const entry = Math.floor(index / size);
    const identity = entry % (units + 1) === 0 ? 1 : 0;
    // One diagonal is as many matrices of one element: those that are finite stay.
    const usable = units === 1 ? Number.isFinite(value) : finite;
    const scaled = (1 - scale) * (usable ? value : identity);
    return clip ? Math.min(Math.max(scaled, -1), 1) : scaled;
  });
}
