/** The float64 oracle: the sweeps of `SweepEngine` as plain loops. */

import { type StateBounds, stateBounds } from "../../solve/bounds.ts";
import type { Certificate, Defects, EngineProblem, SweepEngine } from "../../solve/engine.ts";
import type { Damping } from "../../solve/method.ts";
import type { FloatArray } from "../../types.ts";
import { ErrorPropagation, finiteOrInfinity, maximumNorm } from "./certificate.ts";
import { addScaled } from "./dense.ts";
import { type ProductProgram, type Programs, productProgramOf, unitsOf } from "./programs.ts";
import { updatedBoundaries } from "./update.ts";

export const UNIT_ROUNDOFF = 2 ** -53;

/** `count` rows of `size` zeros. */
function zeroRows(count: number, size: number): Float64Array[] {
  return Array.from({ length: count }, () => new Float64Array(size));
}

export class ReferenceEngine implements SweepEngine {
  readonly length: number;
  readonly chunks: number;
  readonly stepCost: number;
  readonly grain = 1;
  readonly unitRoundoff = UNIT_ROUNDOFF;
  readonly #problem: EngineProblem;
  readonly #programs: Programs;
  readonly #product: ProductProgram;
  /** n: how many elements of a unit's state P_k couples. */
  readonly #units: number;
  readonly #bounds: StateBounds;
  /** The drives of the steps, each computed when it is first needed. */
  readonly #drives: Float64Array[] = [];
  /** s_0 … s_{T−1}; the state before the first step is b_0. */
  readonly #states: Float64Array[];
  /** Φ_0 … Φ_{K−1}. */
  readonly #ends: Float64Array[];
  /** P_0 … P_{K−1}. */
  readonly #products: Float64Array[];
  /** b_0 … b_K. */
  readonly #boundaries: Float64Array[];
  #saved: Float64Array[] = [];
  #errors: ErrorPropagation;

  /** @throws RangeError when the memory cannot be had. */
  constructor(problem: EngineProblem, programs: Programs) {
    const { cell, length, chunk, jacobian } = problem;
    const { stateSize } = cell;
    this.#problem = problem;
    this.#programs = programs;
    this.#bounds = stateBounds(cell, problem.initialState);
    this.length = length;
    this.chunks = Math.ceil(length / chunk);
    this.#units = unitsOf(cell, jacobian);
    const productSize = this.#units * stateSize;
    try {
      this.#product = productProgramOf(cell, jacobian, programs);
      this.#states = zeroRows(length, stateSize);
      this.#ends = zeroRows(this.chunks, stateSize);
      this.#products = zeroRows(this.chunks, productSize);
      this.#boundaries = zeroRows(this.chunks + 1, stateSize);
    } catch (cause) {
      const numbers =
        length * (programs.driveSize + stateSize) + this.chunks * (productSize + 2 * stateSize);
      throw new RangeError(`memory: cannot get the ${8 * numbers} bytes needed`, { cause });
    }
    this.stepCost = programs.stepCost + this.#product.cost;
    this.#boundaries[0]!.set(problem.initialState);
    for (let k = 1; k <= this.chunks; k++) this.#boundaries[k]!.set(this.#initialBoundary(k));
    this.#errors = new ErrorPropagation(stateSize, UNIT_ROUNDOFF);
  }

  /** The row of the inputs, guesses and results that belongs to step t. */
  #row(t: number): number {
    return this.#problem.reverse ? this.length - 1 - t : t;
  }

  #drive(t: number): Float64Array {
    const { inputs, cell } = this.#problem;
    const start = this.#row(t) * cell.inputSize;
    this.#drives[t] ??= this.#programs
      .drive(Float64Array.from(inputs.subarray(start, start + cell.inputSize)))
      .slice();
    return this.#drives[t];
  }

  /** One past the last step of chunk k. */
  #chunkEnd(k: number): number {
    return Math.min(this.length, (k + 1) * this.#problem.chunk);
  }

  #initialBoundary(k: number): Float64Array {
    const { initialGuess, cell } = this.#problem;
    const row = this.#row(this.#chunkEnd(k - 1) - 1) * cell.stateSize;
    return Float64Array.from({ length: cell.stateSize }, (_, i) => {
      const guess = initialGuess ? initialGuess[row + i]! : 0;
      return this.#clip(Number.isFinite(guess) ? guess : 0, i);
    });
  }

  #clip(value: number, i: number): number {
    return Math.min(Math.max(value, this.#bounds.low[i]!), this.#bounds.high[i]!);
  }

  /** s_{t−1}. */
  #before(t: number): Float64Array {
    return t === 0 ? this.#boundaries[0]! : this.#states[t - 1]!;
  }

  runChunks(from: number, to: number): void {
    const { initial, next: nextProduct } = this.#product;
    for (let k = from; k < to; k++) {
      const product = this.#products[k]!;
      product.set(initial);
      let state = this.#boundaries[k]!;
      for (let t = k * this.#problem.chunk; t < this.#chunkEnd(k); t++) {
        const drive = this.#drive(t);
        if (nextProduct) product.set(nextProduct(t, state, drive, product));
        this.#states[t]!.set(this.#programs.next(state, drive));
        state = this.#states[t]!;
      }
      this.#ends[k]!.set(state);
    }
  }

  measure(from: number): Defects {
    let residual = 0;
    let merit = 0;
    for (let k = from; k < this.chunks; k++) {
      const boundary = this.#boundaries[k + 1]!;
      const defect = addScaled(this.#ends[k]!, -1, boundary);
      const scaled = maximumNorm(defect) / (1 + maximumNorm(boundary));
      residual = Math.max(residual, finiteOrInfinity(scaled));
      for (const value of defect) merit += (value * value) / 2;
    }
    const meets = (k: number) =>
      this.#ends[k]!.every((value, i) => value === this.#boundaries[k + 1]![i]);
    let exactChunks = from + 1;
    while (exactChunks < this.chunks && meets(exactChunks - 1)) exactChunks++;
    const finite = this.#ends[exactChunks - 1]!.every(Number.isFinite);
    return { residual, merit: finiteOrInfinity(merit), exactChunks, finite };
  }

  update(from: number, damping: Damping): void {
    const start = this.#ends[from - 1]!;
    const updated = updatedBoundaries(
      {
        jacobian: this.#problem.jacobian,
        units: this.#units,
        products: this.#products.slice(from),
        ends: this.#ends.slice(from),
        boundaries: this.#boundaries.slice(from),
        start,
      },
      damping,
    );
    this.#boundaries[from]!.set(start);
    updated.forEach((values, j) => {
      const boundary = this.#boundaries[from + 1 + j]!;
      values.forEach((value, i) => {
        boundary[i] = this.#clip(Number.isFinite(value) ? value : boundary[i]!, i);
      });
    });
  }

  save(): void {
    this.#saved = this.#boundaries.map((boundary) => boundary.slice());
  }

  restore(from: number): void {
    for (let k = from + 1; k <= this.chunks; k++) this.#boundaries[k]!.set(this.#saved[k]!);
    this.#boundaries[from]!.set(this.#ends[from - 1]!);
  }

  joinSeams(): void {
    for (let k = 1; k < this.chunks; k++) {
      this.#states[this.#chunkEnd(k - 1) - 1]!.set(this.#boundaries[k]!);
    }
  }

  splitSeams(): void {
    for (let k = 1; k < this.chunks; k++) {
      this.#states[this.#chunkEnd(k - 1) - 1]!.set(this.#ends[k - 1]!);
    }
  }

  beginCertificate(): void {
    this.#errors = new ErrorPropagation(this.#problem.cell.stateSize, UNIT_ROUNDOFF);
  }

  certify(from: number, to: number): void {
    for (let t = from; t < to; t++) {
      const before = this.#before(t);
      const drive = this.#drive(t);
      this.#errors.step({
        t,
        state: this.#states[t]!,
        next: this.#programs.next(before, drive),
        tangent: (seed) => this.#programs.tangent(before, drive, seed),
      });
    }
  }

  certificate(): Certificate {
    return this.#errors.certificate;
  }

  runSteps(from: number, to: number): void {
    for (let t = from; t < to; t++) {
      this.#states[t]!.set(this.#programs.next(this.#before(t), this.#drive(t)));
    }
  }

  readStates(target: FloatArray): boolean {
    for (const [t, state] of this.#states.entries()) {
      target.set(state, this.#row(t) * state.length);
    }
    return target.every((value: number) => Number.isFinite(value));
  }
}
