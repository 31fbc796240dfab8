/** What each method name means in the family's terms: a Jacobian approximation and a damping. */
import { show } from "../show.ts";
import type { DampingOptions, JacobianKind, MethodName } from "../types.ts";

export interface Damping {
  /** λ = 1/σ². */
  readonly lambda: number;
  readonly estimate: "filter" | "smoother";
  readonly scale: number;
  readonly clip: boolean;
  readonly trustRegion: boolean;
}

interface Method {
  readonly jacobian: JacobianKind;
  readonly lambda: number;
}

/** σ² = 1e6 for ELK and 1e2 for quasi-ELK are the paper's choices for its autoregressive GRU. */
export const methods: Readonly<Record<Exclude<MethodName, "sequential">, Method>> = {
  jacobi: { jacobian: "none", lambda: 0 },
  picard: { jacobian: "identity", lambda: 0 },
  deer: { jacobian: "dense", lambda: 0 },
  "quasi-deer": { jacobian: "diagonal", lambda: 0 },
  elk: { jacobian: "dense", lambda: 1e-6 },
  "quasi-elk": { jacobian: "diagonal", lambda: 1e-2 },
};

export const methodNames: readonly MethodName[] = [
  "sequential",
  ...(Object.keys(methods) as Exclude<MethodName, "sequential">[]),
];

export const jacobianKinds: readonly JacobianKind[] = [
  "none",
  "identity",
  "diagonal",
  "block",
  "dense",
];

const dampingKeys = ["lambda", "estimate", "scale", "clip", "trustRegion"];

/**
 * Fills in what `damping` leaves open.
 *
 * @throws TypeError, RangeError naming `damping`.
 */
export function resolveDamping(
  given: number | DampingOptions | undefined,
  method: Exclude<MethodName, "sequential">,
  jacobian: JacobianKind,
): Damping {
  const isOptions = typeof given === "object" && given !== null && !Array.isArray(given);
  if (given !== undefined && typeof given !== "number" && !isOptions) {
    throw new TypeError(`damping: expected a number or an object, got ${show(given)}`);
  }
  const options = typeof given === "object" ? given : { lambda: given };
  for (const key of Object.keys(options)) {
    if (!dampingKeys.includes(key)) {
      throw new TypeError(`damping: expected only ${dampingKeys.join(", ")}, got "${key}"`);
    }
  }
  const { lambda = methods[method].lambda, estimate = "filter", scale = 0 } = options;
  const { clip = false, trustRegion = false } = options;
  if (!Number.isFinite(lambda) || lambda < 0) {
    throw new RangeError(`damping: expected a finite λ ≥ 0, got ${show(lambda)}`);
  }
  if (estimate !== "filter" && estimate !== "smoother") {
    throw new RangeError(
      `damping.estimate: expected "filter" or "smoother", got ${show(estimate)}`,
    );
  }
  if (typeof scale !== "number" || !(scale >= 0 && scale <= 1)) {
    throw new RangeError(`damping.scale: expected a number in [0, 1], got ${show(scale)}`);
  }
  for (const [key, value] of Object.entries({ clip, trustRegion })) {
    if (typeof value !== "boolean") {
      throw new TypeError(`damping.${key}: expected a boolean, got ${show(value)}`);
    }
  }
  if (clip && (jacobian === "dense" || jacobian === "block")) {
    throw new RangeError(`damping.clip: expected a diagonal Jacobian, got "${jacobian}"`);
  }
  return { lambda, estimate, scale, clip, trustRegion };
}
