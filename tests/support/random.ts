/**
 * Seeded random numbers, so that a failing test fails again.
 *
 * Every fill is a `Float32Array`: the same numbers then go unrounded to a float32 backend, to the
 * float64 oracle and to outside implementations, and a difference between them is arithmetic.
 */

/** The next number of a stream, uniform on [0, 1). */
export type Random = () => number;

/** Tommy Ettinger's Mulberry32: 32 bits of state, one multiply–xorshift round a number. */
export function mulberry32(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** `length` numbers, uniform on [low, high). */
export function uniform(random: Random, length: number, low = -1, high = 1): Float32Array {
  const values = new Float32Array(length);
  for (let i = 0; i < length; i++) values[i] = low + (high - low) * random();
  return values;
}

/** `length` numbers from N(mean, deviation²), by the Box–Muller transform. */
export function normal(random: Random, length: number, mean = 0, deviation = 1): Float32Array {
  const values = new Float32Array(length);
  for (let i = 0; i < length; i += 2) {
    // 1 − u lies in (0, 1], where the logarithm is finite.
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - random()));
    const angle = 2 * Math.PI * random();
    values[i] = mean + radius * Math.cos(angle);
    if (i + 1 < length) values[i + 1] = mean + radius * Math.sin(angle);
  }
  return values;
}

/** Named weights, row-major and flat, as the cells take them. */
export type Weights = Record<string, Float32Array>;

/**
 * One array for every named shape, uniform on [−scale, scale), in the order of the names.
 * `scale` = 1/√hiddenSize is PyTorch's initialisation.
 */
export function randomWeights(
  shapes: Readonly<Record<string, readonly number[]>>,
  scale: number,
  seed: number,
): Weights {
  const random = mulberry32(seed);
  const weights: Weights = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const length = shape.reduce((product, extent) => product * extent, 1);
    weights[name] = uniform(random, length, -scale, scale);
  }
  return weights;
}
