/**
 * Compiles a vector program for the interpreter in assembly/program.ts: every vector gets an address,
 * views cost nothing, and neighbouring instructions that work on neighbouring vectors become one.
 */
import { INSTRUCTION_SIZE, Opcode } from "../../../assembly/opcode.ts";
import type { Leaf, Vector } from "../../cell/expression.ts";
import { interpreter } from "../../cell/interpret.ts";
import { block, type Matrix, matrixValues, type Tensors } from "../../cell/weight.ts";
import type { KernelMemory } from "./memory.ts";
import { packedLength, packMatrix } from "./pack.ts";
import {
  type Columns,
  isPartOf,
  type Operation,
  type Place,
  type Selection,
  selectOperations,
} from "./select.ts";

export interface ProgramSource {
  /** What a step carries on: each leaf with the output that becomes its next value. */
  readonly carried: readonly { readonly leaf: Leaf; readonly next: Vector }[];
  /** The other leaves. */
  readonly inputs: readonly Leaf[];
  /** 1, or a multiple of four. */
  readonly lanes: number;
  /** The carried leaf that has columns; then `lanes` is 1. */
  readonly columns?: Columns;
  /** A program with the same leaves whose registers this one shares. */
  readonly registers?: CompiledProgram;
}

/** A program in the kernels' memory; all addresses in bytes. */
export interface CompiledProgram {
  readonly lanes: number;
  readonly code: number;
  readonly instructions: number;
  /** The carried leaves, one after the other. */
  readonly carry: number;
  /** Their next values, likewise. */
  readonly next: number;
  /** Floats a lane of what is carried. */
  readonly carryWidth: number;
  /** Whether it is of one lane and only multiplies matrices with the input: `drive` can run it, too. */
  readonly isProduct: boolean;
  /** Address of each leaf. */
  readonly leaves: ReadonlyMap<string, number>;
}

/** Packed weights, shared by the programs of a cell. */
export type PackedMatrices = Map<string, number>;

interface Instruction {
  readonly opcode: Opcode;
  readonly count: number;
  readonly target: number;
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly width: number;
  readonly matrix?: Matrix;
}

export function compileProgram(
  memory: KernelMemory,
  source: ProgramSource,
  weights: Tensors,
  packed: PackedMatrices,
): CompiledProgram {
  const { carried, inputs, lanes, columns, registers } = source;
  const selection = selectOperations(
    carried.map(({ next }) => next),
    columns,
  );
  const layout = new Layout(memory, weights, selection, lanes, columns?.count ?? lanes);
  const leafWidth = (leaf: Leaf) => (leaf.name === columns?.leaf ? columns.count : lanes);
  const floats = carried.reduce((sum, { leaf }) => sum + leaf.size * leafWidth(leaf), 0);
  const carry = registers?.carry ?? memory.allocateFloats(floats);
  const next = registers?.next ?? memory.allocateFloats(floats);
  const leaves = new Map<string, number>();
  let offset = 0;
  for (const { leaf } of carried) {
    leaves.set(leaf.name, carry + offset);
    layout.setLeaf(leaf, carry + offset);
    layout.addOutput(next + offset, leafWidth(leaf));
    offset += leaf.size * leafWidth(leaf) * 4;
  }
  for (const leaf of inputs) {
    const shared = registers?.leaves.get(leaf.name);
    const address = shared ?? memory.allocateFloats(leaf.size * lanes);
    leaves.set(leaf.name, address);
    layout.setLeaf(leaf, address);
  }
  const instructions = mergeNeighbours(layout.instructions());
  const code = writeCode(memory, instructions, weights, packed);
  const carryWidth = floats / lanes;
  const isProduct = lanes === 1 && isOnlyProducts(selection);
  return {
    ...{ lanes, code, instructions: instructions.length },
    ...{ carry, next, carryWidth, leaves, isProduct },
  };
}

function isOnlyProducts({ operations, isStatic }: Selection): boolean {
  return operations.every(
    ({ matrix, args: [source, initial] }) =>
      matrix && isPartOf(source!, "input") && (!initial || isStatic(initial)),
  );
}

/** Gives every vector an address. */
class Layout {
  readonly #memory: KernelMemory;
  readonly #weights: Tensors;
  readonly #selection: Selection;
  readonly #lanes: number;
  readonly #columns: number;
  readonly #addresses = new Map<Vector, number>();
  readonly #outputs: { readonly address: number; readonly width: number }[] = [];
  readonly #constants = new Map<string, number>();

  constructor(
    memory: KernelMemory,
    weights: Tensors,
    selection: Selection,
    lanes: number,
    columns: number,
  ) {
    this.#memory = memory;
    this.#weights = weights;
    this.#selection = selection;
    this.#lanes = lanes;
    this.#columns = columns;
  }

  setLeaf(leaf: Vector, address: number): void {
    this.#addresses.set(leaf, address);
  }

  /** The next output's address, and values an element. */
  addOutput(address: number, width: number): void {
    this.#outputs.push({ address, width });
  }

  instructions(): Instruction[] {
    const { wholes, homes, operations } = this.#selection;
    for (const whole of wholes) {
      this.#addresses.set(whole, this.#memory.allocateFloats(whole.size * this.#width(whole)));
    }
    for (const [node, home] of homes) this.#addresses.set(node, this.#placeAddress(home));
    // All targets before any constant, so that they lie side by side.
    for (const { node, into } of operations) if (!into) this.#allocate(node, this.#width(node));
    return operations.map((operation) => this.#instruction(operation));
  }

  #width(node: Vector): number {
    return this.#selection.isColumned(node) ? this.#columns : this.#lanes;
  }

  #placeWidth({ whole }: Place): number {
    return typeof whole === "number" ? this.#outputs[whole]!.width : this.#width(whole);
  }

  #placeAddress(place: Place): number {
    const { whole, offset } = place;
    const start =
      typeof whole === "number" ? this.#outputs[whole]!.address : this.#addresses.get(whole)!;
    return start + offset * this.#placeWidth(place) * 4;
  }

  #instruction({ node, opcode, args, matrix, into }: Operation): Instruction {
    const width = into ? this.#placeWidth(into) : this.#width(node);
    const target = into ? this.#placeAddress(into) : this.#addresses.get(node)!;
    const isScaling = opcode === Opcode.ScaleRows || opcode === Opcode.ScaleRowsAdd;
    const byRow = isScaling || opcode === Opcode.Linear;
    const addresses = args.map((arg, i) =>
      this.#address(arg, isScaling && i === 0 ? this.#lanes : width),
    );
    const [a, b = 0, c = 0, d = 0] = addresses as [number, number?, number?, number?];
    const count = byRow ? node.size : node.size * width;
    if (!matrix) return { opcode, count, target, a, b, c, d, width: byRow ? width : 0 };
    return { opcode, count, target, a, b: 0, c: b, d: 0, width, matrix };
  }

  #allocate(node: Vector, width: number): void {
    if (this.#addresses.has(node)) return;
    // Not rounded up, so that vectors computed one after the other lie one after the other.
    this.#addresses.set(node, this.#memory.allocatePacked(node.size * width));
  }

  #address(node: Vector, width: number): number {
    if (this.#selection.isStatic(node)) return this.#constant(node, width);
    if (this.#selection.isImage(node)) return this.#image(node as Vector & { kind: "linear" });
    if (node.kind === "slice") {
      return this.#address(node.args[0]!, width) + node.start * width * 4;
    }
    const address = this.#addresses.get(node);
    if (address === undefined)
      throw new Error(`lower: a ${node.kind} was read before it was computed`);
    return address;
  }

  /** A vector that never changes, each element `width` times. */
  #constant(node: Vector, width: number): number {
    const key = `${node.id} ${width}`;
    let address = this.#constants.get(key);
    if (address === undefined) {
      const [values] = interpreter([node], this.#weights)({});
      address = this.#memory.allocateFloats(node.size * width);
      const target = this.#memory.view(address, node.size * width);
      for (let i = 0; i < node.size; i++) target.fill(values![i]!, i * width, (i + 1) * width);
      this.#constants.set(key, address);
    }
    return address;
  }

  /** matrix · (rows of the identity), `[rows, columns]`: the matrix, in the columns of those rows. */
  #image(node: Vector & { kind: "linear" }): number {
    const key = `image ${node.id}`;
    let address = this.#constants.get(key);
    if (address === undefined) {
      const { matrix } = node;
      const seed = node.args[0]!;
      const first = seed.kind === "slice" ? seed.start : 0;
      const values = matrixValues(matrix, this.#weights);
      address = this.#memory.allocateFloats(matrix.rows * this.#columns);
      const target = this.#memory.view(address, matrix.rows * this.#columns).fill(0);
      for (let row = 0; row < matrix.rows; row++) {
        const from = row * matrix.columns;
        target.set(values.subarray(from, from + matrix.columns), row * this.#columns + first);
      }
      this.#constants.set(key, address);
    }
    return address;
  }
}

/** One instruction for neighbours that do the same to vectors which lie side by side. */
function mergeNeighbours(instructions: readonly Instruction[]): Instruction[] {
  const result: Instruction[] = [];
  for (const instruction of instructions) {
    const last = result.at(-1);
    const merged = last && merge(last, instruction);
    if (merged) result[result.length - 1] = merged;
    else result.push(instruction);
  }
  return result;
}

function merge(first: Instruction, second: Instruction): Instruction | null {
  if (first.opcode !== second.opcode || first.width !== second.width) return null;
  const { count, width } = first;
  const bytes = count * (width || 1) * 4;
  const follows = (a: number, b: number, by: number) => (a === 0 ? b === 0 : a + by === b);
  if (first.target + bytes !== second.target || readsTarget(second, first, bytes)) return null;
  const merged = { ...first, count: count + second.count };
  if (first.matrix && second.matrix) {
    const matrix = stackMatrices(first.matrix, second.matrix);
    const sameInput = first.a === second.a && follows(first.c, second.c, bytes);
    return matrix && sameInput ? { ...merged, matrix } : null;
  }
  const isScaling = width > 0;
  const operandsFollow =
    follows(first.a, second.a, isScaling ? count * 4 : bytes) &&
    follows(first.b, second.b, bytes) &&
    follows(first.c, second.c, bytes) &&
    follows(first.d, second.d, bytes);
  return operandsFollow ? merged : null;
}

/**
 * Whether `second` reads any of the `bytes` that `first` writes: one instruction for both would read
 * them before they are there.
 */
function readsTarget(second: Instruction, first: Instruction, bytes: number): boolean {
  const { a, b, c, d, count, width } = second;
  const length = count * (width || 1) * 4;
  const isInTarget = (at: number) => at < first.target + bytes && at + length > first.target;
  return [a, b, c, d].some((at) => at !== 0 && isInTarget(at));
}

/** The matrix of which `upper` and `lower` are neighbouring rows, if there is one. */
function stackMatrices(upper: Matrix, lower: Matrix): Matrix | null {
  if (upper.kind !== "block" || lower.kind !== "block") return null;
  const neighbours =
    upper.of.key === lower.of.key &&
    upper.column === lower.column &&
    upper.columns === lower.columns &&
    upper.row + upper.rows === lower.row;
  if (!neighbours) return null;
  return block(upper.of, upper.row, upper.column, upper.rows + lower.rows, upper.columns);
}

function writeCode(
  memory: KernelMemory,
  instructions: readonly Instruction[],
  weights: Tensors,
  packed: PackedMatrices,
): number {
  const words: number[] = [];
  for (const { opcode, count, target, a, b, c, d, width, matrix } of instructions) {
    const address = matrix ? packedMatrix(memory, matrix, weights, packed) : b;
    words.push(opcode, count, target, a, address, c, matrix?.columns ?? d, width);
  }
  words.push(Opcode.End);
  const code = memory.allocate(words.length * 4 + INSTRUCTION_SIZE);
  memory.words.set(words, code / 4);
  return code;
}

function packedMatrix(
  memory: KernelMemory,
  matrix: Matrix,
  weights: Tensors,
  packed: PackedMatrices,
): number {
  let address = packed.get(matrix.key);
  if (address === undefined) {
    const length = packedLength(matrix.rows, matrix.columns);
    address = memory.allocateFloats(length);
    const { rows, columns } = matrix;
    packMatrix(matrixValues(matrix, weights), rows, columns, memory.view(address, length));
    packed.set(matrix.key, address);
  }
  return address;
}
