/** How straight a line measurements lie on. */

export interface StraightLine {
  /** y at x = 0; never negative. */
  readonly fixed: number;
  /** y for each x. */
  readonly slope: number;
  /** The largest |y / line(x) − 1|. */
  readonly deviation: number;
  /** y / line(x) − 1 for each point, in their order. */
  readonly deviations: readonly number[];
}

/**
 * The line y = fixed + slope · x with the least sum of squared relative errors, so that points count
 * alike however far apart they lie.
 *
 * @param points at least two, with positive x and y
 */
export function fitLine(points: readonly (readonly [x: number, y: number])[]): StraightLine {
  // With weights 1 / y²: minimise Σ (fixed · u + slope · v − 1)², where u = 1 / y and v = x / y.
  let uu = 0;
  let uv = 0;
  let vv = 0;
  let u1 = 0;
  let v1 = 0;
  for (const [x, y] of points) {
    const u = 1 / y;
    const v = x / y;
    uu += u * u;
    uv += u * v;
    vv += v * v;
    u1 += u;
    v1 += v;
  }
  const determinant = uu * vv - uv * uv;
  let fixed = (u1 * vv - v1 * uv) / determinant;
  let slope = (v1 * uu - u1 * uv) / determinant;
  if (!(fixed >= 0)) {
    fixed = 0;
    slope = v1 / vv;
  }
  const deviations = points.map(([x, y]) => y / (fixed + slope * x) - 1);
  const deviation = deviations.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  return { fixed, slope, deviation, deviations };
}
