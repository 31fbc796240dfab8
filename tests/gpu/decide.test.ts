/**
 * The device's decisions against `iterate`, which is given the same numbers: random scripts of what
 * sweeps and certificates find, with the records of the chunks made up to match.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Binding, bindingsOf, declarations } from "../../src/backend/webgpu/bindings.ts";
import {
  phases,
  problemLayout,
  reasons,
  type Structure,
  type sequenceLayout,
} from "../../src/backend/webgpu/layout.ts";
import { planWindows, type Window } from "../../src/backend/webgpu/plan.ts";
import { readSegments, summarise } from "../../src/backend/webgpu/results.ts";
import { assembleShader, type ShaderParts } from "../../src/backend/webgpu/shader.ts";
import { describeProblem, describeSequences } from "../../src/backend/webgpu/window.ts";
import { iterate } from "../../src/solve/iterate.ts";
import { Pacer } from "../../src/solve/pacing.ts";
import type { IterationProgress } from "../../src/types.ts";
import { checkJob, type Job } from "../../src/validate.ts";
import { cellNamed } from "../support/cells.ts";
import { useDevice } from "../support/gpu-device.ts";
import { bindKernel, bufferOf, runKernels } from "../support/gpu-kernels.ts";
import {
  actions,
  certificateRecords,
  isSettled,
  type Move,
  type Script,
  ScriptedEngine,
  scripts,
  sweepRecords,
} from "../support/iteration-scripts.ts";

const device = useDevice();
const CHUNK = 3;
const MEASURE_TILE = 4;

interface Settings {
  readonly maxIterations: number;
  readonly tolerance: number;
  readonly trustRegion: boolean;
  readonly lambda: number;
  readonly certifyFailure: boolean;
}

const settings: fc.Arbitrary<Settings> = fc.record({
  maxIterations: fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: 2, max: 7 })),
  // Above and below the noise floor of 2⁻²¹.
  tolerance: fc.constantFrom(2 ** -17, 2 ** -22),
  trustRegion: fc.boolean(),
  lambda: fc.constantFrom(0, 2 ** -10, 2 ** 38),
  certifyFailure: fc.boolean(),
});

interface Batch {
  readonly job: Job;
  readonly window: Window;
  readonly events: IterationProgress[];
}

/** Sequences of as many chunks, and chunks of the certificate, as the scripts say. */
function batchOf(given: readonly Script[], asked: Settings): Batch {
  const events: IterationProgress[] = [];
  const lengths = given.map(({ chunks }) => CHUNK * chunks - 1);
  const { lambda, trustRegion, maxIterations, tolerance, certifyFailure } = asked;
  const steps = lengths.reduce((sum, length) => sum + length, 0);
  const job = checkJob(cellNamed("lorenz96", 0), steps, {
    ...{ method: "quasi-elk", lengths, chunk: CHUNK, maxIterations, tolerance },
    damping: { lambda, trustRegion },
    onFailure: certifyFailure ? "return" : "throw",
    onIteration: (event) => events.push(event),
  });
  const [window] = planWindows(job.sequences, CHUNK, () => true)!;
  return { job, window: window!, events };
}

/** What the real iteration makes of a script: its moves, and how it ends. */
async function expected(script: Script, { job, events }: Batch, sequence: number) {
  const engine = new ScriptedEngine(script, job.sequences[sequence]!.length);
  const { damping, tolerance, maxIterations, onIteration } = job;
  const options = { tolerance, maxIterations, sequence, chunkLength: CHUNK, damping: damping! };
  const certifyFailure = job.onFailure === "return";
  events.length = 0;
  const result = await iterate(
    engine,
    { ...options, certifyFailure, onIteration: onIteration! },
    new Pacer(undefined),
  );
  return { result, moves: engine.moves, events: [...events] };
}

type Control = Structure<keyof typeof sequenceLayout.word>;

/** Lets the device decide, slot by slot, until all is settled. */
async function decided(
  given: readonly Script[],
  batch: Batch,
  { traced = true, continued = 0 } = {},
) {
  const { job, window } = batch;
  const B = given.length;
  const control: Control = describeSequences(job, window, CHUNK);
  let firstErrorChunk = 0;
  given.forEach(({ errorChunks }, j) => {
    control.setWords({ firstErrorChunk, errorChunks, continued }, j);
    firstErrorChunk += errorChunks;
  });
  const measureTiles = Math.max(...given.map(({ chunks }) => Math.ceil(chunks / MEASURE_TILE)));
  const problem = describeProblem(job, window, CHUNK);
  problem[problemLayout.word.measureTile] = MEASURE_TILE;
  problem[problemLayout.word.measureTiles] = measureTiles;
  const planned = new Uint32Array(
    [
      [7, 2, 1],
      [5, 3, 2],
      [4, 1, 3],
    ].flatMap((p) => [...p, 0]),
  );
  const traceWords = 2 * B * (job.maxIterations + 1);

  const gpu = device();
  const storage = (words: number) => bufferOf(gpu, new Uint32Array(words).fill(0x7fc00000));
  const buffers = {
    problem: bufferOf(gpu, problem, "uniform"),
    control: bufferOf(gpu, control.words),
    measures: storage(4 * window.chunks),
    errorMeasures: storage(4 * firstErrorChunk),
    tiles: storage(4 * B * measureTiles),
    planned: bufferOf(gpu, planned),
    dispatches: storage(planned.length),
    trace: storage(traceWords),
  };
  const bound = (path: string, bindings: readonly Binding[], parts: ShaderParts = {}) =>
    bindKernel(
      gpu,
      assembleShader(path, { ...parts, sections: { bindings: declarations(bindings) } }),
      bindings.map(({ name, kind }) => [kind, buffers[name as keyof typeof buffers]] as const),
    );
  const measure = await bound(
    "measure.wgsl",
    bindingsOf(["problem", "control", "measures", "errorMeasures"], ["tiles"]),
  );
  const constants = { DISPATCHES: planned.length / 4, TRACED: job.maxIterations + 1 };
  const decide = await bound(
    "decide.wgsl",
    bindingsOf(
      ["problem", "measures", "tiles", "planned"],
      ["control", "dispatches", ...(traced ? ["trace"] : [])],
    ),
    { constants, flags: traced ? ["TRACE"] : [] },
  );

  const moves: Move[][] = given.map(() => []);
  const certificates = given.map(() => 0);
  const field = (name: keyof typeof sequenceLayout.word, j: number) =>
    control.words[control.at(name, j)]!;
  for (;;) {
    const before = given.map((script, j) => {
      const phase = field("phase", j);
      const known = { phase, iterations: field("iterations", j) };
      if (phase === phases.sweeping) {
        const records = sweepRecords(script, known.iterations, field("exactChunks", j));
        gpu.queue.writeBuffer(buffers.measures, 16 * field("firstChunk", j), records);
      } else if (phase === phases.certifying) {
        const certificate = script.certificates[certificates[j]!]!;
        const sweep = field("certificateSweeps", j);
        const records = certificateRecords(script, certificate, sweep);
        gpu.queue.writeBuffer(buffers.errorMeasures, 16 * field("firstErrorChunk", j), records);
      }
      return known;
    });
    const [after, dispatches, trace] = await runKernels(
      gpu,
      [
        [measure, B * measureTiles],
        [decide, 1],
      ],
      [buffers.control, buffers.dispatches, buffers.trace],
    );
    control.words.set(new Uint32Array(after!, 0, control.words.length));
    given.forEach((script, j) => {
      const { phase, iterations } = before[j]!;
      const next = field("phase", j);
      if (phase === phases.certifying && next !== phases.certifying) certificates[j]!++;
      if (phase === phases.certifying && next === phases.certifying) {
        expect(isSettled(script, certificates[j]!, field("certificateSweeps", j))).toBe(false);
      }
      if (field("iterations", j) === iterations) return;
      expect(next).toBe(phases.sweeping);
      const lambda = control.floats[control.at("lambda", j)]!;
      const action = field("action", j);
      moves[j]!.push({
        action,
        exactChunks: field("exactChunks", j),
        ...(action !== actions.restore && { lambda }),
      });
    });
    const active = given.reduce((mask, _, j) => mask | ([1, 2][field("phase", j)] ?? 0), 0);
    expect([...new Uint32Array(dispatches!)]).toEqual(
      [...planned].map((_, i, { [i - (i % 4) + 2]: when }) => {
        if (i % 4 === 3) return 0;
        if ((when! & active) === 0) return i % 4 === 0 ? 0 : 1;
        return i % 4 === 2 ? 1 : planned[i]!;
      }),
    );
    if (active === 0) {
      const words = traced ? new Uint32Array(trace!, 0, traceWords) : new Uint32Array(0);
      const segments = readSegments(control.words, words, job.maxIterations + 1);
      return { segments, moves, continued: given.map((_, j) => field("continued", j)) };
    }
  }
}

/** Checks that the device and the host come to the same, in every step, for every sequence. */
async function compare(given: readonly Script[], asked: Settings, traced = true): Promise<void> {
  const batch = batchOf(given, asked);
  const { job, window, events } = batch;
  const { segments, moves, continued } = await decided(given, batch, { traced });
  for (const [sequence, script] of given.entries()) {
    const host = await expected(script, batch, sequence);
    events.length = 0;
    const segment = window.parts[sequence]!;
    const device = summarise(job, sequence, CHUNK, [{ segment, result: segments[sequence]! }])!;
    const { fromStep, ...result } = device;
    expect(moves[sequence]!.map(({ lambda, ...move }) => move)).toEqual(
      host.moves.map(({ lambda, ...move }) => move),
    );
    for (const [i, { lambda }] of moves[sequence]!.entries()) {
      if (lambda === undefined) continue;
      const exact = host.moves[i]!.lambda!;
      expect(Math.abs(lambda - exact)).toBeLessThanOrEqual(1e-5 * exact);
    }
    expect(result).toEqual(host.result);
    // What comes after a window that is not exact begins with its error.
    expect(continued[sequence]).toBe(Number(host.result.converged && host.result.residual > 0));
    expect(fromStep).toBe(
      Math.min(host.result.exactChunks * CHUNK, job.sequences[sequence]!.length),
    );
    expect(events).toEqual(traced ? host.events : []);
  }
}

const batches = settings.chain((asked) =>
  fc.tuple(
    fc.array(scripts(asked.maxIterations, asked.tolerance, 16), { minLength: 1, maxLength: 6 }),
    fc.constant(asked),
  ),
);

describe("decisions on the device", () => {
  it("are those of the iteration on the host, step by step", async () => {
    await fc.assert(
      fc.asyncProperty(batches, async ([given, asked]) => compare(given, asked)),
      { numRuns: 60 },
    );
  });

  it("are taken for more sequences than a workgroup has threads, with nothing traced", async () => {
    const asked: Settings = {
      maxIterations: 5,
      tolerance: 2 ** -17,
      trustRegion: true,
      lambda: 2 ** -10,
      certifyFailure: true,
    };
    const given = fc.sample(scripts(5, 2 ** -17, 8), { numRuns: 70, seed: 5 });
    await compare(given, asked, false);
  });

  it("end with a certificate where what went before a window may be wrong", async () => {
    const tolerance = 2 ** -17;
    const asked = { maxIterations: 3, tolerance, trustRegion: false, lambda: 0 };
    const sweep = { residual: 0.5, merit: 1, finite: true };
    const certificate = { residual: 2 ** -30, sweeps: 2, broken: 9 };
    const script = (errorEstimate: number): Script => ({
      ...{ chunks: 3, errorChunks: 2, seed: 1 },
      sweeps: [
        { ...sweep, exactChunks: 2 },
        { ...sweep, exactChunks: 3 },
      ],
      certificates: [{ ...certificate, errorEstimate }],
    });
    const good = script(9 * tolerance);
    const bad = script(11 * tolerance);
    const lost: Script = { ...bad, certificates: [{ ...bad.certificates[0]!, broken: 1 }] };
    const given = [good, bad, lost];
    const batch = batchOf(given, { ...asked, certifyFailure: false });
    const { segments } = await decided(given, batch, { continued: 1 });
    const common = { settled: true, iterations: 1, exactChunks: 3, finite: true };
    const certified = { ...common, residual: 0, certificateResidual: 2 ** -30 };
    const { certified: accepted, errorTooLarge } = reasons;
    expect(segments).toMatchObject([
      { ...certified, converged: true, reason: accepted, errorEstimate: 9 * tolerance },
      { ...certified, converged: false, reason: errorTooLarge, errorEstimate: 11 * tolerance },
      {
        ...common,
        converged: false,
        reason: errorTooLarge,
        errorEstimate: Number.POSITIVE_INFINITY,
      },
    ]);
    expect(segments[0]!.trace).toEqual([
      [0.5, 2],
      [0, 3],
    ]);
  });
});
