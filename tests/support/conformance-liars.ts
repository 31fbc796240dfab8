/** Runtimes that do not tell the truth, for the conformance suite to find out. */
import type { ConformanceResult } from "../../src/conformance/index.ts";
import type { Cell, EvaluateOptions, Evaluation, FloatArray, Runtime } from "../../src/index.ts";

export type Result = Evaluation<FloatArray>;

/** One call of `evaluate`. */
export interface Call {
  readonly cell: Cell;
  readonly inputs: FloatArray | number;
  readonly options: EvaluateOptions;
  /** How many calls there were before. */
  readonly index: number;
  /** The honest evaluation, with other options on top. */
  readonly evaluate: (changes?: EvaluateOptions) => Promise<Result>;
}

/** What becomes of a call. */
export type Lie = (call: Call) => unknown;

/** A runtime that has what `honest` has, and answers with `lie`. */
export function lyingRuntime(honest: Runtime<FloatArray>, lie: Lie): Runtime {
  let index = 0;
  const evaluate = async (cell: Cell, inputs: FloatArray | number, options: EvaluateOptions) => {
    const call: Call = {
      cell,
      inputs,
      options,
      index: index++,
      evaluate: (changes) => honest.evaluate(cell, inputs, { ...options, ...changes }),
    };
    return (await lie(call)) as Result;
  };
  return { backends: honest.backends, device: null, evaluate } as unknown as Runtime;
}

/** An honest result with other states, written in place. */
const withStates =
  (change: (states: FloatArray, call: Call) => void): Lie =>
  async (call) => {
    const result = await call.evaluate();
    change(result.states, call);
    return result;
  };

/** An honest result with another report. */
const withReport =
  (change: (report: Result["report"], call: Call) => object): Lie =>
  async (call) => {
    const result = await call.evaluate();
    return { ...result, report: { ...result.report, ...change(result.report, call) } };
  };

/** A row that is neither first nor last of its sequence. */
const middle = (states: FloatArray, { cell }: Call) =>
  Math.floor(states.length / cell.stateSize / 3) * cell.stateSize;

/** First row and length of each sequence. */
function sequencesOf({ cell, inputs, options }: Call): { first: number; length: number }[] {
  const rows = typeof inputs === "number" ? inputs : inputs.length / cell.inputSize;
  let first = 0;
  return Array.from(options.lengths ?? [rows], (length) => {
    first += length;
    return { first: first - length, length };
  });
}

let previous: FloatArray | null = null;

export interface Liar {
  readonly name: string;
  readonly lie: Lie;
  /** What some result must be told to do wrong. */
  readonly failure: RegExp;
  /** Which results must fail; default all. */
  readonly fails?: (result: Told) => boolean;
}

type Told = Pick<ConformanceResult, "method" | "chunk" | "cell" | "exact" | "guessed">;

const isSwept = ({ method }: Told) => method !== "sequential" && method !== "threads";
const isThreads = ({ method }: Told) => method === "threads";
const inChunks = ({ method, chunk }: Told) => method === "threads" && chunk !== null;

/** Another report of threads; that of other methods stays. */
const withThreads = (change: (report: Result["report"], call: Call) => object): Lie =>
  withReport((report, call) => (call.options.method === "threads" ? change(report, call) : {}));

export const liars: readonly Liar[] = [
  {
    name: "moves one state by a thousandth",
    lie: withStates((states, call) => {
      states[middle(states, call)]! += 1e-3;
    }),
    failure: /states are \d\.\de-4 away from the golden ones at step \d+ of sequence \d/,
  },
  {
    name: "moves the last state, and the final state with it, by a thousandth",
    lie: async (call) => {
      const result = await call.evaluate();
      const { first, length } = sequencesOf(call)[0]!;
      const row = first + (call.options.reverse ? 0 : length - 1);
      result.states[row * call.cell.stateSize]! += 1e-3;
      result.finalStates[0]! += 1e-3;
      return result;
    },
    failure: /states are \d\.\de-4 away from the golden ones/,
  },
  {
    name: "keeps eleven bits",
    lie: async (call) => {
      const result = await call.evaluate();
      const halved = (value: number) => Math.round(value * 2048) / 2048;
      const [states, finalStates] = [result.states.map(halved), result.finalStates.map(halved)];
      return { ...result, states, finalStates };
    },
    failure: /residual: the states' own is \d\.\de-4, at step/,
  },
  {
    name: "swaps sequences of a batch",
    lie: async (call) => {
      const result = await call.evaluate();
      const { states } = result;
      const { stateSize } = call.cell;
      const sequences = sequencesOf(call).filter(({ length }) => length > 1);
      if (sequences.length < 2) return result;
      const [a, b] = sequences as [(typeof sequences)[0], (typeof sequences)[0]];
      const rows = Math.min(a.length, b.length) * stateSize;
      const kept = states.slice(a.first * stateSize, a.first * stateSize + rows);
      states.copyWithin(a.first * stateSize, b.first * stateSize, b.first * stateSize + rows);
      states.set(kept, b.first * stateSize);
      return result;
    },
    failure: /away from the golden ones at step \d+ of sequence/,
    fails: ({ cell }) => cell === "gru-reset-after",
  },
  {
    name: "takes a batch for one sequence",
    lie: async (call) => {
      const { lengths, ...options } = call.options;
      if (!lengths) return call.evaluate();
      const { stateSize } = call.cell;
      const initialState = options.initialState!.slice(0, stateSize);
      const whole = await call.evaluate({ initialState, lengths: [sum(lengths)] });
      const finalStates = (await call.evaluate()).finalStates;
      return { ...whole, finalStates };
    },
    failure: /away from the golden ones at step 0 of sequence \d/,
    fails: ({ cell }) => cell === "gru-reset-after",
  },
  {
    name: "forgets the initial state",
    lie: ({ evaluate, options }) =>
      evaluate({ initialState: new Float32Array(options.initialState!.length) }),
    failure: /away from the golden ones at step 0 of sequence 0/,
  },
  {
    name: "runs in the wrong direction",
    lie: ({ evaluate, options }) => evaluate({ reverse: !options.reverse }),
    failure: /away from the golden ones/,
  },
  {
    name: "returns the states of the call before",
    lie: async (call) => {
      const result = await call.evaluate();
      const stale = previous;
      previous = result.states;
      return { ...result, states: stale ?? result.states.map(() => 0) };
    },
    failure: /expected a Float32Array of \d+ numbers|away from the golden ones/,
    // The same problem may have the same states.
    fails: ({ method }) => method === "sequential",
  },
  {
    name: "claims to have converged after one sweep",
    lie: async (call) => {
      const result = await call.evaluate({ maxIterations: 1, onFailure: "return" });
      const { fallback: _, ...report } = result.report;
      const iterations = call.options.method === "sequential" ? 0 : 4;
      const claimed = { residual: 0, errorEstimate: 1e-6, converged: true, iterations };
      return { ...result, report: { ...report, ...claimed } };
    },
    failure: /report\.residual is understated: 0\.0e\+0, but the states' own is/,
    fails: isSwept,
  },
  {
    name: "does not converge, and does not repair",
    lie: ({ evaluate }) => evaluate({ maxIterations: 1, onFailure: "return" }),
    failure: /it did not converge: not converged after 1 sweeps/,
    fails: isSwept,
  },
  {
    name: "marks nothing as converged",
    lie: withReport(() => ({ converged: false })),
    failure: /it did not converge: without a reason/,
  },
  {
    name: "reports another backend",
    lie: withReport(() => ({ backend: "webgpu" })),
    failure: /report\.backend: asked for "wasm", got "webgpu"/,
  },
  {
    name: "moves to another backend, and says so",
    lie: withReport(() => ({ backend: "webgpu", failover: "it was raining" })),
    failure: /report\.backend: asked for "wasm", got "webgpu" \(it was raining\)/,
  },
  {
    name: "returns float64 where float32 is the rule",
    lie: ({ evaluate }) => evaluate({ backend: "reference" }),
    failure: /states: expected a Float32Array of \d+ numbers, got a Float64Array/,
  },
  {
    name: "reports another method",
    lie: withReport(() => ({ method: "auto" })),
    failure: /report\.method: asked for "[a-z-]+", got "auto"/,
  },
  {
    name: "reports another Jacobian",
    lie: withReport(() => ({ jacobian: "magic" })),
    failure: /report\.jacobian: asked for .*, got "magic"/,
  },
  {
    name: "reports another chunk",
    lie: withReport(({ chunk }) => ({ chunk: chunk + 1 })),
    failure: /report\.chunk: asked for \d+, got \d+/,
  },
  {
    name: "runs sequentially",
    lie: async (call) => {
      const { report, ...result } = await call.evaluate();
      const { residual, errorEstimate, ...honest } = report;
      const sequential = await call.evaluate({ method: "sequential" });
      const { iterations } = sequential.report;
      const claimed = { residual: 0, errorEstimate: sequential.report.errorEstimate, iterations };
      return { ...result, ...sequential, report: { ...honest, ...claimed } };
    },
    failure: /no sweep was needed, it says, so that deer cannot have run: the oracle took \d/,
    fails: isSwept,
  },
  {
    name: "runs Jacobi's iteration, whatever it is asked for",
    lie: async (call) => {
      if (call.options.method === "sequential" || call.options.method === "threads") {
        return call.evaluate();
      }
      const { report } = await call.evaluate();
      const other = await call.evaluate({ method: "jacobi", jacobian: "none", damping: 0 });
      const { iterations, residual, errorEstimate } = other.report;
      return { ...other, report: { ...report, iterations, residual, errorEstimate } };
    },
    failure: /\d+ sweeps, where deer takes the oracle \d: another method ran, or its Jacobian/,
    fails: ({ method, chunk }) => (method === "deer" || method === "elk") && chunk === 1,
  },
  {
    name: "reports sweeps for sequential evaluation",
    lie: withReport(({ iterations }) => ({ iterations: iterations || 3 })),
    failure: /report\.iterations: expected 0 for sequential evaluation, got 3/,
    fails: ({ method }) => method === "sequential",
  },
  {
    name: "does not count sweeps",
    lie: withReport(() => ({ iterations: undefined })),
    failure: /report\.iterations: expected a number of sweeps, got undefined/,
  },
  {
    name: "understates the residual a hundredfold",
    lie: withReport(({ residual }) => ({ residual: residual / 100 })),
    failure: /report\.residual is understated: \d\.\de-7, but the states' own is \d\.\de-5/,
    fails: ({ method, chunk }) => method === "jacobi" && chunk! > 1,
  },
  {
    name: "overstates the residual",
    lie: withReport(({ residual }) => ({ residual: residual + 5e-5 })),
    failure: /report\.residual is overstated: \d\.\de-5, but the states' own is/,
  },
  {
    name: "admits a residual above the tolerance",
    lie: withReport(() => ({ residual: 1.1e-4 })),
    failure: /residual 1\.1e-4 is above the tolerance 0\.000001/,
  },
  {
    name: "has no residual",
    lie: withReport(() => ({ residual: Number.NaN })),
    failure: /report\.residual: expected a finite number, got NaN/,
  },
  {
    name: "has no doubts",
    lie: withReport(() => ({ errorEstimate: 0 })),
    failure: /report\.errorEstimate: 0\.0e\+0 is below a single rounding, 6\.0e-8/,
  },
  {
    name: "has too many doubts",
    lie: withReport(() => ({ errorEstimate: 1 })),
    failure: /report\.errorEstimate: 1\.0e\+0 is above ten tolerances/,
  },
  {
    name: "knows no error",
    lie: withReport(() => ({ errorEstimate: undefined })),
    failure: /report\.errorEstimate: expected a finite number, got undefined/,
  },
  {
    name: "returns a NaN",
    lie: withStates((states, call) => {
      states[middle(states, call)] = Number.NaN;
    }),
    failure: /a state is not finite, first at step \d+ of sequence \d/,
  },
  {
    name: "returns nothing but NaN",
    lie: async ({ evaluate }) => {
      const result = await evaluate();
      result.states.fill(Number.NaN);
      result.finalStates.fill(Number.NaN);
      return result;
    },
    failure: /a state is not finite/,
  },
  {
    name: "returns an infinity",
    lie: withStates((states) => {
      states[0] = Infinity;
    }),
    failure: /a state is not finite/,
  },
  {
    name: "returns zeros",
    lie: async ({ evaluate }) => {
      const result = await evaluate();
      result.states.fill(0);
      result.finalStates.fill(0);
      return result;
    },
    failure: /away from the golden ones/,
  },
  {
    name: "returns a row too few",
    lie: async ({ evaluate, cell }) => {
      const result = await evaluate();
      return { ...result, states: result.states.slice(cell.stateSize) };
    },
    failure: /states: expected a Float32Array of \d+ numbers, got \d+/,
  },
  {
    name: "returns a number too many",
    lie: async ({ evaluate }) => {
      const result = await evaluate();
      return { ...result, states: Float32Array.from([...result.states, 0]) };
    },
    failure: /states: expected a Float32Array of \d+ numbers, got \d+/,
  },
  {
    name: "returns too few final states",
    lie: async ({ evaluate }) => ({ ...(await evaluate()), finalStates: new Float32Array(1) }),
    failure: /finalStates: expected a Float32Array of \d+ numbers, got 1/,
  },
  {
    name: "returns final states that are none",
    lie: async ({ evaluate }) => {
      const result = await evaluate();
      result.finalStates[0]! += 1e-7;
      return result;
    },
    failure: /the final state of sequence 0 is not its last state/,
  },
  {
    name: "returns zeros for a sequence without steps",
    lie: async (call) => {
      const result = await call.evaluate();
      const empty = sequencesOf(call).findIndex(({ length }) => length === 0);
      const { stateSize } = call.cell;
      if (empty >= 0) result.finalStates.fill(0, empty * stateSize, (empty + 1) * stateSize);
      return result;
    },
    failure: /the final state of sequence 1 is not its initial state, as it has no steps/,
    fails: ({ cell }) => cell === "gru-reset-after",
  },
  {
    name: "does not tell its threads",
    lie: withThreads(() => ({ threads: undefined })),
    failure: /report\.threads: expected a positive integer, got undefined/,
    fails: isThreads,
  },
  {
    name: "boasts of threads that had nothing to do",
    lie: withThreads(() => ({ threads: 64 })),
    failure: /report\.threads: 64 cannot have worked on \d+ chunks/,
    fails: isThreads,
  },
  {
    name: "does not count the steps of threads",
    lie: withThreads(() => ({ steps: undefined })),
    failure: /report\.steps: expected numbers of steps, got undefined/,
    fails: isThreads,
  },
  {
    name: "counts what ran again, and not that it ran",
    lie: withThreads(({ steps }) => ({ steps: { run: steps!.run - 1, rerun: steps!.rerun } })),
    failure: /report\.steps: \d+ steps without the \d+ that ran again should be all \d+/,
    fails: isThreads,
  },
  {
    name: "claims that nothing ran again",
    lie: withThreads(({ steps }) => ({ steps: { run: steps!.run - steps!.rerun, rerun: 0 } })),
    failure: /report\.steps: of \d+ chunks behind others, \d+ to \d+ steps .*, and 0 have/,
    fails: inChunks,
  },
  {
    name: "claims more work than there was to do",
    lie: withThreads(({ steps: { run, rerun } = { run: 0, rerun: 0 } }) => ({
      steps: { run: run + 1000, rerun: rerun + 1000 },
    })),
    failure: /report\.steps: of \d+ chunks behind others, \d+ to \d+ steps .*, and 1\d\d\d have/,
    fails: isThreads,
  },
  {
    name: "claims more rounds of merging than there are chunks",
    lie: withThreads(() => ({ iterations: 60 })),
    failure: /report\.iterations: \d+ chunks merge in rounds, of which .* expected, got 60/,
    fails: isThreads,
  },
  {
    name: "runs sequentially, and calls it threads",
    lie: async (call) => {
      if (call.options.method !== "threads") return call.evaluate();
      const { report } = await call.evaluate();
      const { report: own, ...result } = await call.evaluate({ method: "sequential" });
      const { run, rerun } = report.steps!;
      const claimed = { steps: { run: run - rerun, rerun: 0 }, iterations: own.iterations };
      return { ...result, report: { ...report, residual: own.residual, ...claimed } };
    },
    failure: /report\.iterations: \d+ chunks merge in rounds, of which .* expected, got 0/,
    fails: inChunks,
  },
  {
    name: "is a bit off where every bit was asked for",
    lie: async (call) => {
      const result = await call.evaluate();
      const { states } = result;
      const at = middle(states, call);
      if (call.options.exact) states[at]! += 2 ** -23 * Math.max(Math.abs(states[at]!), 2 ** -126);
      return result;
    },
    failure: /exact: states are not those of sequential evaluation in every bit, first at step \d/,
    fails: ({ exact }) => exact === true,
  },
  {
    name: "leaves chunks as they are after the first round",
    lie: async (call) => {
      const { method, chunk = 0, lengths, reverse } = call.options;
      const result = await call.evaluate();
      if (method !== "threads" || chunk === 0 || lengths || reverse) return result;
      // A chunk of the middle moves aside as a whole, by less than float64 steps would show.
      const rows = result.states.subarray(chunk * call.cell.stateSize);
      rows.forEach((value, i) => {
        if (i < chunk * call.cell.stateSize) rows[i] = value + 1.2e-6;
      });
      return result;
    },
    failure: /a chunk does not meet the one before: the residual is \d\.\d\de-\d+ at step/,
    fails: ({ method, chunk, exact, cell }) =>
      method === "threads" && chunk !== null && !exact && cell === "lstm-plain",
  },
  {
    name: "does not tell the seams of merged chunks",
    lie: withThreads(() => ({ residual: 0 })),
    failure: /report\.residual is understated: 0, but it is \d\.\d\de-8 at step/,
    fails: ({ guessed, cell }) => guessed === true && cell === "gru-reset-after",
  },
  {
    name: "fails at the comparison",
    lie: ({ evaluate, index, options }) =>
      index > 0 && options.method === "sequential" ? { states: null } : evaluate(),
    failure: /states of sequential evaluation: expected \d+, got null/,
    fails: isThreads,
  },
  {
    name: "returns no report",
    lie: async ({ evaluate }) => ({ ...(await evaluate()), report: null }),
    failure: /report: expected an object, got null/,
  },
  {
    name: "returns nothing",
    lie: () => undefined,
    failure: /states: expected a Float32Array of \d+ numbers, got undefined/,
  },
  {
    name: "throws",
    lie: () => {
      throw new RangeError("out of luck");
    },
    failure: /it threw RangeError: out of luck/,
  },
  {
    name: "throws what is no error",
    lie: () => Promise.reject("a string"),
    failure: /it threw something: a string/,
  },
];

function sum(lengths: ArrayLike<number>): number {
  return Array.from(lengths).reduce((total, length) => total + length, 0);
}
