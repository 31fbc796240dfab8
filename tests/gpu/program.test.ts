/** What the generator makes of a step: stages, barriers, shared memory; and the shaders as they stand. */
import { describe, expect, it } from "vitest";
import { compileCell, sweepKernel } from "../../src/backend/webgpu/program/index.ts";
import type { JacobianKind } from "../../src/types.ts";
import { cellNamed } from "../support/cells.ts";
import { exampleShader } from "../support/example-shader.ts";
import { useDevice } from "../support/gpu-device.ts";
import { defaultLimits } from "../support/gpu-programs.ts";

const device = useDevice();

function sweepOf(name: string, jacobian: JacobianKind) {
  const compiled = compileCell(cellNamed(name, 1, { hiddenSize: 8 }));
  const kernel = sweepKernel(compiled, jacobian, { limits: defaultLimits, chunks: 1 });
  const count = (code: string) => code.split("workgroupBarrier").length - 1;
  // Less those before and after the steps.
  const barriers =
    count(kernel.code) - count(exampleShader("sweep.wgsl", { sections: { step: "" } }));
  return { ...kernel, barriers, weights: compiled.weights.values.length };
}

describe("shaders", () => {
  it.each(["sweep", "drive", "certificate"])("%s is valid as it stands", async (name) => {
    const module = device().createShaderModule({ code: exampleShader(`${name}.wgsl`) });
    expect((await module.getCompilationInfo()).messages).toEqual([]);
  });
});

describe("a step", () => {
  it.each([
    ["gru-reset-after", "none", 1],
    ["gru-reset-after", "diagonal", 1],
    ["gru-reset-after", "dense", 1],
    ["gru-reset-before", "none", 2],
    ["lstm-plain", "block", 1],
    ["diagonal-lstm", "block", 0],
    ["diagonal-gru", "dense", 0],
  ] as const)("of %s, %s, has %d barriers", (name, jacobian, barriers) => {
    expect(sweepOf(name, jacobian).barriers).toBe(barriers);
  });

  it("shares only what other threads read", () => {
    // h twice over; c and P_k are in the threads' own memory.
    expect(sweepOf("lstm-plain", "block").geometry.plain).toBe(16);
    expect(sweepOf("lstm-plain", "dense").geometry).toMatchObject({ plain: 16, columned: 16 });
  });

  it("stores every matrix once", () => {
    const size = 8;
    const { weights } = sweepOf("gru-reset-after", "none");
    expect(weights).toBe(3 * size * size + size);
  });

  it.each(["none", "dense"] as const)("binds no more than is allowed, %s", (jacobian) => {
    const { bindings } = sweepOf("gru-reset-after", jacobian);
    expect(bindings.filter(({ kind }) => kind !== "uniform").length).toBeLessThanOrEqual(8);
    expect(bindings.some(({ name }) => name === "products")).toBe(jacobian === "dense");
  });
});
