/** One evaluation on one backend, from a checked job to states and a report. */
import type { Backend, Sequence } from "../backend/backend.ts";
import { ConvergenceError, NonFiniteError, type NonFiniteLocation } from "../errors.ts";
import type { Evaluation, Fallback, FloatArray, MethodName, Report } from "../types.ts";
import type { Job } from "../validate.ts";
import type { Certificate } from "./engine.ts";
import { exactCertificate, iterate } from "./iterate.ts";
import { findJump, hasJumps, type Trajectory } from "./jumps.ts";
import { Pacer } from "./pacing.ts";

/** What the report says of the batch so far: the worst of its sequences. */
interface Outcome extends Certificate {
  readonly converged: boolean;
  readonly iterations: number;
  readonly fallback?: Fallback;
}

type ParallelMethod = Exclude<MethodName, "sequential">;

export interface Plan {
  readonly method: MethodName;
  /** Why, in words. */
  readonly choice: string;
}

export async function solve(
  backend: Backend,
  job: Job,
  plan: Plan,
): Promise<Evaluation<FloatArray>> {
  const started = performance.now();
  const { cell, sequences, rows } = job;
  const pacer = new Pacer(job.signal);
  const states = allocateStates(backend, rows, cell.stateSize);
  const sequential = plan.method === "sequential";
  const prepared = performance.now();
  const outcome = sequential
    ? await solveSequentially(backend, job, states, pacer)
    : await solveInParallel(backend, job, plan.method as ParallelMethod, states, pacer);
  const finished = performance.now();
  const most = longest(sequences);
  const report: Report = {
    backend: backend.name,
    ...(backend.simd && { simd: backend.simd }),
    method: plan.method,
    jacobian: sequential ? null : job.jacobian,
    chunk: sequential ? most : Math.min(job.chunk, Math.max(most, 1)),
    iterations: outcome.iterations,
    residual: outcome.residual,
    errorEstimate: outcome.errorEstimate,
    converged: outcome.converged,
    ...(outcome.fallback && { fallback: outcome.fallback }),
    choice: plan.choice,
    milliseconds: {
      total: finished - started,
      prepare: prepared - started,
      solve: finished - prepared,
    },
  };
  return { states, finalStates: finalStates(backend, job, states), report };
}

/** `[rows, stateSize]`. @throws RangeError when they cannot be had. */
function allocateStates(backend: Backend, rows: number, stateSize: number): FloatArray {
  try {
    return backend.allocate(rows * stateSize);
  } catch (cause) {
    const size = `${rows} × ${stateSize} numbers`;
    throw new RangeError(`memory: the states need ${size}, which cannot be had`, { cause });
  }
}

/** T of the longest sequence. */
function longest(sequences: readonly Sequence[]): number {
  return sequences.reduce((most, { length }) => Math.max(most, length), 0);
}

async function solveSequentially(
  backend: Backend,
  job: Job,
  states: FloatArray,
  pacer: Pacer,
): Promise<Outcome> {
  const { cell, inputs, sequences, reverse, initialStates, onProgress } = job;
  const problem = { cell, inputs, sequences, reverse, initialStates, states, onProgress };
  let finite: boolean;
  try {
    finite = await backend.sequential(problem, pacer);
  } finally {
    backend.release();
  }
  const { unitRoundoff } = backend;
  const exact = exactCertificate({ unitRoundoff, length: longest(sequences) });
  const outcome = { ...exact, converged: true, iterations: 0 };
  if (finite) return outcome;
  for (let sequence = 0; sequence < sequences.length; sequence++) {
    const location = firstNonFinite(job, states, sequence);
    if (!location) continue;
    const error = nonFiniteError(job, location);
    if (job.onFailure !== "return") throw error;
    const fallback: Fallback = { to: "none", reason: error.message, fromStep: 0, sequence };
    return { ...outcome, converged: false, residual: Infinity, errorEstimate: Infinity, fallback };
  }
  return outcome;
}

async function solveInParallel(
  backend: Backend,
  job: Job,
  method: ParallelMethod,
  states: FloatArray,
  pacer: Pacer,
): Promise<Outcome> {
  let total: Outcome = { residual: 0, errorEstimate: 0, converged: true, iterations: 0 };
  for (let sequence = 0; sequence < job.sequences.length; sequence++) {
    if (job.sequences[sequence]!.length === 0) continue;
    try {
      const outcome = await solveOne(backend, job, method, sequence, states, pacer);
      total = worse(total, outcome);
    } finally {
      backend.release();
    }
  }
  return total;
}

function worse(a: Outcome, b: Outcome): Outcome {
  const fallback = a.fallback ?? b.fallback;
  return {
    residual: Math.max(a.residual, b.residual),
    errorEstimate: Math.max(a.errorEstimate, b.errorEstimate),
    converged: a.converged && b.converged,
    iterations: Math.max(a.iterations, b.iterations),
    ...(fallback && { fallback }),
  };
}

async function solveOne(
  backend: Backend,
  job: Job,
  method: ParallelMethod,
  sequence: number,
  states: FloatArray,
  pacer: Pacer,
): Promise<Outcome> {
  const { cell, onFailure } = job;
  const { inputSize, stateSize } = cell;
  const { offset, length } = job.sequences[sequence]!;
  const rowsOf = (array: FloatArray, width: number) =>
    array.subarray(offset * width, (offset + length) * width);
  const chunk = Math.min(job.chunk, length);
  const inputs = rowsOf(job.inputs, inputSize);
  const engine = backend.engine({
    cell,
    inputs,
    length,
    reverse: job.reverse,
    initialState: job.initialStates.subarray(sequence * stateSize, (sequence + 1) * stateSize),
    initialGuess: job.initialGuess && rowsOf(job.initialGuess, stateSize),
    chunk,
    jacobian: job.jacobian!,
    damping: job.damping!,
  });
  const options = {
    damping: job.damping!,
    tolerance: job.tolerance,
    maxIterations: job.maxIterations,
    chunkLength: chunk,
    sequence,
    certifyFailure: onFailure === "return",
    ...(job.onIteration && { onIteration: job.onIteration }),
  };
  const result = await iterate(engine, options, pacer);
  const { iterations, residual, errorEstimate, exactChunks } = result;
  const target = rowsOf(states, stateSize);
  const fromStep = Math.min(exactChunks * chunk, length);
  let { converged, reason } = result;
  if (converged && fromStep < length && hasJumps(cell)) {
    engine.readStates(target);
    const trajectory = { cell, inputs, states: target, length, reverse: job.reverse };
    const error = Math.max(errorEstimate, engine.unitRoundoff);
    reason = await describeJump(trajectory, fromStep, error, pacer);
    converged = reason === "";
    if (!converged && onFailure === "sequential") engine.splitSeams();
  }
  let outcome: Outcome = { residual, errorEstimate, converged, iterations };
  if (!converged) {
    // States that are not finite get the error that says where, which takes evaluating up to there.
    if (onFailure === "throw" && result.finite) {
      const known = `the first ${fromStep} steps of sequence ${sequence} are exact`;
      const location = engine.readStates(target) ? null : firstNonFinite(job, states, sequence);
      const lost = location ? `, the iterate is ${describeLocation(location)}` : "";
      throw new ConvergenceError(`${method}: ${reason}; ${known}${lost}`, iterations, residual);
    }
    const to = onFailure === "return" ? "none" : "sequential";
    const fallback: Fallback = { to, reason, fromStep, sequence };
    outcome = { ...outcome, fallback };
    if (to === "sequential") {
      await pacer.slices(fromStep, length, engine.stepCost, (from, end) =>
        engine.runSteps(from, end),
      );
      outcome = { ...outcome, ...exactCertificate(engine), converged: true };
    }
  }
  if (engine.readStates(target)) return outcome;
  const error = nonFiniteError(job, firstNonFinite(job, states, sequence)!);
  if (onFailure !== "return") throw error;
  const why = converged ? error.message : `${reason}; ${error.message}`;
  return {
    ...outcome,
    converged: false,
    residual: Infinity,
    errorEstimate: Infinity,
    fallback: { to: "none", reason: why, fromStep, sequence },
  };
}

/** Why an error of this size may have made the recurrence go another way; empty if it cannot. */
async function describeJump(
  trajectory: Trajectory,
  fromStep: number,
  error: number,
  pacer: Pacer,
): Promise<string> {
  const step = await findJump(trajectory, fromStep, error, pacer);
  if (step === null) return "";
  return (
    `the error may be ${error.toExponential(1)}, and at step ${step} that could turn over` +
    " a comparison which the cell makes"
  );
}

function describeLocation({ step, unit }: NonFiniteLocation): string {
  return `not finite from step ${step}, unit ${unit} on`;
}

/** The first state, in the direction of time, that is not finite. */
function firstNonFinite(job: Job, states: FloatArray, sequence: number): NonFiniteLocation | null {
  const { stateSize } = job.cell;
  const { offset, length } = job.sequences[sequence]!;
  const rows = states.subarray(offset * stateSize, (offset + length) * stateSize);
  for (let t = 0; t < length; t++) {
    const step = job.reverse ? length - 1 - t : t;
    for (let unit = 0; unit < stateSize; unit++) {
      if (!Number.isFinite(rows[step * stateSize + unit])) return { sequence, step, unit };
    }
  }
  return null;
}

function nonFiniteError(job: Job, location: NonFiniteLocation): NonFiniteError {
  const { inputSize } = job.cell;
  const row = (job.sequences[location.sequence]!.offset + location.step) * inputSize;
  const element = job.inputs
    .subarray(row, row + inputSize)
    .findIndex((value: number) => !Number.isFinite(value));
  const cause =
    element >= 0
      ? `element ${element} of its input is ${job.inputs[row + element]}`
      : "the step overflows or is not defined there, though its input is finite";
  return new NonFiniteError(location, cause);
}

function finalStates(backend: Backend, job: Job, states: FloatArray): FloatArray {
  const { stateSize } = job.cell;
  const result = backend.allocate(job.sequences.length * stateSize);
  job.sequences.forEach(({ offset, length }, sequence) => {
    const row = offset + (job.reverse ? 0 : length - 1);
    const source =
      length === 0
        ? job.initialStates.subarray(sequence * stateSize, (sequence + 1) * stateSize)
        : states.subarray(row * stateSize, (row + 1) * stateSize);
    result.set(source, sequence * stateSize);
  });
  return result;
}
