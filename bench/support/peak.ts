/**
 * The fastest that WebAssembly multiplies and adds on this machine, in 128-bit vectors: the better of
 * two loops that do nothing else. One has twelve accumulators, a ← a · x + y, all in registers; a
 * processor that runs three additions and multiplications at a time has to wait for their results in
 * turn. The other has eight, a ← a + v · x, where only the addition waits, with four v from the nearest
 * cache for two x each. A floor that no kernel of matrix products gets under.
 */
import { measure } from "../harness.ts";

const LANES = 4;
const ROUNDS = 500_000;

const v128 = 0x7b;
const f32 = 0x7d;
const i32 = 0x7f;
const localGet = (index: number) => [0x20, index];
const localSet = (index: number) => [0x21, index];
const half = [0x43, 0, 0, 0, 0x3f];
const splat = [0xfd, 0x13];
/** From address 0 on; the offset follows. */
const load = [0x41, 0, 0xfd, 0x00, 4];
const firstLane = [0xfd, 0x1f, 0];
const multiply = [0xfd, 0xe6, 0x01];
const add = [0xfd, 0xe4, 0x01];
const relaxedMultiplyAdd = [0xfd, 0x85, 0x02];

interface Loop {
  readonly accumulators: number;
  /** The instructions that add a product to accumulator `index`, which is the local `local`. */
  multiplyAdd(index: number, local: number, simd: "plain" | "relaxed"): number[];
}

/** Locals; 0 is the rounds left. x = y = ½ hold the accumulators of the first loop at 1. */
const CONSTANT = 1;
/** The second loop's other x, and its four v: 0 throughout, as are then its accumulators. */
const OTHER = 2;
const LOADED = 3;
const FIRST_ACCUMULATOR = 7;

const inRegisters: Loop = {
  accumulators: 12,
  multiplyAdd: (_, local, simd) => [
    ...localGet(local),
    ...localGet(CONSTANT),
    ...(simd === "plain" ? multiply : []),
    ...localGet(CONSTANT),
    ...(simd === "plain" ? add : relaxedMultiplyAdd),
    ...localSet(local),
  ],
};

const withLoads: Loop = {
  accumulators: 8,
  multiplyAdd: (index, local, simd) => [
    ...(index % 2 === 0 ? [...load, ...leb(8 * index), ...localSet(LOADED + index / 2)] : []),
    ...(simd === "plain" ? localGet(local) : []),
    ...localGet(LOADED + (index >> 1)),
    ...localGet(index % 2 === 0 ? CONSTANT : OTHER),
    ...(simd === "plain" ? [...multiply, ...add] : [...localGet(local), ...relaxedMultiplyAdd]),
    ...localSet(local),
  ],
};

/** `{ run(rounds: i32): f32 }`: that many rounds of one multiply–add for every accumulator. */
function peakModule(loop: Loop, simd: "plain" | "relaxed"): Uint8Array<ArrayBuffer> {
  const locals = Array.from({ length: loop.accumulators }, (_, index) => FIRST_ACCUMULATOR + index);
  const body = [
    ...[1, FIRST_ACCUMULATOR + 12, v128],
    ...[...half, ...splat, ...localSet(CONSTANT)],
    ...[0x03, 0x40], // loop
    ...locals.flatMap((local, index) => loop.multiplyAdd(index, local, simd)),
    ...[...localGet(0), 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b], // until --rounds is 0
    ...localGet(locals[0]),
    ...locals.slice(1).flatMap((local) => [...localGet(local), ...add]),
    ...[...firstLane, 0x0b],
  ];
  const section = (id: number, content: readonly number[]) => [
    id,
    ...leb(content.length),
    ...content,
  ];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 1, i32, 1, f32]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [1, 3, ...new TextEncoder().encode("run"), 0, 0]),
    ...section(10, [1, ...leb(body.length), ...body]),
  ]);
}

/** An unsigned integer in LEB128. */
function leb(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >>> 7)];
}

/**
 * Multiply–adds a nanosecond, of float32 in 128-bit vectors: with relaxed SIMD a fused one is one
 * instruction, without it is two.
 */
export async function measurePeak(simd: "plain" | "relaxed"): Promise<number> {
  const peaks: number[] = [];
  for (const loop of [inRegisters, withLoads]) {
    const { instance } = await WebAssembly.instantiate(peakModule(loop, simd));
    const run = instance.exports.run as (rounds: number) => number;
    const { min } = await measure(() => run(ROUNDS), { warmup: 5, repeats: 30 });
    peaks.push((ROUNDS * loop.accumulators * LANES) / (min * 1e6));
  }
  return Math.max(...peaks);
}
