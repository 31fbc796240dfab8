/** Runs one bench from a command line: its options, its tables, its JSON. */
import { relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { Bench, OptionSpec, OptionSpecs, OptionValue } from "../harness.ts";
import { machineFacts, renderMachine, renderTable, writeJson } from "../report.ts";

/** A wrong command line: printed as one line, without a stack. */
export class UsageError extends Error {}

/**
 * Runs a bench with what follows its name, prints its tables and writes them as JSON.
 *
 * @param defaultFile where to write where `--json` is not given
 * @throws UsageError for a wrong option
 */
export async function runBench(
  name: string,
  bench: Bench,
  args: readonly string[],
  defaultFile: string,
): Promise<void> {
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(`${name}: ${bench.description}\n${renderOptions(bench.options ?? {})}`);
    return;
  }
  const { options, json } = parseOptions(bench.options ?? {}, args);
  const machine = machineFacts();
  process.stdout.write(`${name}: ${bench.description}\n${renderMachine(machine)}\n`);
  const log = (line: string) => process.stderr.write(`${line}\n`);
  const result = await bench.run({ options, log });
  for (const table of result.tables) process.stdout.write(`\n${renderTable(table)}\n`);
  if (result.notes?.length) process.stdout.write(`\n${result.notes.join("\n")}\n`);
  // npm runs scripts in the package's folder; a path is meant from where the user stands.
  const base = process.env.INIT_CWD ?? process.cwd();
  const path = json ? resolve(base, json) : defaultFile;
  writeJson(path, { bench: name, description: bench.description, machine, options, ...result });
  process.stdout.write(`\nwritten to ${relative(base, path)}\n`);
}

/** Calls `main` with the command line; a wrong one is told in a line. */
export async function runCommand(main: (args: readonly string[]) => Promise<void>): Promise<void> {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    const text = error instanceof UsageError ? error.message : (error as Error).stack;
    process.stderr.write(`bench: ${text ?? String(error)}\n`);
    process.exitCode = 1;
  }
}

function renderOptions(specs: OptionSpecs): string {
  const lines = Object.entries(specs).map(
    ([name, spec]) => `  --${name}  ${spec.description} (default ${String(spec.default)})`,
  );
  const common = "  --json  the file to write (default bench/results/NAME.local.json)";
  return `${[...lines, common].join("\n")}\n`;
}

function parseOptions(specs: OptionSpecs, args: readonly string[]) {
  const types = Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [
      name,
      { type: typeof spec.default === "boolean" ? ("boolean" as const) : ("string" as const) },
    ]),
  );
  let values: Record<string, string | boolean | undefined>;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: { ...types, json: { type: "string" } },
      allowNegative: true,
    }) as { values: typeof values });
  } catch (error) {
    throw new UsageError((error as Error).message.split("\n")[0]);
  }
  const { json, ...given } = values;
  const options: Record<string, OptionValue> = {};
  for (const [name, spec] of Object.entries(specs)) {
    options[name] = convert(name, spec, given[name]);
  }
  return { options, json: json as string | undefined };
}

/** An option's text as the type of its default. */
function convert(name: string, spec: OptionSpec, given: string | boolean | undefined): OptionValue {
  if (given === undefined || typeof given === "boolean") return given ?? spec.default;
  if (typeof spec.default === "number") return parseNumber(name, given);
  if (typeof spec.default === "string") return given;
  const parts = given.split(",").map((part) => part.trim());
  const numbers = Array.isArray(spec.default) && typeof spec.default[0] === "number";
  return numbers ? parts.map((part) => parseNumber(name, part)) : parts;
}

function parseNumber(name: string, text: string): number {
  const value = Number(text);
  if (text !== "" && !Number.isNaN(value)) return value;
  throw new UsageError(`--${name}: expected a number, got "${text}"`);
}
