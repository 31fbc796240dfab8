/**
 * The certificate as the kernel computes it (assembly/certificate.ts), called directly: residual and
 * error estimate of given trajectories against the exact error and the float64 reference.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Certify } from "../../assembly/layout.ts";
import { ErrorPropagation } from "../../src/backend/reference/certificate.ts";
import type { KernelExports } from "../../src/backend/wasm/load.ts";
import { compileProgram } from "../../src/backend/wasm/lower.ts";
import { tangent } from "../../src/cell/differentiate.ts";
import { add, type Cell, defineCell, linear } from "../../src/cell/index.ts";
import { interpreter } from "../../src/cell/interpret.ts";
import { type Certificate, ROUNDING_NOISE } from "../../src/solve/engine.ts";
import { GuardedMemory, kernelBuilds, type Span } from "../support/guarded-memory.ts";
import { cellOfPlan, programPlans } from "../support/programs.ts";
import { mulberry32, normal, uniform } from "../support/random.ts";
import { scaling } from "../support/sweeps.ts";

const UNIT_ROUNDOFF = 2 ** -24;
const COLUMNS = 4;

interface Trajectory {
  readonly cell: Cell;
  readonly steps: number;
  /** `[steps, inputSize]`. */
  readonly inputs: Float32Array;
  /** s_0. */
  readonly initial: Float32Array;
  /** s_1 … as they are claimed, `[steps, stateSize]`. */
  readonly states: Float32Array;
}

/** The step, and what it does to a tangent of the state. */
function stepAndTangent({ graph, next, stateSize }: Cell) {
  const leaf = graph.leaf("tangent", stateSize);
  return { leaf, step: next, moved: tangent(next, { state: leaf }) };
}

class CertificateRun {
  readonly #memory: GuardedMemory;
  readonly #certify: KernelExports["certify"];
  readonly #spans: Record<"job" | "states" | "inputs" | "initial", Span>;

  /** Compiles the cell's program and lays out the trajectory. */
  constructor(memory: GuardedMemory, exports: KernelExports, trajectory: Trajectory) {
    const { cell, inputs, initial, states } = trajectory;
    const { leaf, step, moved } = stepAndTangent(cell);
    memory.kernel.forget();
    const program = compileProgram(
      memory.kernel,
      {
        carried: [
          { leaf: cell.state, next: step },
          { leaf: leaf, next: moved },
        ],
        inputs: [cell.input],
        lanes: 1,
        columns: { leaf: "tangent", count: COLUMNS },
      },
      cell.weights,
      new Map(),
    );
    memory.kernel.keep();
    this.#memory = memory;
    this.#certify = exports.certify;
    this.#spans = memory.allocate({
      job: Certify.size / 4,
      states: states.length,
      inputs: inputs.length,
      initial: initial.length,
    });
    for (const [name, values] of Object.entries({ states, inputs, initial })) {
      memory.floats(this.#spans[name as "states"]).set(values);
    }
    const tangents = program.leaves.get("tangent")!;
    const words: [Certify, number][] = [
      [Certify.code, program.code],
      [Certify.states, this.#spans.states.address],
      [Certify.source, this.#spans.inputs.address],
      [Certify.sourceWidth, cell.inputSize],
      [Certify.sourceRegister, program.leaves.get("input")!],
      [Certify.stateRegister, program.carry],
      [Certify.tangentRegister, tangents],
      [Certify.nextRegister, program.next],
      [Certify.stateSize, cell.stateSize],
      [Certify.initial, this.#spans.initial.address],
    ];
    const { kernel } = memory;
    for (const [field, value] of words) kernel.words[this.#field(field)] = value;
    kernel.floats[this.#field(Certify.rounding)] = ROUNDING_NOISE * UNIT_ROUNDOFF;
    kernel.floats[this.#field(Certify.residual)] = 0;
    kernel.floats[this.#field(Certify.error)] = 0;
    kernel.view(tangents, cell.stateSize * COLUMNS).fill(0);
  }

  #field(field: Certify): number {
    return (this.#spans.job.address + field) / 4;
  }

  /** Looks at steps `from` … `to − 1`. @throws Error if anything but what was found is changed. */
  look(from: number, to: number): Certificate {
    const { address } = this.#spans.job;
    const found = [Certify.residual, Certify.error].map((field) => ({
      address: address + field,
      length: 1,
    }));
    this.#memory.run(() => this.#certify(address, from, to), found);
    const { floats } = this.#memory.kernel;
    return {
      residual: floats[this.#field(Certify.residual)]!,
      errorEstimate: floats[this.#field(Certify.error)]!,
    };
  }
}

/** The float64 certificate of the same numbers, for float32 rounding. */
function referenceCertificate(trajectory: Trajectory): Certificate {
  const { cell, steps, inputs, initial, states } = trajectory;
  const { stateSize, inputSize } = cell;
  const { step, moved } = stepAndTangent(cell);
  const evaluate = interpreter([step, moved], cell.weights);
  const errors = new ErrorPropagation(stateSize, UNIT_ROUNDOFF);
  const row = (values: Float32Array, t: number, width: number) =>
    Float64Array.from(values.subarray(t * width, (t + 1) * width));
  for (let t = 0; t < steps; t++) {
    const leaves = {
      state: t === 0 ? Float64Array.from(initial) : row(states, t - 1, stateSize),
      input: row(inputs, t, inputSize),
    };
    errors.step({
      t,
      state: row(states, t, stateSize),
      next: evaluate({ ...leaves, tangent: new Float64Array(stateSize) })[0]!.slice(),
      tangent: (seed) => evaluate({ ...leaves, tangent: seed })[1]!.slice(),
    });
  }
  return errors.certificate;
}

/** s_t = M s_{t−1} + x_t, where M has a norm of about `growth`. */
function linearCell(size: number, growth: number, seed: number): Cell {
  const data = normal(mulberry32(seed), size * size, 0, growth / (2 * Math.sqrt(size)));
  return defineCell({
    name: "linear",
    inputSize: size,
    state: { h: size },
    weights: { m: { shape: [size, size], data } },
    step: ({ h }, x, { m }) => ({ h: add(linear(m, h), x) }),
  });
}

/** Largest over t of ‖a_t − b_t‖∞ / (1 + ‖a_t‖∞). */
function largestScaled(a: Float32Array, b: Float64Array, size: number): number {
  let largest = 0;
  for (let t = 0; t < a.length; t += size) {
    const state = [...a.subarray(t, t + size)];
    const difference = Math.max(...state.map((value, i) => Math.abs(value - b[t + i]!)));
    largest = Math.max(largest, difference / (1 + Math.max(...state.map(Math.abs))));
  }
  return largest;
}

const sizes = fc.integer({ min: 1, max: 13 });
const lengths = fc.integer({ min: 1, max: 40 });
const seeds = fc.nat({ max: 1e6 });

describe.each(await kernelBuilds())("the certificate, $simd SIMD", ({ exports }) => {
  const memory = new GuardedMemory(exports);
  const certificate = (trajectory: Trajectory) =>
    new CertificateRun(memory, exports, trajectory).look(0, trajectory.steps);

  it("of a linear recurrence with planted defects is their exact residual and error", () => {
    const growths = fc.constantFrom(0.3, 0.9, 1.2);
    fc.assert(
      fc.property(sizes, lengths, growths, seeds, (size, steps, growth, seed) => {
        const cell = linearCell(size, growth, seed);
        const random = mulberry32(seed + 1);
        const inputs = normal(random, steps * size);
        const initial = normal(random, size);
        const evaluate = interpreter([cell.next], cell.weights);
        const next = (before: Float64Array, t: number) => {
          const input = Float64Array.from(inputs.subarray(t * size, (t + 1) * size));
          return evaluate({ state: before, input })[0]!;
        };
        // The exact states, those that are claimed, and what each step makes of the claimed ones.
        const exact = new Float64Array(steps * size);
        const states = new Float32Array(steps * size);
        const stepped = new Float64Array(steps * size);
        let [before, claimed] = [Float64Array.from(initial), Float64Array.from(initial)];
        for (let t = 0; t < steps; t++) {
          stepped.set(next(claimed, t), t * size);
          exact.set(next(before, t), t * size);
          const isDefective = t === 0 || random() < 0.2;
          const defects = uniform(random, size).map((value) => (isDefective ? value : 0));
          states.set(
            defects.map((value, i) => stepped[t * size + i]! + 0.01 * value),
            t * size,
          );
          before = exact.slice(t * size, (t + 1) * size);
          claimed = Float64Array.from(states.subarray(t * size, (t + 1) * size));
        }
        const { residual, errorEstimate } = certificate({ cell, steps, inputs, initial, states });
        const trueResidual = largestScaled(states, stepped, size);
        const trueError = largestScaled(states, exact, size);
        fc.pre(trueError > 1e-4);
        // What one step rounds, relative to 1 + ‖s‖; then that and the noise, accumulated.
        const rounding = 4 * (size + 2) * UNIT_ROUNDOFF;
        expect(Math.abs(residual - trueResidual)).toBeLessThan(rounding);
        expect(Math.abs(errorEstimate - trueError)).toBeLessThan(20 * rounding);
      }),
    );
  });

  it("of any cell and any states is the reference's", () => {
    fc.assert(
      fc.property(programPlans(), fc.integer({ min: 1, max: 10 }), seeds, (plan, steps, seed) => {
        const cell = cellOfPlan(plan);
        const random = mulberry32(seed);
        const trajectory = {
          cell,
          steps,
          inputs: uniform(random, steps * cell.inputSize),
          initial: uniform(random, cell.stateSize),
          states: uniform(random, steps * cell.stateSize),
        };
        const expected = referenceCertificate(trajectory);
        const actual = certificate(trajectory);
        expect(Math.abs(actual.residual - expected.residual)).toBeLessThan(1e-5);
        expect(Math.abs(actual.errorEstimate / expected.errorEstimate - 1)).toBeLessThan(1e-4);
      }),
    );
  });

  it("of states without defects is what the noise of rounding grows to", () => {
    for (const factors of [[2], [0.5], [-1.5, 1, 2, 0.25, -2]]) {
      const cell = scaling(factors);
      const steps = 30;
      const trajectory = {
        cell,
        steps,
        inputs: new Float32Array(steps * factors.length),
        initial: new Float32Array(factors.length),
        states: new Float32Array(steps * factors.length),
      };
      const expected = referenceCertificate(trajectory);
      const actual = certificate(trajectory);
      expect(actual.residual).toBe(0);
      // Not only of that order: the very same signs.
      expect(Math.abs(actual.errorEstimate / expected.errorEstimate - 1)).toBeLessThan(1e-5);
      expect(actual.errorEstimate).toBeGreaterThan(UNIT_ROUNDOFF / 2);
    }
  });

  const randomTrajectory = (size: number, steps: number, seed: number): Trajectory => {
    const random = mulberry32(seed);
    return {
      cell: scaling([...uniform(random, size)]),
      steps,
      inputs: normal(random, steps * size),
      initial: normal(random, size),
      states: normal(random, steps * size),
    };
  };

  it("is infinite if anything is not finite, wherever, and stays so", () => {
    const values = fc.constantFrom(Number.NaN, Infinity, -Infinity);
    const arrays = fc.constantFrom("states", "inputs", "initial");
    fc.assert(
      fc.property(sizes, lengths, arrays, fc.nat(), values, seeds, (size, steps, ...rest) => {
        const [array, place, value, seed] = rest;
        const trajectory = randomTrajectory(size, steps, seed);
        trajectory[array][place % trajectory[array].length] = value;
        const infinite = { residual: Infinity, errorEstimate: Infinity };
        expect(certificate(trajectory)).toEqual(infinite);
      }),
    );
  });

  it("is infinite if a step overflows", () => {
    const trajectory = randomTrajectory(3, 5, 1);
    trajectory.states[7] = 3e38;
    trajectory.inputs[10] = 3e38;
    const cell = scaling([1, 1, 1]);
    expect(certificate({ ...trajectory, cell })).toEqual({
      residual: Infinity,
      errorEstimate: Infinity,
    });
  });

  it("is the same in slices", () => {
    const cuts = fc.array(fc.nat({ max: 40 }), { maxLength: 6 });
    fc.assert(
      fc.property(sizes, lengths, cuts, seeds, (size, steps, places, seed) => {
        const trajectory = randomTrajectory(size, steps, seed);
        const whole = certificate(trajectory);
        const run = new CertificateRun(memory, exports, trajectory);
        const ends = [...places.filter((t) => t < steps), steps].sort((a, b) => a - b);
        let last: Certificate | null = null;
        ends.forEach((to, i) => {
          last = run.look(i === 0 ? 0 : ends[i - 1]!, to);
        });
        expect(last).toEqual(whole);
      }),
    );
  });
});
