/**
 * Entry point of a module of its own, for the tests of `math.ts`; no part of the shipped module.
 */
import { cos4, exp4, log4, sigmoid4, sin4, softplus4, tanh4 } from "./math";

/** Operations of `applyUnary`, in the order of their codes. */
const EXP: i32 = 0;
const TANH: i32 = 1;
const SIGMOID: i32 = 2;
const LOG: i32 = 3;
const SOFTPLUS: i32 = 4;
const SIN: i32 = 5;
const COS: i32 = 6;

// @ts-ignore: decorator
@inline
function apply(op: i32, x: v128): v128 {
  if (op == EXP) return exp4(x);
  if (op == TANH) return tanh4(x);
  if (op == SIGMOID) return sigmoid4(x);
  if (op == LOG) return log4(x);
  if (op == SOFTPLUS) return softplus4(x);
  if (op == SIN) return sin4(x);
  return cos4(x);
}

// @ts-ignore: decorator
@inline
function applyToAll(op: i32, src: usize, dst: usize, count: i32): void {
  const end = src + ((<usize>count) << 2);
  while (src < end) {
    v128.store(dst, apply(op, v128.load(src)));
    src += 16;
    dst += 16;
  }
}

/**
 * Writes op(x) to `dst` for each of the `count` float32 at `src`.
 *
 * @param op 0 exp, 1 tanh, 2 sigmoid, 3 log, 4 softplus, 5 sin, 6 cos; anything else traps
 * @param src address of the first input; `dst`, address of the first result; may be the same
 * @param count number of values, a multiple of 4
 */
export function applyUnary(op: i32, src: usize, dst: usize, count: i32): void {
  // One loop for each operation, so that the choice is made once and not once a vector.
  if (op == EXP) applyToAll(EXP, src, dst, count);
  else if (op == TANH) applyToAll(TANH, src, dst, count);
  else if (op == SIGMOID) applyToAll(SIGMOID, src, dst, count);
  else if (op == LOG) applyToAll(LOG, src, dst, count);
  else if (op == SOFTPLUS) applyToAll(SOFTPLUS, src, dst, count);
  else if (op == SIN) applyToAll(SIN, src, dst, count);
  else if (op == COS) applyToAll(COS, src, dst, count);
  else unreachable();
}
