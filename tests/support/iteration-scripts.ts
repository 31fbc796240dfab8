/** Scripts of an iteration: what its sweeps and certificates find, whatever the states may be. */
import fc from "fast-check";
import type { Certificate, Defects, SweepEngine } from "../../src/solve/engine.ts";
import type { Damping } from "../../src/solve/method.ts";
import { mulberry32 } from "./random.ts";

export interface ScriptedCertificate extends Certificate {
  /** Sweeps after which its seams have settled, the last chunk of them all at the latest. */
  readonly sweeps: number;
  /** Its first sweep that finds what is not finite; none if not less than `sweeps`. */
  readonly broken: number;
}

export interface Script {
  /** K. */
  readonly chunks: number;
  /** Chunks of the certificate, not more than K. */
  readonly errorChunks: number;
  /** What each sweep finds; as many as there can be. */
  readonly sweeps: readonly Defects[];
  readonly certificates: readonly ScriptedCertificate[];
  /** Of the records' parts that do not matter. */
  readonly seed: number;
}

/** As in gpu/shared/problem.wgsl. */
export const actions = { update: 0, saveAndUpdate: 1, restore: 2 };

/** What an iteration does between two sweeps. */
export interface Move {
  readonly action: number;
  readonly exactChunks: number;
  /** Not known where nothing is updated. */
  readonly lambda?: number;
}

/** Few digits, so that products with the iteration's constants are the same in float32. */
const numbers = (lowest: number, highest: number) =>
  fc
    .tuple(fc.integer({ min: 1, max: 15 }), fc.integer({ min: lowest, max: highest }))
    .map(([digits, exponent]) => digits * 2 ** exponent);

/** Scripts for so many sweeps, in which much happens near the tolerance, a power of two. */
export function scripts(
  maxIterations: number,
  tolerance: number,
  mostChunks = 30,
): fc.Arbitrary<Script> {
  const count = { minLength: maxIterations + 1, maxLength: maxIterations + 1 };
  const near = Math.log2(tolerance);
  const residual = fc.oneof(
    { weight: 6, arbitrary: numbers(near - 6, near - 2) },
    { weight: 2, arbitrary: numbers(near - 10, near - 6) },
    { weight: 3, arbitrary: numbers(near - 2, near + 8) },
    { weight: 1, arbitrary: fc.constant(Number.POSITIVE_INFINITY) },
  );
  const merit = fc.oneof(
    { weight: 8, arbitrary: numbers(-12, 4) },
    { weight: 1, arbitrary: fc.constant(Number.POSITIVE_INFINITY) },
  );
  const finite = fc.integer({ min: 0, max: 30 }).map((number) => number > 0);
  const gain = fc.oneof(
    { weight: 8, arbitrary: fc.constant(1) },
    { weight: 3, arbitrary: fc.integer({ min: 2, max: 9 }) },
    { weight: 1, arbitrary: fc.constant(100) },
  );
  const estimate = fc.oneof(
    { weight: 3, arbitrary: numbers(near - 2, near + 1) },
    { weight: 3, arbitrary: numbers(near + 2, near + 6) },
  );
  const certificate = (errorChunks: number) =>
    fc
      .record({
        residual: fc.oneof(
          { weight: 6, arbitrary: numbers(near - 6, near - 4) },
          { weight: 1, arbitrary: numbers(near + 1, near + 4) },
        ),
        errorEstimate: estimate,
        sweeps: fc.integer({ min: Math.min(2, errorChunks), max: errorChunks }),
        broken: fc.integer({ min: 0, max: 40 }),
        worstResidual: fc.boolean(),
      })
      .map(({ worstResidual, ...found }) =>
        found.broken < found.sweeps
          ? {
              ...found,
              residual: worstResidual ? Number.POSITIVE_INFINITY : found.residual,
              errorEstimate: Number.POSITIVE_INFINITY,
            }
          : found,
      );
  return fc
    .record({
      chunks: fc.integer({ min: 1, max: mostChunks }),
      mostErrorChunks: fc.integer({ min: 1, max: Math.ceil(mostChunks / 3) }),
      seed: fc.nat(),
    })
    .map((sizes) => ({ ...sizes, errorChunks: Math.min(sizes.mostErrorChunks, sizes.chunks) }))
    .chain(({ chunks, errorChunks, seed }) =>
      fc.record({
        chunks: fc.constant(chunks),
        errorChunks: fc.constant(errorChunks),
        seed: fc.constant(seed),
        certificates: fc.array(certificate(errorChunks), count),
        sweeps: fc.array(fc.record({ residual, merit, finite, gain }), count).map((found) => {
          let exactChunks = 0;
          return found.map(({ gain: more, ...defects }) => {
            exactChunks = Math.min(exactChunks + more, chunks);
            return { ...defects, exactChunks };
          });
        }),
      }),
    );
}

/** An engine that finds what its script says, and keeps what it is told to do. */
export class ScriptedEngine implements SweepEngine {
  readonly moves: Move[] = [];
  readonly stepCost = 1;
  readonly grain = 1;
  readonly unitRoundoff = 2 ** -24;
  readonly length: number;
  readonly #script: Script;
  #sweeps = 0;
  #certificates = 0;
  #hasSaved = false;
  #savesNow = false;

  constructor(script: Script, length: number) {
    this.#script = script;
    this.length = length;
  }

  get chunks(): number {
    return this.#script.chunks;
  }

  measure(): Defects {
    return this.#script.sweeps[this.#sweeps++]!;
  }

  save(): void {
    this.#hasSaved = true;
    this.#savesNow = true;
  }

  update(exactChunks: number, { lambda }: Damping): void {
    const action = this.#savesNow ? actions.saveAndUpdate : actions.update;
    this.#savesNow = false;
    this.moves.push({ action, exactChunks, lambda });
  }

  restore(exactChunks: number): void {
    if (!this.#hasSaved) throw new Error("restore: nothing has been saved");
    this.moves.push({ action: actions.restore, exactChunks });
  }

  certificate(): Certificate {
    const { residual, errorEstimate } = this.#script.certificates[this.#certificates++]!;
    return { residual, errorEstimate };
  }

  runChunks(): void {}
  joinSeams(): void {}
  splitSeams(): void {}
  beginCertificate(): void {}
  certify(): void {}
  runSteps(): void {}
  readStates(): boolean {
    return true;
  }
}

/** The largest number, in the record of one chunk; smaller ones in the others. */
function spread(count: number, largest: number, random: () => number): number[] {
  const values = Array.from({ length: count }, () =>
    Number.isFinite(largest) ? largest * random() : 2 * random(),
  );
  values[Math.floor(random() * count)] = largest;
  return values;
}

/** The records of all chunks after sweep `iteration`; those of the frozen ones make no sense. */
export function sweepRecords(
  { chunks, sweeps, seed }: Script,
  iteration: number,
  frozen: number,
): Float32Array<ArrayBuffer> {
  const random = mulberry32(seed + iteration);
  const { residual, merit, exactChunks, finite } = sweeps[iteration]!;
  const count = chunks - frozen;
  const residuals = spread(count, residual, random);
  const merits = new Float64Array(count);
  // What is infinite here may be no number at all there.
  const half = Number.isFinite(merit) || random() < 0.5 ? merit / 2 : Number.NaN;
  merits[Math.floor(random() * count)] += half;
  merits[Math.floor(random() * count)] += half;
  const records = new Float32Array(4 * chunks).fill(Number.NaN);
  for (let c = frozen; c < chunks; c++) {
    const isLastExact = c === exactChunks - 1;
    // Behind the exact chunks all may be, and the very last boundary may be met or not.
    const anything = c >= exactChunks || exactChunks === chunks;
    const meets = c < exactChunks - 1 || (anything && random() < 0.5);
    const ends = isLastExact ? finite : random() < 0.8;
    const i = c - frozen;
    records.set([residuals[i]!, merits[i]!, Number(meets), Number(ends)], 4 * c);
  }
  return records;
}

/** The records of all the certificate's chunks after its sweep `sweep`. */
export function certificateRecords(
  { errorChunks, seed }: Script,
  certificate: ScriptedCertificate,
  sweep: number,
): Float32Array<ArrayBuffer> {
  const random = mulberry32(seed + 1000 + sweep);
  const { residual, errorEstimate, sweeps, broken } = certificate;
  const isBroken = sweep >= broken && broken < sweeps;
  const isFinal = sweep === sweeps - 1;
  const found = Number.isFinite(errorEstimate) ? errorEstimate : 1;
  const estimate = isBroken ? Number.POSITIVE_INFINITY : found;
  const maximum = isBroken || Number.isFinite(residual) ? residual : 2 ** -40;
  // Seams that have settled move by too little to matter in all sweeps to come, others by much; the first sweep cannot tell.
  const moves = isFinal || sweep === 0 ? 1 / (4 * errorChunks) : 1;
  const seams = Number.isFinite(estimate) ? estimate * moves : 1;
  const columns = [maximum, estimate, seams].map((most) => spread(errorChunks, most, random));
  const records = new Float32Array(4 * errorChunks);
  for (let e = 0; e < errorChunks; e++) {
    records.set([columns[0]![e]!, columns[1]![e]!, columns[2]![e]!, Number(!isBroken)], 4 * e);
  }
  return records;
}

/** Whether a certificate has ended after so many sweeps. */
export function isSettled({ certificates }: Script, index: number, done: number): boolean {
  const { sweeps, broken } = certificates[index]!;
  return done >= Math.min(sweeps, broken + 1);
}
