/** What each method name means in the family's terms: a Jacobian approximation and a damping. */
import { checkBoolean, checkKeys, checkObject, checkOneOf, requireValue } from "../checks.ts";
import type { DampingOptions, JacobianKind, MethodName } from "../types.ts";

export interface Damping {
  /** λ = 1/σ². */
  readonly lambda: number;
  readonly estimate: "filter" | "smoother";
  readonly scale: number;
  readonly clip: boolean;
  readonly trustRegion: boolean;
}

/** The methods that iterate on boundary states by sweeps and updates. */
export type SweepMethod = Exclude<MethodName, "sequential" | "threads">;

interface Method {
  readonly jacobian: JacobianKind;
  readonly lambda: number;
}

/** σ² = 1e6 for ELK and 1e2 for quasi-ELK are the paper's choices for its autoregressive GRU. */
export const methods: Readonly<Record<SweepMethod, Method>> = {
  jacobi: { jacobian: "none", lambda: 0 },
  picard: { jacobian: "identity", lambda: 0 },
  deer: { jacobian: "dense", lambda: 0 },
  "quasi-deer": { jacobian: "diagonal", lambda: 0 },
  elk: { jacobian: "dense", lambda: 1e-6 },
  "quasi-elk": { jacobian: "diagonal", lambda: 1e-2 },
};

export const methodNames: readonly MethodName[] = [
  "sequential",
  "threads",
  ...(Object.keys(methods) as SweepMethod[]),
];

export const jacobianKinds: readonly JacobianKind[] = [
  "none",
  "identity",
  "diagonal",
  "block",
  "dense",
];

/**
 * Fills in what `damping` leaves open.
 *
 * @throws TypeError, RangeError naming `damping`.
 */
export function resolveDamping(
  given: number | DampingOptions | undefined,
  method: SweepMethod,
  jacobian: JacobianKind,
): Damping {
  const isNumber = given === undefined || typeof given === "number";
  if (!isNumber) checkObject("damping", given, "a number or an object");
  const options: DampingOptions = isNumber ? { lambda: given } : given;
  checkKeys("damping", options, ["lambda", "estimate", "scale", "clip", "trustRegion"]);
  const { lambda = methods[method].lambda, estimate = "filter", scale = 0 } = options;
  const { clip = false, trustRegion = false } = options;
  requireValue(Number.isFinite(lambda) && lambda >= 0, "damping", "a finite λ ≥ 0", lambda);
  checkOneOf("damping.estimate", estimate, ["filter", "smoother"]);
  const isFraction = typeof scale === "number" && scale >= 0 && scale <= 1;
  requireValue(isFraction, "damping.scale", "a number in [0, 1]", scale);
  checkBoolean("damping.clip", clip);
  checkBoolean("damping.trustRegion", trustRegion);
  const hasMatrices = jacobian === "dense" || jacobian === "block";
  requireValue(!clip || !hasMatrices, "damping.clip", "a diagonal Jacobian", jacobian);
  return { lambda, estimate, scale, clip, trustRegion };
}
