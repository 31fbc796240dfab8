/**
 * Makes docs/performance.md and docs/figures from the results that are kept in bench/results, and from
 * scripts/performance/page.md, which has all that is written by hand:
 *
 *     npx tsx scripts/performance.ts            writes them
 *     npx tsx scripts/performance.ts --check    says whether they are what the results give
 *
 * A kept result is DATE-DEVICE-BENCH.json; of several of one bench, the last by name is taken.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Machine, renderMachine, renderMarkdownTable, type Table } from "../bench/report.ts";
import { drawFigures, type FigureData } from "../bench/support/figures.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const template = "scripts/performance/page.md";
const page = "docs/performance.md";
const figures = "docs/figures";
const results = "bench/results";

/** As bench/support/command.ts writes it. */
export interface KeptResult {
  readonly machine: Machine;
  readonly tables: readonly Table[];
  readonly notes?: readonly string[];
  readonly data?: unknown;
}

/** The texts of all files that are made, by their paths from the root of the repository. */
export function makePerformancePages(): Map<string, string> {
  return makePages(readFileSync(join(root, template), "utf8"), readKept);
}

/**
 * @param text with `{{BENCH}}` where the tables of a bench go and `{{figure NAME}}` where a chart goes
 * @param kept the result of a bench that is kept, or null
 * @throws Error for a `{{…}}` that is neither
 */
export function makePages(
  text: string,
  kept: (bench: string) => KeptResult | null,
): Map<string, string> {
  const files = new Map<string, string>();
  const drawn = kept("peers");
  const charts = drawn ? drawFigures(drawn.data as FigureData) : [];
  for (const { name, svg } of charts) files.set(`${figures}/${name}.svg`, svg);
  const filled = text.replace(/\{\{(figure )?([a-z0-9-]+)\}\}/g, (_, isFigure, name: string) => {
    if (isFigure) {
      const chart = charts.find((other) => other.name === name);
      return chart ? `![${chart.title}](figures/${name}.svg)` : "";
    }
    return renderResult(name, kept(name));
  });
  const left = /\{\{.*/.exec(filled);
  if (left) throw new Error(`${template}: expected {{BENCH}} or {{figure NAME}}, got ${left[0]}`);
  files.set(page, filled.replace(/\n{3,}/g, "\n\n"));
  return files;
}

function renderResult(bench: string, kept: KeptResult | null): string {
  if (kept === null) return `Not measured yet: \`npm run bench -- ${bench}\`.`;
  const { machine, tables, notes = [] } = kept;
  return [
    `*${renderMachine(machine)}*`,
    ...tables.map((table) => `**${table.title ?? bench}**\n\n${renderMarkdownTable(table)}`),
    // Where the charts were written is nobody's business but the one's who ran it.
    ...notes.filter((note) => !note.startsWith("Charts: ")).map((note) => `- ${note}`),
  ]
    .join("\n\n")
    .replace(/^(- .*)\n\n(?=- )/gm, "$1\n");
}

/** The last result of a bench that is kept, by name; null where there is none. */
function readKept(bench: string): KeptResult | null {
  const name = lastOf(bench, readdirSync(join(root, results)));
  if (name === null) return null;
  return JSON.parse(readFileSync(join(root, results, name), "utf8")) as KeptResult;
}

/** Of names like 2026-11-23-DEVICE-BENCH.json, the last of a bench. */
export function lastOf(bench: string, names: readonly string[]): string | null {
  const own = names.filter(
    (name) => /^\d{4}-\d\d-\d\d-/.test(name) && name.endsWith(`-${bench}.json`),
  );
  return own.sort().at(-1) ?? null;
}

/** Files whose text is not what the results give. */
export function findOutdated(files: ReadonlyMap<string, string>): string[] {
  const current = (path: string) => {
    const full = join(root, path);
    return existsSync(full) ? readFileSync(full, "utf8") : null;
  };
  const stale = existsSync(join(root, figures))
    ? readdirSync(join(root, figures))
        .map((name) => `${figures}/${name}`)
        .filter((path) => !files.has(path))
    : [];
  return [
    ...[...files].filter(([path, text]) => current(path) !== text).map(([path]) => path),
    ...stale,
  ];
}

function main(args: readonly string[]): void {
  const { values } = parseArgs({ args: [...args], options: { check: { type: "boolean" } } });
  const files = makePerformancePages();
  if (values.check) {
    const outdated = findOutdated(files);
    for (const path of outdated) console.error(`${path}: not what the kept results give`);
    if (outdated.length > 0) console.error("npx tsx scripts/performance.ts writes them");
    process.exitCode = outdated.length > 0 ? 1 : 0;
    return;
  }
  for (const [path, text] of files) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv.slice(2));
