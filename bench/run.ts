/**
 * Runs one bench, prints its tables and writes them as JSON.
 *
 *     npm run bench                          lists the benches
 *     npm run bench -- NAME [--json FILE]    runs bench/NAME.ts; its own options follow
 */
import { readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import type { Bench, OptionSpec, OptionSpecs, OptionValue } from "./harness.ts";
import { machineFacts, renderMachine, renderTable, writeJson } from "./report.ts";

const folder = dirname(fileURLToPath(import.meta.url));

/** A wrong command line: printed as one line, without a stack. */
class UsageError extends Error {}

/** The benches that load, by name, and the errors of the files that do not. */
interface Catalogue {
  readonly benches: Map<string, Bench>;
  readonly broken: Map<string, unknown>;
}

async function main(args: readonly string[]): Promise<void> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h") {
    const { benches, broken } = await loadAll();
    process.stdout.write(renderCatalogue(benches, broken));
    return;
  }
  if (!candidateNames().includes(name)) throw new UsageError(await unknownBench(name));
  const bench = await load(name);
  if (bench === null) throw new UsageError(await unknownBench(name));
  if (rest.includes("--help") || rest.includes("-h")) {
    process.stdout.write(`${name}: ${bench.description}\n${renderOptions(bench.options ?? {})}`);
    return;
  }
  await runBench(name, bench, rest);
}

async function runBench(name: string, bench: Bench, args: readonly string[]): Promise<void> {
  const { options, json } = parseOptions(bench.options ?? {}, args);
  const machine = machineFacts();
  process.stdout.write(`${name}: ${bench.description}\n${renderMachine(machine)}\n`);
  const log = (line: string) => process.stderr.write(`${line}\n`);
  const result = await bench.run({ options, log });
  for (const table of result.tables) process.stdout.write(`\n${renderTable(table)}\n`);
  if (result.notes?.length) process.stdout.write(`\n${result.notes.join("\n")}\n`);
  // npm runs scripts in the package's folder; a path is meant from where the user stands.
  const base = process.env.INIT_CWD ?? process.cwd();
  const path = json ? resolve(base, json) : join(folder, "results", `${name}.local.json`);
  writeJson(path, { bench: name, description: bench.description, machine, options, ...result });
  process.stdout.write(`\nwritten to ${relative(base, path)}\n`);
}

/** Files that may be benches: those of this folder that are not part of the harness. */
function candidateNames(): string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"))
    .map((file) => file.slice(0, -".ts".length))
    .filter((name) => !["run", "harness", "report"].includes(name))
    .sort();
}

/** The bench in a file, or null where the file has none (it is shared by benches). */
async function load(name: string): Promise<Bench | null> {
  const module = await import(pathToFileURL(join(folder, `${name}.ts`)).href);
  const bench = module.default;
  return typeof bench?.run === "function" && typeof bench.description === "string" ? bench : null;
}

async function loadAll(): Promise<Catalogue> {
  const benches = new Map<string, Bench>();
  const broken = new Map<string, unknown>();
  for (const name of candidateNames()) {
    try {
      const bench = await load(name);
      if (bench) benches.set(name, bench);
    } catch (error) {
      broken.set(name, error);
    }
  }
  return { benches, broken };
}

async function unknownBench(name: string): Promise<string> {
  const names = [...(await loadAll()).benches.keys()].join(", ") || "none";
  return `NAME: expected a bench (${names}), got ${name}`;
}

function renderCatalogue(benches: Catalogue["benches"], broken: Catalogue["broken"]): string {
  const lines = ["usage: npm run bench -- NAME [--json FILE] [options]", ""];
  const width = Math.max(0, ...[...benches.keys(), ...broken.keys()].map((name) => name.length));
  for (const [name, { description, options }] of benches) {
    lines.push(`${name.padEnd(width)}  ${description}`);
    const more = Object.keys(options ?? {}).map((option) => `--${option}`);
    if (more.length > 0) lines.push(`${" ".repeat(width)}  ${more.join(" ")}`);
  }
  for (const [name, error] of broken) {
    const message = error instanceof Error ? error.message.split("\n")[0] : String(error);
    lines.push(`${name.padEnd(width)}  (does not load: ${message})`);
  }
  if (benches.size + broken.size === 0) lines.push("no benches yet");
  return `${lines.join("\n")}\n`;
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

try {
  await main(process.argv.slice(2));
} catch (error) {
  const text = error instanceof UsageError ? error.message : (error as Error).stack;
  process.stderr.write(`bench: ${text ?? String(error)}\n`);
  process.exitCode = 1;
}
