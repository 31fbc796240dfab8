/** The commands of the program, and what it says of itself. */
import { Command } from "commander";
import { version } from "../../package.json";
import { addBenchCommand } from "./bench.ts";
import { addConformanceCommand } from "./conformance.ts";
import { addDoctorCommand } from "./doctor.ts";
import { addEvalCommand } from "./eval.ts";
import { addProbeCommand } from "./probe.ts";

const EXAMPLES = `
Examples:
  antler doctor                    what this machine has, and what to do about what is missing
  antler conformance               whether every backend computes what it should
  antler bench --hidden 64         how fast the methods are here
  antler eval model.safetensors inputs.npy --cell gru --output states.npy

Each command has a --help of its own, with all its options and examples.
`;

/** Errors are thrown rather than printed: see `main.ts`. */
export function createProgram(): Command {
  const program = new Command("antler")
    .description(
      "Nonlinear recurrent networks, evaluated in parallel over time, on WebAssembly and WebGPU.",
    )
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this text")
    .exitOverride()
    .configureOutput({ writeErr: () => {}, outputError: () => {} })
    .showSuggestionAfterError();
  addDoctorCommand(program);
  addConformanceCommand(program);
  addBenchCommand(program);
  addEvalCommand(program);
  addProbeCommand(program);
  program.addHelpText("after", EXAMPLES);
  return program;
}
