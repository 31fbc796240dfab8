/** What the constructors of the shipped cells check alike. */
import { checkInteger, checkKeys } from "../checks.ts";

/**
 * Checks the options of a layer: sizes that are positive integers, weights, and `others`.
 *
 * @throws TypeError, RangeError naming the option that is unknown or the size that is wrong.
 */
export function checkLayer(
  name: string,
  options: object,
  others: readonly string[] = [],
  sizes: readonly string[] = ["inputSize", "hiddenSize"],
): void {
  checkKeys(name, options, [...sizes, ...others, "weights"]);
  for (const size of sizes) checkInteger(size, (options as Record<string, unknown>)[size], 1);
}
