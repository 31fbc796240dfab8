/** Seeded numbers that are the same in every engine, and exact in float32. */

/** Steps between −1 and 1; fifteen bits leave room for a power of two as factor. */
const STEPS = 2 ** 15;

/**
 * A stream of numbers on the grid k/2¹⁵ in [−1, 1), by Marsaglia's xorshift of 32 bits: integer
 * operations only.
 *
 * @param seed a positive integer.
 */
export function randomStream(seed: number): (length: number, factor?: number) => Float32Array {
  // Small seeds differ in few bits: multiplied by an odd number, they differ in many.
  let bits = Math.imul(seed, 0x9e3779b1);
  const next = () => {
    bits ^= bits << 13;
    bits ^= bits >>> 17;
    bits ^= bits << 5;
    return (bits >> 16) / STEPS;
  };
  // Neighbouring seeds still begin alike.
  for (let i = 0; i < 8; i++) next();
  return (length, factor = 1) => Float32Array.from({ length }, () => factor * next());
}
