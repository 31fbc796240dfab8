/**
 * Those who do a task, ours and the peers', as one kind of thing: first their numbers are compared, and
 * only then their times.
 */
import { type Candidate, compare, type Measured, type Timing, warmUp } from "../harness.ts";
import type { Task } from "./tasks.ts";

/** The hidden states of the last layer, wherever they lie. */
export interface Hidden {
  readonly values: Float32Array;
  /** "batch": row b · T + t; "time": row t · B + b. */
  readonly order: "batch" | "time";
  /** Numbers a row, of which the first are the hidden state. */
  readonly width: number;
}

/** A peer that has been given a task. */
export interface Contender extends Candidate {
  run(): Promise<Hidden> | Hidden;
  /** What it has to say of its last run, for the JSON. */
  remarks?(): unknown;
  release?(): Promise<void> | void;
}

/** Something that can be given tasks. */
export interface Peer {
  /** Such as "onnxruntime-web, 2 threads". */
  readonly name: string;
  /** The package, or "antler", or "plain JavaScript". */
  readonly library: string;
  /** At most; 0 for a GPU. */
  readonly threads: number;
  /** The most steps that it is worth waiting for; without it, the whole task. */
  longest?(task: Task): number;
  open(task: Task): Promise<Contender>;
  close?(): Promise<void> | void;
}

/** The peers that are there, and for each that is not, why. */
export interface Peers {
  readonly peers: readonly Peer[];
  readonly missing: readonly string[];
}

/** A peer's time on a task, or why it has none. */
export interface Score {
  readonly peer: string;
  readonly library: string;
  readonly threads: number;
  /** The steps that it ran: fewer than the task's where it is too slow for all of them. */
  readonly steps: number;
  /** Milliseconds for those steps, of all sequences; absent where it failed. */
  readonly timing?: Timing;
  readonly error?: string;
  readonly remarks?: unknown;
}

/** What came of a task. */
export interface Outcome {
  readonly scores: readonly Score[];
  /** Largest |difference| / (1 + |value|) between the first peer's numbers and another's. */
  readonly largestDifference: number;
}

/** Thrown where two disagree on the numbers: their times are then of different work. */
export class Disagreement extends Error {}

/**
 * The largest |a − b| / (1 + |b|) over the hidden states of the task.
 * @throws Disagreement where it exceeds the task's bound, or the sizes differ; says where
 */
export function compareHidden(
  task: Pick<Task, "name" | "batch" | "steps" | "layers" | "agreement">,
  names: readonly [string, string],
  a: Hidden,
  b: Hidden,
): number {
  const { batch, steps, agreement } = task;
  const { hiddenSize } = task.layers[task.layers.length - 1];
  for (const [index, { values, width }] of [a, b].entries()) {
    if (values.length === batch * steps * width && width >= hiddenSize) continue;
    const expected = `${batch} × ${steps} × ${width}`;
    throw new Disagreement(
      `${task.name}: ${names[index]}: expected ${expected} numbers, got ${values.length}`,
    );
  }
  const row = ({ order, width }: Hidden, t: number, sequence: number) =>
    (order === "batch" ? sequence * steps + t : t * batch + sequence) * width;
  let largest = 0;
  for (let sequence = 0; sequence < batch; sequence++) {
    for (let t = 0; t < steps; t++) {
      const atA = row(a, t, sequence);
      const atB = row(b, t, sequence);
      for (let i = 0; i < hiddenSize; i++) {
        const value = b.values[atB + i];
        const difference = Math.abs(a.values[atA + i] - value) / (1 + Math.abs(value));
        if (difference <= largest) continue;
        // Written so that NaN does not pass.
        if (!(difference <= agreement)) {
          throw new Disagreement(
            `${task.name}: ${names[0]} differs from ${names[1]} by ${difference} at step ${t}` +
              ` of sequence ${sequence}, unit ${i}; at most ${agreement} was expected`,
          );
        }
        largest = difference;
      }
    }
  }
  return largest;
}

export interface Effort {
  /** Timed runs of each, at most. */
  readonly repeats: number;
  /** Milliseconds that all of it may take, agreement included, as far as that is possible. */
  readonly budget: number;
}

/** A sample is long against the clock's grain, but a long run is a sample by itself. */
const SAMPLE_MILLISECONDS = 4;
const MOST_CALLS = 64;

/**
 * Opens every peer on the task, compares their numbers with the first one's, and then times them in
 * turns. A peer that fails has its error in its score; one that disagrees ends everything, and so does
 * the first where it fails.
 *
 * @param shorten the task with fewer steps, for peers that have a `longest`
 * @throws Disagreement, and what the first peer throws
 */
export async function contend(
  task: Task,
  peers: readonly Peer[],
  effort: Effort,
  shorten: (task: Task, steps: number) => Task,
): Promise<Outcome> {
  const started = performance.now();
  const [first] = peers;
  const entries: Entry[] = [];
  const expected = new Map<number, Hidden>();
  let largestDifference = 0;
  try {
    for (const peer of peers) {
      const steps = Math.min(task.steps, peer.longest?.(task) ?? task.steps);
      const entry: Entry = { peer, steps, milliseconds: 0 };
      entries.push(entry);
      const own = shorten(task, steps);
      try {
        entry.contender = await peer.open(own);
        const hidden = await entry.contender.run();
        if (peer !== first && !expected.has(steps)) expected.set(steps, await once(first, own));
        const other = expected.get(steps);
        if (other === undefined) {
          expected.set(steps, hidden);
        } else {
          const difference = compareHidden(own, [peer.name, first.name], hidden, other);
          largestDifference = Math.max(largestDifference, difference);
        }
        entry.milliseconds = await warmUp(entry.contender.run);
      } catch (error) {
        // Without the first there is nothing to compare the others with.
        if (peer === first || error instanceof Disagreement) throw error;
        entry.error = error instanceof Error ? error.message : String(error);
      }
    }
    expected.clear();
    return { scores: await timeAll(entries, effort, started), largestDifference };
  } finally {
    for (const { contender } of entries) await contender?.release?.();
  }
}

interface Entry {
  readonly peer: Peer;
  readonly steps: number;
  /** Of a run, warm. */
  milliseconds: number;
  contender?: Contender;
  error?: string;
}

/** The numbers of a peer that is opened for nothing else. */
async function once(peer: Peer, task: Task): Promise<Hidden> {
  const contender = await peer.open(task);
  try {
    return await contender.run();
  } finally {
    await contender.release?.();
  }
}

/** How many runs of so many milliseconds make a sample that is long against the clock's grain. */
export function callsFor(milliseconds: number): number {
  return Math.min(MOST_CALLS, Math.max(1, Math.round(SAMPLE_MILLISECONDS / milliseconds)));
}

/** What is run several times for one sample. */
export interface Repeated extends Candidate {
  readonly calls: number;
}

/** `compare`, with a number of calls a sample for each candidate; times are of one call. */
export async function compareRepeated(
  candidates: readonly Repeated[],
  repeats: number,
): Promise<Measured[]> {
  const measured = await compare(
    candidates.map(({ name, calls, run }) => ({
      name,
      run: async () => {
        let last: unknown;
        for (let call = 0; call < calls; call++) last = await run();
        return last;
      },
    })),
    { warmup: 0, repeats },
  );
  return measured.map((row, index) =>
    row.timing ? { ...row, timing: perCall(row.timing, candidates[index].calls) } : row,
  );
}

async function timeAll(
  entries: readonly Entry[],
  { repeats, budget }: Effort,
  started: number,
): Promise<Score[]> {
  const running = entries.filter(({ contender, error }) => contender && error === undefined);
  // What is left of the budget says how many rounds there may be.
  const round = running.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const left = budget - (performance.now() - started);
  const affordable = Math.floor(left / Math.max(1, round));
  const measured = await compareRepeated(
    running.map(({ contender, milliseconds }) => ({
      ...contender!,
      calls: callsFor(milliseconds),
    })),
    Math.max(1, Math.min(repeats, affordable)),
  );
  return entries.map(({ peer, steps, contender, error }): Score => {
    const { name, library, threads } = peer;
    const row = running.findIndex((entry) => entry.peer === peer);
    const timing = measured[row]?.timing;
    const failure = error ?? measured[row]?.error;
    const remarks = contender?.remarks?.();
    return {
      peer: name,
      library,
      threads,
      steps,
      ...(timing && { timing }),
      ...(failure !== undefined && { error: failure }),
      ...(remarks !== undefined && { remarks }),
    };
  });
}

function perCall({ median, min, max, samples }: Timing, calls: number): Timing {
  return {
    median: median / calls,
    min: min / calls,
    max: max / calls,
    samples: samples.map((sample) => sample / calls),
  };
}
