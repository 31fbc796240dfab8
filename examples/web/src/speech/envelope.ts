/** Long signals as few numbers, for pictures. */

export interface Envelope {
  readonly low: Float32Array;
  readonly high: Float32Array;
}

/** The lowest and the highest sample of each of at most `most` equal stretches. */
export function envelopeOf(samples: Float32Array, most = 1200): Envelope {
  const bins = Math.min(most, samples.length);
  const low = new Float32Array(bins);
  const high = new Float32Array(bins);
  for (let bin = 0; bin < bins; bin++) {
    const end = Math.floor(((bin + 1) * samples.length) / bins);
    let least = Infinity;
    let largest = -Infinity;
    for (let i = Math.floor((bin * samples.length) / bins); i < end; i++) {
      least = Math.min(least, samples[i]);
      largest = Math.max(largest, samples[i]);
    }
    low[bin] = least;
    high[bin] = largest;
  }
  return { low, high };
}

/** The largest value of each of at most `most` equal stretches. */
export function peaksOf(values: Float64Array, most = 1500): number[] {
  const bins = Math.min(most, values.length);
  return Array.from({ length: bins }, (_, bin) => {
    const end = Math.floor(((bin + 1) * values.length) / bins);
    let peak = 0;
    for (let i = Math.floor((bin * values.length) / bins); i < end; i++) {
      peak = Math.max(peak, values[i]);
    }
    return peak;
  });
}
