/**
 * Sample-rate conversion by band-limited interpolation: a sinc with a Kaiser window, one set of taps for
 * each of the phases that the ratio of the rates gives rise to.
 *
 * The window's shape parameter and the width of the transition band follow Kaiser's design formulas
 * (Oppenheim & Schafer, Discrete-Time Signal Processing, section 7.5.3), for 80 dB.
 */

const ZERO_CROSSINGS = 32;
const STOP_BAND_DECIBELS = 80;
const KAISER_BETA = 0.1102 * (STOP_BAND_DECIBELS - 8.7);
/** Width of the transition band as a fraction of the lower of the two Nyquist frequencies. */
const TRANSITION = (STOP_BAND_DECIBELS - 8) / (2.285 * 2 * ZERO_CROSSINGS * Math.PI);

/**
 * `samples` at `toRate` instead of `fromRate`; sample 0 stays at time 0, and beyond its ends the signal is
 * taken to be silent.
 *
 * @param fromRate samples a second, a positive integer.
 * @param toRate samples a second, a positive integer.
 * @returns ⌈samples.length · toRate / fromRate⌉ samples.
 */
export function resample(samples: Float32Array, fromRate: number, toRate: number): Float32Array {
  if (fromRate === toRate) return samples;
  const divisor = greatestCommonDivisor(fromRate, toRate);
  const phases = toRate / divisor;
  const stride = fromRate / divisor;
  const widening = Math.max(1, fromRate / toRate);
  const reach = Math.ceil(ZERO_CROSSINGS * widening);
  const taps = 2 * reach;
  const filter = interpolationFilter(phases, reach, widening);

  const output = new Float32Array(Math.ceil((samples.length * toRate) / fromRate));
  for (let index = 0; index < output.length; index++) {
    const position = index * stride;
    const centre = Math.floor(position / phases);
    const phase = position % phases;
    const first = centre - reach + 1;
    const from = Math.max(0, -first);
    const until = Math.min(taps, samples.length - first);
    let sum = 0;
    for (let tap = from; tap < until; tap++) {
      sum += filter[phase * taps + tap] * samples[first + tap];
    }
    output[index] = sum;
  }
  return output;
}

/**
 * Row `phase` holds the weights of the input samples around a point that lies phase / phases after one
 * of them: `[phases, 2 · reach]`. Each row sums to 1, so that a constant stays what it is.
 */
function interpolationFilter(phases: number, reach: number, widening: number): Float64Array {
  const taps = 2 * reach;
  const cutoff = (1 - TRANSITION / 2) / widening;
  const filter = new Float64Array(phases * taps);
  for (let phase = 0; phase < phases; phase++) {
    const row = filter.subarray(phase * taps, (phase + 1) * taps);
    let sum = 0;
    for (let tap = 0; tap < taps; tap++) {
      const distance = tap - reach + 1 - phase / phases;
      row[tap] = sinc(cutoff * distance) * kaiser(distance / reach);
      sum += row[tap];
    }
    for (let tap = 0; tap < taps; tap++) row[tap] /= sum;
  }
  return filter;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** Kaiser's window on [-1, 1], 0 outside. */
function kaiser(x: number): number {
  if (Math.abs(x) > 1) return 0;
  return besselI0(KAISER_BETA * Math.sqrt(1 - x * x)) / besselI0(KAISER_BETA);
}

/** Modified Bessel function of the first kind, order 0, by its power series. */
function besselI0(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
