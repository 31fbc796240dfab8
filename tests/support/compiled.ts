/** Compiled programs on the kernels' memory, run one step at a time, for tests of the compiler. */
import { INSTRUCTION_SIZE, type Opcode } from "../../assembly/opcode.ts";
import { inlinedKernels } from "../../src/backend/wasm/inlined.ts";
import { loadKernels } from "../../src/backend/wasm/load.ts";
import { compileProgram, type ProgramSource } from "../../src/backend/wasm/lower.ts";
import { KernelMemory } from "../../src/backend/wasm/memory.ts";
import { type Work, workOf } from "../../src/backend/wasm/work.ts";
import type { Leaf } from "../../src/cell/expression.ts";
import type { Tensors } from "../../src/cell/weight.ts";

const { exports } = await loadKernels(inlinedKernels, undefined, true);

/** Values of the leaves, one array `[size]` a lane; a leaf with columns has one array `[size, columns]`. */
export type LaneValues = Readonly<Record<string, readonly ArrayLike<number>[]>>;

export interface Compiled {
  readonly instructions: number;
  /** The opcodes in the order in which they run. */
  readonly opcodes: readonly Opcode[];
  readonly work: Work;
  /** The next value of every carried leaf in every lane; of a leaf with columns `[size, columns]`. */
  run(values: LaneValues): Readonly<Record<string, readonly Float32Array[]>>;
}

/** Compiles `source` into memory that holds nothing but it; valid until the next call. */
export function compileAlone(source: ProgramSource, weights: Tensors): Compiled {
  const memory = new KernelMemory(exports.memory, exports.heapBase(), 2 ** 26);
  // What a program reads but nobody wrote must not look like a result.
  memory.floats.fill(Number.NaN, exports.heapBase() / 4);
  const program = compileProgram(memory, source, weights, new Map());
  const { lanes, columns, carried, inputs } = source;
  const isColumned = (leaf: Leaf) => leaf.name === columns?.leaf;
  const write = (leaf: Leaf, values: readonly ArrayLike<number>[]) => {
    const at = program.leaves.get(leaf.name)! / 4;
    if (isColumned(leaf)) {
      memory.floats.set(values[0]!, at);
      return;
    }
    for (let lane = 0; lane < lanes; lane++) {
      for (let i = 0; i < leaf.size; i++) {
        memory.floats[at + i * lanes + lane] = values[lane]![i]!;
      }
    }
  };
  const word = (index: number) => memory.words[program.code / 4 + index]!;
  return {
    instructions: program.instructions,
    opcodes: Array.from({ length: program.instructions }, (_, i) =>
      word((i * INSTRUCTION_SIZE) / 4),
    ),
    work: workOf(memory, program),
    run(values) {
      for (const { leaf } of carried) if (values[leaf.name]) write(leaf, values[leaf.name]!);
      for (const leaf of inputs) write(leaf, values[leaf.name]!);
      exports.execute(program.code);
      let at = program.next;
      const results: Record<string, Float32Array[]> = {};
      for (const { leaf } of carried) {
        const width = isColumned(leaf) ? columns!.count : lanes;
        const next = memory.view(at, leaf.size * width);
        at += leaf.size * width * 4;
        results[leaf.name] = isColumned(leaf)
          ? [next.slice()]
          : Array.from({ length: lanes }, (_, lane) =>
              Float32Array.from({ length: leaf.size }, (_, i) => next[i * lanes + lane]!),
            );
      }
      return results;
    },
  };
}

/** How many instructions have this opcode. */
export function countOf({ opcodes }: Compiled, opcode: Opcode): number {
  return opcodes.filter((other) => other === opcode).length;
}
