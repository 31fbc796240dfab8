/** That the WebGPU backend is loaded where it may be used, and what happens where it cannot be. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

let loads: number;
beforeEach(() => {
  loads = 0;
  vi.resetModules();
  vi.doMock("../../src/backend/webgpu/backend.ts", () => {
    loads++;
    // What browsers reject an import with.
    throw new TypeError("Failed to fetch dynamically imported module");
  });
});
afterEach(() => {
  vi.doUnmock("../../src/backend/webgpu/backend.ts");
  vi.unstubAllGlobals();
});

const gpu = { requestAdapter: async () => null } as unknown as GPU;
const device = { createComputePipelineAsync() {} } as unknown as GPUDevice;
const notLoaded = /^its part of the package cannot be loaded: /;

describe("the WebGPU backend", () => {
  it.each(["auto", "webgpu"] as const)("is not loaded in a host without: %s", async (backend) => {
    const { createRuntime } = await import("../../src/index.ts");
    const made = createRuntime({ backend });
    const reason = expect.stringContaining("this host has no navigator.gpu");
    if (backend === "webgpu") await expect(made).rejects.toMatchObject({ reason });
    else {
      using runtime = await made;
      const status = { name: "webgpu", available: false, reason };
      expect(runtime.backends).toContainEqual(status);
      expect(runtime.device).toBeNull();
    }
    expect(loads).toBe(0);
  });

  it.each(["wasm", "reference"] as const)("is not loaded for another: %s", async (backend) => {
    vi.stubGlobal("navigator", { gpu });
    const { createRuntime } = await import("../../src/index.ts");
    using runtime = await createRuntime({ backend } as { backend: "wasm" });
    const reason = `this runtime was made for "${backend}"`;
    expect(runtime.backends).toContainEqual({ name: "webgpu", available: false, reason });
    expect(loads).toBe(0);
  });

  it.each([
    ["navigator.gpu", {}],
    ["gpu", { gpu }],
    ["device", { device }],
  ])("is loaded for %s, and where that fails the others do the work", async (what, options) => {
    if (what === "navigator.gpu") vi.stubGlobal("navigator", { gpu });
    const { BackendUnavailableError, createRuntime, lorenz96 } = await import("../../src/index.ts");
    using runtime = await createRuntime(options);
    expect(loads).toBeGreaterThan(0);
    const status = { name: "webgpu", available: false, reason: expect.stringMatching(notLoaded) };
    expect(runtime.backends).toContainEqual(status);
    expect((await runtime.evaluate(lorenz96({ size: 7 }), 5)).report.backend).toBe("wasm");
    const named = await createRuntime({ ...options, backend: "webgpu" }).catch((error) => error);
    expect(named).toBeInstanceOf(BackendUnavailableError);
    expect(named.reason).toMatch(notLoaded);
  });
});
