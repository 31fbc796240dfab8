/** What runs in a host of WebGPU: bundled into one module, so nothing here may need Node. */

/** The default export of a module that runs in a host; the result has to survive JSON. */
export type GpuSuite = (gpu: GPU) => Promise<unknown>;

/**
 * The result as JSON.
 *
 * @throws Error where the suite throws, or one of its devices reported an error that nothing captured
 */
export async function runSuite(suite: GpuSuite, gpu: GPU): Promise<string> {
  const errors: string[] = [];
  const adapters = GPUAdapter.prototype;
  const { requestDevice } = adapters;
  adapters.requestDevice = async function (...args) {
    const device = await requestDevice.apply(this, args);
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      errors.push(event.error.message);
    });
    return device;
  };
  try {
    const result = await suite(gpu);
    // Such errors are reported in a turn of the event loop of their own.
    await new Promise((resolve) => setTimeout(resolve));
    if (errors.length > 0) throw new Error(`uncaptured WebGPU errors:\n${errors.join("\n")}`);
    return JSON.stringify(result ?? null);
  } finally {
    adapters.requestDevice = requestDevice;
  }
}
