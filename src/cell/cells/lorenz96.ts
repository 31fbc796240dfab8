import { checkKeys, requireValue } from "../../checks.ts";
import { type Cell, defineCell } from "../define-cell.ts";
import type { Vector } from "../expression.ts";
import { add, multiply, shift, subtract } from "../vocabulary.ts";

/** What `lorenz96` is made from. */
export interface Lorenz96Options {
  /** D, the number of variables; at least 4. */
  readonly size: number;
  /** F; chaotic from about 5 on. Default 8. */
  readonly forcing?: number;
  /** Δt. Default 0.01. */
  readonly timeStep?: number;
}

/**
 * One step of the Lorenz-96 system by the classical explicit Runge–Kutta method of order 4.
 *
 *     dx_i/dt = (x_{i+1} − x_{i−2}) x_{i−1} − x_i + F,  indices modulo D
 *     x' = x + Δt/6 (k₁ + 2 k₂ + 2 k₃ + k₄)
 *
 * State: x [D], unbounded. No input.
 * Source: E. N. Lorenz, Predictability: a problem partly solved, ECMWF Seminar (1996).
 *
 * @throws TypeError, RangeError naming the option that is wrong or unknown.
 */
export function lorenz96(options: Lorenz96Options): Cell {
  checkKeys("lorenz96", options, ["size", "forcing", "timeStep"]);
  const { size, forcing = 8, timeStep = 0.01 } = options;
  requireValue(Number.isInteger(size) && size >= 4, "size", "an integer of at least 4", size);
  requireValue(Number.isFinite(forcing), "forcing", "a finite number", forcing);
  const isStep = Number.isFinite(timeStep) && timeStep > 0;
  requireValue(isStep, "timeStep", "a positive number", timeStep);
  const slope = (x: Vector) => {
    const advection = multiply(subtract(shift(x, 1), shift(x, -2)), shift(x, -1));
    return add(subtract(advection, x), forcing);
  };
  return defineCell({
    name: "lorenz96",
    inputSize: 0,
    state: { x: size },
    step: ({ x }) => {
      const k1 = slope(x);
      const k2 = slope(add(x, multiply(timeStep / 2, k1)));
      const k3 = slope(add(x, multiply(timeStep / 2, k2)));
      const k4 = slope(add(x, multiply(timeStep, k3)));
      const sum = add(k1, multiply(2, add(k2, k3)), k4);
      return { x: add(x, multiply(timeStep / 6, sum)) };
    },
  });
}
