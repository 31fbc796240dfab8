/** Tables of numbers as text, by `papaparse`. */
import Papa from "papaparse";
import { UsageError } from "./failure.ts";

export interface Table {
  /** `[rows, columns]`, row-major. */
  readonly data: Float64Array;
  readonly rows: number;
  readonly columns: number;
  /** Of the header row; null without one. */
  readonly names: readonly string[] | null;
}

const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/**
 * Reads a table; the delimiter is found by itself. The first row is a header if none of its cells is a
 * number.
 *
 * @throws UsageError naming `source`, and the row and column (both from 1) of what is no number.
 */
export function readCsv(text: string, source: string): Table {
  // Empty lines at the end would mislead the search for the delimiter in a short table.
  const lines = text.replace(/(\r?\n[ \t]*)+$/, "");
  const { data: rows, errors } = Papa.parse<string[]>(lines, { skipEmptyLines: false });
  const broken = errors.find(({ type }) => type !== "Delimiter");
  if (broken) {
    throw new UsageError(`${source}: row ${(broken.row ?? 0) + 1}: ${broken.message}`);
  }
  const first = rows[0];
  if (!first || lines.trim() === "")
    throw new UsageError(`${source}: expected rows of numbers, got an empty file`);
  const names = first.some((cell) => decimal.test(cell.trim())) ? null : first;
  const start = names ? 1 : 0;
  if (rows.length === start) {
    throw new UsageError(
      `${source}: expected rows of numbers, got only a header: ${first.join(", ").slice(0, 60)}`,
    );
  }
  const columns = first.length;
  const data = new Float64Array((rows.length - start) * columns);
  for (let row = start; row < rows.length; row++) {
    const cells = rows[row]!;
    if (cells.length !== columns) {
      const got = isEmpty(cells) ? "an empty row" : `${cells.length}`;
      throw new UsageError(`${source}: row ${row + 1}: expected ${columns} columns, got ${got}`);
    }
    for (let column = 0; column < columns; column++) {
      data[(row - start) * columns + column] = numberIn(cells, row, column, source, names);
    }
  }
  return { data, rows: rows.length - start, columns, names };
}

function isEmpty(cells: readonly string[]): boolean {
  return cells.every((cell) => cell.trim() === "");
}

function numberIn(
  cells: readonly string[],
  row: number,
  column: number,
  source: string,
  names: readonly string[] | null,
): number {
  const cell = cells[column]!.trim();
  const value = decimal.test(cell) ? Number(cell) : Number.NaN;
  if (Number.isFinite(value)) return value;
  const name = names ? ` ("${names[column]}")` : "";
  const got = cell === "" ? "an empty cell" : `"${cell.slice(0, 40)}"`;
  throw new UsageError(
    `${source}: row ${row + 1}, column ${column + 1}${name}: expected a number, got ${got}`,
  );
}
