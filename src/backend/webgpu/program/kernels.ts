/** The kernels that run a cell's programs, ready to be compiled and bound. */
import type { Cell } from "../../../cell/define-cell.ts";
import type { Leaf, Vector } from "../../../cell/expression.ts";
import {
  diagonalProduct,
  probeSigns,
  type Recurrence,
  recurrenceOf,
  SIGNS_PERIOD,
  stateTangent,
  wholeRecurrenceOf,
} from "../../../cell/recurrence.ts";
import type { JacobianKind } from "../../../types.ts";
import { type Binding, bindingsOf, declarations } from "../bindings.ts";
import { assembleShader } from "../shader.ts";
import { emit } from "./emit.ts";
import {
  chooseGeometry,
  type Geometry,
  type GeometryChoice,
  type KernelLimits,
} from "./geometry.ts";
import { type Output, Plan } from "./plan.ts";
import { WeightStore } from "./weights.ts";

/** A cell's step with its drive split off, or in it; and the numbers of all kernels made from it. */
export interface CompiledCell {
  readonly recurrence: Recurrence;
  readonly weights: WeightStore;
  /** Floats that a step reads beside the state. */
  readonly sourceSize: number;
}

export interface ProgramKernel {
  readonly label: string;
  readonly code: string;
  readonly bindings: readonly Binding[];
  readonly geometry: Geometry;
  /** For so many chunks (`drive`: rows; `certificate`: error chunks). */
  readonly workgroups: (count: number) => number;
}

export interface SweepKernel extends ProgramKernel {
  /** Floats of a P_k as it is stored; 0 where none is. */
  readonly productWidth: number;
  /** n: how many elements of a unit's state P_k couples. */
  readonly units: number;
}

export interface KernelOptions {
  readonly limits: KernelLimits;
  /** As for `workgroups`: decides how many share a workgroup. */
  readonly chunks: number;
  readonly choice?: GeometryChoice;
}

/** @param whole whether the drive is computed in every step, from the inputs. */
export function compileCell(cell: Cell, whole = false): CompiledCell {
  const recurrence = whole ? wholeRecurrenceOf(cell) : recurrenceOf(cell);
  return {
    recurrence,
    weights: new WeightStore(cell.weights),
    sourceSize: recurrence.source.size,
  };
}

/**
 * Bindings: problem, slice, control, source, states, boundaries, ends, weights, measures, products; no source
 * for a cell without input, no products for `none` and `identity`.
 *
 * @throws RangeError when the state does not fit the workgroup memory.
 */
export function sweepKernel(
  compiled: CompiledCell,
  jacobian: JacobianKind,
  options: KernelOptions,
): SweepKernel {
  const { recurrence, weights, sourceSize } = compiled;
  const { cell, next } = recurrence;
  const { graph, state, stateSize } = cell;
  const outputs: Output[] = [{ leaf: state, next }];
  const flags = sourceSize > 0 ? [] : ["NO_SOURCE"];
  const constants: Record<string, number> = {};
  let productWidth = 0;
  let units = 1;
  if (jacobian === "diagonal" || jacobian === "block") {
    const product = diagonalProduct(recurrence, jacobian);
    productWidth = product.identity.length;
    units = product.units;
    outputs.push({ leaf: graph.leaf("product", productWidth), next: product.next });
    flags.push("PRODUCT");
    Object.assign(constants, { PRODUCT_SIZE: productWidth, BLOCK: units });
    if (product.signs) {
      constants.SIGNS = weights.table("signs", () => probeSigns(cell));
      constants.SIGNS_SIZE = product.signs.size;
      constants.SIGNS_PERIOD = SIGNS_PERIOD;
    }
  }
  const isDense = jacobian === "dense";
  if (isDense) {
    outputs.push(tangentOutput(recurrence));
    productWidth = stateSize * stateSize;
    units = stateSize;
    flags.push("DENSE");
  }
  const bindings = bindingsOf(
    ["problem", "slice", "control", ...sourceOf(sourceSize), "boundaries", "weights"],
    ["states", "ends", "measures", ...(productWidth > 0 ? ["products"] : [])],
  );
  const made = makeKernel(compiled, "sweep", {
    label: `sweep ${jacobian} of ${cell.name}`,
    what: `stateSize ${stateSize}`,
    plan: new Plan({ outputs, columns: isDense ? "tangent" : undefined }),
    columns: isDense ? stateSize : 0,
    widths: isDense ? [4, 2, 1] : [1],
    options,
    bindings,
    flags,
    constants: (geometry) => ({
      ...constants,
      STATE_SIZE: stateSize,
      SOURCE_SIZE: sourceSize,
      REDUCED: 2 ** Math.ceil(Math.log2(geometry.units)),
      LANES: geometry.lanes,
      WIDTH: geometry.width,
      COLUMN_GROUPS: geometry.columnGroups,
      COLUMN_BLOCKS: isDense ? columnBlocks(stateSize, geometry) : 1,
      ...(isDense ? { COLUMNED: Math.max(1, geometry.columned) } : {}),
    }),
  });
  const { lanes, groups } = made.geometry;
  const blocks = isDense ? columnBlocks(stateSize, made.geometry) : 1;
  return {
    ...made,
    productWidth,
    units,
    workgroups: (chunks) => Math.ceil(chunks / (lanes * groups)) * blocks,
  };
}

/**
 * Bindings: problem, inputs, source, weights. Null where a step reads the inputs themselves.
 *
 * @throws RangeError when an input does not fit the workgroup memory.
 */
export function driveKernel(compiled: CompiledCell, options: KernelOptions): ProgramKernel | null {
  const { recurrence, sourceSize } = compiled;
  const { drive, cell } = recurrence;
  if (drive.size === 0) return null;
  const made = makeKernel(compiled, "drive", {
    label: `drive of ${cell.name}`,
    what: `inputSize ${cell.inputSize}`,
    plan: new Plan({ outputs: [{ next: drive }] }),
    columns: 0,
    widths: [1],
    options,
    bindings: bindingsOf(["problem", "inputs", "weights"], ["source"]),
    flags: [],
    constants: ({ lanes }) => ({
      LANES: lanes,
      INPUT_SIZE: cell.inputSize,
      SOURCE_SIZE: sourceSize,
    }),
  });
  const { lanes, groups } = made.geometry;
  return { ...made, workgroups: (rows) => Math.ceil(rows / (lanes * groups)) };
}

/** Columns of the certificate's tangents: one for defects, three for rounding errors. */
export const CERTIFICATE_COLUMNS = 4;
/** With one draw of rounding errors, where the workgroup memory is too small for three. */
const NARROW_COLUMNS = 2;

/**
 * Bindings: problem, slice, control, source, states, boundaries, errorBoundaries, weights, errorMeasures; no
 * source for a cell without input.
 *
 * @throws RangeError when the state does not fit the workgroup memory.
 */
export function certificateKernel(compiled: CompiledCell, options: KernelOptions): ProgramKernel {
  try {
    return certificateWith(CERTIFICATE_COLUMNS, compiled, options);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return certificateWith(NARROW_COLUMNS, compiled, options);
  }
}

function certificateWith(
  columns: number,
  compiled: CompiledCell,
  options: KernelOptions,
): ProgramKernel {
  const { recurrence, sourceSize } = compiled;
  const { cell, next } = recurrence;
  const { stateSize } = cell;
  const made = makeKernel(compiled, "certificate", {
    label: `certificate of ${cell.name}`,
    what: `stateSize ${stateSize}`,
    plan: new Plan({
      outputs: [{ leaf: cell.state, next }, tangentOutput(recurrence)],
      columns: "tangent",
    }),
    columns,
    widths: [columns],
    options,
    bindings: bindingsOf(
      ["problem", "slice", "control", ...sourceOf(sourceSize), "states", "boundaries", "weights"],
      ["errorBoundaries", "errorMeasures"],
    ),
    flags: [
      "ERROR_CHUNKS",
      ...(sourceSize > 0 ? [] : ["NO_SOURCE"]),
      ...(columns === NARROW_COLUMNS ? ["NARROW"] : []),
    ],
    constants: ({ columned }) => ({
      STATE_SIZE: stateSize,
      SOURCE_SIZE: sourceSize,
      COLUMNED: Math.max(1, columned),
    }),
  });
  const { groups } = made.geometry;
  return { ...made, workgroups: (chunks) => Math.ceil(chunks / groups) };
}

function sourceOf(size: number): string[] {
  return size > 0 ? ["source"] : [];
}

function tangentOutput(recurrence: Recurrence): { leaf: Leaf; next: Vector } {
  const { graph, stateSize } = recurrence.cell;
  const leaf = graph.leaf("tangent", stateSize);
  return { leaf, next: stateTangent(recurrence, leaf) };
}

function columnBlocks(stateSize: number, { width, columnGroups }: Geometry): number {
  return Math.ceil(stateSize / (width * columnGroups));
}

interface Making {
  readonly label: string;
  readonly what: string;
  readonly plan: Plan;
  readonly columns: number;
  readonly widths: readonly number[];
  readonly options: KernelOptions;
  readonly bindings: readonly Binding[];
  readonly flags: readonly string[];
  readonly constants: (geometry: Geometry) => Record<string, number>;
}

function makeKernel(compiled: CompiledCell, name: string, making: Making) {
  const { label, what, plan, columns, widths, options, bindings, flags, constants } = making;
  const { weights } = compiled;
  const sizes = [...plan.pieces, ...plan.outputPieces.flat()].map(({ size }) => size);
  const geometry = chooseGeometry({
    ...options,
    what,
    longest: Math.max(...sizes),
    columns,
    widths,
    hasLanes: columns === 0,
    emit: (shape) => emit(plan, weights, shape),
  });
  const { lanes, width, units, groups, plain } = geometry;
  const { start, step } = emit(plan, weights, geometry);
  // The certificate's maxima are exchanged between one step's barrier and the next.
  const barrier =
    name === "certificate" && !step.includes("Barrier") ? "\nworkgroupBarrier();" : "";
  const typeOf = (count: number) => (count === 1 ? "f32" : `vec${count}f`);
  const code = assembleShader(`${name}.wgsl`, {
    flags,
    aliases: { Lane: typeOf(lanes), Columns: typeOf(width) },
    constants: { UNITS: units, GROUPS: groups, PLAIN: plain, ...constants(geometry) },
    sections: {
      bindings: declarations(bindings),
      start,
      step: step + barrier,
      packing: packing("Lane", "lanes", lanes) + packing("Columns", "columns", width),
    },
  });
  return { label, code, bindings, geometry };
}

/** Between vectors and arrays of what they consist of, which loops can index. */
function packing(type: string, name: string, count: number): string {
  const elements = Array.from({ length: count }, (_, k) => `v[${k}]`).join(", ");
  const list = `array<f32, ${count}>`;
  return `fn pack_${name}(v: ${list}) -> ${type} {
  return ${type}(${elements});
}
fn unpack_${name}(v: ${type}) -> ${list} {
  return ${list}(${count === 1 ? "v" : elements});
}
`;
}
