/** WebGPU in Node: on the system's GPU or, where there is none, on a driver that imitates one. */
import { existsSync } from "node:fs";
import { createRuntime, type Runtime } from "antler";
import { reasonOf } from "./failure.ts";

/** A runtime on the adapter of this name, or why there is none. */
export type GpuRuntime =
  | { readonly runtime: Runtime; readonly adapter: string; readonly software: boolean }
  | { readonly runtime: null; readonly reason: string };

/** How Linux shows a GPU: its own drivers', NVIDIA's, and that of the Windows around it. */
const gpuFiles = ["/dev/dri", "/dev/nvidiactl", "/dev/dxg"];

/**
 * The system's own GPU, by the package `webgpu`; if it has none, the SwiftShader driver that the tests run
 * on. Where neither is to be had, the reason is the last one's.
 */
export async function openGpuRuntime(): Promise<GpuRuntime> {
  const ways = [ofSystem, imitated];
  // Asked in vain, the package prints a warning.
  if (process.platform === "linux" && !gpuFiles.some((path) => existsSync(path))) ways.shift();
  let reason = "";
  for (const way of ways) {
    try {
      return await open(await way());
    } catch (error) {
      reason = reasonOf(error);
    }
  }
  return { runtime: null, reason };
}

async function ofSystem(): Promise<GPU> {
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  return create([]);
}

async function imitated(): Promise<GPU> {
  const { dawnGpu } = await import("../../tests/support/dawn.ts");
  return dawnGpu();
}

async function open(gpu: GPU): Promise<GpuRuntime> {
  const runtime = await createRuntime({ backend: "webgpu", gpu });
  const status = runtime.backends.find(({ name }) => name === "webgpu");
  const { description, vendor, architecture, software } = status!.adapter!;
  return { runtime, adapter: description || `${vendor} ${architecture}`.trim(), software };
}

/** What a reader of the table must know of its rows on WebGPU. */
export function describeGpu(gpu: GpuRuntime): string {
  if (!gpu.runtime) return `WebGPU: not here. ${gpu.reason}`;
  if (!gpu.software) return `WebGPU: on ${gpu.adapter}.`;
  return (
    `WebGPU: on ${gpu.adapter}, which is software: it imitates a GPU on the CPU. What counts is that` +
    "\nthe results agree; its times say nothing about a GPU."
  );
}
