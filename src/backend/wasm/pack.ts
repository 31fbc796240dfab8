/** Lays out a matrix as assembly/linear.ts wants it: panels of 32, 16, 8 and 4 rows, column by column. */

/** Rows of the next panel when `rows` are left. */
function panelRows(rows: number): number {
  return rows >= 32 ? 32 : rows >= 16 ? 16 : rows >= 8 ? 8 : 4;
}

/** Floats of a packed matrix. */
export function packedLength(rows: number, columns: number): number {
  return Math.ceil(rows / 4) * 4 * columns;
}

/** @param values `[rows, columns]`, row-major. */
export function packMatrix(
  values: ArrayLike<number>,
  rows: number,
  columns: number,
  target: Float32Array,
): void {
  let at = 0;
  for (let first = 0; first < rows; ) {
    const panel = panelRows(rows - first);
    for (let column = 0; column < columns; column++) {
      for (let row = first; row < first + panel; row++) {
        target[at++] = row < rows ? values[row * columns + column]! : 0;
      }
    }
    first += panel;
  }
}
