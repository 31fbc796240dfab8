/** What a bench prints and keeps: tables, the machine they come from, and the JSON of both. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** In a bundle (support/bundle.ts), where there is no repository: the commit that it was made from. */
declare const ANTLER_COMMIT: string | undefined;

/** A string is printed as it is, a number to its column's digits, null as a dash. */
export type Cell = string | number | null;

export interface Column {
  readonly title: string;
  /** Default "right" where every cell is a number or null, else "left". */
  readonly align?: "left" | "right";
  /** Digits after the point; without it, three significant digits. */
  readonly digits?: number;
}

export interface Table {
  readonly title?: string;
  readonly columns: readonly (string | Column)[];
  readonly rows: readonly (readonly Cell[])[];
}

/** Where and when numbers were taken. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  readonly platform: string;
  /** HEAD, with "+" where the working tree differs from it; null outside a repository. */
  readonly commit: string | null;
  /** ISO 8601, UTC. */
  readonly date: string;
}

/**
 * The table as text: columns as wide as their widest cell, two spaces apart.
 * @throws RangeError where a row has not one cell a column
 */
export function renderTable(table: Table): string {
  const { title, columns, rows } = table;
  checkRows(table);
  const specs = columns.map((column) => (typeof column === "string" ? { title: column } : column));
  const rendered = specs.map((spec, index) => renderColumn(spec, rows, index));
  const lines = Array.from({ length: rows.length + 2 }, (_, line) =>
    rendered
      .map((column) => column[line])
      .join("  ")
      .trimEnd(),
  );
  return [...(title ? [title] : []), ...lines].join("\n");
}

/**
 * The table as Markdown, without its title.
 * @throws RangeError as `renderTable` does
 */
export function renderMarkdownTable(table: Table): string {
  const { columns, rows } = table;
  checkRows(table);
  const specs = columns.map((column) => (typeof column === "string" ? { title: column } : column));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const rule = specs.map((spec, index) => (isRight(spec, rows, index) ? "---:" : "---"));
  return [
    line(specs.map(({ title }) => title)),
    `|${rule.join("|")}|`,
    ...rows.map((row) => line(row.map((cell, index) => renderCell(cell, specs[index].digits)))),
  ].join("\n");
}

/** The title, a rule and the cells, all of one width. */
function renderColumn(column: Column, rows: Table["rows"], index: number): string[] {
  const texts = rows.map((row) => renderCell(row[index], column.digits));
  const width = Math.max(column.title.length, ...texts.map((text) => text.length));
  const right = isRight(column, rows, index);
  const pad = (text: string) => (right ? text.padStart(width) : text.padEnd(width));
  return [pad(column.title), "─".repeat(width), ...texts.map(pad)];
}

function isRight({ align }: Column, rows: Table["rows"], index: number): boolean {
  return align ? align === "right" : rows.every((row) => typeof row[index] !== "string");
}

function checkRows({ columns, rows }: Table): void {
  for (const [index, row] of rows.entries()) {
    if (row.length !== columns.length) {
      throw new RangeError(`rows[${index}]: expected ${columns.length} cells, got ${row.length}`);
    }
  }
}

function renderCell(cell: Cell, digits?: number): string {
  if (cell === null) return "–";
  if (typeof cell === "string") return cell;
  if (!Number.isFinite(cell)) return String(cell);
  if (digits !== undefined) return grouped(cell, digits);
  if (Number.isInteger(cell)) return grouped(cell, 0);
  const magnitude = Math.abs(cell);
  if (magnitude < 1e-3) return cell.toExponential(2);
  return grouped(cell, Math.max(0, 2 - Math.floor(Math.log10(magnitude))));
}

function grouped(value: number, digits: number): string {
  return value.toLocaleString("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

export function machineFacts(): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    commit: typeof ANTLER_COMMIT === "string" ? ANTLER_COMMIT : gitCommit(),
    date: new Date().toISOString(),
  };
}

export function renderMachine({ cpu, cores, node, platform, commit, date }: Machine): string {
  return `${cpu}, ${cores} cores, Node ${node}, ${platform}, commit ${commit ?? "unknown"}, ${date}`;
}

/** HEAD, with "+" where the working tree differs from it; null outside a repository. */
export function gitCommit(): string | null {
  const git = (...args: string[]) =>
    execFileSync("git", args, {
      cwd: dirname(fileURLToPath(import.meta.url)),
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  try {
    const commit = git("rev-parse", "--short=12", "HEAD");
    return git("status", "--porcelain") === "" ? commit : `${commit}+`;
  } catch {
    return null;
  }
}

/** Writes JSON, with the folders on the way. JSON has no NaN and no infinities: those are strings. */
export function writeJson(path: string, value: unknown): void {
  const text = JSON.stringify(value, replacer, 2);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${text}\n`);
}

function replacer(_key: string, value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (value instanceof Float32Array || value instanceof Float64Array) return Array.from(value);
  return value;
}
