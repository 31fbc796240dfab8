/**
 * Many rows through one matrix: target[t, rows] = weights[rows, columns] · source[t, columns] + initial[rows]
 * for t < steps. Rows of `source` and of `target` lie where they lie, each with its own distance from one
 * to the next, so that nothing is transposed. The weights are packed as in linear.ts, and the sums have
 * the same bits as there.
 */
import { linear, panelRows, ZEROS } from "./linear";
import { madd4 } from "./math";
import { INSTRUCTION_SIZE, Opcode } from "./opcode";

/** Steps for which a panel of weights stays in the nearest cache; a multiple of four. */
const BLOCK: i32 = 16;

/** Eight rows of weights by four steps; `stride` bytes a column, pitches in bytes. */
// @ts-ignore: decorator
@inline
function tile(
  columns: i32,
  weights: usize,
  stride: usize,
  source: usize,
  sourcePitch: usize,
  initial: usize,
  target: usize,
  targetPitch: usize,
): void {
  let a0 = v128.load(initial);
  let a1 = v128.load(initial, 16);
  let b0 = a0;
  let b1 = a1;
  let c0 = a0;
  let c1 = a1;
  let d0 = a0;
  let d1 = a1;
  let b = source + sourcePitch;
  let c = b + sourcePitch;
  let d = c + sourcePitch;
  const end = source + ((<usize>columns) << 2);
  for (; source < end; source += 4, b += 4, c += 4, d += 4, weights += stride) {
    const w0 = v128.load(weights);
    const w1 = v128.load(weights, 16);
    const xa = v128.load32_splat(source);
    a0 = madd4(w0, xa, a0);
    a1 = madd4(w1, xa, a1);
    const xb = v128.load32_splat(b);
    b0 = madd4(w0, xb, b0);
    b1 = madd4(w1, xb, b1);
    const xc = v128.load32_splat(c);
    c0 = madd4(w0, xc, c0);
    c1 = madd4(w1, xc, c1);
    const xd = v128.load32_splat(d);
    d0 = madd4(w0, xd, d0);
    d1 = madd4(w1, xd, d1);
  }
  v128.store(target, a0);
  v128.store(target, a1, 16);
  target += targetPitch;
  v128.store(target, b0);
  v128.store(target, b1, 16);
  target += targetPitch;
  v128.store(target, c0);
  v128.store(target, c1, 16);
  target += targetPitch;
  v128.store(target, d0);
  v128.store(target, d1, 16);
}

/**
 * Runs a program of one lane that does nothing but multiply matrices with its input, for `steps` rows:
 * what it reads is `source` bytes further on than its code says, and `sourcePitch` more a step; what it
 * writes likewise.
 */
export function drive(
  code: usize,
  steps: i32,
  source: usize,
  sourcePitch: usize,
  target: usize,
  targetPitch: usize,
): void {
  for (; load<i32>(code) != Opcode.End; code += INSTRUCTION_SIZE) {
    linearRows(
      steps,
      load<i32>(code, 4),
      load<i32>(code, 24),
      load<u32>(code, 16),
      load<u32>(code, 12) + source,
      sourcePitch,
      load<u32>(code, 20),
      load<u32>(code, 8) + target,
      targetPitch,
    );
  }
}

/** Pitches in bytes; `initial` 0 for none. */
// @ts-ignore: decorator
@inline
function linearRows(
  steps: i32,
  rows: i32,
  columns: i32,
  weights: usize,
  source: usize,
  sourcePitch: usize,
  initial: usize,
  target: usize,
  targetPitch: usize,
): void {
  const whole = rows & ~7;
  const start: usize = initial != 0 ? 4 : 0;
  const from = initial != 0 ? initial : ZEROS;
  for (; steps >= 4; ) {
    const block = min(steps, BLOCK) & ~3;
    let panelWeights = weights;
    for (let first = 0; first < whole; ) {
      const panel = panelRows(whole - first);
      const stride = (<usize>panel) << 2;
      for (let step = 0; step < block; step += 4) {
        for (let row = 0; row < panel; row += 8) {
          tile(
            columns,
            panelWeights + ((<usize>row) << 2),
            stride,
            source + <usize>step * sourcePitch,
            sourcePitch,
            from + <usize>(first + row) * start,
            target + <usize>step * targetPitch + ((<usize>(first + row)) << 2),
            targetPitch,
          );
        }
      }
      panelWeights += stride * <usize>columns;
      first += panel;
    }
    if (whole < rows) {
      for (let step = 0; step < block; step++) {
        linear(
          rows - whole,
          columns,
          panelWeights,
          source + <usize>step * sourcePitch,
          initial != 0 ? initial + ((<usize>whole) << 2) : 0,
          target + <usize>step * targetPitch + ((<usize>whole) << 2),
          1,
        );
      }
    }
    steps -= block;
    source += <usize>block * sourcePitch;
    target += <usize>block * targetPitch;
  }
  for (; steps > 0; steps--) {
    linear(rows, columns, weights, source, initial, target, 1);
    source += sourcePitch;
    target += targetPitch;
  }
}
