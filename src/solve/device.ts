/** Evaluation on a backend that does all sweeps of a batch by itself. */
import type { DeviceBackend, DeviceFacts, DeviceRun } from "../backend/backend.ts";
import type { DeviceArray, FloatArray, MethodName } from "../types.ts";
import type { Job } from "../validate.ts";
import { rowsOf, settleSequential } from "./host.ts";
import type { Pacer } from "./pacing.ts";
import { type Outcome, settle, worse } from "./settle.ts";

export interface DeviceSolved {
  readonly states: FloatArray | DeviceArray;
  readonly finalStates: FloatArray | DeviceArray;
  readonly outcome: Outcome;
  readonly facts: DeviceFacts;
  /** Milliseconds before the first sweep. */
  readonly prepare: number;
}

export async function solveOnDevice(
  backend: DeviceBackend,
  job: Job,
  method: MethodName,
  pacer: Pacer,
): Promise<DeviceSolved> {
  const run = await backend.run(job, method === "sequential", pacer);
  try {
    const outcome =
      method === "sequential"
        ? settleSequential(backend, job, (await allFinite(job, run)) ? null : await run.states())
        : await settleBatch(backend, job, method, run, pacer);
    const { states, finalStates } = await run.output();
    return { states, finalStates, outcome, facts: await run.facts(), prepare: run.prepare };
  } finally {
    run.release();
  }
}

async function allFinite(job: Job, run: DeviceRun): Promise<boolean> {
  for (let sequence = 0; sequence < job.sequences.length; sequence++) {
    if (!(await run.finite(sequence))) return false;
  }
  return true;
}

async function settleBatch(
  { unitRoundoff }: DeviceBackend,
  job: Job,
  method: MethodName,
  run: DeviceRun,
  pacer: Pacer,
): Promise<Outcome> {
  const { inputSize, stateSize } = job.cell;
  let total: Outcome = { residual: 0, errorEstimate: 0, converged: true, iterations: 0 };
  for (const [sequence, result] of run.results.entries()) {
    if (!result) continue;
    const { fromStep } = result;
    const { length } = job.sequences[sequence]!;
    const iterated = {
      ...{ unitRoundoff, length, method, sequence, result, fromStep },
      finite: () => run.finite(sequence),
      repair: () => run.repair(sequence, fromStep),
      inputs: async () => rowsOf(job, await run.inputs(), sequence, inputSize),
      states: async () => rowsOf(job, await run.states(), sequence, stateSize),
    };
    total = worse(total, await settle(job, iterated, pacer));
  }
  return total;
}
