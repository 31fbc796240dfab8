/** How many sequences or chunks run side by side on a thread. */

/** Lanes of a program that has more than one. */
export const LANES = 8;

/**
 * The lanes that serve so many sequences or chunks best. Eight lanes take about as long as seven runs of one, but
 * for small states, where most of a step is the way from one instruction to the next.
 */
export function lanesFor(count: number, stateSize: number): 1 | typeof LANES {
  return count > Math.min(stateSize, 6) ? LANES : 1;
}
