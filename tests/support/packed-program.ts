/**
 * The program that every host runs with the package from the tarball: a small GRU, sequentially and by a
 * parallel method. Its text goes into projects that have nothing else, so that it imports nothing.
 */

import type * as Conformance from "../../src/conformance/index.ts";
import type * as Antler from "../../src/index.ts";

/** The part of the package that the program needs, from wherever the host has it. */
export type Parts = Pick<typeof Antler, "createRuntime" | "gru">;

/** Plain data, so that it can be sent anywhere. */
export type Answer = States | Refusal;

export interface States {
  readonly backends: readonly Antler.BackendStatus[];
  /** By method; `[steps, hiddenSize]`. */
  readonly states: Readonly<Record<Method, readonly number[]>>;
  readonly reports: Readonly<Record<Method, Told>>;
}

/** What the reports tell about themselves. */
export type Told = Pick<Antler.Report, "backend" | "simd" | "method" | "chunk" | "converged">;

/** What was thrown, by `createRuntime` or by an evaluation. */
export interface Refusal {
  readonly error: { readonly name: string; readonly message: string };
}

export type Method = "sequential" | "deer";

/** A GRU and its inputs, from a generator of its own: a linear congruence. */
export function seededProblem() {
  let seed = 20261123;
  const numbers = (length: number, scale: number) =>
    Float32Array.from({ length }, () => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return scale * (seed / 2 ** 31 - 1);
    });
  const [inputSize, hiddenSize, steps] = [3, 5, 40];
  const weights = {
    weight_ih: numbers(3 * hiddenSize * inputSize, 0.6),
    weight_hh: numbers(3 * hiddenSize * hiddenSize, 0.6),
    bias_ih: numbers(3 * hiddenSize, 0.3),
    bias_hh: numbers(3 * hiddenSize, 0.3),
  };
  return { inputSize, hiddenSize, weights, inputs: numbers(steps * inputSize, 1) };
}

/** Never rejects: a host that cannot do it answers why. */
export async function answer(
  { createRuntime, gru }: Parts,
  options: Antler.RuntimeOptions = {},
): Promise<Answer> {
  try {
    const { inputs, ...recurrence } = seededProblem();
    const cell = gru(recurrence);
    const runtime = await createRuntime(options);
    const { backends } = runtime;
    const { backend = "auto" } = options;
    const run = async (method: Method) => {
      const result = await runtime.evaluate(cell, inputs, { method, chunk: 8, backend });
      const { report } = result;
      const told: Told = {
        backend: report.backend,
        ...(report.simd && { simd: report.simd }),
        method: report.method,
        chunk: report.chunk,
        converged: report.converged,
      };
      return { states: Array.from(result.states), told };
    };
    const sequential = await run("sequential");
    const deer = await run("deer");
    runtime.dispose();
    return {
      backends,
      states: { sequential: sequential.states, deer: deer.states },
      reports: { sequential: sequential.told, deer: deer.told },
    };
  } catch (error) {
    const { name, message } = error as Error;
    return { error: { name, message } };
  }
}

/** What a short run of the conformance suite found. */
export interface Verdict {
  readonly passed: boolean;
  /** "CELL METHOD: failures", of all results. */
  readonly results: readonly string[];
}

export async function conform(
  createRuntime: Parts["createRuntime"],
  runConformance: typeof Conformance.runConformance,
): Promise<Verdict | Refusal> {
  try {
    const runtime = await createRuntime({ backend: "wasm" });
    const { passed, results } = await runConformance(runtime, {
      backends: ["wasm"],
      methods: ["sequential", "deer"],
    });
    runtime.dispose();
    return {
      passed,
      results: results.map(
        ({ cell, method, failures }) => `${cell} ${method}: ${failures.join("; ")}`,
      ),
    };
  } catch (error) {
    const { name, message } = error as Error;
    return { error: { name, message } };
  }
}
