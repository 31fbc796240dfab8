/**
 * Every shader that an evaluation can need is accepted by WebGPU's compiler, on the limits that every
 * device has. Nothing runs: Dawn's null backend compiles and validates without a driver.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type GpuDevice, openDevice } from "../../src/backend/webgpu/device.ts";
import { batchKernels } from "../../src/backend/webgpu/kernels.ts";
import { PipelineCache } from "../../src/backend/webgpu/pipelines.ts";
import { planWindows } from "../../src/backend/webgpu/plan.ts";
import type { Kernel } from "../../src/backend/webgpu/recorder.ts";
import { Traffic } from "../../src/backend/webgpu/traffic.ts";
import type { Cell, EvaluateOptions } from "../../src/index.ts";
import { checkShape } from "../../src/validate.ts";
import { cells } from "../support/cells.ts";
import { nullGpu } from "../support/dawn.ts";
import { scaling } from "../support/sweeps.ts";

const jacobians = ["none", "identity", "diagonal", "block", "dense"] as const;
const dampings = [
  { lambda: 0 },
  { lambda: 0, trustRegion: true },
  { lambda: 1, estimate: "filter" },
  { lambda: 1, estimate: "smoother" },
  { lambda: 1, estimate: "filter", trustRegion: true },
  { lambda: 1, estimate: "smoother", trustRegion: true },
] as const;
/** (steps, C): one chunk; one tile; two levels; three levels and more than one chunk a thread. */
const shapes = [
  [9, 16],
  [40, 1],
  [3000, 1],
  [200_000, 2],
] as const;

let gpu: GpuDevice;
let pipelines: PipelineCache;
beforeAll(async () => {
  gpu = await openDevice({ gpu: await nullGpu(), limits: "default" });
  pipelines = new PipelineCache(gpu, new Traffic());
});
afterAll(() => gpu?.dispose());

/** The kernels of an evaluation whose memory knows no bounds. */
function kernelsOf(
  cell: Cell,
  steps: number,
  options: EvaluateOptions,
  device: GpuDevice,
): readonly Kernel[] {
  const job = checkShape(cell, { steps, ...options });
  const kernels = batchKernels(job, options.method === "sequential", device);
  const [window] = planWindows(job.sequences, kernels.chunk, () => true)!;
  return Object.values(kernels.of(window!)).flat() as Kernel[];
}

/** All of them, each text once. */
function different(kernels: readonly Kernel[]): Kernel[] {
  return [...new Map(kernels.map((kernel) => [kernel.code, kernel])).values()];
}

async function compile(kernels: readonly Kernel[]): Promise<void> {
  for (const kernel of different(kernels)) {
    const { pipeline } = await pipelines.get(kernel);
    expect(pipeline, kernel.label).toBeDefined();
    expect(kernel.bindings.filter(({ kind }) => kind !== "uniform").length).toBeLessThan(9);
  }
}

/** With subgroups and without, where the compiler knows them. */
function variants(): GpuDevice[] {
  const without = Object.create(gpu, { subgroups: { value: null } }) as GpuDevice;
  return gpu.subgroups ? [gpu, without] : [gpu];
}

const everyCell = [...cells(1), ...cells(2, { hiddenSize: 40, inputSize: 1 }), scaling([0.5])];

describe("every cell", () => {
  it.each(everyCell.map((cell) => [`${cell.name}, D = ${cell.stateSize}`, cell] as const))(
    "%s",
    async (_, cell) => {
      const kernels = variants().flatMap((device) => [
        ...kernelsOf(cell, 100, { method: "sequential" }, device),
        ...jacobians.flatMap((jacobian) =>
          shapes.flatMap(([steps, chunk]) =>
            kernelsOf(cell, steps, { method: "deer", jacobian, chunk, damping: 0 }, device),
          ),
        ),
      ]);
      await compile(kernels);
      // Sweeps with each Jacobian, at least, beside the kernels that no cell has a part in.
      const stages = new Set(kernels.map(({ stage }) => stage));
      for (const stage of ["sweep", "scan", "certificate", "measure", "decide"]) {
        expect(stages).toContain(stage);
      }
    },
  );
});

describe.each(jacobians)("every update: %s", (jacobian) => {
  it.each(dampings.map((damping) => [JSON.stringify(damping), damping] as const))(
    "%s",
    async (_, damping) => {
      // One element, units of one and of two parts, no input, more elements than a workgroup has threads.
      const sizes = [scaling([0.5]), ...cells(3), scaling(Array(300).fill(0.5))];
      const names = ["scaling", "gru-reset-after", "lstm-plain", "lorenz96"];
      const kernels = sizes
        .filter(
          ({ name, stateSize }) =>
            // A damped dense update of so large a state is refused, which scan-dense.test.ts looks at.
            names.includes(name) && (stateSize < 300 || jacobian !== "dense"),
        )
        .flatMap((cell) =>
          shapes.flatMap(([steps, chunk]) =>
            kernelsOf(cell, steps, { method: "elk", jacobian, chunk, damping }, gpu),
          ),
        );
      await compile(kernels.filter(({ stage }) => stage === "scan"));
    },
  );
});

describe("every way to report", () => {
  it("with and without a trace, to the host and to the device", async () => {
    const [cell] = cells(1);
    for (const device of variants()) {
      for (const onIteration of [undefined, () => {}]) {
        for (const output of ["cpu", "gpu"] as const) {
          for (const method of ["sequential", "jacobi"] as const) {
            const options = { method, output, ...(onIteration && { onIteration }) };
            const kernels = kernelsOf(cell!, 40, options, device);
            await compile(kernels);
            const stages = kernels.map(({ stage }) => stage);
            expect(stages.includes("finite")).toBe(output === "gpu");
            const decide = kernels.find(({ stage }) => stage === "decide");
            const isTraced = decide?.bindings.some(({ name }) => name === "trace") ?? false;
            expect(isTraced).toBe(onIteration !== undefined && method !== "sequential");
          }
        }
      }
    }
  });
});

it("a shader with a mistake is not accepted", async () => {
  const [kernel] = kernelsOf(scaling([0.5]), 40, { method: "jacobi" }, gpu);
  const broken = { ...kernel!, code: `${kernel!.code}\nfn extra() -> u32 { return 1.5; }` };
  await expect(compile([broken])).rejects.toThrow(/WebGPU validation error: line \d+/);
});
