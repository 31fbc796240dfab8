/** Checks what a caller hands to `evaluate`, and fills in the defaults. */
import type { Sequence } from "./backend/backend.ts";
import type { Cell } from "./cell/define-cell.ts";
import { blockSize } from "./cell/differentiate.ts";
import { Graph } from "./cell/expression.ts";
import {
  checkBoolean,
  checkFloats,
  checkInteger,
  checkKeys,
  checkOneOf,
  findNonFinite,
  requireType,
  requireValue,
} from "./checks.ts";
import {
  type Damping,
  jacobianKinds,
  methodNames,
  methods,
  resolveDamping,
  type SweepMethod,
} from "./solve/method.ts";
import type {
  DeviceArray,
  EvaluateOptions,
  FloatArray,
  JacobianKind,
  MethodName,
} from "./types.ts";

export { checkKeys, checkOneOf };

/** The options of one evaluation, complete and checked. */
export interface Job {
  readonly cell: Cell;
  /** Empty if they are on the device, or if there are none. */
  readonly inputs: FloatArray;
  readonly deviceInputs: DeviceArray | null;
  readonly sequences: readonly Sequence[];
  /** Rows of `inputs`, all sequences together. */
  readonly rows: number;
  readonly reverse: boolean;
  /** `[sequences, stateSize]`. */
  readonly initialStates: FloatArray;
  readonly initialGuess: FloatArray | null;
  readonly method: MethodName | "auto";
  /** Null for sequential evaluation. */
  readonly jacobian: JacobianKind | null;
  readonly damping: Damping | null;
  /** Infinite for "threads" unless it was asked for. */
  readonly chunk: number;
  readonly exact: boolean;
  /** Most threads, where `auto` has chosen how many. */
  readonly threads?: number;
  readonly tolerance: number;
  readonly maxIterations: number;
  readonly onFailure: "sequential" | "throw" | "return";
  readonly onIteration: EvaluateOptions["onIteration"];
  readonly onProgress: EvaluateOptions["onProgress"];
  readonly signal: AbortSignal | undefined;
  readonly output: "cpu" | "gpu";
  readonly profile: boolean;
}

const optionNames: readonly (keyof EvaluateOptions)[] = [
  "method",
  "backend",
  "initialState",
  "lengths",
  "reverse",
  "chunk",
  "exact",
  "damping",
  "jacobian",
  "tolerance",
  "maxIterations",
  "initialGuess",
  "onFailure",
  "onIteration",
  "onProgress",
  "signal",
  "output",
  "profile",
];

function checkNumbers(what: string, value: unknown): FloatArray {
  const numbers = checkFloats(what, value);
  if (numbers.length === 0) {
    try {
      new Uint8Array(numbers.buffer);
    } catch {
      throw new TypeError(`${what}: expected numbers, got an array whose buffer is detached`);
    }
  }
  return numbers;
}

function checkFunction<F>(what: string, value: F): F {
  const isFunction = value === undefined || typeof value === "function";
  requireType(isFunction, what, "a function", value);
  return value;
}

/** A `GPUBuffer` of any implementation, as far as one can tell. */
function isDeviceBuffer(value: unknown): value is GPUBuffer {
  const buffer = value as Partial<GPUBuffer> | null;
  return (
    typeof buffer === "object" &&
    typeof buffer?.mapAsync === "function" &&
    typeof buffer.size === "number"
  );
}

function countRows(
  cell: Cell,
  inputs: FloatArray | GPUBuffer | number,
  lengths: ArrayLike<number> | undefined,
): number {
  if (cell.inputSize === 0) {
    const expected = `the number of steps, because cell "${cell.name}" reads no input`;
    requireType(typeof inputs === "number", "inputs", expected, inputs);
    return checkInteger("inputs", inputs, 0);
  }
  const expected = `a Float32Array or Float64Array with ${cell.inputSize} numbers a step`;
  requireType(typeof inputs !== "number", "inputs", expected, inputs);
  const onDevice = isDeviceBuffer(inputs);
  const count = onDevice ? inputs.size / 4 : checkNumbers("inputs", inputs).length;
  if (onDevice && lengths) {
    // A buffer may be longer than what is in it.
    const rows = Array.from(lengths).reduce((sum, length) => sum + length, 0);
    const bytes = rows * cell.inputSize * 4;
    requireValue(inputs.size >= bytes, "inputs", `a buffer of ${bytes} bytes`, inputs.size);
    return rows;
  }
  const rows = count / cell.inputSize;
  const whole = `a multiple of inputSize ${cell.inputSize} numbers`;
  requireValue(Number.isInteger(rows), "inputs", whole, count);
  return rows;
}

function layOutSequences(rows: number, lengths: ArrayLike<number> | undefined): Sequence[] {
  if (lengths === undefined) return [{ offset: 0, length: rows }];
  const isArray = typeof lengths === "object" && typeof lengths?.length === "number";
  requireType(isArray, "lengths", "an array of integers", lengths);
  let offset = 0;
  const sequences = Array.from(lengths, (length, i) => {
    checkInteger(`lengths[${i}]`, length, 0);
    const sequence = { offset, length };
    offset += length;
    return sequence;
  });
  requireValue(offset === rows, "lengths", `a sum of ${rows}, the rows of inputs`, offset);
  return sequences;
}

function spreadInitialState(cell: Cell, batch: number, given: unknown): FloatArray {
  const { stateSize } = cell;
  if (given === undefined) return new Float32Array(batch * stateSize);
  const initial = checkNumbers("initialState", given);
  const { length } = initial;
  const expected = `${stateSize}${batch > 1 ? ` or ${batch} × ${stateSize}` : ""} numbers`;
  const fits = length === stateSize || length === batch * stateSize;
  requireValue(fits, "initialState", expected, length);
  const bad = findNonFinite(initial);
  if (bad >= 0) {
    throw new RangeError(
      `initialState: expected finite numbers, got ${initial[bad]} at unit ${bad % stateSize}` +
        ` of sequence ${Math.floor(bad / stateSize)}`,
    );
  }
  if (length === batch * stateSize) return initial;
  const all = new Float64Array(batch * stateSize);
  for (let sequence = 0; sequence < batch; sequence++) all.set(initial, sequence * stateSize);
  return all;
}

function checkGuess(cell: Cell, rows: number, given: unknown): FloatArray | null {
  if (given === undefined) return null;
  const { stateSize } = cell;
  const guess = checkNumbers("initialGuess", given);
  const expected = `${rows} × ${stateSize} numbers`;
  requireValue(guess.length === rows * stateSize, "initialGuess", expected, guess.length);
  return guess;
}

/**
 * @throws TypeError, RangeError naming the argument, what was expected and what came.
 */
export function checkJob(
  cell: Cell,
  inputs: FloatArray | DeviceArray | number,
  options: EvaluateOptions,
): Job {
  // A copy that went through structuredClone has lost its graph's class, and its methods.
  requireType(cell?.graph instanceof Graph, "cell", "a cell made by defineCell", cell);
  checkKeys("options", options, optionNames);
  const { method: given = "auto" } = options;
  const source = inputs as FloatArray | GPUBuffer | number;
  const rows = countRows(cell, source, options.lengths);
  const sequences = layOutSequences(rows, options.lengths);
  const method = checkOneOf("method", given, [...methodNames, "auto"] as const);
  const { tolerance = 1e-5, maxIterations = 100, onFailure = "sequential" } = options;
  const { reverse = false, exact = false, signal, output = "cpu", profile = false } = options;
  const unasked = method === "threads" ? Infinity : 1;
  const chunk = options.chunk === undefined ? unasked : checkInteger("chunk", options.chunk, 1);
  checkInteger("maxIterations", maxIterations, 0);
  const isPositive = typeof tolerance === "number" && tolerance > 0 && tolerance < Infinity;
  requireValue(isPositive, "tolerance", "a positive number", tolerance);
  checkBoolean("reverse", reverse);
  checkBoolean("exact", exact);
  checkBoolean("profile", profile);
  const isSignal = signal === undefined || signal instanceof AbortSignal;
  requireType(isSignal, "signal", "an AbortSignal", signal);
  if (options.jacobian !== undefined) checkOneOf("jacobian", options.jacobian, jacobianKinds);
  const parallel = method in methods ? (method as SweepMethod) : null;
  const asked = parallel && (options.jacobian ?? methods[parallel].jacobian);
  // Units of one element: their blocks are the diagonal, and the report should say so.
  const jacobian = asked === "block" && blockSize(cell) === 1 ? "diagonal" : asked;
  const deviceInputs = isDeviceBuffer(source) ? source : null;
  const damping = resolveDamping(options.damping, parallel ?? "deer", jacobian ?? "none");
  return {
    cell,
    inputs: typeof source === "number" || isDeviceBuffer(source) ? new Float32Array(0) : source,
    deviceInputs,
    sequences,
    rows,
    reverse,
    initialStates: spreadInitialState(cell, sequences.length, options.initialState),
    initialGuess: checkGuess(cell, rows, options.initialGuess),
    method,
    jacobian,
    damping: parallel && damping,
    chunk,
    exact,
    tolerance,
    maxIterations,
    onFailure: checkOneOf("onFailure", onFailure, ["sequential", "throw", "return"] as const),
    onIteration: checkFunction("onIteration", options.onIteration),
    onProgress: checkFunction("onProgress", options.onProgress),
    signal,
    output: checkOneOf("output", output, ["cpu", "gpu"] as const),
    profile,
  };
}

/** What `warmup` compiles for: the steps, and the options of `evaluate` that matter. */
export interface Shape extends EvaluateOptions {
  /** T, or the rows of all sequences of a batch together. */
  readonly steps: number;
}

/** A job of this shape, without inputs. */
export function checkShape(cell: Cell, shape: Shape): Job {
  checkKeys("shape", shape, ["steps", ...optionNames]);
  const { steps, ...options } = shape;
  checkInteger("shape.steps", steps, 0);
  const asked = { ...cell, inputSize: 0 };
  return { ...checkJob(asked, steps, options), cell };
}
