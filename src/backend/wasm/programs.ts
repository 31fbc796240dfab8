/** The compiled programs of each cell, made when first needed and kept. */
import type { Cell } from "../../cell/define-cell.ts";
import type { Leaf } from "../../cell/expression.ts";
import {
  diagonalProduct,
  probeSigns,
  type Recurrence,
  recurrenceOf,
  SIGNS_PERIOD,
  stateTangent,
  wholeRecurrenceOf,
} from "../../cell/recurrence.ts";
import type { JacobianKind } from "../../types.ts";
import {
  type CompiledProgram,
  compileProgram,
  type PackedMatrices,
  type ProgramSource,
} from "./lower.ts";
import type { KernelMemory } from "./memory.ts";
import type { Columns } from "./select.ts";

/** Programs and weights beyond this many bytes are dropped before the next run. */
const KEEP_LIMIT = 64e6;

/** Random signs for a cell whose Jacobian's diagonal is estimated. */
export interface Signs {
  readonly address: number;
  /** Floats a row. */
  readonly width: number;
  readonly rows: number;
}

/** What a sweep with a given Jacobian carries along, and how it starts. */
export interface SweepProgram {
  readonly program: CompiledProgram;
  /** Does a chunk's first step, with the same registers, from an identity P: no matrix products. */
  readonly firstStep: CompiledProgram;
  /** Floats of a P_k as the program makes it; 0 for none and identity. */
  readonly productWidth: number;
  /** k, the size of a unit's block. */
  readonly units: number;
  /** Address of P before a chunk's first step. */
  readonly restart: number;
  readonly signs: Signs | null;
}

/** Floats from row to row of a dense P_k. */
export function densePitch(stateSize: number): number {
  return Math.ceil(stateSize / 4) * 4;
}

export class CellPrograms {
  readonly #memory: KernelMemory;
  readonly #recurrence: Recurrence;
  readonly #cell: Cell;
  readonly #packed: PackedMatrices;
  readonly #programs = new Map<string, CompiledProgram>();
  readonly #sweeps = new Map<string, SweepProgram>();
  #signs: Signs | null = null;

  constructor(memory: KernelMemory, recurrence: Recurrence, packed: PackedMatrices) {
    this.#memory = memory;
    this.#recurrence = recurrence;
    this.#cell = recurrence.cell;
    this.#packed = packed;
  }

  /** The leaf that a step reads beside the state. */
  get source(): Leaf {
    return this.#recurrence.source;
  }

  /** Takes x_t in the leaf "input" to the drive; null if nothing is split off. */
  drive(lanes: number): CompiledProgram | null {
    const { drive } = this.#recurrence;
    if (drive.size === 0) return null;
    const { graph } = this.#cell;
    // What the drive program "carries" is only its output: it reads nothing of the step before.
    const leaf = graph.leaf("driven", drive.size);
    return this.#compile(`drive ${lanes}`, {
      carried: [{ leaf, next: drive }],
      inputs: [this.#cell.input],
      lanes,
    });
  }

  /** s_t from the leaves "state" and `source`. */
  step(lanes: number): CompiledProgram {
    const { next } = this.#recurrence;
    return this.#compile(`step ${lanes}`, {
      carried: [{ leaf: this.#cell.state, next }],
      inputs: [this.source],
      lanes,
    });
  }

  /** The step with `columns` tangents, pushed through its exact Jacobian. */
  tangents(columns: number): CompiledProgram {
    return this.#compile(
      `tangents ${columns}`,
      this.#tangentSource({ leaf: "tangent", count: columns }),
    );
  }

  #tangentSource(columns: Columns): ProgramSource {
    const recurrence = this.#recurrence;
    const { graph, state, stateSize } = this.#cell;
    const tangent = graph.leaf("tangent", stateSize);
    return {
      carried: [
        { leaf: state, next: recurrence.next },
        { leaf: tangent, next: stateTangent(recurrence, tangent) },
      ],
      inputs: [this.source],
      lanes: 1,
      columns,
    };
  }

  /** The step together with the running product of Jacobians. */
  sweep(jacobian: JacobianKind, lanes: number): SweepProgram {
    const key = `${jacobian} ${lanes}`;
    let sweep = this.#sweeps.get(key);
    if (!sweep) {
      sweep = this.#makeSweep(jacobian, lanes);
      this.#sweeps.set(key, sweep);
    }
    return sweep;
  }

  #makeSweep(jacobian: JacobianKind, lanes: number): SweepProgram {
    switch (jacobian) {
      case "none":
      case "identity": {
        const program = this.step(lanes);
        return { program, firstStep: program, productWidth: 0, units: 1, restart: 0, signs: null };
      }
      case "dense":
        return this.#makeDense();
      case "diagonal":
      case "block":
        return this.#makeDiagonal(jacobian, lanes);
    }
  }

  #makeDense(): SweepProgram {
    const { stateSize } = this.#cell;
    const pitch = densePitch(stateSize);
    const program = this.tangents(pitch);
    const columns = { leaf: "tangent", count: pitch, identity: true };
    const firstStep = this.#compile(`first tangents ${pitch}`, {
      ...this.#tangentSource(columns),
      registers: program,
    });
    const identity = new Float64Array(stateSize * pitch);
    for (let i = 0; i < stateSize; i++) identity[i * (pitch + 1)] = 1;
    const restart = this.#store(identity);
    return { program, firstStep, productWidth: identity.length, units: 1, restart, signs: null };
  }

  #makeDiagonal(jacobian: "diagonal" | "block", lanes: number): SweepProgram {
    const recurrence = this.#recurrence;
    const { graph, state } = this.#cell;
    const product = diagonalProduct(recurrence, jacobian);
    const productWidth = product.identity.length;
    const inputs = [this.source];
    if (product.signs) inputs.push(product.signs);
    const program = this.#compile(`${jacobian} ${lanes}`, {
      carried: [
        { leaf: state, next: recurrence.next },
        { leaf: graph.leaf("product", productWidth), next: product.next },
      ],
      inputs,
      lanes,
    });
    const restart = this.#store(product.identity);
    const signs = product.signs ? this.#storeSigns() : null;
    const { units } = product;
    return { program, firstStep: program, productWidth, units, restart, signs };
  }

  #storeSigns(): Signs {
    if (!this.#signs) {
      const values = probeSigns(this.#cell);
      const address = this.#store(values);
      this.#signs = { address, width: values.length / SIGNS_PERIOD, rows: SIGNS_PERIOD };
    }
    return this.#signs;
  }

  #store(values: ArrayLike<number>): number {
    const address = this.#memory.allocateFloats(values.length);
    this.#memory.floats.set(values, address / 4);
    return address;
  }

  #compile(key: string, source: ProgramSource): CompiledProgram {
    let program = this.#programs.get(key);
    if (!program) {
      program = compileProgram(this.#memory, source, this.#cell.weights, this.#packed);
      this.#programs.set(key, program);
    }
    return program;
  }
}

/** A cell's programs, with the drive split off and with the drive in the step. */
export interface ProgramSet {
  readonly split: CellPrograms;
  readonly whole: CellPrograms;
}

/** The programs of all cells that a backend has met lately. */
export class ProgramCache {
  readonly #memory: KernelMemory;
  #cells = new WeakMap<Cell, ProgramSet>();

  constructor(memory: KernelMemory) {
    this.#memory = memory;
  }

  /**
   * The programs of `cell`. `compile` must ask for all that a run needs, before the run allocates
   * anything: what it compiles is kept when the run's memory is given back.
   */
  prepare<Programs>(cell: Cell, compile: (programs: ProgramSet) => Programs): Programs {
    if (this.#memory.kept > KEEP_LIMIT) this.#forget();
    try {
      return compile(this.#programs(cell));
    } catch (error) {
      // Half-made programs must not be found again, nor their memory be lost.
      this.#forget();
      throw error;
    } finally {
      this.#memory.keep();
    }
  }

  /**
   * What `setUp` returns; if there is no room for it, once more without the programs kept so far, and
   * with the advice to be frugal.
   */
  withRoom<Result>(setUp: (frugal: boolean) => Result): Result {
    try {
      return setUp(false);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#forget();
      return setUp(true);
    }
  }

  #forget(): void {
    this.#memory.forget();
    this.#cells = new WeakMap();
  }

  #programs(cell: Cell): ProgramSet {
    let programs = this.#cells.get(cell);
    if (!programs) {
      const packed: PackedMatrices = new Map();
      programs = {
        split: new CellPrograms(this.#memory, recurrenceOf(cell), packed),
        whole: new CellPrograms(this.#memory, wholeRecurrenceOf(cell), packed),
      };
      this.#cells.set(cell, programs);
    }
    return programs;
  }
}
