/** Checks of what a caller hands in. Their messages name the argument, what was expected and what came. */
import { show } from "./show.ts";
import type { FloatArray } from "./types.ts";

/** @throws TypeError unless `holds`. */
export function requireType(
  holds: unknown,
  what: string,
  expected: string,
  got: unknown,
): asserts holds {
  if (!holds) throw new TypeError(describe(what, expected, got));
}

/** @throws RangeError unless `holds`. */
export function requireValue(
  holds: unknown,
  what: string,
  expected: string,
  got: unknown,
): asserts holds {
  if (!holds) throw new RangeError(describe(what, expected, got));
}

function describe(what: string, expected: string, got: unknown): string {
  return `${what}: expected ${expected}, got ${show(got)}`;
}

/** @throws TypeError when `value` is no object that could hold named values. */
export function checkObject(
  what: string,
  value: unknown,
  expected = "an object",
): asserts value is object {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  requireType(isObject && !ArrayBuffer.isView(value), what, expected, value);
}

/** @throws TypeError when `options` is no object, or naming its first key that is not among `known`. */
export function checkKeys(
  what: string,
  options: unknown,
  known: readonly string[],
): asserts options is object {
  checkObject(what, options);
  for (const key of Object.keys(options)) {
    requireType(known.includes(key), what, `only ${known.join(", ")}`, key);
  }
}

/** @throws RangeError unless `value` is one of `allowed`. */
export function checkOneOf<Value>(what: string, value: unknown, allowed: readonly Value[]): Value {
  const choices = () => `one of ${allowed.map(show).join(", ")}`;
  requireValue(allowed.includes(value as Value), what, choices(), value);
  return value as Value;
}

/** @throws TypeError unless `value` is a boolean. */
export function checkBoolean(what: string, value: unknown): asserts value is boolean {
  requireType(typeof value === "boolean", what, "a boolean", value);
}

/** @throws RangeError unless `value` is an integer of at least `least`, which is 1 or 0. */
export function checkInteger(what: string, value: unknown, least: 0 | 1): number {
  const expected = `a ${least > 0 ? "positive" : "non-negative"} integer`;
  requireValue(Number.isInteger(value) && (value as number) >= least, what, expected, value);
  return value as number;
}

/** @throws TypeError unless `value` is an array of floating-point numbers. */
export function checkFloats(what: string, value: unknown): FloatArray {
  const isFloats = value instanceof Float32Array || value instanceof Float64Array;
  requireType(isFloats, what, "a Float32Array or Float64Array", value);
  return value;
}

/** The index of the first number that is not finite; -1 if there is none. */
export function findNonFinite(values: FloatArray): number {
  return values.findIndex((value: number) => !Number.isFinite(value));
}
