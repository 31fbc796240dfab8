/** How error messages show what they got. */

/** A value in a few words. */
export function show(value: unknown): string {
  if (typeof value === "string") return `"${value}"`;
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name}`;
  if (Array.isArray(value)) return "an Array";
  if (typeof value === "function") return "a function";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
