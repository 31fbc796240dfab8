/** One buffer with all numbers of a cell that do not change: matrices, constant vectors, probe signs. */
import type { Vector } from "../../../cell/expression.ts";
import { interpreter } from "../../../cell/interpret.ts";
import { type Matrix, matrixEntry, type Tensors } from "../../../cell/weight.ts";

export class WeightStore {
  readonly #tensors: Tensors;
  readonly #parts: Float32Array[] = [];
  readonly #offsets = new Map<string, number>();
  #length = 0;

  constructor(tensors: Tensors) {
    this.#tensors = tensors;
  }

  /** All that was asked for so far; what comes later is appended. */
  get values(): Float32Array<ArrayBuffer> {
    // Never empty, as a binding cannot be.
    const values = new Float32Array(Math.max(this.#length, 1));
    let offset = 0;
    for (const part of this.#parts) {
      values.set(part, offset);
      offset += part.length;
    }
    return values;
  }

  /** Column-major, so that neighbouring threads read neighbouring rows: offset of entry (0, 0), and of the next column. */
  matrix(matrix: Matrix): { offset: number; pitch: number } {
    if (matrix.kind === "block") {
      const { offset, pitch } = this.matrix(matrix.of);
      return { offset: offset + matrix.column * pitch + matrix.row, pitch };
    }
    const { rows, columns, key } = matrix;
    const offset = this.#place(`matrix ${key}`, () => {
      const values = new Float32Array(rows * columns);
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          values[column * rows + row] = matrixEntry(matrix, this.#tensors, row, column);
        }
      }
      return values;
    });
    return { offset, pitch: rows };
  }

  /** Offset of a vector that depends on no leaf, computed in float64. */
  vector(node: Vector): number {
    return this.#place(`vector ${node.id}`, () =>
      Float32Array.from(interpreter([node], this.#tensors)({})[0]!),
    );
  }

  table(name: string, make: () => Float32Array): number {
    return this.#place(`table ${name}`, make);
  }

  #place(key: string, make: () => Float32Array): number {
    let offset = this.#offsets.get(key);
    if (offset === undefined) {
      offset = this.#length;
      const values = make();
      this.#parts.push(values);
      this.#length += values.length;
      this.#offsets.set(key, offset);
    }
    return offset;
  }
}
