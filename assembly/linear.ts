/**
 * target[rows, width] = weights[rows, columns] · source[columns, width] + initial[rows, width].
 *
 * The weights are packed in panels of 32, then 16, 8 and 4 rows (the last padded with zeros); a panel
 * holds its rows of column 0, then of column 1, and so on. Every element is summed in the order of
 * columns, so a result depends neither on the width nor on the panel that it falls into.
 *
 * An addition's result is there after four cycles, and up to two are begun in each: eight sums that do
 * not wait for one another keep a processor busy, and with their factors fit sixteen registers. Compilers
 * load all that a stretch of straight code needs before they use any of it, and eight sums with eight
 * weights fit no longer: hence the `break` half-way through a column, which is never taken.
 */
import { madd4 } from "./math";

/** Stores the first `count` (1 or more; at most 4 count) numbers of `value`. */
// @ts-ignore: decorator
@inline
export function storeFirst(target: usize, value: v128, count: i32): void {
  if (count >= 4) v128.store(target, value);
  else storeFewer(target, value, count);
}

function storeFewer(target: usize, value: v128, count: i32): void {
  v128.store_lane<f32>(target, value, 0);
  if (count > 1) v128.store_lane<f32>(target, value, 1, 4);
  if (count > 2) v128.store_lane<f32>(target, value, 2, 8);
}

/** What sums start from where there is no `initial`: a panel of zeros. */
export const ZEROS = memory.data(128, 16);

// @ts-ignore: decorator
@inline
function panel32(columns: i32, weights: usize, source: usize, initial: usize, target: usize): void {
  let s0 = v128.load(initial);
  let s1 = v128.load(initial, 16);
  let s2 = v128.load(initial, 32);
  let s3 = v128.load(initial, 48);
  let s4 = v128.load(initial, 64);
  let s5 = v128.load(initial, 80);
  let s6 = v128.load(initial, 96);
  let s7 = v128.load(initial, 112);
  const end = source + ((<usize>columns) << 2);
  for (; source < end; source += 4, weights += 128) {
    const x = v128.load32_splat(source);
    s0 = madd4(v128.load(weights), x, s0);
    s1 = madd4(v128.load(weights, 16), x, s1);
    s2 = madd4(v128.load(weights, 32), x, s2);
    s3 = madd4(v128.load(weights, 48), x, s3);
    if (weights == 0) break;
    s4 = madd4(v128.load(weights, 64), x, s4);
    s5 = madd4(v128.load(weights, 80), x, s5);
    s6 = madd4(v128.load(weights, 96), x, s6);
    s7 = madd4(v128.load(weights, 112), x, s7);
  }
  v128.store(target, s0);
  v128.store(target, s1, 16);
  v128.store(target, s2, 32);
  v128.store(target, s3, 48);
  v128.store(target, s4, 64);
  v128.store(target, s5, 80);
  v128.store(target, s6, 96);
  v128.store(target, s7, 112);
}

// @ts-ignore: decorator
@inline
function panel16(columns: i32, weights: usize, source: usize, initial: usize, target: usize): void {
  let s0 = v128.load(initial);
  let s1 = v128.load(initial, 16);
  let s2 = v128.load(initial, 32);
  let s3 = v128.load(initial, 48);
  const end = source + ((<usize>columns) << 2);
  for (; source < end; source += 4, weights += 64) {
    const x = v128.load32_splat(source);
    s0 = madd4(v128.load(weights), x, s0);
    s1 = madd4(v128.load(weights, 16), x, s1);
    s2 = madd4(v128.load(weights, 32), x, s2);
    s3 = madd4(v128.load(weights, 48), x, s3);
  }
  v128.store(target, s0);
  v128.store(target, s1, 16);
  v128.store(target, s2, 32);
  v128.store(target, s3, 48);
}

// @ts-ignore: decorator
@inline
function panel8(columns: i32, weights: usize, source: usize, initial: usize, target: usize): void {
  let s0 = v128.load(initial);
  let s1 = v128.load(initial, 16);
  const end = source + ((<usize>columns) << 2);
  for (; source < end; source += 4, weights += 32) {
    const x = v128.load32_splat(source);
    s0 = madd4(v128.load(weights), x, s0);
    s1 = madd4(v128.load(weights, 16), x, s1);
  }
  v128.store(target, s0);
  v128.store(target, s1, 16);
}

// @ts-ignore: decorator
@inline
function panel4(
  rows: i32,
  columns: i32,
  weights: usize,
  source: usize,
  initial: usize,
  target: usize,
): void {
  let sum = v128.load(initial);
  const end = source + ((<usize>columns) << 2);
  for (; source < end; source += 4, weights += 16) {
    sum = madd4(v128.load(weights), v128.load32_splat(source), sum);
  }
  storeFirst(target, sum, rows);
}

/** Whether the panels of one vector's products are taken from the last to the first. */
let descending: bool = false;

/**
 * To be called between passes over the same weights. Where they are too many for the nearest cache, it
 * still holds the last ones: the next pass starts with those instead of driving them out.
 */
// @ts-ignore: decorator
@inline
export function turnRound(): void {
  descending = !descending;
}

/** One vector: width 1. */
function linearVector(
  rows: i32,
  columns: i32,
  weights: usize,
  source: usize,
  initial: usize,
  target: usize,
): void {
  const column = (<usize>columns) << 2;
  const step: usize = initial != 0 ? 4 : 0;
  if (initial == 0) initial = ZEROS;
  if (rows >= 32) {
    const whole = rows & ~31;
    for (let row = 0; row < whole; row += 32) {
      const at = <usize>(descending ? whole - 32 - row : row);
      panel32(columns, weights + at * column, source, initial + at * step, target + (at << 2));
    }
    rows -= whole;
    weights += <usize>whole * column;
    initial += <usize>whole * step;
    target += (<usize>whole) << 2;
  }
  while (rows > 0) {
    const panel = panelRows(rows);
    if (panel == 16) panel16(columns, weights, source, initial, target);
    else if (panel == 8) panel8(columns, weights, source, initial, target);
    else panel4(rows, columns, weights, source, initial, target);
    rows -= panel;
    weights += <usize>panel * column;
    initial += <usize>panel * step;
    target += (<usize>panel) << 2;
  }
}

/** Rows of the next panel when `rows` are left. */
// @ts-ignore: decorator
@inline
export function panelRows(rows: i32): i32 {
  return rows >= 32 ? 32 : rows >= 16 ? 16 : rows >= 8 ? 8 : 4;
}

/**
 * Four rows by eight lanes; `weights` points at the rows' first column, `stride` bytes a column; rows of
 * `initial` are `start` bytes apart.
 */
// @ts-ignore: decorator
@inline
function tile4x8(
  columns: i32,
  weights: usize,
  stride: usize,
  source: usize,
  initial: usize,
  start: usize,
  target: usize,
  rows: i32,
  pitch: usize,
): void {
  let s00 = v128.load(initial);
  let s01 = v128.load(initial, 16);
  let s10 = v128.load(initial + start);
  let s11 = v128.load(initial + start, 16);
  let s20 = v128.load(initial + 2 * start);
  let s21 = v128.load(initial + 2 * start, 16);
  let s30 = v128.load(initial + 3 * start);
  let s31 = v128.load(initial + 3 * start, 16);
  for (let j = 0; j < columns; j++, weights += stride, source += pitch) {
    const x0 = v128.load(source);
    const x1 = v128.load(source, 16);
    const w0 = v128.load32_splat(weights);
    s00 = madd4(w0, x0, s00);
    s01 = madd4(w0, x1, s01);
    const w1 = v128.load32_splat(weights, 4);
    s10 = madd4(w1, x0, s10);
    s11 = madd4(w1, x1, s11);
    const w2 = v128.load32_splat(weights, 8);
    s20 = madd4(w2, x0, s20);
    s21 = madd4(w2, x1, s21);
    const w3 = v128.load32_splat(weights, 12);
    s30 = madd4(w3, x0, s30);
    s31 = madd4(w3, x1, s31);
  }
  v128.store(target, s00);
  v128.store(target, s01, 16);
  if (rows > 1) {
    v128.store(target + pitch, s10);
    v128.store(target + pitch, s11, 16);
  }
  if (rows > 2) {
    v128.store(target + 2 * pitch, s20);
    v128.store(target + 2 * pitch, s21, 16);
  }
  if (rows > 3) {
    v128.store(target + 3 * pitch, s30);
    v128.store(target + 3 * pitch, s31, 16);
  }
}

/** Eight rows by four lanes; like `tile4x8` it looks at most three rows past the end of `initial`. */
// @ts-ignore: decorator
@inline
function tile8x4(
  columns: i32,
  weights: usize,
  stride: usize,
  source: usize,
  initial: usize,
  start: usize,
  target: usize,
  rows: i32,
  pitch: usize,
): void {
  let s00 = v128.load(initial);
  let s10 = v128.load(initial + start);
  let s20 = v128.load(initial + 2 * start);
  let s30 = v128.load(initial + 3 * start);
  const lower = rows > 4 ? initial + 4 * start : initial;
  let s40 = v128.load(lower);
  let s50 = v128.load(lower + start);
  let s60 = v128.load(lower + 2 * start);
  let s70 = v128.load(lower + 3 * start);
  for (let j = 0; j < columns; j++, weights += stride, source += pitch) {
    const x0 = v128.load(source);
    const w0 = v128.load32_splat(weights);
    s00 = madd4(w0, x0, s00);
    const w1 = v128.load32_splat(weights, 4);
    s10 = madd4(w1, x0, s10);
    const w2 = v128.load32_splat(weights, 8);
    s20 = madd4(w2, x0, s20);
    const w3 = v128.load32_splat(weights, 12);
    s30 = madd4(w3, x0, s30);
    if (weights == 0) break;
    const w4 = v128.load32_splat(weights, 16);
    s40 = madd4(w4, x0, s40);
    const w5 = v128.load32_splat(weights, 20);
    s50 = madd4(w5, x0, s50);
    const w6 = v128.load32_splat(weights, 24);
    s60 = madd4(w6, x0, s60);
    const w7 = v128.load32_splat(weights, 28);
    s70 = madd4(w7, x0, s70);
  }
  v128.store(target, s00);
  if (rows > 1) v128.store(target + pitch, s10);
  if (rows > 2) v128.store(target + 2 * pitch, s20);
  if (rows > 3) v128.store(target + 3 * pitch, s30);
  if (rows > 4) v128.store(target + 4 * pitch, s40);
  if (rows > 5) v128.store(target + 5 * pitch, s50);
  if (rows > 6) v128.store(target + 6 * pitch, s60);
  if (rows > 7) v128.store(target + 7 * pitch, s70);
}

/** Columns of a panel that stay in the nearest cache while all of its tiles go over them. */
const COLUMN_BLOCK: i32 = 128;

/** `width` vectors side by side, a multiple of four. */
function linearLanes(
  rows: i32,
  columns: i32,
  weights: usize,
  source: usize,
  initial: usize,
  target: usize,
  width: i32,
): void {
  const pitch = (<usize>width) << 2;
  while (rows > 0) {
    const panel = panelRows(rows);
    const stride = (<usize>panel) << 2;
    let from = initial;
    for (let first = 0; first == 0 || first < columns; first += COLUMN_BLOCK) {
      const block = min(columns - first, COLUMN_BLOCK);
      const start = from != 0 ? pitch : 0;
      for (let lane = 0; lane < width; lane += 8) {
        const x = source + <usize>first * pitch + ((<usize>lane) << 2);
        const isWide = lane + 8 <= width;
        const step = isWide ? 4 : 8;
        for (let row = 0; row < panel && row < rows; row += step) {
          const corner = weights + <usize>first * stride + ((<usize>row) << 2);
          const at = <usize>row * pitch + ((<usize>lane) << 2);
          const sums = from != 0 ? from + at : ZEROS;
          const left = min(rows, panel) - row;
          if (isWide) tile4x8(block, corner, stride, x, sums, start, target + at, left, pitch);
          else tile8x4(block, corner, stride, x, sums, start, target + at, left, pitch);
        }
      }
      // The next columns are added to what there is.
      from = target;
    }
    weights += stride * <usize>columns;
    rows -= panel;
    target += <usize>panel * pitch;
    if (initial != 0) initial += <usize>panel * pitch;
  }
}

export function linear(
  rows: i32,
  columns: i32,
  weights: usize,
  source: usize,
  initial: usize,
  target: usize,
  width: i32,
): void {
  if (width == 1) linearVector(rows, columns, weights, source, initial, target);
  else linearLanes(rows, columns, weights, source, initial, target, width);
}
