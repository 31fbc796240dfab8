/** Checks that `defineCell` and the constructors of the shipped cells share. */

/** @throws TypeError naming the option that `where` does not have, or when `options` is no object. */
export function requireKnownOptions(
  where: string,
  options: unknown,
  known: readonly string[],
): asserts options is object {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`${where}: expected an object, got ${String(options)}`);
  }
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new TypeError(`${where}: unknown option "${unknown}", expected ${known.join(", ")}`);
  }
}

/** @throws RangeError naming `what` unless `value` is one of `allowed`. */
export function requireOneOf(what: string, value: unknown, allowed: readonly string[]): void {
  if (allowed.includes(value as string)) return;
  const choices = allowed.map((choice) => `"${choice}"`).join(" or ");
  const actual = typeof value === "string" ? `"${value}"` : String(value);
  throw new RangeError(`${what}: expected ${choices}, got ${actual}`);
}
