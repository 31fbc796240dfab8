/** What "auto" means, for the method and for the backend. */
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/backend.ts";
import { chooseMethod, suitsGpu } from "../../src/solve/choice.ts";
import type { EvaluateOptions } from "../../src/types.ts";
import { checkShape } from "../../src/validate.ts";
import { cellNamed } from "../support/cells.ts";

const gru = cellNamed("gru-reset-after", 1);
const lstm = cellNamed("lstm-plain", 1);
const host = { kind: "host", name: "wasm" } as Backend;
const device = { kind: "device", name: "webgpu" } as Backend;
const jobOf = (steps: number, options: EvaluateOptions = {}, cell = gru) =>
  checkShape(cell, { steps, ...options });

describe("the method", () => {
  it("that was asked for is the method, anywhere", () => {
    for (const backend of [host, device]) {
      for (const method of ["sequential", "jacobi", "deer", "elk"] as const) {
        const job = jobOf(5000, { method, chunk: 3 });
        const plan = chooseMethod(backend, job);
        expect(plan.method).toBe(method);
        expect(plan.job).toBe(job);
        expect(plan.choice).toBe(`method "${method}" was asked for`);
      }
    }
  });

  it("is sequential on the CPU, unless it is looked at more closely", () => {
    const plan = chooseMethod(host, jobOf(1e6));
    expect(plan.method).toBe("sequential");
    expect(plan.choice).toBe(`backend "wasm": sequential does the least work`);
    expect(chooseMethod(host, jobOf(10)).choice).toBe(
      `a small job for backend "wasm": sequential does the least work`,
    );
  });

  it.each([
    [1, 16],
    [100, 16],
    [1024, 32],
    [4096, 64],
    [100_000, 256],
    [1_000_000, 1024],
    [100_000_000, 1024],
  ])("is quasi-deer on a GPU: %i steps in chunks of %i", (steps, chunk) => {
    const { method, job, choice } = chooseMethod(device, jobOf(steps));
    expect(method).toBe("quasi-deer");
    expect(job).toMatchObject({ method, jacobian: "diagonal", chunk });
    expect(job.damping).toMatchObject({ lambda: 0, trustRegion: false });
    const chunks = Math.ceil(steps / chunk);
    expect(choice).toContain(`in chunks of ${chunk} steps runs ${chunks} chunks side by side`);
  });

  it("takes the longest sequence, and a chunk that was asked for", () => {
    const ragged = jobOf(4096 + 100, { lengths: [50, 4096, 50, 0] });
    expect(chooseMethod(device, ragged).job.chunk).toBe(64);
    expect(chooseMethod(device, jobOf(4096, { chunk: 10 })).job.chunk).toBe(10);
  });

  it("couples the parts of a unit where it has several", () => {
    expect(chooseMethod(device, jobOf(4096, {}, lstm)).job.jacobian).toBe("block");
  });

  it("keeps what was asked for otherwise", () => {
    const signal = new AbortController().signal;
    const asked = { tolerance: 1e-3, maxIterations: 7, reverse: true, signal } as const;
    expect(chooseMethod(device, jobOf(4096, asked)).job).toMatchObject(asked);
  });
});

describe("a GPU suits", () => {
  it("what is long and may run side by side", () => {
    expect(suitsGpu(jobOf(8192))).toBe(true);
    expect(suitsGpu(jobOf(8192, { method: "deer" }))).toBe(true);
    expect(suitsGpu(jobOf(8192, { lengths: Array(64).fill(128) }))).toBe(true);
  });

  it("neither what is short nor what is sequential", () => {
    expect(suitsGpu(jobOf(8191))).toBe(false);
    expect(suitsGpu(jobOf(0))).toBe(false);
    expect(suitsGpu(jobOf(1e6, { method: "sequential" }))).toBe(false);
  });
});
