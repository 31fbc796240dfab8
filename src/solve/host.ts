/** Evaluation on a backend that the iteration drives sweep by sweep. */
import type { HostBackend, HostRun, Sequence, ThreadsRun } from "../backend/backend.ts";
import type { Fallback, FloatArray, MethodName, Report } from "../types.ts";
import type { Job } from "../validate.ts";
import { stateBounds } from "./bounds.ts";
import { exactCertificate } from "./engine.ts";
import { firstNonFinite, nonFiniteError } from "./finite.ts";
import { iterate } from "./iterate.ts";
import { hasJumps } from "./jumps.ts";
import type { SweepMethod } from "./method.ts";
import type { Pacer } from "./pacing.ts";
import { type Outcome, settle, worse } from "./settle.ts";

/** What an evaluation came to, whichever backend did it. */
export interface Solved {
  readonly states: FloatArray;
  readonly finalStates: FloatArray;
  readonly outcome: Outcome;
  readonly facts: HostFacts;
}

/** What the report says of the threads. */
export type HostFacts = Partial<Pick<Report, "threads" | "steps" | "chunk">>;

export async function solveOnHost(
  backend: HostBackend,
  job: Job,
  method: MethodName,
  pacer: Pacer,
): Promise<Solved> {
  let allocated: FloatArray | null = null;
  const states = () => {
    allocated ??= allocateStates(backend, job.rows, job.cell.stateSize);
    return allocated;
  };
  const { outcome, facts } =
    method === "sequential" || method === "threads"
      ? await solveStepwise(backend, job, method === "threads", states, pacer)
      : { outcome: await solveInParallel(backend, job, method, states(), pacer), facts: {} };
  const made = states();
  return { states: made, finalStates: finalStates(backend, job, made), outcome, facts };
}

/** `[rows, stateSize]`. @throws RangeError when they cannot be had. */
function allocateStates(backend: HostBackend, rows: number, stateSize: number): FloatArray {
  try {
    return backend.allocate(rows * stateSize);
  } catch (cause) {
    const size = `${rows} × ${stateSize} numbers`;
    throw new RangeError(`memory: the states need ${size}, which cannot be had`, { cause });
  }
}

/** T of the longest sequence. */
export function longest(sequences: readonly Sequence[]): number {
  return sequences.reduce((most, { length }) => Math.max(most, length), 0);
}

/** @param inChunks whether chunks run side by side, if the backend can. */
async function solveStepwise(
  backend: HostBackend,
  job: Job,
  inChunks: boolean,
  states: () => FloatArray,
  pacer: Pacer,
): Promise<{ outcome: Outcome; facts: HostFacts }> {
  const { cell, inputs, sequences, reverse, initialStates, onProgress } = job;
  const { chunk, initialGuess, tolerance, threads: most } = job;
  const { stateSize } = cell;
  const shape = { cell, inputs, sequences, reverse, initialStates, states };
  const problem = { ...shape, onProgress, threads: most };
  let run: HostRun & Partial<ThreadsRun>;
  try {
    if (inChunks && backend.threads) {
      const boundsOf = (sequence: number) =>
        stateBounds(cell, initialStates.subarray(sequence * stateSize, (sequence + 1) * stateSize));
      // An error that derivatives do not see must not turn a comparison over.
      const exact = job.exact || hasJumps(cell);
      const chunks = { chunk, initialGuess, boundsOf, exact, tolerance };
      run = await backend.threads({ ...problem, ...chunks }, pacer);
    } else {
      run = await backend.sequential(problem, pacer);
      const fewer = `only one thread: backend "${backend.name}" has no more`;
      if (inChunks) run = { ...run, fewer };
    }
  } finally {
    backend.release();
  }
  const { finite, threads, fewer, steps, chunk: longestChunk, residual = 0 } = run;
  const outcome = settleSequential(backend, job, finite ? null : states());
  return {
    outcome: {
      ...outcome,
      iterations: run.iterations ?? 0,
      residual: Math.max(outcome.residual, residual),
      errorEstimate: outcome.errorEstimate + residual,
      ...(fewer && { fewer }),
    },
    facts: {
      ...(threads && { threads }),
      ...(steps && { steps }),
      ...(longestChunk !== undefined && { chunk: longestChunk }),
    },
  };
}

/**
 * The outcome of a sequential evaluation.
 *
 * @param suspects the states, unless they are all known to be finite.
 * @throws NonFiniteError
 */
export function settleSequential(
  { unitRoundoff }: { readonly unitRoundoff: number },
  job: Job,
  suspects: FloatArray | null,
): Outcome {
  const { sequences, cell } = job;
  const exact = exactCertificate({ unitRoundoff, length: longest(sequences) });
  const outcome = { ...exact, converged: true, iterations: 0 };
  if (!suspects) return outcome;
  for (let sequence = 0; sequence < sequences.length; sequence++) {
    const states = rowsOf(job, suspects, sequence, cell.stateSize);
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
  backend: HostBackend,
  job: Job,
  method: SweepMethod,
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

async function solveOne(
  backend: HostBackend,
  job: Job,
  method: SweepMethod,
  sequence: number,
  states: FloatArray,
  pacer: Pacer,
): Promise<Outcome> {
  const { cell, reverse, onFailure } = job;
  const { stateSize } = cell;
  const { length } = job.sequences[sequence]!;
  const chunk = Math.min(job.chunk, length);
  const inputs = rowsOf(job, job.inputs, sequence, cell.inputSize);
  const engine = backend.engine({
    cell,
    inputs,
    length,
    reverse,
    initialState: job.initialStates.subarray(sequence * stateSize, (sequence + 1) * stateSize),
    initialGuess: job.initialGuess && rowsOf(job, job.initialGuess, sequence, stateSize),
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
  const { unitRoundoff } = engine;
  const fromStep = Math.min(result.exactChunks * chunk, length);
  const target = rowsOf(job, states, sequence, stateSize);
  const finite = async () => engine.readStates(target);
  const repair = async () => {
    if (result.converged) engine.splitSeams();
    await pacer.slices(fromStep, length, engine.stepCost, (from, to) => engine.runSteps(from, to));
  };
  const iterated = {
    ...{ unitRoundoff, length, method, sequence, result, fromStep, finite, repair },
    inputs: async () => inputs,
    states: async () => {
      engine.readStates(target);
      return target;
    },
  };
  return settle(job, iterated, pacer);
}

/** The rows of one sequence. */
export function rowsOf(job: Job, array: FloatArray, sequence: number, width: number): FloatArray {
  const { offset, length } = job.sequences[sequence]!;
  return array.subarray(offset * width, (offset + length) * width);
}

function finalStates(backend: HostBackend, job: Job, states: FloatArray): FloatArray {
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
