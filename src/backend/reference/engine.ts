/** The float64 oracle: the sweeps of `SweepEngine` as plain loops. */

import { stateBounds } from "../../solve/bounds.ts";
import type { EngineProblem, SweepEngine } from "../../solve/engine.ts";
import { ErrorPropagation, finiteOrInfinity, maximumNorm } from "./certificate.ts";
import { addScaled } from "./dense.ts";
import { type Programs, productProgramOf, unitsOf } from "./programs.ts";
import { updatedBoundaries } from "./update.ts";

export const UNIT_ROUNDOFF = 2 ** -53;

/** `count` rows of `size` zeros. */
function zeroRows(count: number, size: number): Float64Array[] {
  return Array.from({ length: count }, () => new Float64Array(size));
}

/** @throws RangeError when the memory cannot be had. */
export function createReferenceEngine(problem: EngineProblem, programs: Programs): SweepEngine {
  const { cell, inputs, length, reverse, initialState, initialGuess, chunk, jacobian } = problem;
  const { inputSize, stateSize } = cell;
  const { low, high } = stateBounds(cell, initialState);
  const chunks = Math.ceil(length / chunk);
  /** n: how many elements of a unit's state P_k couples. */
  const units = unitsOf(cell, jacobian);
  const { product, states, ends, products, boundaries } = allocate();
  /** The drives of the steps, each computed when it is first needed. */
  const drives: Float64Array[] = [];
  let saved: Float64Array[] = [];
  let errors: ErrorPropagation;
  boundaries.forEach((boundary, k) => {
    const row = k > 0 ? rowOf(chunkEnd(k - 1) - 1) * stateSize : 0;
    for (let i = 0; i < stateSize; i++) {
      const guess = initialGuess ? initialGuess[row + i]! : 0;
      boundary[i] = k > 0 ? clip(Number.isFinite(guess) ? guess : 0, i) : initialState[i]!;
    }
  });

  function allocate() {
    const productSize = units * stateSize;
    try {
      return {
        product: productProgramOf(cell, jacobian, programs),
        /** s_0 … s_{T−1}; the state before the first step is b_0. */
        states: zeroRows(length, stateSize),
        /** Φ_0 … Φ_{K−1}. */
        ends: zeroRows(chunks, stateSize),
        /** P_0 … P_{K−1}. */
        products: zeroRows(chunks, productSize),
        /** b_0 … b_K. */
        boundaries: zeroRows(chunks + 1, stateSize),
      };
    } catch (cause) {
      const numbers =
        length * (programs.driveSize + stateSize) + chunks * (productSize + 2 * stateSize);
      throw new RangeError(`memory: cannot get the ${8 * numbers} bytes needed`, { cause });
    }
  }

  /** The row of the inputs, guesses and results that belongs to step t. */
  function rowOf(t: number): number {
    return reverse ? length - 1 - t : t;
  }

  function driveOf(t: number): Float64Array {
    const start = rowOf(t) * inputSize;
    const input = () => Float64Array.from(inputs.subarray(start, start + inputSize));
    drives[t] ??= programs.drive(input()).slice();
    return drives[t];
  }

  /** One past the last step of chunk k. */
  function chunkEnd(k: number): number {
    return Math.min(length, (k + 1) * chunk);
  }

  function clip(value: number, i: number): number {
    return Math.min(Math.max(value, low[i]!), high[i]!);
  }

  /** s_{t−1}. */
  function before(t: number): Float64Array {
    return t === 0 ? boundaries[0]! : states[t - 1]!;
  }

  /** Evaluates a step from `state`. */
  function step(t: number, state: Float64Array): void {
    states[t]!.set(programs.next(state, driveOf(t)));
  }

  /** Puts one value for each chunk but the last at its end. */
  function setSeams(values: readonly Float64Array[]): void {
    for (let k = 1; k < chunks; k++) states[chunkEnd(k - 1) - 1]!.set(values[k - 1]!);
  }

  return {
    length,
    chunks,
    stepCost: programs.stepCost + product.cost,
    grain: 1,
    unitRoundoff: UNIT_ROUNDOFF,

    runChunks(from, to) {
      for (let k = from; k < to; k++) {
        const running = products[k]!;
        running.set(product.initial);
        let state = boundaries[k]!;
        for (let t = k * chunk; t < chunkEnd(k); t++) {
          if (product.next) running.set(product.next(t, state, driveOf(t), running));
          step(t, state);
          state = states[t]!;
        }
        ends[k]!.set(state);
      }
    },

    measure(from) {
      let residual = 0;
      let merit = 0;
      for (let k = from; k < chunks; k++) {
        const boundary = boundaries[k + 1]!;
        const defect = addScaled(ends[k]!, -1, boundary);
        const scaled = maximumNorm(defect) / (1 + maximumNorm(boundary));
        residual = Math.max(residual, finiteOrInfinity(scaled));
        for (const value of defect) merit += (value * value) / 2;
      }
      const meets = (k: number) => ends[k]!.every((value, i) => value === boundaries[k + 1]![i]);
      let exactChunks = from + 1;
      while (exactChunks < chunks && meets(exactChunks - 1)) exactChunks++;
      const finite = ends[exactChunks - 1]!.every(Number.isFinite);
      return { residual, merit: finiteOrInfinity(merit), exactChunks, finite };
    },

    update(from, damping) {
      const start = ends[from - 1]!;
      const sweep = {
        ...{ jacobian, units, start },
        products: products.slice(from),
        ends: ends.slice(from),
        boundaries: boundaries.slice(from),
      };
      const updated = updatedBoundaries(sweep, damping);
      boundaries[from]!.set(start);
      updated.forEach((values, j) => {
        const boundary = boundaries[from + 1 + j]!;
        values.forEach((value, i) => {
          boundary[i] = clip(Number.isFinite(value) ? value : boundary[i]!, i);
        });
      });
    },

    save() {
      saved = boundaries.map((boundary) => boundary.slice());
    },

    restore(from) {
      for (let k = from + 1; k <= chunks; k++) boundaries[k]!.set(saved[k]!);
      boundaries[from]!.set(ends[from - 1]!);
    },

    joinSeams: () => setSeams(boundaries.slice(1)),

    splitSeams: () => setSeams(ends),

    beginCertificate() {
      errors = new ErrorPropagation(stateSize, UNIT_ROUNDOFF);
    },

    certify(from, to) {
      for (let t = from; t < to; t++) {
        const previous = before(t);
        const drive = driveOf(t);
        errors.step({
          t,
          state: states[t]!,
          next: programs.next(previous, drive),
          tangent: (seed) => programs.tangent(previous, drive, seed),
        });
      }
    },

    certificate: () => errors.certificate,

    runSteps(from, to) {
      for (let t = from; t < to; t++) step(t, before(t));
    },

    readStates(target) {
      for (const [t, state] of states.entries()) target.set(state, rowOf(t) * stateSize);
      return target.every((value: number) => Number.isFinite(value));
    },
  };
}
