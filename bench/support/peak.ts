/**
 * The fastest that WebAssembly multiplies and adds on this machine: twelve independent 128-bit
 * accumulators in registers, a ← a · x + y, and nothing else. A floor that no kernel of matrix
 * products gets under.
 */
import { measure } from "../harness.ts";

const ACCUMULATORS = 12;
const LANES = 4;
const ROUNDS = 1_000_000;

const v128 = 0x7b;
const f32 = 0x7d;
const i32 = 0x7f;
const localGet = (index: number) => [0x20, index];
const localSet = (index: number) => [0x21, index];
const half = [0x43, 0, 0, 0, 0x3f];
const splat = [0xfd, 0x13];
const firstLane = [0xfd, 0x1f, 0];
const multiply = [0xfd, 0xe6, 0x01];
const add = [0xfd, 0xe4, 0x01];
const relaxedMultiplyAdd = [0xfd, 0x85, 0x02];

/** `{ run(rounds: i32): f32 }`: that many rounds of one multiply–add for every accumulator. */
function peakModule(simd: "plain" | "relaxed"): Uint8Array<ArrayBuffer> {
  // Local 0 is the rounds left; x = y = ½ hold every accumulator at 1, far from subnormal numbers.
  const constant = 1;
  const accumulators = Array.from({ length: ACCUMULATORS }, (_, index) => 2 + index);
  const multiplyAdd = (accumulator: number) => [
    ...localGet(accumulator),
    ...localGet(constant),
    ...(simd === "plain" ? multiply : []),
    ...localGet(constant),
    ...(simd === "plain" ? add : relaxedMultiplyAdd),
    ...localSet(accumulator),
  ];
  const body = [
    ...[1, 1 + ACCUMULATORS, v128],
    ...[...half, ...splat, ...localSet(constant)],
    ...[0x03, 0x40], // loop
    ...accumulators.flatMap(multiplyAdd),
    ...[...localGet(0), 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b], // until --rounds is 0
    ...localGet(accumulators[0]),
    ...accumulators.slice(1).flatMap((accumulator) => [...localGet(accumulator), ...add]),
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
  const { instance } = await WebAssembly.instantiate(peakModule(simd));
  const run = instance.exports.run as (rounds: number) => number;
  const { min } = await measure(() => run(ROUNDS), { warmup: 3, repeats: 15 });
  return (ROUNDS * ACCUMULATORS * LANES) / (min * 1e6);
}
