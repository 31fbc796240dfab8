/**
 * Measures a trajectory: f is evaluated again at every step, the residual r_t = s_t − f(s_{t−1}, x_t)
 * is taken, and the error that the residuals cause is followed to first order, e_t = A_t e_{t−1} + r_t,
 * with the exact Jacobian as a tangent. Three more tangents carry random rounding errors along.
 */
import { Certify } from "./layout";
import { execute } from "./program";
import { copy } from "./recurrence";

// @ts-ignore: decorator
@inline
function word(job: usize, offset: usize): usize {
  return <usize>load<u32>(job + offset);
}

/** Lanes 1 … 3 are ± `size`, by the hash that `noiseSign` of src/solve/engine.ts is; lane 0 is zero. */
// @ts-ignore: decorator
@inline
function noise(index: u32, size: f32): v128 {
  let hash = index * 0x9e3779b1;
  hash = (hash ^ (hash >> 15)) * 0x85ebca77;
  hash = (hash ^ (hash >> 13)) * 0xc2b2ae3d;
  // Bits 29 … 31 of the hash are set where the sign is plus.
  const signs = i32x4(0, (~hash >> 29) << 31, (~hash >> 30) << 31, (~hash >> 31) << 31);
  return v128.xor(f32x4(0, size, size, size), signs);
}

/** Looks at steps `from` … `to` − 1; steps must come in order. */
export function certify(job: usize, from: i32, to: i32): void {
  const code = word(job, Certify.code);
  const size = <i32>word(job, Certify.stateSize);
  const sourceWidth = <i32>word(job, Certify.sourceWidth);
  const stateRegister = word(job, Certify.stateRegister);
  const tangents = word(job, Certify.tangentRegister);
  const next = word(job, Certify.nextRegister);
  const nextTangents = next + ((<usize>size) << 2);
  const rounding = load<f32>(job, Certify.rounding);
  const row = (<usize>size) << 2;
  let index = <u32>from * <u32>size;
  let worstResidual = load<f32>(job, Certify.residual);
  let worstError = load<f32>(job, Certify.error);
  let state = word(job, Certify.states) + <usize>from * row;
  let previous = from == 0 ? word(job, Certify.initial) : state - row;
  let source = word(job, Certify.source) + <usize>from * (sourceWidth << 2);
  for (let t = from; t < to; t++) {
    copy(previous, size, stateRegister);
    copy(source, sourceWidth, word(job, Certify.sourceRegister));
    execute(code);
    let residual: f32 = 0;
    let scale: f32 = 0;
    let largest = f32x4.splat(0);
    for (let i = 0; i < size; i++) {
      const value = load<f32>(state + ((<usize>i) << 2));
      const defect = value - load<f32>(next + ((<usize>i) << 2));
      residual = max(residual, abs(defect));
      scale = max(scale, abs(value));
      index++;
      const error = rounding * (abs(value) + 0.25);
      const tangent = f32x4.add(
        f32x4.add(v128.load(nextTangents + ((<usize>i) << 4)), noise(index, error)),
        f32x4(defect, 0, 0, 0),
      );
      v128.store(tangents + ((<usize>i) << 4), tangent);
      largest = f32x4.max(largest, f32x4.abs(tangent));
    }
    const rounded = max(
      f32x4.extract_lane(largest, 1),
      max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)),
    );
    const error = (f32x4.extract_lane(largest, 0) + 2 * rounded) / (1 + scale);
    worstResidual = worst(worstResidual, residual / (1 + scale));
    worstError = worst(worstError, error);
    previous = state;
    state += row;
    source += (<usize>sourceWidth) << 2;
  }
  store<f32>(job, worstResidual, Certify.residual);
  store<f32>(job, worstError, Certify.error);
}

/** The larger of the two; infinite if either is not finite. */
// @ts-ignore: decorator
@inline
function worst(a: f32, b: f32): f32 {
  return (a + b) * 0 == 0 ? max(a, b) : Infinity;
}
