/** That host and device agree on where the fields of a structure lie. */
import { describe, expect, it } from "vitest";
import { shaders } from "../../src/backend/webgpu/generated/shaders.ts";
import {
  phases,
  problemLayout,
  reasons,
  Structure,
  type StructureLayout,
  sequenceLayout,
} from "../../src/backend/webgpu/layout.ts";
import { assembleShader } from "../../src/backend/webgpu/shader.ts";
import { useDevice } from "../support/gpu-device.ts";
import { bindKernel, bufferOf, runKernels } from "../support/gpu-kernels.ts";

const device = useDevice();
const problemFields = Object.keys(problemLayout.word) as (keyof typeof problemLayout.word)[];
const sequenceFields = Object.keys(sequenceLayout.word) as (keyof typeof sequenceLayout.word)[];

/** A pattern for every word, none of which is a number's other spelling. */
function fill<Field extends string>(layout: StructureLayout<Field>, count: number, seed: number) {
  const structure = new Structure(layout, count);
  for (let i = 0; i < count; i++) {
    for (const [n, field] of (Object.keys(layout.word) as Field[]).entries()) {
      structure.setWords({ [field]: seed + 1000 * i + n } as Record<Field, number>, i);
    }
  }
  return structure;
}

describe("structures", () => {
  it("have their fields where the device finds them", async () => {
    const problem = fill(problemLayout, 1, 0x3f800000);
    const sequences = fill(sequenceLayout, 3, 0x40800000);
    const second = problemFields.length;
    const code = [
      assembleShader("shared/problem.wgsl"),
      "@group(0) @binding(0) var<uniform> problem: Problem;",
      "@group(0) @binding(1) var<storage, read> control: array<Sequence>;",
      "@group(0) @binding(2) var<storage, read_write> found: array<u32>;",
      "@compute @workgroup_size(1) fn main() {",
      ...problemFields.map((field, n) => `found[${n}] = bitcast<u32>(problem.${field});`),
      ...sequenceFields.map(
        (field, n) => `found[${second + n}] = bitcast<u32>(control[2].${field});`,
      ),
      `found[${second + sequenceFields.length}] = arrayLength(&control);`,
      "}",
    ].join("\n");
    const found = bufferOf(device(), new Uint32Array(second + sequenceFields.length + 1));
    const kernel = await bindKernel(device(), code, [
      ["uniform", bufferOf(device(), problem.words, "uniform")],
      ["read", bufferOf(device(), sequences.words)],
      ["write", found],
    ]);
    const [data] = await runKernels(device(), [[kernel, 1]], [found]);
    const words = new Uint32Array(data!);
    for (const [n, field] of problemFields.entries()) {
      expect([field, words[n]]).toEqual([field, problem.words[problem.at(field)]]);
    }
    for (const [n, field] of sequenceFields.entries()) {
      const expected = sequences.words[sequences.at(field, 2)];
      expect([field, words[second + n]]).toEqual([field, expected]);
    }
    expect(words[second + sequenceFields.length]).toBe(3);
  });

  it("have all fields, those without use on the host included", () => {
    for (const [name, fields, layout] of [
      ["Problem", problemFields, problemLayout],
      ["Sequence", sequenceFields, sequenceLayout],
    ] as const) {
      const body = new RegExp(`struct ${name} ?\\{([^}]*)`).exec(
        shaders["shared/problem.wgsl"]!,
      )![1]!;
      expect(fields.length).toBe(body.split(",").length - 1);
      expect(layout.words).toBe(fields.length);
    }
    // What a uniform buffer's structure has to be a multiple of.
    expect(problemLayout.words % 4).toBe(0);
  });

  it("take words and floats", () => {
    const sequences = new Structure(sequenceLayout, 2);
    sequences.setWords({ phase: 3, length: 2 ** 32 - 1 }, 1);
    sequences.setFloats({ lambda: 0.1, retryBelow: Number.POSITIVE_INFINITY }, 1);
    const { words, floats } = sequences;
    expect(words.length).toBe(2 * sequenceLayout.words);
    expect(words.subarray(0, sequenceLayout.words).every((word) => word === 0)).toBe(true);
    expect(words[sequences.at("phase", 1)]).toBe(3);
    expect(words[sequences.at("length", 1)]).toBe(2 ** 32 - 1);
    expect(floats[sequences.at("lambda", 1)]).toBe(Math.fround(0.1));
    expect(words[sequences.at("retryBelow", 1)]).toBe(0x7f800000);
    expect([...words].filter((word) => word !== 0)).toHaveLength(4);
  });

  it("have phases and reasons that differ, of which no reason is 0", () => {
    expect(new Set(Object.values(phases)).size).toBe(4);
    expect(phases.sweeping).toBe(0);
    expect(new Set([0, ...Object.values(reasons)]).size).toBe(6);
  });
});
