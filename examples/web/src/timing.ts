/** Times of evaluations, on clocks that browsers round to a tenth of a millisecond or more. */
import type { Report } from "antler";

export interface Timing {
  /** Of one evaluation: the median over the runs. */
  readonly milliseconds: number;
  /** How many runs the median is of. */
  readonly runs: number;
  readonly report: Report;
}

const MOST_RUNS = 5;
/** Milliseconds; no further run begins after it. */
const LONGEST_TOTAL = 1000;
/** A run of this many milliseconds is measured well enough: quick evaluations are repeated within one. */
const LONG_ENOUGH = 20;
const MOST_REPEATS = 200;

/** Warms up with one evaluation, which may compile what the others need, and times some more. */
export async function timeEvaluations(evaluate: () => Promise<Report>): Promise<Timing> {
  const report = await evaluate();
  const timed = async (repeats: number) => {
    const started = performance.now();
    for (let i = 0; i < repeats; i++) await evaluate();
    return (performance.now() - started) / repeats;
  };
  const first = await timed(1);
  const wanted = Math.ceil(LONG_ENOUGH / Math.max(first, 0.01));
  const repeats = Math.min(MOST_REPEATS, Math.max(1, wanted));
  const times = repeats === 1 ? [first] : [];
  let total = first;
  while (times.length === 0 || (times.length < MOST_RUNS && total < LONGEST_TOTAL)) {
    const time = await timed(repeats);
    times.push(time);
    total += time * repeats;
  }
  return { milliseconds: median(times), runs: times.length, report };
}

/** The middle of the values, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
