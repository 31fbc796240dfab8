/**
 * One evaluation of a batch on the device. Its windows of steps are recorded with all the sweeps that they may
 * need; what a sweep finds decides on the device which of the recorded dispatches have work, and only the
 * end is read back.
 */
import { TooLargeForGpuError } from "../../errors.ts";
import type { Pacer } from "../../solve/pacing.ts";
import type { DeviceArray, FloatArray } from "../../types.ts";
import type { Job } from "../../validate.ts";
import type { DeviceFacts, DeviceResult, DeviceRun } from "../backend.ts";
import type { BufferRequest } from "./buffers.ts";
import { usage } from "./device.ts";
import { type BatchKernels, batchKernels, slotOf } from "./kernels.ts";
import { problemLayout } from "./layout.ts";
import { planWindows, type Shape, type Window } from "./plan.ts";
import { StageTimer } from "./profile.ts";
import { type Context, Recorder, Session } from "./recorder.ts";
import { readSegments, type SegmentResult, type SequencePart, summarise } from "./results.ts";
import type { TrafficCounts } from "./traffic.ts";
import { asFloat32, bufferRequests, eachRun, initialStateOf } from "./window.ts";
import { type Place, type Prepared, placeOf, WindowRecorder } from "./window-recorder.ts";

/** Most slots that are recorded before anything is read back, and slots for a certificate beside the sweeps. */
const MOST_SLOTS = 256;
const CERTIFICATE_SLOTS = 72;
/** Multiply–adds of a sweep over a window: all of it is one dispatch, and must not take too long. */
const WINDOW_WORK = 2 ** 36;
const TIMED_PASSES = 2048;
/** Buffers have at least so many bytes, and up to so much more than what they are asked for. */
const LEAST_BYTES = 256;
const ROUNDED_UP = 17 / 16;

export class BatchRun implements DeviceRun {
  readonly results: (DeviceResult | null)[] = [];
  prepare = 0;
  readonly #context: Context;
  readonly #job: Job;
  readonly #limit: number;
  readonly #firstInputRow: number;
  readonly #session: Session;
  readonly #before: TrafficCounts;
  readonly #segments = new Map<Window, readonly SegmentResult[]>();
  /** Sequences with states that are not finite, where the device had to look. */
  readonly #spoiled = new Set<number>();
  #timer: StageTimer | null = null;
  #stages: Record<string, number> | string | undefined;
  #windows: readonly Window[] = [];
  #kernels!: BatchKernels;
  #sequential = false;
  #pacer!: Pacer;
  #host: Float32Array<ArrayBuffer> | null = null;
  #device: { states: GPUBuffer; finalStates: GPUBuffer } | null = null;
  #given = false;

  /**
   * @param limit bytes that its buffers may take.
   * @param firstInputRow where its inputs begin, if they are on the device.
   */
  constructor(context: Context, job: Job, limit: number, firstInputRow = 0) {
    this.#context = context;
    this.#job = job;
    this.#limit = limit;
    this.#firstInputRow = firstInputRow;
    this.#session = new Session(context);
    this.#before = context.traffic.snapshot();
  }

  /** Plans the windows. @throws RangeError when the device cannot hold even one step. */
  #plan(sequential: boolean): BatchKernels {
    const { gpu } = this.#context;
    const job = this.#job;
    const kernels = batchKernels(job, sequential, gpu);
    const { maxBindingBytes, maxBufferBytes } = gpu.limits;
    const largest = Math.min(maxBindingBytes, maxBufferBytes);
    const rowBytes = job.output === "cpu" ? 4 * job.cell.stateSize : 0;
    let weights = -1;
    let windows: Window[] | null = null;
    const bytesOf = (shape: Shape) => {
      const sizes = bufferRequests(shape, kernels.needs).map(({ bytes }) => bytes);
      const given = weights + shape.rows * rowBytes;
      const total = sizes.reduce((sum, bytes) => sum + Math.max(bytes, LEAST_BYTES), given);
      return { total: ROUNDED_UP * total, largest: Math.max(...sizes) };
    };
    const within = (limit: number) =>
      planWindows(job.sequences, kernels.chunk, (shape) => {
        const bytes = bytesOf(shape);
        const work = sequential ? 0 : shape.rows * kernels.stepCost;
        return bytes.total <= limit && bytes.largest <= largest && work <= WINDOW_WORK;
      });
    // Making kernels collects the weights that they need, which take memory, too.
    for (let found = kernels.weights.byteLength; weights < found; ) {
      weights = found;
      windows = within(this.#limit);
      // Windows are read back together, out of a buffer that may take the other half.
      if (windows && windows.length > 1) windows = within(this.#limit / 2) ?? windows;
      if (!windows) {
        const one = { segments: 1, rows: 1, chunks: 1, errorChunks: 1 };
        const least = Math.ceil(bytesOf(one).total);
        throw new TooLargeForGpuError(
          `memory: cell "${job.cell.name}" in chunks of ${kernels.chunk} needs at least ${least} bytes` +
            ` on the GPU, of which ${largest} may be in one piece and ${this.#limit} in all`,
        );
      }
      for (const window of windows) kernels.of(window);
      found = kernels.weights.byteLength;
    }
    this.#windows = windows!;
    this.#kernels = kernels;
    return kernels;
  }

  /** Compiles all that `run` needs, and runs nothing. */
  async compile(sequential: boolean): Promise<void> {
    const kernels = this.#plan(sequential);
    const { pipelines } = this.#context;
    const all = this.#windows.flatMap((window) => Object.values(kernels.of(window)).flat());
    await Promise.all(all.map((kernel) => pipelines.get(kernel)));
  }

  async run(sequential: boolean, pacer: Pacer): Promise<void> {
    const started = performance.now();
    const job = this.#job;
    const { gpu } = this.#context;
    gpu.check();
    const given = job.deviceInputs?.usage ?? usage.copySource;
    if ((given & usage.copySource) === 0) {
      throw new TypeError(`inputs: expected a GPUBuffer with usage COPY_SRC, got usage ${given}`);
    }
    this.#plan(sequential);
    this.#sequential = sequential;
    this.#pacer = pacer;
    if (job.profile) this.#timer = new StageTimer(gpu, TIMED_PASSES);
    const slots = sequential ? 0 : job.maxIterations + 1 + CERTIFICATE_SLOTS;
    const groups = this.#group(slots > MOST_SLOTS);
    await this.#acquire(groups);
    const windows = new WindowRecorder({
      job,
      sequential,
      pacer,
      session: this.#session,
      kernels: this.#kernels,
      timer: this.#timer,
      firstInputRow: this.#firstInputRow,
      target: this.#device?.states ?? null,
    });
    let done = 0;
    for (const group of groups) {
      let prepared: Prepared | null = null;
      for (const place of group) {
        prepared = await windows.prepare(place.window);
        this.prepare ||= performance.now() - started;
        const recorder = windows.begin(place, prepared);
        await windows.record(recorder, prepared, place, 0, Math.min(slots, MOST_SLOTS));
      }
      await this.#read(group);
      done += group.reduce((sum, { window }) => sum + window.rows, 0);
      if (sequential) job.onProgress?.(done, job.rows);
      const [place] = group;
      for (let from = MOST_SLOTS; group.length === 1 && this.#unsettled(place!); ) {
        await windows.record(windows.more(), prepared!, place!, from, MOST_SLOTS);
        await this.#read(group);
        from += MOST_SLOTS;
      }
    }
    await this.#collect();
  }

  /**
   * Windows whose results are read back together: all, if that is not too much. Where not all the slots that a
   * window may need are recorded at once, each is looked at before the next begins.
   */
  #group(singly: boolean): Place[][] {
    const { job, most } = { job: this.#job, most: this.#context.gpu.limits.maxBufferBytes };
    const groups: Place[][] = [];
    for (const window of this.#windows) {
      const last = groups.at(-1);
      const from = last && !singly ? last.at(-1)!.end : 0;
      const place = placeOf(job, window, from, this.#kernels.needs.traced);
      if (from > 0 && place.end <= Math.min(most, this.#limit / 2)) last!.push(place);
      else groups.push([placeOf(job, window, 0, this.#kernels.needs.traced)]);
    }
    return groups;
  }

  async #acquire(groups: readonly Place[][]): Promise<void> {
    const largest = new Map<string, BufferRequest>();
    const { needs } = this.#kernels;
    const slots = this.#windows.map((window) => slotOf(this.#kernels.of(window)).flat().length);
    const dispatches = 16 * Math.max(0, ...slots);
    const readback = Math.max(0, ...groups.map((group) => group.at(-1)!.end));
    const { words } = problemLayout;
    for (const request of [
      ...this.#windows.flatMap((window) => bufferRequests(window, needs)),
      { label: "problem", bytes: 4 * words, kind: "uniform" as const },
      { label: "planned", bytes: dispatches, kind: "storage" as const },
      { label: "dispatches", bytes: dispatches, kind: "indirect" as const },
      { label: "weights", bytes: this.#kernels.weights.byteLength, kind: "storage" as const },
      { label: "spoiled", bytes: 4 * this.#job.sequences.length, kind: "storage" as const },
      { label: "readback", bytes: readback, kind: "readback" as const },
    ]) {
      const known = largest.get(request.label);
      if (!known || known.bytes < request.bytes) largest.set(request.label, request);
    }
    await this.#session.acquire([...largest.values()]);
    this.#session.upload("weights", this.#kernels.weights);
    const { job, gpu } = { job: this.#job, gpu: this.#context.gpu };
    const { stateSize } = job.cell;
    if (job.output === "cpu") this.#host = hostArray(job.rows * stateSize);
    else {
      this.#device = await gpu.guarded("the states on the device", () => {
        const make = (label: string, rows: number) =>
          gpu.device.createBuffer({
            label,
            size: Math.max(4, rows * stateSize * 4),
            usage: usage.storage | usage.copySource | usage.copyTarget,
          });
        return {
          states: make("states", job.rows),
          finalStates: make("final states", job.sequences.length),
        };
      });
    }
  }

  async #read(group: readonly Place[]): Promise<void> {
    const job = this.#job;
    const { stateSize: D } = job.cell;
    const readback = this.#session.buffer("readback");
    await this.#context.pool.read(readback, group.at(-1)!.end, (data) => {
      for (const { window, control, trace, spoiled, states, end } of group) {
        const words = new Uint32Array(data.slice(control, trace));
        const traced = new Uint32Array(data.slice(trace, spoiled));
        this.#segments.set(window, readSegments(words, traced, this.#kernels.needs.traced));
        const bad = new Uint32Array(data, spoiled, (states - spoiled) / 4);
        for (const [j, { sequence }] of window.parts.entries()) {
          if (bad[j]) this.#spoiled.add(sequence);
        }
        if (end === states) continue;
        const values = new Float32Array(data, states, window.rows * D);
        eachRun(job, window, (firstRow, windowRow, rows) => {
          this.#host!.set(values.subarray(windowRow * D, (windowRow + rows) * D), firstRow * D);
        });
      }
    });
  }

  #unsettled({ window }: Place): boolean {
    return this.#segments.get(window)!.some(({ settled }) => !settled) && !this.#sequential;
  }

  /** Puts together what the windows came to, and gives back all that is not needed any more. */
  async #collect(): Promise<void> {
    const job = this.#job;
    if (!this.#sequential) {
      const parts = job.sequences.map((): SequencePart[] => []);
      for (const window of this.#windows) {
        const results = this.#segments.get(window)!;
        for (const [j, segment] of window.parts.entries()) {
          parts[segment.sequence]!.push({ segment, result: results[j]! });
        }
      }
      const { chunk } = this.#kernels;
      for (const [sequence, mine] of parts.entries()) {
        this.results.push(summarise(job, sequence, chunk, mine));
      }
    }
    if (this.#timer) {
      this.#stages = (await this.#timer.read()) ?? this.#timer.reason ?? undefined;
      this.#timer.dispose();
    }
    this.#session.release();
    for (const [sequence, result] of this.results.entries()) {
      // An exact state that is not finite may be the last step of a chunk: it has to be seen.
      if (!result || result.finite || job.onFailure !== "return") continue;
      await this.#evaluateAgain(sequence, result.fromStep, result.fromStep);
    }
  }

  async facts(): Promise<DeviceFacts> {
    const { gpu, traffic } = this.#context;
    const { vendor, architecture, description, software } = gpu.adapter;
    return {
      adapter: { vendor, architecture, description, software },
      traffic: traffic.since(this.#before),
      windows: this.#windows.length,
      ...(this.#stages !== undefined && { stages: this.#stages }),
    };
  }

  async states(): Promise<Float32Array> {
    const { stateSize } = this.#job.cell;
    return this.#host ?? this.#download(this.#device!.states, 0, this.#job.rows * stateSize);
  }

  async inputs(): Promise<FloatArray> {
    const { deviceInputs, inputs, rows, cell } = this.#job;
    if (!deviceInputs) return inputs;
    const first = this.#firstInputRow * cell.inputSize;
    return this.#download(deviceInputs, first, rows * cell.inputSize);
  }

  async finite(sequence: number): Promise<boolean> {
    if (!this.#host) return !this.#spoiled.has(sequence);
    const { offset, length } = this.#job.sequences[sequence]!;
    const { stateSize: D } = this.#job.cell;
    const end = (offset + length) * D;
    for (let i = offset * D; i < end; i++) if (!Number.isFinite(this.#host[i])) return false;
    return true;
  }

  async repair(sequence: number, exactSteps: number): Promise<void> {
    await this.#evaluateAgain(sequence, exactSteps, this.#job.sequences[sequence]!.length);
  }

  /** Evaluates steps one after the other, up to `toStep`, behind the first `exactSteps`. */
  async #evaluateAgain(sequence: number, exactSteps: number, toStep: number): Promise<void> {
    const job = this.#job;
    // The row of the last exact step may hold the boundary that the step was compared with.
    const fromStep = Math.max(exactSteps - 1, 0);
    const { inputSize, stateSize: D } = job.cell;
    const { offset, length } = job.sequences[sequence]!;
    const rows = toStep - fromStep;
    const first = offset + (job.reverse ? length - toStep : fromStep);
    const before = offset + (job.reverse ? length - fromStep : fromStep - 1);
    let initial = initialStateOf(job, sequence);
    if (fromStep > 0) {
      initial = this.#host
        ? this.#host.slice(before * D, (before + 1) * D)
        : await this.#download(this.#device!.states, before * D, D);
    }
    const tail: Job = {
      ...job,
      inputs: job.inputs.subarray(first * inputSize, (first + rows) * inputSize),
      sequences: [{ offset: 0, length: rows }],
      rows,
      initialStates: initial,
      initialGuess: null,
      output: "cpu",
      profile: false,
      onProgress: undefined,
    };
    const batch = new BatchRun(this.#context, tail, this.#limit, this.#firstInputRow + first);
    try {
      await batch.run(true, this.#pacer);
      const states = await batch.states();
      if (this.#host) this.#host.set(states, first * D);
      else this.#context.pool.upload(this.#device!.states, states, first * D * 4);
      if (toStep === length) this.#spoiled.delete(sequence);
      if (!(await batch.finite(0))) this.#spoiled.add(sequence);
    } finally {
      batch.release();
    }
  }

  async output(): Promise<{
    states: Float32Array | DeviceArray;
    finalStates: Float32Array | DeviceArray;
  }> {
    const job = this.#job;
    const { stateSize: D } = job.cell;
    const rowAfter = (sequence: number) => {
      const { offset, length } = job.sequences[sequence]!;
      return length > 0 ? offset + (job.reverse ? 0 : length - 1) : null;
    };
    if (this.#host) {
      const finalStates = new Float32Array(job.sequences.length * D);
      job.sequences.forEach((_, sequence) => {
        const row = rowAfter(sequence);
        const state =
          row === null
            ? initialStateOf(job, sequence)
            : this.#host!.subarray(row * D, (row + 1) * D);
        finalStates.set(state, sequence * D);
      });
      return { states: this.#host, finalStates };
    }
    const { states, finalStates } = this.#device!;
    const recorder = new Recorder(this.#context, "final states");
    job.sequences.forEach((_, sequence) => {
      const row = rowAfter(sequence);
      const [at, bytes] = [sequence * D * 4, D * 4];
      if (row !== null) recorder.copy(states, row * D * 4, finalStates, at, bytes);
      else this.#context.pool.upload(finalStates, asFloat32(initialStateOf(job, sequence)), at);
    });
    recorder.submit();
    this.#given = true;
    return { states, finalStates };
  }

  release(): void {
    this.#timer?.dispose();
    this.#session.release();
    if (!this.#given) for (const buffer of Object.values(this.#device ?? {})) buffer.destroy();
  }

  async #download(from: GPUBuffer, first: number, count: number): Promise<Float32Array> {
    const { pool } = this.#context;
    const buffer = await pool.acquire("download", count * 4, "readback");
    try {
      const recorder = new Recorder(this.#context, "download");
      recorder.copy(from, first * 4, buffer, 0, count * 4);
      recorder.submit();
      return new Float32Array(await pool.map(buffer, count * 4));
    } finally {
      pool.release(buffer);
    }
  }
}

/** `[rows, stateSize]`. @throws RangeError when they cannot be had. */
function hostArray(length: number): Float32Array<ArrayBuffer> {
  try {
    return new Float32Array(length);
  } catch (cause) {
    throw new RangeError(`memory: the states need ${length} numbers, which cannot be had`, {
      cause,
    });
  }
}
