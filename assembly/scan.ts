/**
 * The scans over chunks: b'_{k+1} = Φ_k + P_k (b'_k − b_k), where Φ_k is the last state of chunk k and
 * b_k the boundary that it started from. On one thread the recursion itself is the cheapest scan; the
 * vectors run across the state's elements.
 */
import { Chunks, ProductKind } from "./layout";
import { storeFirst } from "./linear";
import { madd4 } from "./math";
import { copy } from "./recurrence";

// @ts-ignore: decorator
@inline
export function field(chunks: usize, offset: usize): i32 {
  return load<i32>(chunks + offset);
}

// @ts-ignore: decorator
@inline
export function address(chunks: usize, offset: usize): usize {
  return <usize>load<u32>(chunks + offset);
}

/** Φ_k: the address of chunk k's last state. */
export function chunkEnd(chunks: usize, k: i32): usize {
  const length = field(chunks, Chunks.chunkLength);
  const step = min((k + 1) * length, field(chunks, Chunks.steps)) - 1;
  return address(chunks, Chunks.states) + <usize>step * (field(chunks, Chunks.stateSize) << 2);
}

export function boundary(chunks: usize, k: i32): usize {
  return address(chunks, Chunks.boundaries) + <usize>k * (field(chunks, Chunks.stateSize) << 2);
}

export function product(chunks: usize, k: i32): usize {
  return address(chunks, Chunks.products) + <usize>k * field(chunks, Chunks.productStride);
}

/** All ones where an element is finite. */
// @ts-ignore: decorator
@inline
function isFinite4(x: v128): v128 {
  return f32x4.eq(f32x4.sub(x, x), f32x4.splat(0));
}

/** The new boundary, the old one where the new is not finite, else zero; within its bounds. */
// @ts-ignore: decorator
@inline
function guard4(fresh: v128, old: v128, low: v128, high: v128): v128 {
  const kept = v128.bitselect(old, f32x4.splat(0), isFinite4(old));
  const usable = v128.bitselect(fresh, kept, isFinite4(fresh));
  return f32x4.min(f32x4.max(usable, low), high);
}

/**
 * factor · value. Where all P_k are one, a factor of zero means that there is no Jacobian, and that
 * nothing is carried from one boundary to the next: 0 · NaN is 0 then.
 */
// @ts-ignore: decorator
@inline
export function carry4(factor: v128, value: v128, shared: bool): v128 {
  const carried = f32x4.mul(factor, value);
  return shared ? v128.and(carried, f32x4.ne(factor, f32x4.splat(0))) : carried;
}

/** Stores b'_{k} = `fresh` over b_k, and b'_k − b_k, unguarded, in `delta`; all `[stateSize]`. */
export function moveBoundary(chunks: usize, k: i32, fresh: usize, delta: usize): void {
  const at = boundary(chunks, k);
  const low = address(chunks, Chunks.low);
  const high = address(chunks, Chunks.high);
  const size = field(chunks, Chunks.stateSize);
  for (let i = 0; i < size; i += 4) {
    const offset = (<usize>i) << 2;
    const value = v128.load(fresh + offset);
    const old = v128.load(at + offset);
    v128.store(delta + offset, f32x4.sub(value, old));
    const guarded = guard4(value, old, v128.load(low + offset), v128.load(high + offset));
    storeFirst(at + offset, guarded, size - i);
  }
}

/** b_from ← Φ_{from−1}, which is exact; `delta` becomes the change, padded to whole vectors. */
export function setExactFrom(chunks: usize, from: i32, delta: usize): void {
  const size = field(chunks, Chunks.stateSize);
  const end = chunkEnd(chunks, from - 1);
  const old = boundary(chunks, from);
  for (let i: usize = 0; i < (<usize>size) << 2; i += 4) {
    store<f32>(delta + i, load<f32>(end + i) - load<f32>(old + i));
  }
  for (let i = size; (i & 3) != 0; i++) store<f32>(delta + ((<usize>i) << 2), 0);
  copy(end, size, old);
}

/** b_from ← Φ_{from−1}, which is exact. */
export function setExact(chunks: usize, from: i32): void {
  setExactFrom(chunks, from, address(chunks, Chunks.scratch));
}

/** Compares the ends of chunks `from` … with the boundaries; b_from is exact. */
export function measure(chunks: usize, from: i32): void {
  const size = field(chunks, Chunks.stateSize);
  const count = field(chunks, Chunks.chunks);
  let worst: f32 = 0;
  let merit: f64 = 0;
  let finite = true;
  let exact = from + 1;
  for (let k = from; k < count; k++) {
    const end = chunkEnd(chunks, k);
    const next = boundary(chunks, k + 1);
    let largest: f32 = 0;
    let scale: f32 = 0;
    let squares: f32 = 0;
    let sum: f32 = 0;
    for (let i: usize = 0; i < (<usize>size) << 2; i += 4) {
      const b = load<f32>(next + i);
      const defect = load<f32>(end + i) - b;
      largest = max(largest, abs(defect));
      scale = max(scale, abs(b));
      squares += defect * defect;
      // Zero for finite numbers, NaN for all others.
      sum += defect * 0 + b * 0;
    }
    if (sum != 0) {
      finite = false;
      continue;
    }
    merit += <f64>squares;
    worst = max(worst, largest / (1 + scale));
    if (largest == 0 && k == exact - 1 && exact < count) exact++;
  }
  let exactFinite = true;
  const last = chunkEnd(chunks, exact - 1);
  for (let i: usize = 0; i < (<usize>size) << 2; i += 4) {
    if (load<f32>(last + i) * 0 != 0) exactFinite = false;
  }
  store<f32>(chunks, finite ? worst : Infinity, Chunks.residual);
  store<f32>(chunks, finite ? <f32>(merit / 2) : Infinity, Chunks.merit);
  store<i32>(chunks, exact, Chunks.exactChunks);
  store<i32>(chunks, exactFinite ? 1 : 0, Chunks.finite);
}

/** P_k of chunks `from` …: the identity for what is not finite, then times `scale`, then clipped. */
export function guardProducts(
  chunks: usize,
  from: i32,
  kind: ProductKind,
  scale: f32,
  clip: bool,
): void {
  const count = field(chunks, Chunks.chunks);
  const width = field(chunks, Chunks.productWidth);
  const one = f32x4.splat(1);
  for (let k = from; k < count; k++) {
    const p = product(chunks, k);
    if (kind != ProductKind.diagonal && !allFinite(p, width)) setIdentity(chunks, p, kind);
    for (let i = 0; i < width; i += 4) {
      const at = p + ((<usize>i) << 2);
      let value = v128.load(at);
      value = v128.bitselect(value, one, isFinite4(value));
      value = f32x4.mul(value, f32x4.splat(scale));
      if (clip) value = f32x4.max(f32x4.min(value, one), f32x4.splat(-1));
      storeFirst(at, value, width - i);
    }
  }
}

/** Whether `count` floats are all finite. */
export function allFinite(values: usize, count: i32): bool {
  const zero = f32x4.splat(0);
  let sum = zero;
  let other = zero;
  // A number times zero is zero if it is finite, else NaN. Two sums, so as not to wait for either.
  for (; count >= 8; count -= 8, values += 32) {
    sum = f32x4.add(sum, f32x4.mul(v128.load(values), zero));
    other = f32x4.add(other, f32x4.mul(v128.load(values, 16), zero));
  }
  sum = f32x4.add(sum, other);
  let rest: f32 = 0;
  for (; count > 0; count--, values += 4) rest += load<f32>(values) * 0;
  return i32x4.all_true(f32x4.eq(sum, zero)) && rest == 0;
}

function setIdentity(chunks: usize, p: usize, kind: ProductKind): void {
  const size = field(chunks, Chunks.stateSize);
  const width = field(chunks, Chunks.productWidth);
  memory.fill(p, 0, (<usize>width) << 2);
  const units = field(chunks, Chunks.units);
  const unitCount = size / units;
  const pitch = field(chunks, Chunks.pitch);
  for (let i = 0; i < size; i++) {
    const part = i / unitCount;
    const at =
      kind == ProductKind.dense
        ? i * pitch + i
        : (part * units + part) * unitCount + (i - part * unitCount);
    store<f32>(p + ((<usize>at) << 2), 1);
  }
}

/** Scratch: two vectors of the state's size, each rounded up to four floats and four more. */
// @ts-ignore: decorator
@inline
function second(chunks: usize): usize {
  const size = <usize>field(chunks, Chunks.stateSize);
  return address(chunks, Chunks.scratch) + (((size + 3) & ~3) << 2) + 16;
}

/** P_k diagonal, or one number an element for all chunks. */
export function scanDiagonal(chunks: usize, from: i32): void {
  const size = field(chunks, Chunks.stateSize);
  const count = field(chunks, Chunks.chunks);
  const delta = address(chunks, Chunks.scratch);
  const fresh = second(chunks);
  const shared = field(chunks, Chunks.productStride) == 0;
  setExactFrom(chunks, from, delta);
  for (let k = from; k < count; k++) {
    const end = chunkEnd(chunks, k);
    const p = product(chunks, k);
    for (let i: usize = 0; i < (<usize>size) << 2; i += 16) {
      const carried = carry4(v128.load(p + i), v128.load(delta + i), shared);
      v128.store(fresh + i, f32x4.add(v128.load(end + i), carried));
    }
    moveBoundary(chunks, k + 1, fresh, delta);
  }
}

/** P_k in blocks of diagonals, `[units, units, stateSize / units]`. */
export function scanBlock(chunks: usize, from: i32): void {
  const size = field(chunks, Chunks.stateSize);
  const count = field(chunks, Chunks.chunks);
  const units = field(chunks, Chunks.units);
  const part = (<usize>(size / units)) << 2;
  const delta = address(chunks, Chunks.scratch);
  const fresh = second(chunks);
  setExactFrom(chunks, from, delta);
  for (let k = from; k < count; k++) {
    const end = chunkEnd(chunks, k);
    let p = product(chunks, k);
    for (let a = 0; a < units; a++) {
      const row = <usize>a * part;
      for (let i: usize = 0; i < part; i += 16) {
        let sum = v128.load(end + row + i);
        for (let b = 0; b < units; b++) {
          const offset = <usize>b * part + i;
          sum = madd4(v128.load(p + offset), v128.load(delta + offset), sum);
        }
        // The last vector of a part spills into the next, which is written after it.
        v128.store(fresh + row + i, sum);
      }
      p += <usize>units * part;
    }
    moveBoundary(chunks, k + 1, fresh, delta);
  }
}

/** P_k dense, `[stateSize, pitch]`. */
export function scanDense(chunks: usize, from: i32): void {
  const size = field(chunks, Chunks.stateSize);
  const count = field(chunks, Chunks.chunks);
  const pitch = field(chunks, Chunks.pitch);
  const delta = address(chunks, Chunks.scratch);
  const fresh = second(chunks);
  setExactFrom(chunks, from, delta);
  for (let k = from; k < count; k++) {
    const end = chunkEnd(chunks, k);
    let row = product(chunks, k);
    for (let i = 0; i < size; i++) {
      const value = load<f32>(end + ((<usize>i) << 2)) + dot(row, delta, pitch);
      store<f32>(fresh + ((<usize>i) << 2), value);
      row += (<usize>pitch) << 2;
    }
    moveBoundary(chunks, k + 1, fresh, delta);
    // moveBoundary works on whole vectors: what lies past the state must stay out of the products.
    for (let i = size; i < pitch; i++) store<f32>(delta + ((<usize>i) << 2), 0);
  }
}

/** Σ a[i] b[i] over `count` floats, a multiple of four. */
export function dot(a: usize, b: usize, count: i32): f32 {
  let sum = f32x4.splat(0);
  for (let i: usize = 0; i < (<usize>count) << 2; i += 16) {
    sum = madd4(v128.load(a + i), v128.load(b + i), sum);
  }
  return (
    f32x4.extract_lane(sum, 0) +
    f32x4.extract_lane(sum, 1) +
    (f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3))
  );
}
