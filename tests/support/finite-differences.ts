/** Derivatives by finite differences, to ten digits and more, of functions smooth near a point. */

export type VectorFunction = (x: Float64Array) => Float64Array;

export interface DifferenceOptions {
  /** The widest half-width of a central difference. Default 1/16. */
  readonly step?: number;
  /** Halvings of `step`. Default 7. */
  readonly levels?: number;
}

/**
 * J(at) · direction by central differences, extrapolated to step 0 (Richardson) in a triangular
 * table; per element, the entry that agrees best with its neighbours is taken (Ridders, Advances in
 * Engineering Software 4, 1982). `f` may return one and the same array every time.
 */
export function directionalDerivative(
  f: VectorFunction,
  at: Float64Array,
  direction: Float64Array,
  { step = 1 / 16, levels = 7 }: DifferenceOptions = {},
): Float64Array {
  const along = (distance: number) => f(at.map((x, i) => x + distance * direction[i])).slice();
  const size = along(0).length;
  const best = new Float64Array(size);
  const smallestError = new Float64Array(size).fill(Infinity);
  let previous: Float64Array[] = [];
  for (let level = 0; level < levels; level++) {
    const width = step / 2 ** level;
    const [ahead, behind] = [along(width), along(-width)];
    const row = [ahead.map((value, i) => (value - behind[i]) / (2 * width))];
    for (let order = 1; order <= level; order++) {
      const [finer, coarser] = [row[order - 1], previous[order - 1]];
      const factor = 4 ** order - 1;
      const better = finer.map((value, i) => value + (value - coarser[i]) / factor);
      for (let i = 0; i < size; i++) {
        const error = Math.max(Math.abs(better[i] - finer[i]), Math.abs(better[i] - coarser[i]));
        if (error >= smallestError[i]) continue;
        smallestError[i] = error;
        best[i] = better[i];
      }
      row.push(better);
    }
    previous = row;
  }
  return best;
}

/** The Jacobian of `f`, `[outputs, inputs]`, row-major. */
export function differenceJacobian(
  f: VectorFunction,
  at: Float64Array,
  options?: DifferenceOptions,
): Float64Array {
  const columns = Array.from(at, (_, j) =>
    directionalDerivative(f, at, unitVector(at.length, j), options),
  );
  return fromColumns(columns);
}

/** Row-major `[columns[0].length, columns.length]`; empty without columns. */
export function fromColumns(columns: readonly Float64Array[]): Float64Array {
  const rows = columns[0]?.length ?? 0;
  const matrix = new Float64Array(rows * columns.length);
  columns.forEach((column, j) => {
    column.forEach((value, i) => {
      matrix[i * columns.length + j] = value;
    });
  });
  return matrix;
}

export function unitVector(size: number, index: number): Float64Array {
  const vector = new Float64Array(size);
  vector[index] = 1;
  return vector;
}

/** Largest |actual − expected|, relative to the largest |expected| or `floor`. */
export function relativeError(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  floor = 1e-3,
): number {
  if (actual.length !== expected.length) {
    throw new RangeError(`actual: expected ${expected.length} numbers, got ${actual.length}`);
  }
  let [difference, scale] = [0, floor];
  for (let i = 0; i < expected.length; i++) {
    // Not Math.max alone: NaN must not pass for small.
    const distance = Math.abs(actual[i] - expected[i]);
    if (!(distance <= difference)) difference = distance;
    scale = Math.max(scale, Math.abs(expected[i]));
  }
  return difference / scale;
}
