/**
 * The instructions of the program interpreter; read by the compiler of programs in
 * src/backend/wasm/lower.ts too, so this is the one definition.
 *
 * An instruction is eight 32-bit words: opcode, count, target, a, b, c, extra, width. Operands are
 * byte addresses.
 *
 *   pointwise    target[i] = op(a[i], b[i], c[i]), i < count
 *   Copy         target[i] = a[i], i < count
 *   Linear       target[count, width] = b[count, extra] · a[extra, width] + c[count, width] (c = 0: none);
 *                b is packed by src/backend/wasm/pack.ts
 *   ScaleRows    target[count, width] = a[count] ∘ b[count, width]; …Add: + c[count, width]
 */
export declare const enum Opcode {
    End = 0,
    Copy = 1,
    Linear = 2,
    ScaleRows = 3,
    ScaleRowsAdd = 4,
    Negate = 5,
    Tanh = 6,
    Sigmoid = 7,
    Relu = 8,
    Exp = 9,
    Log = 10,
    Softplus = 11,
    Sin = 12,
    Cos = 13,
    Sqrt = 14,
    Step = 15,
    Add = 16,
    Subtract = 17,
    Multiply = 18,
    Divide = 19,
    Minimum = 20,
    Maximum = 21,
    Greater = 22,
    Where = 23,
    /** a · b + c */
    MultiplyAdd = 24,
    /** a · b − c */
    MultiplySubtract = 25,
    /** c − a · b */
    NegateMultiplyAdd = 26
}
/** Bytes of an instruction. */
export declare const INSTRUCTION_SIZE = 32;
