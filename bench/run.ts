/**
 * Runs one bench, prints its tables and writes them as JSON.
 *
 *     npm run bench                          lists the benches
 *     npm run bench -- NAME [--json FILE]    runs bench/NAME.ts; its own options follow
 *     npm run bench -- NAME --bundle         writes it to dist/bench/NAME.js, which needs no other file
 */
import { readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Bench } from "./harness.ts";
import { bundleBench } from "./support/bundle.ts";
import { runBench, runCommand, UsageError } from "./support/command.ts";

const folder = dirname(fileURLToPath(import.meta.url));

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
  if (rest.includes("--bundle")) {
    const file = await bundleBench(name);
    process.stdout.write(`written to ${relative(process.cwd(), file)}\n`);
    return;
  }
  await runBench(name, bench, rest, join(folder, "results", `${name}.local.json`));
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
  const lines = ["usage: npm run bench -- NAME [--json FILE] [options] | NAME --bundle", ""];
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

await runCommand(main);
