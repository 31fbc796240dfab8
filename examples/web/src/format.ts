/** Numbers as people read them. */

/** 3.1 × 10⁻⁷, with the exponent in plain digits where the text is to be copied. */
export function scientific(value: number, digits = 1): string {
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "not a number" : "infinite";
  return value.toExponential(digits).replace("e+", "e");
}

export function milliseconds(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 100) return `${value.toFixed(0)} ms`;
  return `${value.toFixed(value >= 10 ? 1 : 2)} ms`;
}

export function whole(value: number): string {
  return value.toLocaleString("en");
}

/** 1 sweep, 2 sweeps. */
export function counted(count: number, noun: string): string {
  return `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
}

export function clock(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(1).padStart(4, "0")}`;
}
