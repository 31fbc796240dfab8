/** A chart's numbers, for those who want to read and not to look. */
import type { ComponentChildren } from "preact";

interface DataTableProps {
  readonly caption: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly ComponentChildren[])[];
  /** Columns of text, by index; the others hold numbers. */
  readonly textColumns?: readonly number[];
}

/** A table that scrolls by itself where the page is narrow; its first column names the row. */
export function DataTable({ caption, head, rows, textColumns = [] }: DataTableProps) {
  const kind = (column: number) => (textColumns.includes(column) ? "text" : "number");
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section class="scroll" tabIndex={0} aria-label={caption}>
      <table>
        <caption>{caption}</caption>
        <thead>
          <tr>
            {head.map((title, column) => (
              <th key={title} scope="col" class={kind(column)}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((cells, row) => (
            <tr key={row}>
              {cells.map((cell, column) =>
                column === 0 ? (
                  <th key={head[column]} scope="row" class={kind(column)}>
                    {cell}
                  </th>
                ) : (
                  <td key={head[column]} class={kind(column)}>
                    {cell}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

export function TableDetails({ summary, ...table }: DataTableProps & { readonly summary: string }) {
  return (
    <details class="data">
      <summary>{summary}</summary>
      <DataTable {...table} />
    </details>
  );
}
