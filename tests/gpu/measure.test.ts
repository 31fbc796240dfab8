/** The measures of a sweep's and of a certificate's chunks, put together, against plain loops. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bindingsOf, declarations } from "../../src/backend/webgpu/bindings.ts";
import {
  phases,
  problemLayout,
  Structure,
  sequenceLayout,
} from "../../src/backend/webgpu/layout.ts";
import { assembleShader } from "../../src/backend/webgpu/shader.ts";
import { useDevice } from "../support/gpu-device.ts";
import { bindKernel, bufferOf, runKernels } from "../support/gpu-kernels.ts";
import { mulberry32 } from "../support/random.ts";

const device = useDevice((adapter) => ({
  requiredFeatures: adapter.features.has("subgroups") ? ["subgroups"] : [],
}));
/** What a tile holds that no workgroup has written. */
const UNTOUCHED = 0x12345678;

interface Sequence {
  readonly chunks: number;
  readonly errorChunks: number;
  readonly phase: number;
  /** Of its chunks, the share that is frozen. */
  readonly frozen: number;
}

interface Case {
  readonly sequences: readonly Sequence[];
  readonly measureTile: number;
  readonly seed: number;
  /** Share of the records that tell of what is not finite. */
  readonly broken: number;
  /** Share of the chunks that end in the next boundary. */
  readonly meeting: number;
}

const cases = (mostChunks: number, mostSequences: number): fc.Arbitrary<Case> =>
  fc.record({
    sequences: fc.array(
      fc.record({
        chunks: fc.integer({ min: 1, max: mostChunks }),
        errorChunks: fc.integer({ min: 1, max: mostChunks }),
        phase: fc.constantFrom(...Object.values(phases), phases.sweeping),
        frozen: fc.constantFrom(0, 0, 0.3, 0.9),
      }),
      { minLength: 1, maxLength: mostSequences },
    ),
    measureTile: fc.integer({ min: Math.ceil(mostChunks / 6), max: mostChunks }),
    seed: fc.nat(),
    broken: fc.constantFrom(0, 0.02),
    meeting: fc.constantFrom(0, 0.9, 1),
  });

/** (residual, merit, 0 or 1, 0 or 1) of a sweep; merits are integers, whose sums are exact. */
function sweepRecord(random: () => number, { broken, meeting }: Case): number[] {
  const isBroken = random() < broken;
  return [
    isBroken ? Number.POSITIVE_INFINITY : 2 ** (40 * random() - 30),
    isBroken ? Number.POSITIVE_INFINITY : Math.floor(64 * random()),
    Number(random() < meeting),
    Number(!isBroken),
  ];
}

async function run(given: Case, flags: readonly string[]) {
  const { sequences, measureTile, seed } = given;
  const random = mulberry32(seed);
  const control = new Structure(sequenceLayout, sequences.length);
  let [chunks, errorChunks] = [0, 0];
  for (const [j, sequence] of sequences.entries()) {
    const exactChunks = Math.floor(sequence.chunks * sequence.frozen);
    const counts = { chunks: sequence.chunks, errorChunks: sequence.errorChunks };
    const firsts = { firstChunk: chunks, firstErrorChunk: errorChunks };
    control.setWords({ ...counts, ...firsts, phase: sequence.phase, exactChunks }, j);
    chunks += sequence.chunks;
    errorChunks += sequence.errorChunks;
  }
  const measures = new Float32Array(4 * chunks);
  const errorMeasures = new Float32Array(4 * errorChunks);
  for (let k = 0; k < chunks; k++) measures.set(sweepRecord(random, given), 4 * k);
  for (let e = 0; e < errorChunks; e++) {
    const maxima = Array.from({ length: 3 }, () => sweepRecord(random, given)[0]!);
    errorMeasures.set([...maxima, 1], 4 * e);
  }
  const most = Math.max(...sequences.map((s) => Math.max(s.chunks, s.errorChunks)));
  const measureTiles = Math.ceil(most / measureTile);
  const count = sequences.length * measureTiles;
  const problem = new Structure(problemLayout);
  problem.setWords({ sequences: sequences.length, chunks, errorChunks, measureTile, measureTiles });

  const tiles = bufferOf(device(), new Uint32Array(4 * count).fill(UNTOUCHED));
  const reads = ["problem", "control", "measures", "errorMeasures"];
  const sections = { bindings: declarations(bindingsOf(reads, ["tiles"])) };
  const kernel = await bindKernel(device(), assembleShader("measure.wgsl", { flags, sections }), [
    ["uniform", bufferOf(device(), problem.words, "uniform")],
    ["read", bufferOf(device(), control.words)],
    ["read", bufferOf(device(), measures)],
    ["read", bufferOf(device(), errorMeasures)],
    ["write", tiles],
  ]);
  // Folded into two dimensions, with more workgroups than there is work for.
  const [found] = await runKernels(device(), [[kernel, Math.ceil(count / 2) + 1, 2]], [tiles]);
  const expected = sequences.flatMap((sequence, j) => {
    const at = (name: "firstChunk" | "firstErrorChunk" | "exactChunks") =>
      control.words[control.at(name, j)]!;
    return Array.from({ length: measureTiles }, (_, i) => {
      const sweeping = sequence.phase === phases.sweeping;
      if (!sweeping && sequence.phase !== phases.certifying) return Array(4).fill(UNTOUCHED);
      const begin = i * measureTile;
      let [first, second, third] = [0, 0, 0];
      if (!sweeping) {
        const end = Math.min(begin + measureTile, sequence.errorChunks);
        for (let e = begin; e < end; e++) {
          const record = errorMeasures.subarray(4 * (at("firstErrorChunk") + e));
          first = Math.max(first, record[0]!);
          second = Math.max(second, record[1]!);
          third = Math.max(third, record[2]!);
        }
        return [...bits(first, second, third), 0];
      }
      third = sequence.chunks;
      const end = Math.min(begin + measureTile, sequence.chunks);
      for (let c = Math.max(begin, at("exactChunks")); c < end; c++) {
        const record = measures.subarray(4 * (at("firstChunk") + c));
        first = Math.max(first, record[0]!);
        second += record[1]!;
        if (record[2] === 0) third = Math.min(third, c);
      }
      return [...bits(first, second), third, 0];
    });
  });
  return { found: [...new Uint32Array(found!, 0, 4 * count)], expected: expected.flat() };
}

function bits(...values: number[]): number[] {
  return [...new Uint32Array(Float32Array.from(values).buffer)];
}

describe.each([[[]], [["SUBGROUPS"]]])("measure with flags %j", (flags) => {
  const isThere = () => flags.length === 0 || device().features.has("subgroups");

  it("puts a tile's records together: ragged sequences in every phase", async () => {
    expect(isThere()).toBe(true);
    await fc.assert(
      fc.asyncProperty(cases(40, 6), async (given) => {
        const { found, expected } = await run(given, flags);
        expect(found).toEqual(expected);
      }),
      { numRuns: 40 },
    );
  });

  it("looks at more chunks than a workgroup has threads", async () => {
    await fc.assert(
      fc.asyncProperty(cases(1500, 2), async (given) => {
        const { found, expected } = await run(given, flags);
        expect(found).toEqual(expected);
      }),
      { numRuns: 15 },
    );
  });
});
