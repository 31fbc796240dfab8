/** Counts what a compiled program does, from its code: for cost models, benches and tests. */
import { INSTRUCTION_SIZE, Opcode } from "../../../assembly/opcode.ts";
import type { CompiledProgram } from "./lower.ts";
import type { KernelMemory } from "./memory.ts";

/** What one run of a program does for all of its lanes together. */
export interface Work {
  readonly instructions: number;
  /** Of matrix products: rows × columns × lanes. */
  readonly multiplyAdds: number;
  /** Vectors of four numbers that each other kind of instruction works through. */
  readonly vectors: ReadonlyMap<Opcode, number>;
  /** Arithmetic instructions that those vectors take, about; a plain one each but for `costs`. */
  readonly vectorOperations: number;
  /** Read and written, each instruction's operands and result once; packed weights among them. */
  readonly bytes: number;
}

/** Arithmetic instructions a vector, counted in assembly/math.ts, where they are not one. */
const costs: Partial<Record<Opcode, number>> = {
  [Opcode.Copy]: 0,
  [Opcode.Tanh]: 21,
  [Opcode.Sigmoid]: 21,
  [Opcode.Exp]: 29,
  [Opcode.Log]: 32,
  [Opcode.Softplus]: 52,
  [Opcode.Sin]: 45,
  [Opcode.Cos]: 44,
  [Opcode.Step]: 2,
  [Opcode.Minimum]: 5,
  [Opcode.Maximum]: 5,
  [Opcode.Greater]: 2,
  [Opcode.Where]: 4,
  [Opcode.MultiplyAdd]: 2,
  [Opcode.MultiplySubtract]: 2,
  [Opcode.NegateMultiplyAdd]: 2,
  [Opcode.ScaleRowsAdd]: 2,
  [Opcode.MultiplyAddTanh]: 23,
  [Opcode.MultiplyTanh]: 22,
  [Opcode.Interpolate]: 3,
  [Opcode.AddProducts]: 3,
};

export function workOf(
  { words }: KernelMemory,
  { code, instructions }: Pick<CompiledProgram, "code" | "instructions">,
): Work {
  const vectors = new Map<Opcode, number>();
  let multiplyAdds = 0;
  let vectorOperations = 0;
  let bytes = 0;
  for (let i = 0; i < instructions; i++) {
    const at = (code + i * INSTRUCTION_SIZE) / 4;
    const [opcode, count, , a, b, c, extra, width] = words.subarray(at, at + 8) as Words;
    if (opcode === Opcode.Linear) {
      multiplyAdds += count * extra * width;
      const sums = count * width * (c === 0 ? 1 : 2);
      bytes += 4 * (Math.ceil(count / 4) * 4 * extra + extra * width + sums);
      continue;
    }
    const isScaling = opcode === Opcode.ScaleRows || opcode === Opcode.ScaleRowsAdd;
    const numbers = isScaling ? count * width : count;
    const operands = [isScaling ? 0 : a, b, c, isScaling ? 0 : extra];
    const passes = 1 + operands.filter((operand) => operand !== 0).length;
    vectors.set(opcode, (vectors.get(opcode) ?? 0) + numbers / 4);
    vectorOperations += (numbers / 4) * (costs[opcode] ?? 1);
    bytes += 4 * (numbers * passes + (isScaling ? count : 0));
  }
  return { instructions, multiplyAdds, vectors, vectorOperations, bytes };
}

type Words = Int32Array & readonly [Opcode, number, number, number, number, number, number, number];
