/**
 * What a step of each shipped cell costs, counted from its compiled program and held to what the cell's
 * equations ask for: a fusion that is lost, a copy that creeps in or a product that falls apart shows.
 */
import { describe, expect, it } from "vitest";
import { Opcode } from "../../assembly/opcode.ts";
import { DRIVE_LANES } from "../../src/backend/wasm/drive.ts";
import { inlinedKernels } from "../../src/backend/wasm/inlined.ts";
import { loadKernels } from "../../src/backend/wasm/load.ts";
import { KernelMemory } from "../../src/backend/wasm/memory.ts";
import { ProgramCache } from "../../src/backend/wasm/programs.ts";
import { workOf } from "../../src/backend/wasm/work.ts";
import { type Cell, gru, lstm } from "../../src/cell/index.ts";
import { recurrenceOf } from "../../src/cell/recurrence.ts";
import { cells } from "../support/cells.ts";
import { compileAlone } from "../support/compiled.ts";
import { randomWeights } from "../support/random.ts";

/** A multiple of four, so that no row of weights and no lane is padded. */
const hiddenSize = 8;
const inputSize = 3;
const shipped = new Map(cells(1, { hiddenSize, inputSize }).map((cell) => [cell.name, cell]));

/** All but the instructions in units of the hidden size, for one lane. */
interface Expected {
  readonly instructions: number;
  /** Matrices [hiddenSize, hiddenSize]. */
  readonly matrices: number;
  readonly functions: readonly (readonly [opcode: Opcode, vectors: number])[];
  /** Vectors read and written, by instruction in the order of the equations. */
  readonly vectors: readonly number[];
}

const expectations: Readonly<Record<string, Expected>> = {
  // tanh(drive + U h): h, drive → sum; sum → h'.
  "rnn-tanh": { instructions: 2, matrices: 1, functions: [[Opcode.Tanh, 1]], vectors: [3, 2] },
  "rnn-relu": { instructions: 2, matrices: 1, functions: [[Opcode.Relu, 1]], vectors: [3, 2] },
  // r and z start from the drive, U_n h from its bias: two products. σ of both gates at once; tanh of
  // r ∘ (U_n h) + drive; n + z ∘ (h − n).
  "gru-reset-after": {
    instructions: 5,
    matrices: 3,
    functions: [
      [Opcode.Sigmoid, 2],
      [Opcode.MultiplyAddTanh, 1],
      [Opcode.Interpolate, 1],
    ],
    vectors: [1 + 2 + 2, 1 + 1 + 1, 2 + 2, 4, 4],
  },
  // U_n (r ∘ h) has to wait for r.
  "gru-reset-before": {
    instructions: 6,
    matrices: 3,
    functions: [
      [Opcode.Sigmoid, 2],
      [Opcode.Multiply, 1],
      [Opcode.Tanh, 1],
      [Opcode.Interpolate, 1],
    ],
    vectors: [1 + 2 + 2, 2 + 2, 3, 1 + 1 + 1, 2, 4],
  },
  // f ∘ h takes the place of r ∘ h, and z that of f.
  "minimal-gru": {
    instructions: 6,
    matrices: 2,
    functions: [
      [Opcode.Sigmoid, 1],
      [Opcode.Multiply, 1],
      [Opcode.Tanh, 1],
      [Opcode.Interpolate, 1],
    ],
    vectors: [1 + 1 + 1, 2, 3, 1 + 1 + 1, 2, 4],
  },
  // One product for all gates; σ of i and f at once, and of o behind g; f ∘ c + i ∘ g; o ∘ tanh(c').
  "lstm-plain": {
    instructions: 6,
    matrices: 4,
    functions: [
      [Opcode.Sigmoid, 3],
      [Opcode.Tanh, 1],
      [Opcode.AddProducts, 1],
      [Opcode.MultiplyTanh, 1],
    ],
    vectors: [1 + 4 + 4, 2 + 2, 2, 1 + 1, 5, 3],
  },
  // Without the rows of f there are two blocks of weights: i, and g with o.
  "lstm-coupled": {
    instructions: 7,
    matrices: 3,
    functions: [
      [Opcode.Sigmoid, 2],
      [Opcode.Tanh, 1],
      [Opcode.Interpolate, 1],
      [Opcode.MultiplyTanh, 1],
    ],
    vectors: [1 + 1 + 1, 1 + 2 + 2, 2, 2, 2, 4, 3],
  },
  // Weights are vectors: w ∘ h + drive for r and for z, then for n as above.
  "diagonal-gru": {
    instructions: 6,
    matrices: 0,
    functions: [
      [Opcode.MultiplyAdd, 2],
      [Opcode.Sigmoid, 2],
      [Opcode.Multiply, 1],
      [Opcode.MultiplyAddTanh, 1],
      [Opcode.Interpolate, 1],
    ],
    vectors: [4, 4, 2 + 2, 3, 4, 4],
  },
};

function stepOf(cell: Cell, lanes: number) {
  const { next, source } = recurrenceOf(cell);
  const carried = [{ leaf: cell.state, next }];
  return compileAlone({ carried, inputs: [source], lanes }, cell.weights).work;
}

describe("a step's work", () => {
  it.each(Object.entries(expectations))("of %s is what its equations ask for", (name, expected) => {
    for (const lanes of [1, 4, 8]) {
      const work = stepOf(shipped.get(name)!, lanes);
      const { instructions, matrices, functions, vectors } = expected;
      const numbers = hiddenSize * lanes;
      expect(work.instructions).toBe(instructions);
      expect(work.multiplyAdds).toBe(matrices * hiddenSize * numbers);
      expect(new Map(work.vectors)).toEqual(
        new Map(functions.map(([opcode, count]) => [opcode, (count * numbers) / 4])),
      );
      const passes = vectors.reduce((sum, count) => sum + count, 0);
      expect(work.bytes).toBe(4 * (matrices * hiddenSize ** 2 + passes * numbers));
    }
  });

  it("grows with the lanes but for the instructions and the weights", () => {
    for (const cell of shipped.values()) {
      const [one, eight] = [stepOf(cell, 1), stepOf(cell, 8)];
      expect(eight.instructions, cell.name).toBe(one.instructions);
      expect(eight.multiplyAdds, cell.name).toBe(8 * one.multiplyAdds);
      expect(eight.vectorOperations, cell.name).toBe(8 * one.vectorOperations);
      expect(eight.bytes, cell.name).toBeLessThanOrEqual(8 * one.bytes);
    }
  });

  it("knows what its functions cost: GRU and LSTM by hand", () => {
    // A vector of four numbers: σ and tanh 21 instructions each, a · b + c 2.
    const vectors = hiddenSize / 4;
    const gru = vectors * (2 * 21 + (2 + 21) + 3);
    const lstm = vectors * (3 * 21 + 21 + 3 + (21 + 1));
    expect(stepOf(shipped.get("gru-reset-after")!, 1).vectorOperations).toBe(gru);
    expect(stepOf(shipped.get("lstm-plain")!, 1).vectorOperations).toBe(lstm);
  });
});

describe("a drive's work", async () => {
  const { exports } = await loadKernels(inlinedKernels, undefined, true);

  it.each([
    { name: "GRU", make: gru, gates: 3, products: 2 },
    { name: "LSTM", make: lstm, gates: 4, products: 1 },
  ])("of a $name is one matrix product a gate, and no lanes", ({ make, gates, products }) => {
    const memory = new KernelMemory(exports.memory, exports.heapBase(), 2 ** 24);
    const rows = gates * hiddenSize;
    const shapes = {
      ...{ weight_ih: [rows, inputSize], weight_hh: [rows, hiddenSize] },
      ...{ bias_ih: [rows], bias_hh: [rows] },
    };
    const cell = make({ inputSize, hiddenSize, weights: randomWeights(shapes, 1, 1) });
    const drive = new ProgramCache(memory).prepare(cell, ({ split }) => split.drive(DRIVE_LANES))!;
    const work = workOf(memory, drive);
    expect(drive.isProduct).toBe(true);
    expect(drive.lanes).toBe(1);
    expect(work.instructions).toBe(products);
    expect(work.multiplyAdds).toBe(rows * inputSize);
    expect(work.vectorOperations).toBe(0);
    const weights = rows * inputSize;
    expect(work.bytes).toBe(4 * (weights + products * inputSize + rows + rows));
  });
});
