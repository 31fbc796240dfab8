/** `antler conformance`: whether every backend here computes what it should. */
import type { Command } from "commander";
import type { BackendName, MethodName } from "../index.ts";
import { methodNames } from "../solve/method.ts";
import { CliError } from "./failure.ts";
import { dawnOption } from "./gpu-option.ts";
import { interruptible } from "./interrupt.ts";
import { backendList, backendNames, listOf, methodList, namesOf } from "./options.ts";
import { createProgress } from "./progress.ts";
import { openRuntime } from "./runtime.ts";
import { jsonTarget, print, writeJson } from "./terminal.ts";
import { counted } from "./words.ts";

interface Options {
  readonly backend?: BackendName[];
  readonly cell?: string[];
  readonly method?: MethodName[];
  readonly json?: true | string;
  readonly dawn?: readonly string[];
}

const EXAMPLES = `
Compares the states of all cells, by all methods, with golden vectors that a float64 reference made, and checks what
each report claims. Backends that cannot run here are told, and are no failure unless they were asked for.

Examples:
  antler conformance
  antler conformance --backend wasm --method sequential,quasi-deer
  antler conformance --json result.json
  antler conformance --json - > result.json

Exit code: 0 if all passed; 1 if a backend failed, or one that was named is missing; 2 wrong usage; 130 interrupted.
`;

export function addConformanceCommand(program: Command): void {
  program
    .command("conformance")
    .summary("check the results of every backend against golden vectors")
    .description("Runs the conformance suite on the backends of this machine, and prints a table.")
    .option(
      "--backend <names>",
      `only these, with commas between them: ${namesOf(backendNames)}`,
      backendList,
    )
    .option(
      "--cell <names>",
      "only these cells of the suite, with commas between them",
      listOf("--cell", String),
    )
    .option(
      "--method <names>",
      `only these methods, with commas between them: ${namesOf(methodNames)}`,
      methodList,
    )
    .option("--json [file]", "print the results as JSON instead, or write them to a file too")
    .addOption(dawnOption())
    .addHelpText("after", EXAMPLES)
    .action((options: Options) => interruptible((signal) => conformance(options, signal)));
}

async function conformance(options: Options, signal: AbortSignal): Promise<void> {
  // Only this command needs it.
  const { formatConformance, runConformance } = await import("../conformance/index.ts");
  const { backend, cell, method } = options;
  const withGpu = backend === undefined || backend.includes("webgpu");
  const { runtime, gpuReason } = await openRuntime(backend ?? [], { ...options, withGpu }, signal);
  const progress = createProgress();
  try {
    const report = await runConformance(runtime, {
      signal,
      ...(backend && { backends: backend }),
      ...(cell && { cells: cell }),
      ...(method && { methods: method }),
      onResult: (result, done, total) => {
        progress.update(done, total, `${result.backend}, ${result.cell}, ${result.method}`);
      },
    });
    progress.stop();
    // The command line knows better why there is no WebGPU than the runtime that got none.
    const unavailable = report.unavailable.map((other) =>
      other.backend === "webgpu" && gpuReason ? { ...other, reason: gpuReason } : other,
    );
    const told = { ...report, unavailable };
    const { target, stdoutIsFree } = jsonTarget(options.json);
    if (stdoutIsFree) await print(ended(formatConformance(told)));
    if (target !== null) await writeJson(target, told);
    if (report.passed) return;
    const failed = report.results.filter(({ passed }) => !passed).length;
    throw new CliError(
      failed > 0
        ? `${counted(failed, "evaluation")} of ${report.results.length} failed`
        : "no evaluation was checked",
      "`antler doctor` tells what this machine is; please report it with the table",
    );
  } finally {
    progress.stop();
    runtime.dispose();
  }
}

function ended(text: string): string {
  return text.endsWith("\n") ? text : `${text}\n`;
}
