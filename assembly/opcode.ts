/**
 * The instructions of the program interpreter; read by the compiler of programs in
 * src/backend/wasm/lower.ts too, so this is the one definition.
 *
 * An instruction is eight 32-bit words: opcode, count, target, a, b, c, extra, width. Operands are
 * byte addresses.
 *
 *   pointwise    target[i] = op(a[i], b[i], c[i], extra[i]), i < count
 *   Copy         target[i] = a[i], i < count
 *   Linear       target[count, width] = b[count, extra] · a[extra, width] + c[count, width] (c = 0: none);
 *                b is packed by src/backend/wasm/pack.ts
 *   ScaleRows    target[count, width] = a[count] ∘ b[count, width]; …Add: + c[count, width]
 */
export const enum Opcode {
  End,
  Copy,
  Linear,
  ScaleRows,
  ScaleRowsAdd,
  Negate,
  Tanh,
  Sigmoid,
  Relu,
  Exp,
  Log,
  Softplus,
  Sin,
  Cos,
  Sqrt,
  Step,
  Add,
  Subtract,
  Multiply,
  Divide,
  Minimum,
  Maximum,
  Greater,
  Where,
  /** a · b + c */
  MultiplyAdd,
  /** a · b − c */
  MultiplySubtract,
  /** c − a · b */
  NegateMultiplyAdd,
  /** tanh(a · b + c) */
  MultiplyAddTanh,
  /** a · tanh(b) */
  MultiplyTanh,
  /** a · (b − c) + c */
  Interpolate,
  /** a · b + c · d, where d is what `extra` points at */
  AddProducts,
}

/** Bytes of an instruction. */
export const INSTRUCTION_SIZE = 32;
