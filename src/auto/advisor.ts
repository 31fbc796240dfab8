/** Puts it together for a runtime: what has been measured and seen is kept from one evaluation to the next. */
import type { DeviceBackend, HostBackend } from "../backend/backend.ts";
import type { Cell } from "../cell/define-cell.ts";
import { blockSize } from "../cell/differentiate.ts";
import type { Pacer } from "../solve/pacing.ts";
import type { Job } from "../validate.ts";
import {
  type CalibrateOptions,
  type Calibration,
  calibrate,
  type HostRates,
  nominalRates,
  roundTripOf,
  trialGru,
} from "./calibration.ts";
import { type Candidate, type Choice, choose, isSmall, type Situation } from "./choose.ts";
import { calibrateDevice, type DeviceRates } from "./device.ts";
import { type Probe, probe } from "./probe.ts";
import { cellWork } from "./work.ts";

/** Predicted milliseconds of all evaluations so far from which on measuring the machine is worth it. */
const WORTH_CALIBRATING = 100;
/** Milliseconds to measure for: between evaluations, and where someone asks for the rates. */
const QUICK = 4;
const PATIENT = 25;
/** With so many times the steps, a cell that is known is looked at once more, and longer. */
const WORTH_ANOTHER_LOOK = 4;

/** How far an observation may be from a prediction, and how fast it is forgotten where it is not repeated. */
const FURTHEST = 8;
const FADING = 0.95;
/** Predicted milliseconds of an evaluation below which what goes on around it says more than itself. */
const WORTH_LEARNING = 1;

/** What forgets at once: the best that could be. */
const forgetful: Probe = {
  exponent: -Infinity,
  spread: 0,
  merge: 0,
  measured: false,
  near: true,
  places: 0,
  steps: 0,
};

export interface AdvisorOptions {
  /** Most threads, the caller's included. */
  readonly threads: number;
  /** Instead of measuring. */
  readonly calibration?: Calibration | undefined;
  /** How to time another thread, once there is one. */
  readonly ping?: CalibrateOptions["ping"];
}

/** What a runtime has at the moment. */
export interface Means {
  /** Whether the threads have been started. */
  readonly running: boolean;
  /** A real GPU that may do this job, or null. */
  readonly gpu: DeviceBackend | null;
}

export class Advisor {
  readonly #backend: HostBackend;
  readonly #options: AdvisorOptions;
  readonly #known = new WeakMap<Cell, { readonly probe: Probe | null; readonly rows: number }>();
  /** How many times longer than predicted the ways to evaluate a cell have taken. */
  readonly #slowdowns = new WeakMap<Cell, Map<string, number>>();
  #roundTrip: number | null = null;
  #calibration: Calibration | null;
  #device: DeviceRates | null;
  /** Predicted milliseconds of the evaluations so far. */
  #work = 0;

  constructor(backend: HostBackend, options: AdvisorOptions) {
    this.#backend = backend;
    this.#options = options;
    this.#calibration = options.calibration ?? null;
    this.#device = options.calibration?.device ?? null;
  }

  /**
   * The rates of this machine, measured now unless they are known.
   *
   * @param budget milliseconds to measure for: engines take some until they have compiled the kernels
   * for speed.
   */
  async calibration(budget = PATIENT, signal?: AbortSignal): Promise<Calibration> {
    const { threads, ping } = this.#options;
    const options = { threads, budget, signal, ...(ping && { ping }) };
    this.#calibration ??= await calibrate(this.#backend, options);
    return { ...this.#calibration, ...(this.#device && { device: this.#device }) };
  }

  /** What `method: "auto"` means for this job. @throws the signal's reason. */
  async advise(job: Job, { running, gpu }: Means, pacer: Pacer): Promise<Choice> {
    const { cell, sequences, signal, maxIterations, exact } = job;
    const work = cellWork(cell);
    const lengths = sequences.map(({ length }) => length);
    const { threads } = this.#options;
    const slowdowns = this.#slowdowns.get(cell);
    const unmeasured: Situation = {
      ...{ work, lengths, running, maxIterations, exact, blockSize: blockSize(cell) },
      calibration: { threads, rates: this.#rates() },
      probe: null,
      gpu: null,
      slowdown: (candidate) => slowdowns?.get(wayOf(candidate)) ?? 1,
    };
    if (isSmall(work, lengths)) {
      const choice = choose({ ...unmeasured, calibration: { threads: 1, rates: nominalRates } });
      return { ...choice, words: `a small job: ${choice.words}` };
    }
    this.#work += choose(unmeasured).best.milliseconds;
    const isMuch = this.#work >= WORTH_CALIBRATING;
    if (isMuch) await this.calibration(QUICK, signal);
    const { ping, calibration } = this.#options;
    // Threads that have been started since can be timed now.
    if (running && ping && !calibration) this.#roundTrip ??= await roundTripOf(ping);
    if (isMuch && gpu) {
      const options = { signal };
      this.#device ??= await calibrateDevice(gpu, trialGru(8), trialGru(64), options);
    }
    const situation: Situation = {
      ...unmeasured,
      calibration: { threads, rates: this.#rates() },
      gpu: gpu && this.#device,
    };
    // A look at the inputs is only worth it where forgetting could be used.
    const atBest = choose({ ...situation, probe: forgetful });
    if (atBest.best.method === "sequential" && !atBest.wantsThreads) return choose(situation);
    return choose({ ...situation, probe: await this.#look(job, pacer) });
  }

  /**
   * Takes note of what a choice has come to, so that the next evaluation of this cell is chosen better: the
   * machine may be busy, or the inputs harder to forget than they looked. With a calibration that was
   * handed in, nothing is learnt: it is there so that equal jobs are done alike.
   */
  learn({ cell }: Pick<Job, "cell">, choice: Candidate, milliseconds: number): void {
    if (this.#options.calibration || !(choice.milliseconds >= WORTH_LEARNING)) return;
    const slowdowns = this.#slowdowns.get(cell) ?? new Map<string, number>();
    const way = wayOf(choice);
    const before = slowdowns.get(way) ?? 1;
    for (const [other, slowdown] of slowdowns) slowdowns.set(other, slowdown ** FADING);
    const now = (milliseconds / choice.milliseconds) * before;
    // The geometric mean with what was known, if it was.
    const mean = slowdowns.has(way) ? Math.sqrt(now * before) : now;
    slowdowns.set(way, Math.min(Math.max(mean, 1 / FURTHEST), FURTHEST));
    this.#slowdowns.set(cell, slowdowns);
  }

  #rates(): HostRates {
    const { rates } = this.#calibration ?? { rates: nominalRates };
    return this.#roundTrip === null ? rates : { ...rates, roundTrip: this.#roundTrip };
  }

  async #look(job: Job, pacer: Pacer): Promise<Probe | null> {
    const known = this.#known.get(job.cell);
    if (known && job.rows < WORTH_ANOTHER_LOOK * known.rows) return known.probe;
    const seen = await probe(this.#backend, job, pacer);
    this.#known.set(job.cell, { probe: seen, rows: job.rows });
    return seen;
  }
}

/** What ways to evaluate have in common as to how predictable they are. */
function wayOf({ method, backend, threads, lanes }: Candidate): string {
  return `${method} ${backend} ${threads} ${lanes}`;
}
