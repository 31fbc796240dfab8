/** Which sequences of a window have states that are not finite. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { bindingsOf, declarations } from "../../src/backend/webgpu/bindings.ts";
import { problemLayout, Structure, sequenceLayout } from "../../src/backend/webgpu/layout.ts";
import { assembleShader } from "../../src/backend/webgpu/shader.ts";
import { useDevice } from "../support/gpu-device.ts";
import { bindKernel, bufferOf, runKernels } from "../support/gpu-kernels.ts";
import { mulberry32 } from "../support/random.ts";

const device = useDevice();
/** As in the shader. */
const TILE = 256;

/** A subnormal, the largest number, and the three kinds of what is none: their bits. */
const harmless = [0x00000001, 0x807fffff, 0x7f7fffff, 0xff7fffff];
const harmful = [0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001];

async function spoiledOf(lengths: readonly number[], size: number, places: readonly number[]) {
  const rows = lengths.reduce((sum, length) => sum + length, 0);
  const random = mulberry32(rows);
  const states = new Uint32Array(rows * size);
  for (let i = 0; i < states.length; i++) states[i] = harmless[Math.floor(4 * random())]!;
  for (const [i, place] of places.entries()) states[place] = harmful[i % 4]!;
  const control = new Structure(sequenceLayout, lengths.length);
  let firstRow = 0;
  for (const [j, length] of lengths.entries()) {
    control.setWords({ firstRow, length }, j);
    firstRow += length;
  }
  const problem = new Structure(problemLayout);
  problem.setWords({ sequences: lengths.length, rows });
  const spoiled = bufferOf(device(), new Uint32Array(lengths.length));
  const code = assembleShader("finite.wgsl", {
    constants: { STATE_SIZE: size },
    sections: {
      bindings: declarations(bindingsOf(["problem", "control", "states"], ["spoiled"])),
    },
  });
  const kernel = await bindKernel(device(), code, [
    ["uniform", bufferOf(device(), problem.words, "uniform")],
    ["read", bufferOf(device(), control.words)],
    ["read", bufferOf(device(), states)],
    ["write", spoiled],
  ]);
  const [found] = await runKernels(device(), [[kernel, Math.ceil(rows / TILE), 2]], [spoiled]);
  return [...new Uint32Array(found!, 0, lengths.length)].map((word) => word !== 0);
}

const cases = fc
  .record({
    lengths: fc.array(fc.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 8 }),
    size: fc.constantFrom(1, 3, 65),
  })
  .chain(({ lengths, size }) => {
    const count = size * lengths.reduce((sum, length) => sum + length, 0);
    return fc.record({
      lengths: fc.constant(lengths),
      size: fc.constant(size),
      places: fc.array(fc.oneof(fc.nat(count - 1), fc.constantFrom(0, count - 1)), {
        maxLength: 4,
      }),
    });
  });

it("finds the sequences with such states, whatever their lengths, and no others", async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ lengths, size, places }) => {
      let end = 0;
      const expected = lengths.map((length) => {
        const begin = end;
        end += length * size;
        return places.some((place) => place >= begin && place < end);
      });
      expect(await spoiledOf(lengths, size, places)).toEqual(expected);
    }),
    { numRuns: 60 },
  );
});

it("finds one at either end of a tile of rows and of a sequence", async () => {
  const lengths = [TILE - 1, 2, TILE + 5, 1];
  const size = 2;
  const ends = [0, TILE - 2, TILE - 1, TILE, TILE + 1, 2 * TILE + 5, 2 * TILE + 6];
  const owners = [0, 0, 1, 1, 2, 2, 3];
  for (const [i, row] of ends.entries()) {
    const expected = lengths.map((_, j) => j === owners[i]);
    expect(await spoiledOf(lengths, size, [row * size + (i % 2)])).toEqual(expected);
  }
});
