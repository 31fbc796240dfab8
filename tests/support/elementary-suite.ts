/** A suite for every host of WebGPU: the bits that the unary functions give for assorted arguments. */
import { applier } from "./elementary-shader.ts";
import { mulberry32 } from "./random.ts";

/** All bit patterns alike, and as many moderate numbers. */
export function assortedArguments(): Uint32Array {
  const random = mulberry32(24);
  const half = 4096;
  const any = Array.from({ length: half }, () => Math.floor(random() * 2 ** 32));
  const moderate = Float32Array.from({ length: half }, () => (random() - 0.5) * 40);
  return Uint32Array.from([...any, ...new Uint32Array(moderate.buffer)]);
}

const NAMES = ["exp", "tanh", "sigmoid", "log", "softplus", "sin", "cos", "sqrt"];

export default async function elementary(gpu: GPU): Promise<Record<string, number[]>> {
  const device = await (await gpu.requestAdapter())!.requestDevice();
  const inputs = assortedArguments();
  const results: Record<string, number[]> = {};
  for (const name of NAMES) {
    results[name] = [...(await (await applier(device, name, 4, 1))(inputs))];
  }
  device.destroy();
  return results;
}
