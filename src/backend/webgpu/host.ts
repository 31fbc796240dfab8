/** Where a host has its WebGPU. Apart from the backend, which is loaded only where this finds something. */
import { BackendUnavailableError } from "../../errors.ts";

/** @throws BackendUnavailableError when there is none. */
export function gpuOfHost(): GPU {
  const host = globalThis as { navigator?: { gpu?: GPU } };
  const gpu = host.navigator?.gpu;
  if (gpu) return gpu;
  throw new BackendUnavailableError(
    "webgpu",
    "this host has no navigator.gpu; in Node, hand over the object of the package `webgpu`:" +
      " createRuntime({ gpu }); in browsers, WebGPU needs HTTPS",
  );
}
