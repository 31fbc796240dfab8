/**
 * What every bench shares: its shape, seeded numbers, fair timing, and where the peers come from.
 *
 * A bench is a file of this folder whose default export is a `defineBench({ … })`; bench/run.ts
 * lists and runs them.
 */

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Table } from "./report.ts";

export {
  mulberry32,
  normal,
  type Random,
  randomWeights,
  uniform,
} from "../tests/support/random.ts";

export type OptionValue = string | number | boolean | readonly number[] | readonly string[];

/** An option `--name` of a bench; its type is that of its default. Lists are comma-separated. */
export interface OptionSpec<Value extends OptionValue = OptionValue> {
  readonly description: string;
  readonly default: Value;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

/** The literal type of a default widened: `default: 100` makes a number, not a 100. */
type Widened<Value> = Value extends number
  ? number
  : Value extends string
    ? string
    : Value extends boolean
      ? boolean
      : Value extends readonly number[]
        ? readonly number[]
        : readonly string[];

export type OptionValues<Specs extends OptionSpecs> = {
  readonly [Name in keyof Specs]: Widened<Specs[Name]["default"]>;
};

export interface BenchContext<Specs extends OptionSpecs = OptionSpecs> {
  readonly options: OptionValues<Specs>;
  /** Prints a line of progress, on standard error. */
  log(line: string): void;
}

export interface BenchResult {
  /** Printed in this order, and kept as JSON with all their digits. */
  readonly tables: readonly Table[];
  /** What a reader must know of the tables, a line each. */
  readonly notes?: readonly string[];
  /** More than is printed, for the JSON alone. */
  readonly data?: unknown;
}

export interface Bench<Specs extends OptionSpecs = OptionSpecs> {
  /** The question that it answers, in one line. */
  readonly description: string;
  readonly options?: Specs;
  run(context: BenchContext<Specs>): Promise<BenchResult>;
}

/** The bench itself; only there to infer the types of its options. */
export function defineBench<const Specs extends OptionSpecs>(bench: Bench<Specs>): Bench<Specs> {
  return bench;
}

export interface Sampling {
  /** Calls that are made and not timed, so that code is compiled and memory touched. Default 1. */
  readonly warmup?: number;
  /** Timed samples. Default 5. */
  readonly repeats?: number;
  /** Calls a sample, for work shorter than the clock's grain. Default 1. */
  readonly callsPerSample?: number;
}

/** Milliseconds a call. */
export interface Timing {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** In the order in which they were taken. */
  readonly samples: readonly number[];
}

/** Something to be timed, ours or a peer's. What it returns is kept from being optimised away. */
export interface Candidate {
  readonly name: string;
  run(): unknown;
}

/** A candidate's timing, or why it has none. */
export type Measured =
  | { readonly name: string; readonly timing: Timing; readonly error?: undefined }
  | { readonly name: string; readonly timing?: undefined; readonly error: string };

/**
 * The time of one function.
 * @throws RangeError where `sampling` holds anything but positive integers (`warmup` may be 0)
 * @throws whatever `work` throws
 */
export async function measure(work: () => unknown, sampling: Sampling = {}): Promise<Timing> {
  const [measured] = await sample([{ name: "work", run: work }], sampling, true);
  return measured.timing as Timing;
}

/**
 * The times of several candidates, taken in turns: one sample of each a round, each round starting
 * with the next candidate, so that a drift of the machine falls on all alike. A candidate that
 * throws is out, with its error in its row; the others go on.
 * @returns one row a candidate, in their order
 * @throws RangeError as `measure` does
 */
export function compare(
  candidates: readonly Candidate[],
  sampling: Sampling = {},
): Promise<Measured[]> {
  return sample(candidates, sampling, false);
}

async function sample(
  candidates: readonly Candidate[],
  { warmup = 1, repeats = 5, callsPerSample = 1 }: Sampling,
  rethrow: boolean,
): Promise<Measured[]> {
  requireInteger("warmup", warmup, 0);
  requireInteger("repeats", repeats, 1);
  requireInteger("callsPerSample", callsPerSample, 1);
  const samples: number[][] = candidates.map(() => []);
  const errors = new Map<number, string>();
  for (let round = -warmup; round < repeats; round++) {
    for (let turn = 0; turn < candidates.length; turn++) {
      const index = (turn + round + warmup) % candidates.length;
      if (errors.has(index)) continue;
      if (candidates.length > 1) await pause();
      try {
        const milliseconds = await time(candidates[index], round < 0 ? 1 : callsPerSample);
        if (round >= 0) samples[index].push(milliseconds);
      } catch (error) {
        if (rethrow) throw error;
        errors.set(index, error instanceof Error ? error.message : String(error));
      }
    }
  }
  return candidates.map(({ name }, index) => {
    const error = errors.get(index);
    return error === undefined ? { name, timing: summarise(samples[index]) } : { name, error };
  });
}

/** Most runs, and milliseconds, until engines have compiled what runs often, on all threads. */
const WARM_RUNS = 12;
const WARM_MILLISECONDS = 250;

/** Runs something until it is as fast as it gets. @returns milliseconds of the last run */
export async function warmUp(run: () => unknown): Promise<number> {
  const begin = performance.now();
  for (let runs = 1; ; runs++) {
    const start = performance.now();
    consume(await run());
    const end = performance.now();
    if (runs === WARM_RUNS || end - begin >= WARM_MILLISECONDS) return end - start;
  }
}

/** Some peers' threads go on spinning for a while when they have done, on the cores of the next. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}

/** Milliseconds a call. A function that is not asynchronous is not charged for an `await`. */
async function time(candidate: Candidate, calls: number): Promise<number> {
  const start = performance.now();
  for (let call = 0; call < calls; call++) {
    let value = candidate.run();
    if (value instanceof Promise) value = await value;
    consume(value);
  }
  return (performance.now() - start) / calls;
}

function summarise(samples: readonly number[]): Timing {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median =
    sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1], samples };
}

/** The last consumed value; exported so that no compiler may hold it unread. */
export let sink: unknown;

/** Keeps a value reachable, so that the work behind it cannot be dropped as dead code. */
export function consume(value: unknown): void {
  sink = value;
}

/**
 * A peer that may not be installed: null where it is missing, for a bench to leave out its rows.
 * @param name a package of the repository or of bench/package.json, or a module in it
 * @throws whatever goes wrong in loading a peer that is installed
 */
export async function importPeer<Module>(name: string): Promise<Module | null> {
  return isInstalled(name) ? ((await import(name)) as Module) : null;
}

/** Looks at the manifest: an `overrides` entry can put another package in a peer's place. */
function isInstalled(name: string): boolean {
  const packageName = name
    .split("/")
    .slice(0, name.startsWith("@") ? 2 : 1)
    .join("/");
  const folders = createRequire(import.meta.url).resolve.paths(packageName) ?? [];
  const manifest = folders
    .map((folder) => join(folder, packageName, "package.json"))
    .find((path) => existsSync(path));
  if (manifest === undefined) return false;
  return JSON.parse(readFileSync(manifest, "utf8")).name === packageName;
}

/** The line that says how to get the peers that `importPeer` did not find. */
export function missingPeer(name: string): string {
  return `${name} is not installed: npm install --prefix bench --ignore-scripts`;
}

function requireInteger(name: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new RangeError(`${name}: expected an integer of at least ${least}, got ${value}`);
}
