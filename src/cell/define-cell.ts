/** `defineCell`: a step function, traced once into a straight-line vector program. */
import {
  checkFloats,
  checkInteger,
  checkKeys,
  checkObject,
  findNonFinite,
  requireType,
  requireValue,
} from "../checks.ts";
import type { FloatArray } from "../types.ts";
import { Graph, type Leaf, type Vector } from "./expression.ts";
import { type Matrix, namedMatrix, namedVector, type Tensor, type Tensors } from "./weight.ts";

/** A named part of the state. */
export interface StatePart {
  readonly name: string;
  /** First element of the part in the state vector. */
  readonly offset: number;
  readonly size: number;
  /** Lowest and highest value that the step can produce, if the cell promises any. */
  readonly bounds: readonly [number, number];
}

/** A part of the state, where its size alone does not say all. */
export interface StatePartOptions {
  readonly size: number;
  /** Lowest and highest value that the step can produce. Default: unbounded. */
  readonly bounds?: readonly [number, number];
}

type Shapes = Record<string, { readonly shape: readonly number[] }>;

/** A weight with one axis is a vector in the step, one with two is a matrix for `linear`. */
export type WeightHandles<W extends Shapes> = {
  readonly [Name in keyof W]: NonNullable<W[Name]>["shape"] extends readonly [number]
    ? Vector
    : Matrix;
};

/** What `defineCell` makes a cell from. */
export interface CellOptions<
  S extends Record<string, number | StatePartOptions>,
  W extends Record<string, Tensor>,
> {
  /** For messages and reports. */
  readonly name: string;
  /** Length of x_t; 0 for a recurrence without input. */
  readonly inputSize: number;
  /** The parts of the state, in the order in which a row of `states` holds them. */
  readonly state: S;
  /** Named tensors with their shapes. */
  readonly weights?: W;
  /** s_t = step(s_{t−1}, x_t): takes the state's parts and returns each part's new value. */
  readonly step: (
    state: { readonly [Name in keyof S]: Vector },
    input: Vector,
    weights: WeightHandles<W>,
  ) => { readonly [Name in keyof S]: Vector };
  /** Random ±1 probes for a Jacobian's diagonal where it has no exact formula. Default 4. */
  readonly probes?: number;
}

/** A nonlinear recurrence s_t = f(s_{t−1}, x_t) as data; made by `defineCell`. */
export interface Cell {
  readonly name: string;
  readonly inputSize: number;
  /** D, the number of elements of the state. */
  readonly stateSize: number;
  readonly parts: readonly StatePart[];
  readonly weights: Tensors;
  readonly probes: number;
  readonly graph: Graph;
  /** The leaf s_{t−1}, of `stateSize` elements. */
  readonly state: Leaf;
  /** The leaf x_t, of `inputSize` elements. */
  readonly input: Leaf;
  /** s_t, a function of the two. */
  readonly next: Vector;
}

function checkTensor(name: string, tensor: Tensor): void {
  const what = `weights.${name}`;
  const { data, shape } = tensor ?? {};
  const { length } = checkFloats(what, data);
  const isShape = Array.isArray(shape) && (shape.length === 1 || shape.length === 2);
  if (!isShape) {
    throw new RangeError(`${what}: expected a shape with one or two axes, got ${shape}`);
  }
  for (const axis of shape) checkInteger(`${what}: shape`, axis, 1);
  const size = shape.reduce((product: number, axis: number) => product * axis, 1);
  requireValue(length === size, what, `${size} numbers for shape [${shape.join(", ")}]`, length);
  const bad = findNonFinite(data);
  if (bad >= 0) {
    throw new RangeError(`${what}: expected finite numbers, got ${data[bad]} at index ${bad}`);
  }
}

function checkBounds(name: string, bounds: readonly [number, number]): void {
  const [low = Number.NaN, high = Number.NaN] = Array.isArray(bounds) ? bounds : [];
  if (!(low <= high)) {
    throw new RangeError(`state.${name}: expected bounds [low, high], got [${bounds}]`);
  }
}

function layOutState(state: Record<string, number | StatePartOptions>): StatePart[] {
  checkObject("state", state, "an object of named parts");
  let offset = 0;
  const parts = Object.entries(state).map(([name, given]) => {
    const what = `state.${name}`;
    const options: StatePartOptions = typeof given === "object" ? given : { size: given };
    checkKeys(what, options, ["size", "bounds"]);
    const { bounds = [-Infinity, Infinity] } = options;
    const size = checkInteger(what, options.size, 1);
    checkBounds(name, bounds);
    const part: StatePart = { name, offset, size, bounds: [...bounds] };
    offset += size;
    return part;
  });
  requireValue(parts.length > 0, "state", "at least one part", 0);
  return parts;
}

/** Copies the numbers, so that later changes to the caller's arrays change nothing here. */
function copyTensors(weights: Tensors): Tensors {
  const copies: Record<string, Tensor> = {};
  for (const [name, tensor] of Object.entries(weights)) {
    checkTensor(name, tensor);
    const shape = [...tensor.shape] as unknown as Tensor["shape"];
    copies[name] = { shape, data: tensor.data.slice() as FloatArray };
  }
  return copies;
}

/**
 * Defines a nonlinear recurrence s_t = f(s_{t−1}, x_t) from a step function written with Antler's
 * vocabulary (`linear`, `add`, `tanh`, …). The function is called once, to be traced.
 *
 * @throws TypeError, RangeError naming the argument when a size, shape or returned part is wrong.
 * @example
 * const leaky = defineCell({
 *   name: "leaky",
 *   inputSize: 2,
 *   state: { h: { size: 3, bounds: [-1, 1] } },
 *   weights: { w: { shape: [3, 3], data: w }, u: { shape: [3, 2], data: u } },
 *   step: ({ h }, x, { w, u }) => ({
 *     h: add(multiply(0.9, h), multiply(0.1, tanh(add(linear(w, h), linear(u, x))))),
 *   }),
 * });
 */
export function defineCell<
  const S extends Record<string, number | StatePartOptions>,
  const W extends Record<string, Tensor> = Record<never, Tensor>,
>(options: CellOptions<S, W>): Cell {
  const known = ["name", "inputSize", "state", "weights", "step", "probes"];
  checkKeys("defineCell", options, known);
  const { name, inputSize, step, probes = 4 } = options;
  requireType(typeof step === "function", "step", "a function", step);
  checkInteger("inputSize", inputSize, 0);
  checkInteger("probes", probes, 1);
  const parts = layOutState(options.state);
  const weights = copyTensors(options.weights ?? {});
  const stateSize = parts.reduce((sum, part) => sum + part.size, 0);

  const graph = new Graph();
  const state = graph.leaf("state", stateSize);
  const input = graph.leaf("input", inputSize);
  const stateViews = Object.fromEntries(
    parts.map((part) => [part.name, graph.slice(state, part.offset, part.size)]),
  );
  const handles = Object.fromEntries(
    Object.entries(weights).map(([key, { shape }]) => [
      key,
      shape.length === 1
        ? graph.weight(namedVector(key, shape[0]))
        : namedMatrix(key, shape[0], shape[1]),
    ]),
  );
  const result = step(
    stateViews as { [Name in keyof S]: Vector },
    input,
    handles as WeightHandles<W>,
  ) as Record<string, Vector>;

  const where = `step of cell "${name}"`;
  const newParts = parts.map((part) => {
    const vector = result?.[part.name];
    const which = `for state part "${part.name}"`;
    requireType(vector?.graph === graph, where, `a vector ${which}`, vector);
    requireValue(vector.size === part.size, where, `${part.size} elements ${which}`, vector.size);
    return vector;
  });
  for (const key of Object.keys(result)) {
    requireType(Object.hasOwn(stateViews, key), where, "only the state's parts", key);
  }
  return {
    name,
    inputSize,
    stateSize,
    parts,
    weights,
    probes,
    graph,
    state,
    input,
    next: graph.concat(newParts),
  };
}
