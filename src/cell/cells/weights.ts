/** From named flat arrays to the tensors that `defineCell` takes. */
import { checkObject } from "../../checks.ts";
import type { FloatArray } from "../../types.ts";
import type { Vector } from "../expression.ts";
import { add, linear } from "../vocabulary.ts";
import type { Matrix, Tensor } from "../weight.ts";

/**
 * Row-major arrays by name. Weights read from a file have no names that the compiler knows: they
 * are checked when the cell is made.
 */
export type NamedWeights<Required extends string, Optional extends string = never> =
  | ({ readonly [Name in Required]: FloatArray } & { readonly [Name in Optional]?: FloatArray })
  | Readonly<Record<string, FloatArray>>;

type Shape = readonly [number] | readonly [number, number];
type Shapes = Readonly<Record<string, Shape>>;
type Shaped<S extends Shape> = Tensor & { readonly shape: S };
type TensorsOf<Required extends Shapes, Optional extends Shapes> = {
  readonly [Name in keyof Required]: Shaped<Required[Name]>;
} & { readonly [Name in keyof Optional]?: Shaped<Optional[Name]> };

/**
 * The arrays in `weights` with their shapes. An optional one that is missing stays missing, so that
 * a cell can leave it out of its program instead of adding zeros.
 *
 * @throws TypeError naming a weight that is missing or that the cell does not have. Lengths are
 * checked by `defineCell`.
 */
export function namedTensors<
  const Required extends Shapes,
  const Optional extends Shapes = Record<never, Shape>,
>(
  weights: unknown,
  required: Required,
  optional: Optional = {} as Optional,
): TensorsOf<Required, Optional> {
  checkObject("weights", weights, "an object of named arrays");
  const shapes: Shapes = { ...required, ...optional };
  const given = Object.entries(weights).filter(([, data]) => data !== undefined);
  for (const [name] of given) {
    if (Object.hasOwn(shapes, name)) continue;
    const known = Object.keys(shapes).join(", ");
    throw new TypeError(`weights.${name}: unknown weight, expected ${known}`);
  }
  const tensors: Record<string, Tensor> = {};
  for (const [name, data] of given) tensors[name] = { shape: shapes[name]!, data };
  for (const [name, shape] of Object.entries<Shape>(required)) {
    if (tensors[name]) continue;
    throw new TypeError(`weights.${name}: missing, expected shape [${shape.join(", ")}]`);
  }
  return tensors as TensorsOf<Required, Optional>;
}

/** matrix · vector + bias, where a missing bias is zero. */
export function affine(matrix: Matrix, vector: Vector, bias?: Vector): Vector {
  const product = linear(matrix, vector);
  return bias ? add(product, bias) : product;
}
