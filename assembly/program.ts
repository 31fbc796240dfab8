/**
 * The interpreter of compiled cell programs: straight-line code over vectors in memory. A vector with
 * lanes is an array [size, lanes], so pointwise instructions need not know of lanes.
 */
import { linear, turnRound } from "./linear";
import { cos4, exp4, log4, madd4, sigmoid4, sin4, softplus4, tanh4 } from "./math";
import { INSTRUCTION_SIZE, Opcode } from "./opcode";

/** `op` is a constant at every call, so that only one branch is left after inlining. */
// @ts-ignore: decorator
@inline
function apply(op: Opcode, a: v128, b: v128, c: v128, d: v128): v128 {
  if (op == Opcode.Copy) return a;
  if (op == Opcode.Negate) return f32x4.neg(a);
  if (op == Opcode.Tanh) return tanh4(a);
  if (op == Opcode.Sigmoid) return sigmoid4(a);
  if (op == Opcode.Relu) return f32x4.max(a, f32x4.splat(0));
  if (op == Opcode.Exp) return exp4(a);
  if (op == Opcode.Log) return log4(a);
  if (op == Opcode.Softplus) return softplus4(a);
  if (op == Opcode.Sin) return sin4(a);
  if (op == Opcode.Cos) return cos4(a);
  if (op == Opcode.Sqrt) return f32x4.sqrt(a);
  if (op == Opcode.Step) return v128.and(f32x4.gt(a, f32x4.splat(0)), f32x4.splat(1));
  if (op == Opcode.Add) return f32x4.add(a, b);
  if (op == Opcode.Subtract) return f32x4.sub(a, b);
  if (op == Opcode.Multiply) return f32x4.mul(a, b);
  if (op == Opcode.Divide) return f32x4.div(a, b);
  if (op == Opcode.Minimum) return f32x4.min(a, b);
  if (op == Opcode.Maximum) return f32x4.max(a, b);
  if (op == Opcode.Greater) return v128.and(f32x4.gt(a, b), f32x4.splat(1));
  if (op == Opcode.Where) return v128.bitselect(b, c, f32x4.ne(a, f32x4.splat(0)));
  if (op == Opcode.MultiplyAdd) return madd4(a, b, c);
  if (op == Opcode.MultiplySubtract) return f32x4.sub(f32x4.mul(a, b), c);
  if (op == Opcode.NegateMultiplyAdd) return f32x4.sub(c, f32x4.mul(a, b));
  if (op == Opcode.MultiplyAddTanh) return tanh4(madd4(a, b, c));
  if (op == Opcode.MultiplyTanh) return f32x4.mul(a, tanh4(b));
  if (op == Opcode.Interpolate) return madd4(a, f32x4.sub(b, c), c);
  return madd4(a, b, f32x4.mul(c, d));
}

/**
 * The last numbers may be fewer than four. Reading past them is harmless; what is written past them is
 * put right again, so that the loop need not tell the last vector from the others.
 */
// @ts-ignore: decorator
@inline
function map(op: Opcode, arity: i32, code: usize): void {
  let target = <usize>load<u32>(code, 8);
  let a = <usize>load<u32>(code, 12);
  let b = arity > 1 ? <usize>load<u32>(code, 16) : a;
  let c = arity > 2 ? <usize>load<u32>(code, 20) : a;
  let d = arity > 3 ? <usize>load<u32>(code, 24) : a;
  const end = target + ((<usize>load<u32>(code, 4)) << 2);
  const behind = v128.load(end);
  for (; target < end; target += 16) {
    const x = v128.load(a);
    const y = arity > 1 ? v128.load(b) : x;
    const z = arity > 2 ? v128.load(c) : x;
    const w = arity > 3 ? v128.load(d) : x;
    v128.store(target, apply(op, x, y, z, w));
    a += 16;
    if (arity > 1) b += 16;
    if (arity > 2) c += 16;
    if (arity > 3) d += 16;
  }
  v128.store(end, behind);
}

/** `width` is a multiple of four here. */
// @ts-ignore: decorator
@inline
function scaleRows(adds: bool, code: usize): void {
  const rows = load<i32>(code, 4);
  let target = <usize>load<u32>(code, 8);
  let a = <usize>load<u32>(code, 12);
  let b = <usize>load<u32>(code, 16);
  let c = <usize>load<u32>(code, 20);
  const width = load<i32>(code, 28);
  for (let row = 0; row < rows; row++, a += 4) {
    const scale = v128.load32_splat(a);
    for (let i = 0; i < width; i += 4) {
      const x = v128.load(b);
      v128.store(target, adds ? madd4(scale, x, v128.load(c)) : f32x4.mul(scale, x));
      b += 16;
      target += 16;
      if (adds) c += 16;
    }
  }
}

export function execute(code: usize): void {
  turnRound();
  while (true) {
    switch (load<i32>(code)) {
      case Opcode.Copy:
        map(Opcode.Copy, 1, code);
        break;
      case Opcode.Linear:
        linear(
          load<i32>(code, 4),
          load<i32>(code, 24),
          load<u32>(code, 16),
          load<u32>(code, 12),
          load<u32>(code, 20),
          load<u32>(code, 8),
          load<i32>(code, 28),
        );
        break;
      case Opcode.ScaleRows:
        scaleRows(false, code);
        break;
      case Opcode.ScaleRowsAdd:
        scaleRows(true, code);
        break;
      case Opcode.Negate:
        map(Opcode.Negate, 1, code);
        break;
      case Opcode.Tanh:
        map(Opcode.Tanh, 1, code);
        break;
      case Opcode.Sigmoid:
        map(Opcode.Sigmoid, 1, code);
        break;
      case Opcode.Relu:
        map(Opcode.Relu, 1, code);
        break;
      case Opcode.Exp:
        map(Opcode.Exp, 1, code);
        break;
      case Opcode.Log:
        map(Opcode.Log, 1, code);
        break;
      case Opcode.Softplus:
        map(Opcode.Softplus, 1, code);
        break;
      case Opcode.Sin:
        map(Opcode.Sin, 1, code);
        break;
      case Opcode.Cos:
        map(Opcode.Cos, 1, code);
        break;
      case Opcode.Sqrt:
        map(Opcode.Sqrt, 1, code);
        break;
      case Opcode.Step:
        map(Opcode.Step, 1, code);
        break;
      case Opcode.Add:
        map(Opcode.Add, 2, code);
        break;
      case Opcode.Subtract:
        map(Opcode.Subtract, 2, code);
        break;
      case Opcode.Multiply:
        map(Opcode.Multiply, 2, code);
        break;
      case Opcode.Divide:
        map(Opcode.Divide, 2, code);
        break;
      case Opcode.Minimum:
        map(Opcode.Minimum, 2, code);
        break;
      case Opcode.Maximum:
        map(Opcode.Maximum, 2, code);
        break;
      case Opcode.Greater:
        map(Opcode.Greater, 2, code);
        break;
      case Opcode.Where:
        map(Opcode.Where, 3, code);
        break;
      case Opcode.MultiplyAdd:
        map(Opcode.MultiplyAdd, 3, code);
        break;
      case Opcode.MultiplySubtract:
        map(Opcode.MultiplySubtract, 3, code);
        break;
      case Opcode.NegateMultiplyAdd:
        map(Opcode.NegateMultiplyAdd, 3, code);
        break;
      case Opcode.MultiplyAddTanh:
        map(Opcode.MultiplyAddTanh, 3, code);
        break;
      case Opcode.MultiplyTanh:
        map(Opcode.MultiplyTanh, 2, code);
        break;
      case Opcode.Interpolate:
        map(Opcode.Interpolate, 3, code);
        break;
      case Opcode.AddProducts:
        map(Opcode.AddProducts, 4, code);
        break;
      default:
        return;
    }
    code += INSTRUCTION_SIZE;
  }
}
