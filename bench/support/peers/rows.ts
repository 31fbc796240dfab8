/** The orders that rows and columns come in. */
import type { Layer } from "../layers.ts";

/** A matrix `[rows, columns]`, row after row, as `[columns, rows]`. */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const turned = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      turned[column * rows + row] = values[row * columns + column];
    }
  }
  return turned;
}

/**
 * Runs a layer over `[steps, …]`, from the last to the first where it is one that runs backwards: for
 * peers that have only the one direction.
 */
export function inDirection(
  { reverse }: Layer,
  values: Float32Array,
  steps: number,
  run: (values: Float32Array) => Float32Array,
): Float32Array {
  return reverse ? reversed(run(reversed(values, steps)), steps) : run(values);
}

/** The rows of `[steps, …]` from the last to the first. */
export function reversed(values: Float32Array, steps: number): Float32Array {
  const width = values.length / steps;
  const turned = new Float32Array(values.length);
  for (let t = 0; t < steps; t++) {
    turned.set(values.subarray(t * width, (t + 1) * width), (steps - 1 - t) * width);
  }
  return turned;
}
