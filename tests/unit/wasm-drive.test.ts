/** The drive of many rows at once: against the kernel for one row, and against its program in lanes. */
import { describe, expect, it } from "vitest";
import { Opcode } from "../../assembly/opcode.ts";
import { DRIVE_LANES, makeDriver } from "../../src/backend/wasm/drive.ts";
import { inlinedKernels } from "../../src/backend/wasm/inlined.ts";
import { loadKernels } from "../../src/backend/wasm/load.ts";
import { KernelMemory } from "../../src/backend/wasm/memory.ts";
import { packedLength, packMatrix } from "../../src/backend/wasm/pack.ts";
import { ProgramCache } from "../../src/backend/wasm/programs.ts";
import { recurrenceOf } from "../../src/cell/recurrence.ts";
import { identical } from "../support/agreement.ts";
import { cells } from "../support/cells.ts";
import { compileAlone } from "../support/compiled.ts";
import { mulberry32, uniform } from "../support/random.ts";

const { exports } = await loadKernels(inlinedKernels, undefined, true);

/** Rows around panels of 32, 16, 8 and 4; columns and steps around what is unrolled or blocked. */
const rowCounts = [1, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 40, 60, 64, 71];
const columnCounts = [1, 2, 3, 8];
const stepCounts = [1, 2, 3, 4, 5, 7, 15, 16, 17, 19, 33];
/** Floats between the rows of the source and of the target, as where a drive has other parts. */
const [sourceGap, targetGap] = [2, 5];

describe("the kernel `drive`", () => {
  const memory = new KernelMemory(exports.memory, exports.heapBase(), 2 ** 24);

  function compare(rows: number, columns: number, steps: number, withInitial: boolean): void {
    const random = mulberry32(rows * 1000 + columns * 10 + steps);
    const [sourcePitch, targetPitch] = [columns + sourceGap, rows + targetGap];
    const packed = memory.allocateFloats(packedLength(rows, columns));
    const weights = uniform(random, rows * columns);
    packMatrix(weights, rows, columns, memory.view(packed, packedLength(rows, columns)));
    const source = memory.allocateFloats(steps * sourcePitch);
    memory.view(source, steps * sourcePitch).set(uniform(random, steps * sourcePitch));
    const initial = withInitial ? memory.allocateFloats(rows) : 0;
    if (withInitial) memory.view(initial, rows).set(uniform(random, rows));
    const target = memory.allocateFloats(steps * targetPitch);
    const row = memory.allocateFloats(rows);
    const code = memory.allocate(64);
    const write = (from: number, to: number) =>
      memory.words.set(
        [Opcode.Linear, rows, to, from, packed, initial, columns, 1, Opcode.End],
        code / 4,
      );
    const results = memory.view(target, steps * targetPitch).fill(7);
    // The code's own addresses count for nothing but as the origin of those handed over.
    write(4000, 8000);
    exports.drive(code, steps, source - 4000, sourcePitch * 4, target - 8000, targetPitch * 4);
    for (let step = 0; step < steps; step++) {
      write(source + step * sourcePitch * 4, row);
      exports.execute(code);
      const from = step * targetPitch;
      const what = `${rows} × ${columns}, step ${step} of ${steps}`;
      expect(identical(results.subarray(from, from + rows), memory.view(row, rows)), what).toBe(
        true,
      );
      const gap = results.subarray(from + rows, from + targetPitch);
      expect(
        gap.every((value) => value === 7),
        `${what}: writes beside its row`,
      ).toBe(true);
    }
    memory.release();
  }

  it("gives every row the bits that it has alone, and writes nothing else", () => {
    for (const rows of rowCounts) {
      for (const columns of columnCounts) {
        for (const steps of stepCounts) {
          compare(rows, columns, steps, false);
          compare(rows, columns, steps, true);
        }
      }
    }
  });
});

describe("the driver", () => {
  it("computes what the drive's program computes in lanes, to the bit", () => {
    let products = 0;
    for (const cell of cells(3, { hiddenSize: 5, inputSize: 3 })) {
      const { drive, source } = recurrenceOf(cell);
      if (drive.size === 0) continue;
      // More than a window of inputs, and no multiple of anything.
      const steps = 300;
      const inputs = uniform(mulberry32(9), steps * cell.inputSize);
      const drives = [false, true].map((reverse) => {
        const memory = new KernelMemory(exports.memory, exports.heapBase(), 2 ** 24);
        const program = new ProgramCache(memory).prepare(cell, ({ split }) =>
          split.drive(DRIVE_LANES),
        );
        if (program!.isProduct) products++;
        const run = makeDriver(memory, exports, program, cell.inputSize, source.size);
        const target = memory.allocateFloats(steps * source.size);
        run(inputs, 0, steps, steps, reverse, target);
        return memory.view(target, steps * source.size).slice();
      });
      const leaf = cell.graph.leaf("driven", drive.size);
      const carried = [{ leaf, next: drive }];
      const inLanes = compileAlone({ carried, inputs: [cell.input], lanes: 4 }, cell.weights);
      for (let step = 0; step + 4 <= steps; step += 4) {
        const rows = [0, 1, 2, 3].map((lane) => {
          const from = (step + lane) * cell.inputSize;
          return inputs.subarray(from, from + cell.inputSize);
        });
        const { driven } = inLanes.run({ input: rows });
        driven!.forEach((expected, lane) => {
          const t = step + lane;
          const [forward, backward] = drives.map((values, reverse) => {
            const from = (reverse ? steps - 1 - t : t) * source.size;
            return values.subarray(from, from + source.size);
          });
          expect(identical(forward!, expected), `${cell.name}, step ${t}`).toBe(true);
          expect(identical(backward!, expected), `${cell.name}, step ${t} in reverse`).toBe(true);
        });
      }
    }
    expect(products, "cells whose drive is nothing but products").toBeGreaterThan(10);
  });
});
