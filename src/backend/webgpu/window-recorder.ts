/** Records the work of a window: what it begins with, its slots of dispatches, and the way back of its results. */
import type { Pacer } from "../../solve/pacing.ts";
import type { Job } from "../../validate.ts";
import { type BatchKernels, slotOf, type WindowKernels } from "./kernels.ts";
import { sequenceLayout } from "./layout.ts";
import type { Window } from "./plan.ts";
import type { StageTimer } from "./profile.ts";
import { type Dispatch, Recorder, type Session } from "./recorder.ts";
import {
  asFloat32,
  boundsOf,
  describeBounds,
  describeProblem,
  describeSequences,
  ERROR_COLUMNS,
  eachRun,
  guessedBoundaries,
  initialStateOf,
} from "./window.ts";

/** Multiply–adds, and steps one after the other, after which a submit is long enough. */
const SUBMIT_WORK = 2 ** 38;
const SUBMIT_STEPS = 2 ** 17;

export interface Prepared {
  readonly drive: readonly Dispatch[];
  /** The dispatches of a slot; the first slot begins at `sweepAt`. */
  readonly slot: readonly Dispatch[];
  /** When each of them has work: while a sequence is sweeping (1), certifying (2), either (3). */
  readonly when: readonly number[];
  readonly sweepAt: number;
  readonly steps: readonly Dispatch[];
  readonly finite: readonly Dispatch[];
}

/** Where a window's results lie in the read-back buffer, in bytes. */
export interface Place {
  readonly window: Window;
  readonly control: number;
  readonly trace: number;
  readonly spoiled: number;
  readonly states: number;
  readonly end: number;
}

/** @param traced sweeps that are kept a trace of, and the first; 0 for no trace. */
export function placeOf(job: Job, window: Window, control: number, traced: number): Place {
  const { stateSize } = job.cell;
  const B = window.segments;
  const trace = control + B * sequenceLayout.words * 4;
  const spoiled = trace + B * traced * 8;
  const states = spoiled + (job.output === "gpu" ? B * 4 : 0);
  const end = states + (job.output === "gpu" ? 0 : window.rows * stateSize * 4);
  return { window, control, trace, spoiled, states, end };
}

/** When a dispatch of a slot has work; see gpu/decide.wgsl. */
const WHILE_SWEEPING = 1;
const WHILE_CERTIFYING = 2;

export interface WindowWork {
  readonly session: Session;
  readonly job: Job;
  readonly sequential: boolean;
  readonly kernels: BatchKernels;
  readonly pacer: Pacer;
  readonly timer: StageTimer | null;
  /** Row of `job.deviceInputs` at which the job's inputs begin. */
  readonly firstInputRow: number;
  /** `[rows, stateSize]`, where states stay on the device. */
  readonly target: GPUBuffer | null;
}

export class WindowRecorder {
  readonly #work: WindowWork;
  #submitted: Promise<unknown> = Promise.resolve();
  /** Of the windows of a sequential run that have been recorded. */
  #rows = 0;
  readonly #prepared = new Map<WindowKernels, Promise<Prepared>>();

  constructor(work: WindowWork) {
    this.#work = work;
  }

  /** Windows of the same shape share their kernels, and what those are bound to. */
  prepare(window: Window): Promise<Prepared> {
    const kernels = this.#work.kernels.of(window);
    const prepared = this.#prepared.get(kernels) ?? this.#prepare(kernels);
    this.#prepared.set(kernels, prepared);
    return prepared;
  }

  async #prepare(kernels: WindowKernels): Promise<Prepared> {
    const { drive, sweep, finite, scan } = kernels;
    const slot = slotOf(kernels);
    const all = await this.#work.session.bind([...drive, ...finite, ...slot.flat()]);
    const take = (count: number) => all.splice(0, count);
    const either = WHILE_SWEEPING | WHILE_CERTIFYING;
    const times = [WHILE_SWEEPING, WHILE_SWEEPING, WHILE_CERTIFYING, either, either];
    return {
      drive: take(drive.length),
      finite: take(finite.length),
      slot: all,
      when: slot.flatMap((part, i) => part.map(() => times[i]!)),
      sweepAt: scan.length,
      steps: all.slice(scan.length, scan.length + sweep.length),
    };
  }

  /** Sends what the window begins with, and begins to record. */
  begin({ window }: Place, prepared: Prepared): Recorder {
    const job = this.#work.job;
    const session = this.#work.session;
    const { chunk } = this.#work.kernels;
    const { inputSize, stateSize: D } = job.cell;
    const bounds = boundsOf(job, window);
    session.upload("problem", describeProblem(job, window, chunk));
    session.upload("control", describeSequences(job, window, chunk).words);
    session.upload("bounds", describeBounds(bounds));
    const planned = new Uint32Array(
      prepared.slot.flatMap(({ x, y }, i) => [x, y, prepared.when[i]!, 0]),
    );
    session.upload("planned", planned);
    const first = prepared.slot.flatMap(({ x, y }, i) =>
      prepared.when[i] === WHILE_CERTIFYING ? [0, 1, 1, 0] : [x, y, 1, 0],
    );
    session.upload("dispatches", new Uint32Array(first));
    const recorder = new Recorder(
      this.#work.session.context,
      `${job.cell.name}, ${window.rows} steps`,
      this.#work.timer,
    );
    eachRun(job, window, (firstRow, windowRow, rows) => {
      const [from, to, count] = [firstRow, windowRow, rows].map((row) => row * inputSize);
      if (job.deviceInputs) {
        const start = (from! + this.#work.firstInputRow * inputSize) * 4;
        recorder.copy(job.deviceInputs, start, session.buffer("inputs"), to! * 4, count! * 4);
      } else if (inputSize > 0) {
        // Deno panics when it is to write nothing.
        session.upload("inputs", asFloat32(job.inputs.subarray(from, from! + count!)), to! * 4);
      }
    });
    const starts = session.buffer("boundaries");
    for (const [j, { sequence, fromStep }] of window.parts.entries()) {
      if (fromStep > 0) {
        const continued = 4 * (j * sequenceLayout.words + sequenceLayout.word.continued);
        recorder.copy(session.buffer("carry"), 0, starts, j * D * 4, D * 4);
        recorder.copy(session.buffer("carry"), D * 4, session.buffer("control"), continued, 4);
      } else session.upload("boundaries", asFloat32(initialStateOf(job, sequence)), j * D * 4);
    }
    if (!this.#work.sequential) {
      const [errors, bytes] = [session.buffer("errorBoundaries"), ERROR_COLUMNS * D * 4];
      // All of it: a window that is exact leaves the next one no error to begin with.
      recorder.clear(errors, 0, (window.segments + 2 * window.errorChunks) * bytes);
      for (const [j, { fromStep }] of window.parts.entries()) {
        if (fromStep > 0) recorder.copy(session.buffer("errorCarry"), 0, errors, j * bytes, bytes);
      }
    }
    const firstBoundary = window.segments * D * 4;
    const guess = this.#work.sequential ? null : guessedBoundaries(job, window, chunk, bounds);
    if (guess) session.upload("boundaries", guess, firstBoundary);
    else recorder.clear(starts, firstBoundary, window.chunks * D * 4);
    for (const dispatch of prepared.drive) recorder.dispatch(dispatch);
    return recorder;
  }

  /** Records more slots of a window that `begin` has begun. */
  more(): Recorder {
    const { session, timer } = this.#work;
    return new Recorder(session.context, "more sweeps", timer);
  }

  /** Records and submits slots `from` … `from + count − 1`, or the steps, and the way back. */
  async record(
    first: Recorder,
    prepared: Prepared,
    place: Place,
    from: number,
    count: number,
  ): Promise<void> {
    const { window } = place;
    const { stepCost, chunk } = this.#work.kernels;
    const buffer = this.#work.session.buffer("dispatches");
    let recorder = first;
    let work = 0;
    let steps = 0;
    const { sequential, job } = this.#work;
    const before = this.#rows;
    this.#rows += sequential ? window.rows : 0;
    const make = async (moreWork: number, moreSteps: number, share: number) => {
      if (work + moreWork > SUBMIT_WORK || steps + moreSteps > SUBMIT_STEPS) {
        await this.#submit(recorder);
        if (sequential) job.onProgress?.(before + Math.floor(window.rows * share), job.rows);
        recorder = new Recorder(this.#work.session.context, "sweeps", this.#work.timer);
        [work, steps] = [0, 0];
      }
      work += moreWork;
      steps += moreSteps;
    };
    const total = sequential ? prepared.steps.length : count;
    for (let i = 0; i < total; i++) {
      if (sequential) {
        await make((window.rows * stepCost) / total, chunk / total, i / total);
        recorder.dispatch(prepared.steps[i]!);
        continue;
      }
      await make(window.rows * stepCost, chunk + window.errorChunkLength, 0);
      const begin = from + i === 0 ? prepared.sweepAt : 0;
      for (let entry = begin; entry < prepared.slot.length; entry++) {
        // No sequence is certifying in the first slot.
        if (from + i === 0 && prepared.when[entry] === WHILE_CERTIFYING) continue;
        // What writes the buffer of dispatches cannot be dispatched from it: `decide`, which is small.
        const direct = entry === prepared.slot.length - 1;
        recorder.dispatch(
          prepared.slot[entry]!,
          direct ? undefined : { buffer, offset: 16 * entry },
        );
      }
    }
    this.#copyOut(recorder, prepared, place);
    await this.#submit(recorder);
  }

  /** Records the copies of a window's results, and of what the next window begins with. */
  #copyOut(recorder: Recorder, prepared: Prepared, { window, ...at }: Place): void {
    const job = this.#work.job;
    const session = this.#work.session;
    const { stateSize: D } = job.cell;
    const { sequences } = job;
    const states = session.buffer("states");
    const last = window.parts.at(-1)!;
    if (last.fromStep + last.length < sequences[last.sequence]!.length) {
      const row = last.firstRow + (job.reverse ? 0 : last.length - 1);
      recorder.copy(states, row * D * 4, session.buffer("carry"), 0, D * 4);
      const record = (window.segments - 1) * sequenceLayout.words;
      const continued = 4 * (record + sequenceLayout.word.continued);
      recorder.copy(session.buffer("control"), continued, session.buffer("carry"), D * 4, 4);
      if (!this.#work.sequential) {
        // The end of the last chunk, which is in both halves.
        const bytes = ERROR_COLUMNS * D * 4;
        const end = window.segments + 2 * window.errorChunks - 1;
        const errors = session.buffer("errorBoundaries");
        recorder.copy(errors, end * bytes, session.buffer("errorCarry"), 0, bytes);
      }
    }
    const readback = session.buffer("readback");
    recorder.copy(session.buffer("control"), 0, readback, at.control, at.trace - at.control);
    if (at.spoiled > at.trace) {
      recorder.copy(session.buffer("trace"), 0, readback, at.trace, at.spoiled - at.trace);
    }
    const { target } = this.#work;
    if (!target) {
      recorder.copy(states, 0, readback, at.states, at.end - at.states);
      return;
    }
    recorder.clear(session.buffer("spoiled"), 0, at.states - at.spoiled);
    for (const dispatch of prepared.finite) recorder.dispatch(dispatch);
    recorder.copy(session.buffer("spoiled"), 0, readback, at.spoiled, at.states - at.spoiled);
    eachRun(job, window, (firstRow, windowRow, rows) => {
      const [from, to, bytes] = [windowRow, firstRow, rows].map((row) => row * D * 4);
      recorder.copy(states, from!, target, to!, bytes!);
    });
  }

  /** Submits, and lets the device catch up with all but this submit. */
  async #submit(recorder: Recorder): Promise<void> {
    const { gpu } = this.#work.session.context;
    const { job } = this.#work;
    await gpu.guarded(`cell "${job.cell.name}"`, () => recorder.submit());
    const before = this.#submitted;
    this.#submitted = gpu.device.queue.onSubmittedWorkDone();
    // Nobody may wait for the last one.
    this.#submitted.catch(() => {});
    await gpu.race(before);
    await this.#work.pacer.pause();
  }
}
