/** The option that all commands have which may use WebGPU. */
import { Option } from "commander";

export function dawnOption(): Option {
  return new Option(
    "--dawn <flag>",
    "flag for the package webgpu, such as backend=vulkan or adapter=NVIDIA; may be repeated",
  ).argParser((flag: string, all: string[] = []) => [...all, flag]);
}
