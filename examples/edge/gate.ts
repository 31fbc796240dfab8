/**
 * How many requests may be in work at a time. A place is a lease that ends by itself: where the client
 * hangs up, some hosts drop a request without running any more of its code, `finally` included.
 */
import { Refusal } from "./refusal.ts";

export class Gate {
  readonly #places: number;
  readonly #leaseMs: number;
  /** When each lease ends, in milliseconds since 1970. */
  readonly #leases = new Map<symbol, number>();

  constructor(places: number, leaseMs: number) {
    this.#places = places;
    this.#leaseMs = leaseMs;
  }

  /** Requests in work. */
  get taken(): number {
    const now = Date.now();
    for (const [lease, end] of this.#leases) if (end < now) this.#leases.delete(lease);
    return this.#leases.size;
  }

  /**
   * @returns what gives the place back; calling it twice does no harm.
   * @throws Refusal where all places are taken.
   */
  enter(): () => void {
    if (this.taken >= this.#places) {
      const message = `all ${this.#places} places are taken; try again in a second`;
      throw new Refusal(503, "busy", { message }, { "retry-after": "1" });
    }
    const lease = Symbol("lease");
    this.#leases.set(lease, Date.now() + this.#leaseMs);
    return () => this.#leases.delete(lease);
  }
}
