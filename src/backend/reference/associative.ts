/**
 * The boundary updates as associative scans, the form in which parallel hardware runs them: elements
 * and how to combine them, and a plain tree-shaped scan. The oracle for scans elsewhere.
 *
 * Kalman filter and smoother: Särkkä and García-Fernández, "Temporal parallelization of Bayesian
 * smoothers", IEEE Transactions on Automatic Control 66 (2021), section IV; the model is that of
 * `kalman.ts`, in which every observation is zero.
 */
import type { Chain } from "./affine.ts";
import {
  add,
  addScaled,
  apply,
  divide,
  multiply,
  scaledIdentity,
  solve,
  symmetrise,
  transpose,
} from "./dense.ts";
import type { Filtered } from "./kalman.ts";

/**
 * All prefixes e_0, e_0 ∘ e_1, … of `elements`: neighbours are combined, the half as long sequence is
 * scanned, and the prefixes in between are filled in. Depth O(log K), work O(K).
 *
 * @param combine (earlier, later) → element; associative, not commutative.
 */
export function associativeScan<Element>(
  elements: readonly Element[],
  combine: (earlier: Element, later: Element) => Element,
): Element[] {
  if (elements.length < 2) return [...elements];
  const pairs: Element[] = [];
  for (let i = 1; i < elements.length; i += 2) pairs.push(combine(elements[i - 1]!, elements[i]!));
  const scanned = associativeScan(pairs, combine);
  return elements.map((element, i) => {
    if (i === 0) return element;
    return i % 2 === 1 ? scanned[(i - 1) / 2]! : combine(scanned[i / 2 - 1]!, element);
  });
}

/** All suffixes …, e_{K−2} ∘ e_{K−1}, e_{K−1}. */
export function reverseAssociativeScan<Element>(
  elements: readonly Element[],
  combine: (earlier: Element, later: Element) => Element,
): Element[] {
  const reversed = [...elements].reverse();
  return associativeScan(reversed, (later, earlier) => combine(earlier, later)).reverse();
}

/** The map δ ↦ matrix · δ + offset, of vectors of n. */
export interface Affine {
  /** `[n, n]`. */
  readonly matrix: Float64Array;
  /** `[n]`. */
  readonly offset: Float64Array;
}

/** `later` after `earlier`. */
export function combineAffine(earlier: Affine, later: Affine): Affine {
  return {
    matrix: multiply(later.matrix, earlier.matrix, later.offset.length),
    offset: add(apply(later.matrix, earlier.offset), later.offset),
  };
}

/** The same for diagonal matrices, given as vectors of n. */
export function combineDiagonalAffine(earlier: Affine, later: Affine): Affine {
  return {
    matrix: later.matrix.map((value, i) => value * earlier.matrix[i]!),
    offset: later.offset.map((value, i) => later.matrix[i]! * earlier.offset[i]! + value),
  };
}

/**
 * What some consecutive steps say: given the state δ before them, the state after them is
 * N(A δ + b, C), and their observations weigh δ by exp(ηᵀδ − δᵀJδ/2).
 */
export interface FilterElement<Matrix, Vector> {
  readonly A: Matrix;
  readonly b: Vector;
  readonly C: Matrix;
  readonly eta: Vector;
  readonly J: Matrix;
}

export type DenseFilterElement = FilterElement<Float64Array, Float64Array>;
export type ScalarFilterElement = FilterElement<number, number>;

/**
 * One step's element, with the gain g = λ/(1+λ) of an observation of noise 1/λ after noise 1: A = (1−g) P,
 * b = (1−g) d, C = (1−g) I, η = −g Pᵀd, J = g PᵀP.
 */
export function denseFilterElement(
  matrix: Float64Array,
  defect: Float64Array,
  lambda: number,
): DenseFilterElement {
  const n = defect.length;
  const gain = lambda / (1 + lambda);
  const keep = 1 / (1 + lambda);
  const transposed = transpose(matrix, n);
  return {
    A: matrix.map((value) => keep * value),
    b: defect.map((value) => keep * value),
    C: scaledIdentity(n, keep),
    eta: apply(transposed, defect).map((value) => -gain * value),
    J: multiply(transposed, matrix, n).map((value) => gain * value),
  };
}

/** The first step's element, which knows the state before it; its prefix products are the filter. */
export function firstDenseFilterElement(
  matrix: Float64Array,
  defect: Float64Array,
  lambda: number,
  start: Float64Array,
): DenseFilterElement {
  const n = start.length;
  const { A, b, C } = denseFilterElement(matrix, defect, lambda);
  const zero = new Float64Array(n * n);
  return { A: zero, b: add(apply(A, start), b), C, eta: new Float64Array(n), J: zero };
}

export function combineDenseFilter(
  earlier: DenseFilterElement,
  later: DenseFilterElement,
): DenseFilterElement {
  const n = earlier.b.length;
  const identity = scaledIdentity(n);
  // T = A₂ (I + C₁J₂)⁻¹ and U = A₁ᵀ (I + J₂C₁)⁻¹.
  const T = divide(later.A, add(identity, multiply(earlier.C, later.J, n)), n);
  const transposed = transpose(earlier.A, n);
  const U = divide(transposed, add(identity, multiply(later.J, earlier.C, n)), n);
  const spread = multiply(multiply(T, earlier.C, n), transpose(later.A, n), n);
  const evidence = multiply(multiply(U, later.J, n), earlier.A, n);
  const mean = add(earlier.b, apply(earlier.C, later.eta));
  const surprise = addScaled(later.eta, -1, apply(later.J, earlier.b));
  return {
    A: multiply(T, earlier.A, n),
    b: add(apply(T, mean), later.b),
    C: symmetrise(add(spread, later.C), n),
    eta: add(apply(U, surprise), earlier.eta),
    J: symmetrise(add(evidence, earlier.J), n),
  };
}

export function scalarFilterElement(
  factor: number,
  defect: number,
  lambda: number,
): ScalarFilterElement {
  const gain = lambda / (1 + lambda);
  const keep = 1 / (1 + lambda);
  return {
    A: keep * factor,
    b: keep * defect,
    C: keep,
    eta: -gain * factor * defect,
    J: gain * factor * factor,
  };
}

export function firstScalarFilterElement(
  factor: number,
  defect: number,
  lambda: number,
  start: number,
): ScalarFilterElement {
  const { A, b, C } = scalarFilterElement(factor, defect, lambda);
  return { A: 0, b: A * start + b, C, eta: 0, J: 0 };
}

/** The divisor 1 + C₁J₂ is at least 1. */
export function combineScalarFilter(
  earlier: ScalarFilterElement,
  later: ScalarFilterElement,
): ScalarFilterElement {
  const divisor = 1 + earlier.C * later.J;
  return {
    A: (earlier.A * later.A) / divisor,
    b: (later.A * (earlier.b + earlier.C * later.eta)) / divisor + later.b,
    C: (earlier.C * later.A * later.A) / divisor + later.C,
    eta: (earlier.A * (later.eta - later.J * earlier.b)) / divisor + earlier.eta,
    J: (later.J * earlier.A * earlier.A) / divisor + earlier.J,
  };
}

/**
 * The smoother's elements: δ_k's smoothed mean as an affine map of δ_{k+1}'s, with the gain
 * E = V Pᵀ (V⁻_next)⁻¹ and the offset m − E m⁻_next; the last mean is the filter's. Their suffix
 * products under `combineSmoother` have the smoothed means as offsets.
 */
export function smootherElements({ matrices }: Chain, { predicted, filtered }: Filtered): Affine[] {
  return filtered.map(({ mean, covariance }, k) => {
    const n = mean.length;
    const next = predicted[k + 1];
    if (!next) return { matrix: new Float64Array(n * n), offset: mean };
    const cross = multiply(matrices[k + 1]!, covariance, n);
    const matrix = transpose(solve(next.covariance, cross, n), n);
    return { matrix, offset: addScaled(mean, -1, apply(matrix, next.mean)) };
  });
}

/** `earlier` after `later`: the smoother runs backwards. */
export function combineSmoother(earlier: Affine, later: Affine): Affine {
  return combineAffine(later, earlier);
}
