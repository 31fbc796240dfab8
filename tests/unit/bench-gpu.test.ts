/** The GPU benches: shaders that count their accesses, and the floors that the counts are held against. */
import { afterAll, describe, expect, it } from "vitest";
import { randomCell } from "../../bench/support/gpu-cells.ts";
import { countAccesses, countingDevice } from "../../bench/support/gpu-count.ts";
import {
  certificateFloor,
  driveFloor,
  productWidth,
  scanFloor,
  sequentialFloor,
  stageFloor,
  stepWork,
  sweepFloor,
} from "../../bench/support/gpu-floor.ts";
import { dawnGpu } from "../support/dawn.ts";
import { exampleShader } from "../support/example-shader.ts";

const shader = `
struct Pair { a: u32, b: f32, }
@group(0) @binding(0) var<storage, read> source: array<f32>;
@group(0) @binding(1) var<storage, read_write> goal: array<vec4f>;
@group(0) @binding(2) var<storage, read> pairs: array<Pair>;
var<private> mine: array<f32, 4>;
@compute @workgroup_size(4)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  mine[local] = source[pairs[local].a] + f32(source[1] == 0.0);
  if (local < 3u) {
    goal[local].xy = vec2f(mine[local]);
  }
  let whole = pairs[0];
  goal[3] = vec4f(whole.b);
}`;

describe("countAccesses", () => {
  const { code, accesses } = countAccesses(shader, 10);

  it("finds every access, inner ones too, with its bytes", () => {
    expect(accesses).toEqual([
      { buffer: "source", isStore: false, bytes: 4 },
      { buffer: "pairs", isStore: false, bytes: 4 },
      { buffer: "source", isStore: false, bytes: 4 },
      { buffer: "goal", isStore: true, bytes: 8 },
      { buffer: "pairs", isStore: false, bytes: 8 },
      { buffer: "goal", isStore: true, bytes: 16 },
    ]);
    expect(code).toContain("source[counted_0(pairs[counted_1(local)].a)]");
    expect(code).toContain("mine[local]");
  });

  it("reads the library's own shaders", () => {
    for (const path of ["sweep", "certificate", "drive", "measure", "decide"]) {
      const found = countAccesses(exampleShader(`${path}.wgsl`), 0);
      expect(
        found.accesses.some(({ isStore }) => isStore),
        path,
      ).toBe(true);
      expect(
        found.accesses.some(({ isStore }) => !isStore),
        path,
      ).toBe(true);
    }
  });

  it("refuses a type whose size it does not know", () => {
    const unknown = shader.replace("array<vec4f>", "array<Mystery>");
    expect(() => countAccesses(unknown, 0)).toThrow(/array<Mystery>/);
  });
});

describe("a counting device", async () => {
  const counting = await countingDevice(await dawnGpu());
  const { device } = counting;
  afterAll(() => device.destroy());

  it("counts what ran: loads, stores, and dispatches that were not empty", async () => {
    const module = device.createShaderModule({ label: "test of counting", code: shader });
    const types = ["read-only-storage", "storage", "read-only-storage"] as const;
    const layout = device.createBindGroupLayout({
      entries: types.map((type, binding) => ({ binding, visibility: 0x4, buffer: { type } })),
    });
    const pipeline = device.createComputePipeline({
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module },
    });
    const entries = types.map((_, binding) => {
      const buffer = device.createBuffer({ size: 256, usage: 0x80 });
      return { binding, resource: { buffer } };
    });
    const group = device.createBindGroup({ layout, entries });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(2);
    pass.dispatchWorkgroups(0);
    pass.dispatchWorkgroups(1);
    pass.end();
    device.queue.submit([encoder.finish()]);
    const [count, ...others] = await counting.take();
    expect(others).toEqual([]);
    expect(count).toMatchObject({ label: "test of counting", dispatches: 2 });
    expect(Object.fromEntries(count!.buffers)).toEqual({
      source: { loads: 24, stores: 0, bytesLoaded: 96, bytesStored: 0 },
      pairs: { loads: 24, stores: 0, bytesLoaded: 48 + 96, bytesStored: 0 },
      goal: { loads: 0, stores: 21, bytesLoaded: 0, bytesStored: 72 + 192 },
    });
    expect(await counting.take()).toEqual([]);
  });
});

describe("floors", () => {
  const T = 100;
  const D = 16;
  const shape = { steps: T, chunks: 10, errorChunks: 4, damped: false } as const;

  it("count the matrix products of a step", () => {
    const cell = randomCell("GRU", D);
    // A tangent takes the same products as the step, and the diagonal none.
    const gru = { drive: 9 * D, step: 3 * D * D, tangent: 3 * D * D };
    expect(stepWork(cell, "diagonal")).toEqual({ ...gru, product: 0 });
    const lstm = { drive: 12 * D, step: 4 * D * D, tangent: 4 * D * D };
    expect(stepWork(randomCell("LSTM", D), "block")).toEqual({ ...lstm, product: 0 });
  });

  it("know how P_k is stored", () => {
    const cell = randomCell("LSTM", D);
    const widths = (["none", "identity", "diagonal", "block", "dense"] as const).map((jacobian) =>
      productWidth(cell, jacobian),
    );
    expect(widths).toEqual([0, 0, 2 * D, 4 * D, 4 * D * D]);
  });

  it("read and write every array once", () => {
    const cell = randomCell("GRU", D);
    const S = 3 * D;
    expect(driveFloor(cell, { ...shape, jacobian: "none" })).toEqual({
      read: 4 * T * 3,
      written: 4 * T * S,
      multiplyAdds: T * 9 * D,
    });
    expect(sweepFloor(cell, { ...shape, jacobian: "dense" })).toEqual({
      read: 4 * (T * S + 10 * D),
      written: 4 * (T * D + 10 * D + 10 * D * D),
      multiplyAdds: T * 3 * D * D * (1 + D),
    });
    expect(scanFloor(cell, { ...shape, jacobian: "diagonal" })).toEqual({
      read: 4 * 10 * 3 * D,
      written: 4 * 10 * D,
      multiplyAdds: 10 * D,
    });
    expect(scanFloor(cell, { ...shape, jacobian: "none" })).toEqual({
      read: 4 * 10 * D,
      written: 4 * 10 * D,
      multiplyAdds: 0,
    });
    expect(certificateFloor(cell, { ...shape, jacobian: "none" })).toEqual({
      read: 4 * (T * (S + D) + 4 * 4 * D),
      written: 4 * 4 * 4 * D,
      multiplyAdds: T * 3 * D * D * 5,
    });
    expect(sequentialFloor(cell, { steps: T })).toEqual({
      read: 4 * T * 3,
      written: 4 * T * D,
      multiplyAdds: T * (9 * D + 3 * D * D),
    });
  });

  it("take the longer of memory and arithmetic", () => {
    const work = { read: 600, written: 400, multiplyAdds: 50 };
    expect(stageFloor(work, { bandwidth: 1e6, multiplyAdds: 1e6 })).toBe(1);
    expect(stageFloor(work, { bandwidth: 1e6, multiplyAdds: 1e4 })).toBe(5);
  });
});
