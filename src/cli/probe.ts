/** The hidden command that a child process runs, to try WebGPU where a crash does no harm; see `gpu.ts`. */
import type { Command } from "commander";
import { type GpuOptions, PROBE_COMMAND, tryGpu } from "./gpu.ts";
import { print, toJson } from "./terminal.ts";

export function addProbeCommand(program: Command): void {
  program
    .command(PROBE_COMMAND, { hidden: true })
    .option("--dawn <flag>", "", (flag: string, all: string[] = []) => [...all, flag])
    .option("--self-test")
    .action(async (options: GpuOptions & { selfTest?: boolean }) => {
      await print(toJson(await tryGpu(options)));
    });
}
