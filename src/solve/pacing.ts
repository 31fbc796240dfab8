/** Cooperative pacing of long work: yield to the event loop now and then, and stop when aborted. */

/** Longest stretch without yielding, in milliseconds: under two frames of a 60 Hz display. */
const LONGEST_STRETCH = 24;
/** What one slice of work should take, in milliseconds. */
const SLICE = 6;

function nextMacrotask(): Promise<void> {
  // Not in every host's types: Node, Deno and Bun have it, browsers do not.
  const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => void };
  return new Promise((resolve) => {
    if (setImmediate) {
      setImmediate(resolve);
    } else if (typeof MessageChannel === "function") {
      // Unlike a nested setTimeout, a message is not held back for 4 ms.
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    } else {
      setTimeout(resolve, 0);
    }
  });
}

export class Pacer {
  readonly #signal: AbortSignal | undefined;
  /** When the evaluation began. */
  readonly started: number = performance.now();
  #lastYield = this.started;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
    signal?.throwIfAborted();
  }

  /**
   * Yields if the last time was so many milliseconds ago.
   *
   * @throws the signal's reason when it is aborted.
   */
  async pause(longest = LONGEST_STRETCH): Promise<void> {
    this.#signal?.throwIfAborted();
    if (performance.now() - this.#lastYield < longest) return;
    await nextMacrotask();
    this.#lastYield = performance.now();
    this.#signal?.throwIfAborted();
  }

  /** Calls `stop` when the signal is aborted, until the function that it returns is called. */
  onAbort(stop: () => void): () => void {
    this.#signal?.addEventListener("abort", stop);
    return () => this.#signal?.removeEventListener("abort", stop);
  }

  /**
   * Calls `work(start, end)` on consecutive slices of `from` … `to`, pausing between them. The first
   * slice is sized by `unitCost` (multiply–adds of one unit), the others by the clock, all in whole
   * multiples of `grain`; the results do not depend on the slicing.
   */
  async slices(
    from: number,
    to: number,
    unitCost: number,
    work: (start: number, end: number) => void,
    grain = 1,
  ): Promise<void> {
    let size = grain * Math.max(1, Math.floor(1e6 / unitCost / grain));
    for (let start = from; start < to; ) {
      const end = Math.min(to, start + size);
      const before = performance.now();
      work(start, end);
      const elapsed = performance.now() - before;
      if (elapsed < SLICE / 2) size *= 2;
      else if (elapsed > SLICE * 2) size = grain * Math.max(1, Math.floor(size / 2 / grain));
      start = end;
      await this.pause();
    }
  }
}
