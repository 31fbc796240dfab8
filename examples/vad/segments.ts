/**
 * Speech segments from a probability per window, by Silero's rule: two thresholds, so that a segment does not
 * flicker, then a shortest silence, a shortest speech and some padding.
 */

export interface Segment {
  /** Seconds from the start of the recording. */
  readonly start: number;
  readonly end: number;
}

export interface SegmentOptions {
  /** A segment opens at a probability of at least this. */
  threshold: number;
  /** It closes below this. */
  lowerThreshold: number;
  /** Seconds; shorter segments are dropped. */
  minimumSpeech: number;
  /** Seconds; shorter pauses do not end a segment. */
  minimumSilence: number;
  /** Seconds added on both sides; two segments closer than twice this share the gap. */
  padding: number;
}

/** What Silero's own tools use. */
export const SILERO_OPTIONS: SegmentOptions = {
  threshold: 0.5,
  lowerThreshold: 0.35,
  minimumSpeech: 0.25,
  minimumSilence: 0.1,
  padding: 0.03,
};

/**
 * The stretches of speech, in order and without overlap.
 *
 * @param probabilities one a window.
 * @param secondsPerWindow from one window to the next.
 * @param seconds the length of the recording; no segment reaches beyond it.
 */
export function findSegments(
  probabilities: ArrayLike<number>,
  secondsPerWindow: number,
  seconds: number = probabilities.length * secondsPerWindow,
  options: SegmentOptions = SILERO_OPTIONS,
): Segment[] {
  const runs = findRuns(probabilities, secondsPerWindow, options).map(([first, end]) => ({
    start: first * secondsPerWindow,
    end: end === null ? seconds : end * secondsPerWindow,
  }));
  const longEnough = runs.filter(({ start, end }) => end - start > options.minimumSpeech);
  return pad(longEnough, options.padding, seconds);
}

/** Pairs of a first window and the window after the last; null where speech lasts to the end. */
function findRuns(
  probabilities: ArrayLike<number>,
  secondsPerWindow: number,
  { threshold, lowerThreshold, minimumSilence }: SegmentOptions,
): [number, number | null][] {
  const runs: [number, number | null][] = [];
  let first: number | null = null;
  // Where the pause began that may turn out to end the run.
  let quietSince: number | null = null;
  for (let window = 0; window < probabilities.length; window++) {
    const probability = probabilities[window];
    if (probability >= threshold) {
      first ??= window;
      quietSince = null;
    } else if (first !== null && probability < lowerThreshold) {
      quietSince ??= window;
      if ((window - quietSince) * secondsPerWindow >= minimumSilence) {
        runs.push([first, quietSince]);
        first = null;
        quietSince = null;
      }
    }
  }
  if (first !== null) runs.push([first, null]);
  return runs;
}

function pad(segments: Segment[], padding: number, seconds: number): Segment[] {
  return segments.map(({ start, end }, index) => {
    const before = index === 0 ? Infinity : (start - segments[index - 1].end) / 2;
    const after = index === segments.length - 1 ? Infinity : (segments[index + 1].start - end) / 2;
    return {
      start: Math.max(0, start - Math.min(padding, before)),
      end: Math.min(seconds, end + Math.min(padding, after)),
    };
  });
}

/** Seconds that two spans have in common. */
export function overlap(a: Segment, b: Segment): number {
  return Math.max(0, Math.min(a.end, b.end) - Math.max(a.start, b.start));
}
