/** Rates from times: relative least squares, bounded, around what is usual. */

/** Rates beyond this many times the nominal ones, or below one of them, are errors of measurement. */
const BOUND = 64;
/** How much the nominal rates weigh beside a measurement: they decide what the times leave open. */
const PRIOR = 0.001;
const ROUNDS = 1000;

/** `value`, or what is sane beside a nominal one. */
export function clamp(value: number, nominal: number): number {
  return Math.min(Math.max(value, nominal / BOUND), nominal * BOUND);
}

/** The least, as others disturb; the mean where the clock is so coarse that the least is 0. */
export function typical(times: readonly number[]): number {
  const least = Math.min(...times);
  return least > 0 ? least : times.reduce((sum, time) => sum + time) / times.length;
}

/**
 * The rates under which `predictions`, linear in them, come closest to `times`: one rate after the other
 * until they settle. A time that is not positive, from a coarse clock, says nothing.
 *
 * @param names the rates that are sought; the others stay nominal, and should predict nothing.
 */
export function fitRates<Rates extends object>(
  nominal: Rates,
  names: readonly (keyof Rates)[],
  predictions: readonly ((rates: Rates) => number)[],
  times: readonly number[],
): Rates {
  const zero = Object.fromEntries(Object.keys(nominal).map((name) => [name, 0])) as Rates;
  const told = predictions.map((predict, i) => ({ predict, time: times[i]! }));
  const rows = told.filter(({ time }) => time > 0);
  if (rows.length === 0) return nominal;
  // How fast the machine is as a whole; the rest is how it differs from what is usual.
  const logs = rows.map(({ predict, time }) => Math.log(time / predict(nominal)));
  const scale = Math.exp(logs.reduce((sum, log) => sum + log) / logs.length);
  /** What each rate contributes to each time, which all together should make 1. */
  const shares = rows.map(({ predict, time }) =>
    names.map((name) => (predict({ ...zero, [name]: nominal[name] }) * scale) / time),
  );
  const total = (value: (row: readonly number[]) => number) =>
    shares.reduce((sum, row) => sum + value(row), PRIOR);
  const products = names.map((_, j) => names.map((_, k) => total((row) => row[j]! * row[k]!)));
  const sums = names.map((_, j) => total((row) => row[j]!));
  const factors = names.map(() => 1);
  for (let round = 0; round < ROUNDS; round++) {
    for (let j = 0; j < factors.length; j++) {
      const others = products[j]!.reduce(
        (sum, product, k) => (k === j ? sum : sum + (product - PRIOR) * factors[k]!),
        0,
      );
      factors[j] = clamp(((sums[j]! - others) / products[j]![j]!) * scale, 1) / scale;
    }
  }
  const fitted = names.map((name, j) => [name, (nominal[name] as number) * factors[j]! * scale]);
  return { ...nominal, ...Object.fromEntries(fitted) };
}
