/**
 * Recurrences over time as the kernels run them (assembly/recurrence.ts), called directly: sequences of
 * different lengths side by side in lanes.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LaneJob } from "../../src/backend/wasm/job.ts";
import { type CompiledProgram, compileProgram } from "../../src/backend/wasm/lower.ts";
import type { Signs } from "../../src/backend/wasm/programs.ts";
import { add, type Cell, defineCell, linear, type Vector } from "../../src/cell/index.ts";
import { interpreter } from "../../src/cell/interpret.ts";
import { GuardedMemory, kernelBuilds, type Span } from "../support/guarded-memory.ts";
import { cellOfPlan, programPlans } from "../support/programs.ts";
import { mulberry32, type Random, uniform } from "../support/random.ts";

/** What the sequences of a run have in common. */
interface Run {
  readonly cell: Cell;
  /** What is carried at first, behind the state: `[stateSize − stateWidth]` of the cell's. */
  readonly restart: Float32Array;
  readonly sequences: readonly Sequence[];
  /** Elements of what is carried that are stored after every step, and from row to row. */
  readonly targetWidth: number;
  readonly targetStride: number;
  /** ±1, `[rows, stateSize]`, added to every next state. */
  readonly signs: Float32Array | null;
}

interface Sequence {
  readonly steps: number;
  /** `[steps, inputSize]`. */
  readonly inputs: Float32Array;
  /** `[stateWidth]`. */
  readonly initial: Float32Array;
  /** Row of the signs for the first step. */
  readonly sign: number;
  /** Where the final state goes: nowhere, to an array of its own, or over the initial state. */
  readonly final: "none" | "own" | "initial";
  readonly keepsRest: boolean;
}

interface Outcome {
  /** `[steps, targetWidth]` each. */
  readonly targets: readonly (readonly number[])[];
  /** What lies in the arrays for the final states, and for what else is carried. */
  readonly finals: readonly (readonly number[])[];
  readonly rests: readonly (readonly number[])[];
}

const sequenceCount = fc.integer({ min: 1, max: 8 });
const stepCounts = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 8, maxLength: 8 });
const seeds = fc.nat({ max: 1e6 });

/** `length` integers from −`most` to `most`. */
const integers = (random: Random, length: number, most: number) =>
  uniform(random, length, -most - 0.5, most + 0.5).map(Math.round);

/** s_t = M s_{t−1} + N x_t with entries of −1, 0 and 1: exact in float32 for a few steps. */
function integerCell(sizes: readonly number[], inputSize: number, random: Random): Cell {
  const state = Object.fromEntries(sizes.map((size, i) => [`part${i}`, size]));
  const size = sizes.reduce((sum, part) => sum + part, 0);
  const weights: Record<string, { shape: [number, number]; data: Float32Array }> = {};
  sizes.forEach((rows, i) => {
    weights[`m${i}`] = { shape: [rows, size], data: integers(random, rows * size, 1) };
    if (inputSize === 0) return;
    weights[`n${i}`] = { shape: [rows, inputSize], data: integers(random, rows * inputSize, 1) };
  });
  return defineCell({
    name: "integers",
    inputSize,
    state,
    weights,
    step: (parts, input, handles) => {
      const all = Object.values(parts).reduce((sum, part) => sum.graph.concat([sum, part]));
      return Object.fromEntries(
        sizes.map((_, i) => {
          const moved = linear(handles[`m${i}`]!, all);
          return [`part${i}`, inputSize > 0 ? add(moved, linear(handles[`n${i}`]!, input)) : moved];
        }),
      );
    },
  });
}

/** The cell's step, plus the signs if there are any. */
function nextOf({ cell, signs }: Run): Vector {
  const { graph, next, stateSize } = cell;
  return signs ? graph.apply("add", [next, graph.leaf("signs", stateSize)]) : next;
}

/** Sequences of random lengths with inputs and states from `draw`. */
function randomRun(
  cell: Cell,
  steps: readonly number[],
  random: Random,
  draw: (length: number) => Float32Array,
): Run {
  const stateWidth = cell.parts[0]!.size;
  const { stateSize, inputSize } = cell;
  const targetWidth = random() < 0.5 ? stateWidth : stateSize;
  const rows = 1 + Math.floor(3 * random());
  return {
    cell,
    restart: draw(stateSize - stateWidth),
    sequences: steps.map((count) => ({
      steps: count,
      inputs: draw(count * inputSize),
      initial: draw(stateWidth),
      sign: Math.floor(rows * random()),
      final: (["none", "own", "initial"] as const)[Math.floor(3 * random())]!,
      keepsRest: random() < 0.5,
    })),
    targetWidth,
    targetStride: targetWidth + Math.floor(3 * random()),
    signs:
      random() < 0.5
        ? uniform(random, rows * stateSize).map((value) => (value < 0 ? -1 : 1))
        : null,
  };
}

/** Runs the sequences with that many lanes, as many at a time. */
function runWithLanes(
  memory: GuardedMemory,
  runLanes: (job: number) => void,
  run: Run,
  lanes: number,
): Outcome {
  const { cell, sequences, restart, signs, targetWidth, targetStride } = run;
  const { stateSize, inputSize } = cell;
  const stateWidth = stateSize - restart.length;
  memory.kernel.forget();
  const program: CompiledProgram = compileProgram(
    memory.kernel,
    {
      carried: [{ leaf: cell.state, next: nextOf(run) }],
      inputs: [cell.input, ...(signs ? [cell.graph.leaf("signs", stateSize)] : [])],
      lanes,
    },
    cell.weights,
    new Map(),
  );
  const store = (values: Float32Array) => {
    const address = memory.kernel.allocateFloats(values.length);
    memory.kernel.floats.set(values, address / 4);
    return address;
  };
  const table: Signs | null = signs && {
    address: store(signs),
    width: stateSize,
    rows: signs.length / stateSize,
  };
  const job = new LaneJob(memory.kernel, runLanes, {
    program,
    source: { leaf: "input", width: inputSize, stride: inputSize * 4 },
    target: { width: targetWidth, stride: targetStride * 4 },
    stateWidth,
    restart: store(restart),
    signs: table,
  });
  memory.kernel.keep();

  const lengths: Record<string, number> = {};
  sequences.forEach(({ steps }, k) => {
    lengths[`source ${k}`] = steps * inputSize;
    lengths[`target ${k}`] = steps * targetStride;
    lengths[`initial ${k}`] = stateWidth;
    lengths[`final ${k}`] = stateWidth;
    lengths[`rest ${k}`] = restart.length;
  });
  const spans = memory.allocate(lengths);
  const span = (name: string, k: number): Span => spans[`${name} ${k}`]!;
  sequences.forEach(({ inputs, initial }, k) => {
    memory.floats(span("source", k)).set(inputs);
    memory.floats(span("initial", k)).set(initial);
  });
  for (let first = 0; first < sequences.length; first += lanes) {
    const group = sequences.slice(first, first + lanes);
    const writable: Span[] = [];
    group.forEach(({ steps, sign, final, keepsRest }, lane) => {
      const k = first + lane;
      const finalSpan = final === "own" ? span("final", k) : span("initial", k);
      const target = span("target", k);
      for (let t = 0; t < steps; t++) {
        writable.push({ address: target.address + 4 * t * targetStride, length: targetWidth });
      }
      if (final !== "none") writable.push(finalSpan);
      if (keepsRest) writable.push(span("rest", k));
      job.setLane(
        lane,
        span("source", k).address,
        target.address,
        steps,
        span("initial", k).address,
        final === "none" ? 0 : finalSpan.address,
        keepsRest ? span("rest", k).address : 0,
        sign,
      );
    });
    memory.run(() => job.run(group.length), writable);
  }
  const read = (name: string) => sequences.map((_, k) => [...memory.floats(span(name, k))]);
  return {
    targets: read("target").map((values) =>
      values.filter((_, i) => i % targetStride < targetWidth),
    ),
    finals: read("final").map((values, k) =>
      sequences[k]!.final === "initial" ? [...memory.floats(span("initial", k))] : values,
    ),
    rests: read("rest"),
  };
}

/** The same in float64, one sequence after the other, from the traced step. */
function exactOutcome(run: Run): Outcome {
  const { cell, sequences, restart, signs, targetWidth } = run;
  const { stateSize, inputSize } = cell;
  const stateWidth = stateSize - restart.length;
  const step = interpreter([nextOf(run)], cell.weights);
  const nothing = (length: number) => Array<number>(length).fill(Number.NaN);
  const outcomes = sequences.map(({ steps, inputs, initial, sign, final, keepsRest }) => {
    const state = Float64Array.from([...initial, ...restart]);
    const target: number[] = [];
    for (let t = 0; t < steps; t++) {
      const input = Float64Array.from(inputs.subarray(t * inputSize, (t + 1) * inputSize));
      const row = signs ? ((sign + t) % (signs.length / stateSize)) * stateSize : 0;
      const leaves = { state, input };
      const added = signs ? Float64Array.from(signs.subarray(row, row + stateSize)) : null;
      state.set(step(added ? { ...leaves, signs: added } : leaves)[0]!);
      target.push(...state.subarray(0, targetWidth));
    }
    return {
      target,
      final: final === "none" ? nothing(stateWidth) : [...state.subarray(0, stateWidth)],
      rest: keepsRest ? [...state.subarray(stateWidth)] : nothing(restart.length),
    };
  });
  return {
    targets: outcomes.map(({ target }) => target),
    finals: outcomes.map(({ final }) => final),
    rests: outcomes.map(({ rest }) => rest),
  };
}

describe.each(await kernelBuilds())("lanes, $simd SIMD", ({ exports }) => {
  const memory = new GuardedMemory(exports);

  it("carry each sequence on by itself, to its own end, and write nothing else", () => {
    const partSizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 2 });
    const inputSizes = fc.nat({ max: 6 });
    fc.assert(
      fc.property(
        partSizes,
        inputSizes,
        sequenceCount,
        stepCounts,
        seeds,
        (sizes, inputSize, count, steps, seed) => {
          const random = mulberry32(seed);
          const cell = integerCell(sizes, inputSize, random);
          const draw = (length: number) => integers(random, length, 3);
          const run = randomRun(cell, steps.slice(0, count), random, draw);
          const exact = exactOutcome(run);
          for (const lanes of [1, 4, 8]) {
            // JSON knows no −0, which sums have for a sign or not depending on their order.
            const unsigned = (outcome: Outcome) => JSON.parse(JSON.stringify(outcome));
            const actual = runWithLanes(memory, exports.runLanes, run, lanes);
            expect(unsigned(actual)).toEqual(unsigned(exact));
          }
        },
      ),
    );
  });

  it("give the same results whatever their number, bit for bit", () => {
    fc.assert(
      fc.property(programPlans(), sequenceCount, stepCounts, seeds, (plan, count, steps, seed) => {
        const random = mulberry32(seed);
        const draw = (length: number) => uniform(random, length);
        const run = randomRun(cellOfPlan(plan), steps.slice(0, count), random, draw);
        const single = runWithLanes(memory, exports.runLanes, run, 1);
        expect(runWithLanes(memory, exports.runLanes, run, 4)).toEqual(single);
        expect(runWithLanes(memory, exports.runLanes, run, 8)).toEqual(single);
      }),
    );
  });
});
