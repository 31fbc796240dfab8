/**
 * Weights as expressions over the cell's named tensors. Derivatives need transposes, sub-blocks and
 * products of weights; naming them here keeps one copy of the numbers and lets each backend lay the
 * result out as it likes.
 */
import type { FloatArray } from "../types.ts";

/** A tensor as the user hands it over: one axis (a vector) or two (a matrix), row-major. */
export interface Tensor {
  readonly shape: readonly [number] | readonly [number, number];
  readonly data: FloatArray;
}

export type Tensors = Readonly<Record<string, Tensor>>;

/** A weight with two axes within a step, to multiply vectors with: see `linear`. */
export type Matrix = (
  | { readonly kind: "named"; readonly name: string }
  | { readonly kind: "block"; readonly of: Matrix; readonly row: number; readonly column: number }
  | { readonly kind: "transpose"; readonly of: Matrix }
  /** left ∘ rightᵀ, elementwise: what diag(left · diag(a) · right) = (left ∘ rightᵀ) a asks for. */
  | { readonly kind: "hadamardTranspose"; readonly left: Matrix; readonly right: Matrix }
) & { readonly rows: number; readonly columns: number; readonly key: string };

export type WeightVector = (
  | { readonly kind: "named"; readonly name: string }
  | { readonly kind: "slice"; readonly of: WeightVector; readonly start: number }
  | { readonly kind: "diagonal"; readonly of: Matrix }
) & { readonly size: number; readonly key: string };

export function namedMatrix(name: string, rows: number, columns: number): Matrix {
  return { kind: "named", name, rows, columns, key: nameKey(name) };
}

export function namedVector(name: string, size: number): WeightVector {
  return { kind: "named", name, size, key: nameKey(name) };
}

/** A tensor named "w'" must not be taken for the transpose of one named "w". */
function nameKey(name: string): string {
  return /^[\w.-]+$/.test(name) ? name : JSON.stringify(name);
}

/** The `rows × columns` block of `of` whose top left corner is (row, column). */
export function block(
  of: Matrix,
  row: number,
  column: number,
  rows: number,
  columns: number,
): Matrix {
  if (row === 0 && column === 0 && rows === of.rows && columns === of.columns) return of;
  if (of.kind === "block") return block(of.of, of.row + row, of.column + column, rows, columns);
  const key = `${of.key}[${row}+${rows},${column}+${columns}]`;
  return { kind: "block", of, row, column, rows, columns, key };
}

export function transpose(of: Matrix): Matrix {
  if (of.kind === "transpose") return of.of;
  return { kind: "transpose", of, rows: of.columns, columns: of.rows, key: `${of.key}'` };
}

export function hadamardTranspose(left: Matrix, right: Matrix): Matrix {
  const key = `(${left.key}*${right.key}')`;
  return { kind: "hadamardTranspose", left, right, rows: left.rows, columns: left.columns, key };
}

export function diagonalOf(of: Matrix): WeightVector {
  return { kind: "diagonal", of, size: Math.min(of.rows, of.columns), key: `diag(${of.key})` };
}

export function sliceVector(of: WeightVector, start: number, size: number): WeightVector {
  if (start === 0 && size === of.size) return of;
  if (of.kind === "slice") return sliceVector(of.of, of.start + start, size);
  return { kind: "slice", of, start, size, key: `${of.key}[${start}+${size}]` };
}

/** The entry of a weight expression at (row, column). */
export function matrixEntry(of: Matrix, tensors: Tensors, row: number, column: number): number {
  switch (of.kind) {
    case "named":
      return tensors[of.name]!.data[row * of.columns + column]!;
    case "block":
      return matrixEntry(of.of, tensors, of.row + row, of.column + column);
    case "transpose":
      return matrixEntry(of.of, tensors, column, row);
    case "hadamardTranspose":
      return (
        matrixEntry(of.left, tensors, row, column) * matrixEntry(of.right, tensors, column, row)
      );
  }
}

/** All entries, row-major: `[rows, columns]`, in float64. */
export function matrixValues(of: Matrix, tensors: Tensors): Float64Array {
  const values = new Float64Array(of.rows * of.columns);
  for (let row = 0, index = 0; row < of.rows; row++) {
    for (let column = 0; column < of.columns; column++, index++) {
      values[index] = matrixEntry(of, tensors, row, column);
    }
  }
  return values;
}

/** All entries, in float64. */
export function vectorValues(of: WeightVector, tensors: Tensors): Float64Array {
  switch (of.kind) {
    case "named":
      return Float64Array.from(tensors[of.name]!.data);
    case "slice":
      return vectorValues(of.of, tensors).subarray(of.start, of.start + of.size);
    case "diagonal":
      return Float64Array.from({ length: of.size }, (_, i) => matrixEntry(of.of, tensors, i, i));
  }
}
