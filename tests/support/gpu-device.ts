/** Devices for tests in this process: an error that nothing captures fails the test. */
import { afterAll, afterEach, beforeAll } from "vitest";
import { dawnGpu } from "./dawn.ts";

/** What to ask the adapter for; by default nothing, that is, WebGPU's default limits. */
export type DeviceRequest = (adapter: GPUAdapter) => GPUDeviceDescriptor;

interface WatchedDevice {
  readonly device: GPUDevice;
  /** Messages since the last call, once all that was submitted is done. */
  takeErrors(): Promise<string[]>;
}

async function openDevice(request?: DeviceRequest): Promise<WatchedDevice> {
  const adapter = await (await dawnGpu()).requestAdapter();
  if (!adapter)
    throw new Error("no WebGPU adapter: neither SwiftShader nor a driver of the system");
  const device = await adapter.requestDevice(request?.(adapter));
  const errors: string[] = [];
  device.addEventListener("uncapturederror", (event) => {
    event.preventDefault();
    errors.push(event.error.message);
  });
  return {
    device,
    async takeErrors() {
      await device.queue.onSubmittedWorkDone();
      return errors.splice(0);
    },
  };
}

function throwIfAny(errors: readonly string[]): void {
  if (errors.length > 0) throw new Error(`uncaptured WebGPU errors:\n${errors.join("\n")}`);
}

/** One device for all tests of a file or suite: `const device = useDevice();`, in tests `device()`. */
export function useDevice(request?: DeviceRequest): () => GPUDevice {
  let watched: WatchedDevice | undefined;
  beforeAll(async () => {
    watched = await openDevice(request);
  });
  afterEach(async () => {
    throwIfAny((await watched?.takeErrors()) ?? []);
  });
  afterAll(() => watched?.device.destroy());
  return () => {
    if (!watched) throw new Error("the device is there in tests and hooks only");
    return watched.device;
  };
}

/** A device for one piece of work, destroyed afterwards. */
export async function withDevice<T>(
  work: (device: GPUDevice) => T | Promise<T>,
  request?: DeviceRequest,
): Promise<T> {
  const { device, takeErrors } = await openDevice(request);
  try {
    const result = await work(device);
    throwIfAny(await takeErrors());
    return result;
  } finally {
    device.destroy();
  }
}
