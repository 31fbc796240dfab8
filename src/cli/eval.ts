/** `antler eval`: weights and inputs from files, states to a file. */
import type { Command } from "commander";
import { jacobianKinds, methodNames } from "../solve/method.ts";
import { cellKinds, cellNames } from "./cells.ts";
import { type EvalOptions, evaluateFiles } from "./eval-run.ts";
import { UsageError } from "./failure.ts";
import { dawnOption } from "./gpu-option.ts";
import { interruptible } from "./interrupt.ts";
import { backendNames, integer, namesOf, number, oneOf, threadsOption } from "./options.ts";
import { SafetensorsFile } from "./safetensors.ts";
import { print } from "./terminal.ts";

const failures = ["sequential", "throw", "return"] as const;
const withVariants = cellKinds.filter(({ variants }) => variants.length > 0);

const EXAMPLES = `
Weights are named and shaped as PyTorch's: weight_ih [gates × H, I], weight_hh [gates × H, H], bias_ih and
bias_hh [gates × H]; gate order r, z, n for gru and i, f, g, o for lstm. Sizes are read from the shapes.
Other tensors: see docs/command-line.md. Inputs are a .npy file (float32 or float64, [T, I], or [T] if I is 1) or
a table as text (.csv) with one row a step. States are [T, state size]; an lstm's rows are h, then c.

Examples:
  antler eval model.safetensors --list
  antler eval model.safetensors inputs.npy --cell gru --output states.npy
  antler eval model.safetensors inputs.csv --cell lstm --prefix encoder --layer 0 --output states.npy
  antler eval model.safetensors batch.npy --cell gru --lengths 100,250,75 --final-only --output last.npy
  antler eval model.safetensors inputs.npy --cell gru --method threads --exact --output states.npy
  antler eval model.safetensors inputs.npy --cell gru --method quasi-deer --chunk 64 --backend webgpu \\
      --output states.npy

Exit code: 0 fine; 1 the evaluation failed (as with --on-failure throw); 2 wrong usage or files; 130 interrupted.
`;

export function addEvalCommand(program: Command): void {
  program
    .command("eval")
    .summary("evaluate a recurrent layer: safetensors and .npy or .csv in, .npy out")
    .description(
      "Evaluates a recurrent layer: its weights from a safetensors file, inputs from a .npy or .csv " +
        "file, states to a .npy file, and a report of what ran and how well.",
    )
    .argument("<weights>", "safetensors file with the layer's weights (F32, F64, F16, BF16)")
    .argument("[inputs]", ".npy file or table as text with one row a step; - for stdin")
    .optionsGroup("The layer:")
    .option("--list", "list the tensors of the file, and do nothing else")
    .option("--cell <name>", `kind of cell: ${namesOf(cellNames)}`, oneOf("--cell", cellNames))
    .option(
      "--variant <name>",
      `of the cell; ${withVariants.map(({ name, variants }) => `${name}: ${namesOf(variants)}`).join("; ")}` +
        " (default: the first)",
    )
    .option("--prefix <text>", "what comes before the tensors' names, such as encoder")
    .option("--layer <n>", "PyTorch's _l<n>: 0, 1, …; 0_reverse also sets --reverse", layer)
    .optionsGroup("Input and output:")
    .option("-o, --output <file>", ".npy file for the states; - for stdout")
    .option("--force", "replace the output file if it exists")
    .option(
      "--final-only",
      "write only the states after the last step, [state size] or [B, state size]",
    )
    .option("--lengths <list>", "lengths of the sequences in inputs, 10,20 or a file of them")
    .option(
      "--initial-state <file>",
      ".npy or .csv, [state size] or a row a sequence (default: zeros)",
    )
    .option("--reverse", "run from the last row of a sequence to the first")
    .option("--json <file>", "write the report as JSON too; - for stdout")
    .optionsGroup("The evaluation:")
    .option("--method <name>", `auto, ${namesOf(methodNames)}`, method, "auto")
    .option("--backend <name>", `auto, ${namesOf(backendNames)}`, backend, "auto")
    .option("--jacobian <kind>", `${namesOf(jacobianKinds)} (default: the method's)`, jacobian)
    .option(
      "--chunk <steps>",
      "steps a chunk (default: 1; for threads, the steps over the threads)",
      integer("--chunk", 1),
    )
    .addOption(threadsOption())
    .option("--exact", "with threads: every bit as by sequential evaluation")
    .option(
      "--damping <lambda>",
      "λ of the damped step (default: the method's)",
      number("--damping", { positive: false }),
    )
    .option(
      "--tolerance <number>",
      "largest residual of a converged result",
      number("--tolerance", { positive: true }),
      1e-5,
    )
    .option(
      "--max-iterations <n>",
      "sweeps before the method gives up (default: 100)",
      integer("--max-iterations", 0),
    )
    .option(
      "--on-failure <what>",
      "sequential: finish step by step; throw: exit code 1; return: write what there is (default: sequential)",
      oneOf("--on-failure", failures),
    )
    .option(
      "--memory-limit <MiB>",
      "of WebAssembly's memory, 1 to 4096, and of all buffers on the GPU (default: 2048)",
      integer("--memory-limit", 1, 4096),
    )
    .addOption(dawnOption())
    .addHelpText("after", EXAMPLES)
    .action((weights: string, inputs: string | undefined, options: EvalOptions) =>
      interruptible((signal) =>
        options.list ? list(weights) : evaluateFiles(weights, inputs, options, signal),
      ),
    );
}

const method = oneOf("--method", ["auto", ...methodNames]);
const backend = oneOf("--backend", ["auto", ...backendNames]);
const jacobian = oneOf("--jacobian", jacobianKinds);

function layer(text: string): string {
  if (/^\d+(_reverse)?$/.test(text)) return text;
  throw new UsageError(`--layer: expected a number such as 0, or 0_reverse, got "${text}"`);
}

async function list(path: string): Promise<void> {
  const file = await SafetensorsFile.open(path);
  try {
    const names = [...file.entries.keys()];
    const width = Math.max(0, ...names.map((name) => name.length));
    const lines = [...file.entries].map(
      ([name, { dtype, shape }]) =>
        `${name.padEnd(width)}  ${dtype.padEnd(4)}  [${shape.join(", ")}]\n`,
    );
    await print(lines.join("") || "no tensors\n");
  } finally {
    await file.close();
  }
}
