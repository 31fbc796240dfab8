/** The one measure of error in units in the last place (ULP) of float32. */

const MIN_EXPONENT = -126;
const MAX_EXPONENT = 127;
const SIGNIFICAND_BITS = 23;
const OVERFLOW = 2 ** (MAX_EXPONENT + 1);

const float64 = new Float64Array(1);
const words = new Uint32Array(float64.buffer);
const HIGH_WORD = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 1 : 0;

/** 1 / (spacing of float32) by the biased exponent of a float64. */
const inverseSpacings = Float64Array.from({ length: 2048 }, (_, biased) => {
  const exponent = Math.min(MAX_EXPONENT, Math.max(MIN_EXPONENT, biased - 1023));
  return 2 ** (SIGNIFICAND_BITS - exponent);
});

/**
 * |actual - exact| in units of the spacing of float32 at `exact` (2^-149 among the subnormals).
 *
 * `exact` is not rounded first, so that a correctly rounded result has an error of at most 0.5.
 * NaN matches NaN only, and an infinite `exact` the same infinity only: any other pairing is an
 * infinite error. Beyond the largest float32 an infinity of the right sign is what rounding gives,
 * and below it counts as 2^128.
 *
 * @param actual a float32 value
 * @param exact the true result, in float64
 */
export function ulpError(actual: number, exact: number): number {
  if (Number.isNaN(exact) || Number.isNaN(actual)) return Object.is(actual, exact) ? 0 : Infinity;
  if (actual === exact) return 0;
  if (Math.abs(exact) === Infinity) return Infinity;
  let rounded = actual;
  if (Math.abs(actual) === Infinity) {
    if (Math.abs(exact) >= OVERFLOW && Math.sign(exact) === Math.sign(actual)) return 0;
    rounded = Math.sign(actual) * OVERFLOW;
  }
  float64[0] = exact;
  return Math.abs(rounded - exact) * inverseSpacings[(words[HIGH_WORD] >>> 20) & 0x7ff];
}
