/** Float64 evaluation of a vector program: one plain loop per node, slow and obvious. */
import { topologicalOrder, type Vector } from "./expression.ts";
import { pointwise } from "./pointwise.ts";
import { matrixValues, type Tensors, vectorValues } from "./weight.ts";

export type LeafValues = Readonly<Record<string, Float64Array>>;

/**
 * Prepares `outputs` for repeated evaluation.
 *
 * @returns a function from the leaves' values to the outputs' values; the arrays it returns are its
 * own, and overwritten by the next call.
 */
export function interpreter(
  outputs: readonly Vector[],
  weights: Tensors,
): (leaves: LeafValues) => readonly Float64Array[] {
  const values = new Map<Vector, Float64Array>();
  const steps: ((leaves: LeafValues) => void)[] = [];
  for (const node of topologicalOrder(outputs)) {
    const args = node.args.map((arg) => values.get(arg)!);
    const value = new Float64Array(node.size);
    values.set(node, value);
    switch (node.kind) {
      case "leaf":
        steps.push((leaves) => value.set(leafValue(leaves, node.name, node.size)));
        break;
      case "constant":
        value.fill(node.value);
        break;
      case "weight":
        value.set(vectorValues(node.weight, weights));
        break;
      case "slice":
        values.set(node, args[0]!.subarray(node.start, node.start + node.size));
        break;
      case "concat":
        steps.push(() => {
          let offset = 0;
          for (const arg of args) {
            value.set(arg, offset);
            offset += arg.length;
          }
        });
        break;
      case "linear": {
        const entries = matrixValues(node.matrix, weights);
        const { rows, columns } = node.matrix;
        const [vector] = args as [Float64Array];
        steps.push(() => {
          for (let row = 0; row < rows; row++) {
            let sum = 0;
            for (let j = 0; j < columns; j++) sum += entries[row * columns + j]! * vector[j]!;
            value[row] = sum;
          }
        });
        break;
      }
      case "pointwise": {
        const { value: f } = pointwise[node.name];
        const a = args[0]!;
        const b = args[1] ?? a;
        const c = args[2] ?? a;
        steps.push(() => {
          for (let i = 0; i < value.length; i++) value[i] = f(a[i]!, b[i]!, c[i]!);
        });
        break;
      }
    }
  }
  const results = outputs.map((output) => values.get(output)!);
  return (leaves) => {
    for (const step of steps) step(leaves);
    return results;
  };
}

function leafValue(leaves: LeafValues, name: string, size: number): Float64Array {
  const value = leaves[name];
  if (value?.length !== size) {
    throw new RangeError(`leaf "${name}": expected ${size} numbers, got ${value?.length}`);
  }
  return value;
}
