/**
 * Runs a compiled step program over time, with lanes: several sequences or chunks side by side.
 *
 * What a lane carries from step to step (its state, and in a sweep the running product of Jacobians
 * too) lies in a register [carried, lanes]; in memory outside, each lane's numbers are contiguous.
 */
import { Job, Lane } from "./layout";
import { execute } from "./program";

// @ts-ignore: decorator
@inline
function field(job: usize, offset: usize): i32 {
  return load<i32>(job + offset);
}

// @ts-ignore: decorator
@inline
function address(job: usize, offset: usize): usize {
  return <usize>load<u32>(job + offset);
}

/** target[i · pitch] = source[i] for i < count: one lane of a register, from memory. */
function spread(source: usize, count: i32, target: usize, pitch: usize): void {
  if (pitch == 4) {
    copy(source, count, target);
    return;
  }
  for (let i = 0; i < count; i++) {
    store<f32>(target, load<f32>(source));
    source += 4;
    target += pitch;
  }
}

/** target[i] = source[i · pitch] for i < count: one lane of a register, to memory. */
function collect(source: usize, count: i32, target: usize, pitch: usize): void {
  if (pitch == 4) {
    copy(source, count, target);
    return;
  }
  for (let i = 0; i < count; i++) {
    store<f32>(target, load<f32>(source));
    source += pitch;
    target += 4;
  }
}

/** Copies `count` floats. */
export function copy(source: usize, count: i32, target: usize): void {
  for (; count >= 4; count -= 4) {
    v128.store(target, v128.load(source));
    source += 16;
    target += 16;
  }
  for (; count > 0; count--) {
    store<f32>(target, load<f32>(source));
    source += 4;
    target += 4;
  }
}

// @ts-ignore: decorator
@inline
function transpose4(
  a: v128,
  b: v128,
  c: v128,
  d: v128,
  target0: usize,
  target1: usize,
  target2: usize,
  target3: usize,
): void {
  const low01 = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
  const low23 = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
  const high01 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const high23 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  v128.store(target0, v128.shuffle<f32>(low01, low23, 0, 1, 4, 5));
  v128.store(target1, v128.shuffle<f32>(low01, low23, 2, 3, 6, 7));
  v128.store(target2, v128.shuffle<f32>(high01, high23, 0, 1, 4, 5));
  v128.store(target3, v128.shuffle<f32>(high01, high23, 2, 3, 6, 7));
}

/** Rows of `count` floats, one at each lane's source address, into a register [count, lanes]. */
function gather(table: usize, lanes: i32, count: i32, register: usize): void {
  if (lanes == 1) {
    copy(load<u32>(table, Lane.source), count, register);
    return;
  }
  const pitch = (<usize>lanes) << 2;
  const whole = count & ~3;
  for (let lane = 0; lane < lanes; lane += 4) {
    const entry = table + <usize>lane * Lane.size;
    const s0 = <usize>load<u32>(entry, Lane.source);
    const s1 = <usize>load<u32>(entry, Lane.size + Lane.source);
    const s2 = <usize>load<u32>(entry, 2 * Lane.size + Lane.source);
    const s3 = <usize>load<u32>(entry, 3 * Lane.size + Lane.source);
    let to = register + ((<usize>lane) << 2);
    for (let i: usize = 0; i < (<usize>whole) << 2; i += 16, to += pitch << 2) {
      transpose4(
        v128.load(s0 + i),
        v128.load(s1 + i),
        v128.load(s2 + i),
        v128.load(s3 + i),
        to,
        to + pitch,
        to + 2 * pitch,
        to + 3 * pitch,
      );
    }
    for (let i = (<usize>whole) << 2; i < (<usize>count) << 2; i += 4, to += pitch) {
      store<f32>(to, load<f32>(s0 + i));
      store<f32>(to, load<f32>(s1 + i), 4);
      store<f32>(to, load<f32>(s2 + i), 8);
      store<f32>(to, load<f32>(s3 + i), 12);
    }
  }
}

/** A register [count, lanes] to a row of `count` floats for each lane that is still running. */
function scatter(table: usize, lanes: i32, step: i32, count: i32, register: usize): void {
  if (lanes == 1) {
    copy(register, count, load<u32>(table, Lane.target));
    return;
  }
  const pitch = (<usize>lanes) << 2;
  for (let lane = 0; lane < lanes; lane += 4) {
    const entry = table + <usize>lane * Lane.size;
    let from = register + ((<usize>lane) << 2);
    if (
      step < load<i32>(entry, Lane.steps) &&
      step < load<i32>(entry, Lane.size + Lane.steps) &&
      step < load<i32>(entry, 2 * Lane.size + Lane.steps) &&
      step < load<i32>(entry, 3 * Lane.size + Lane.steps)
    ) {
      const t0 = <usize>load<u32>(entry, Lane.target);
      const t1 = <usize>load<u32>(entry, Lane.size + Lane.target);
      const t2 = <usize>load<u32>(entry, 2 * Lane.size + Lane.target);
      const t3 = <usize>load<u32>(entry, 3 * Lane.size + Lane.target);
      const whole = (<usize>(count & ~3)) << 2;
      for (let i: usize = 0; i < whole; i += 16, from += pitch << 2) {
        transpose4(
          v128.load(from),
          v128.load(from + pitch),
          v128.load(from + 2 * pitch),
          v128.load(from + 3 * pitch),
          t0 + i,
          t1 + i,
          t2 + i,
          t3 + i,
        );
      }
      for (let i = whole; i < (<usize>count) << 2; i += 4, from += pitch) {
        store<f32>(t0 + i, load<f32>(from));
        store<f32>(t1 + i, load<f32>(from, 4));
        store<f32>(t2 + i, load<f32>(from, 8));
        store<f32>(t3 + i, load<f32>(from, 12));
      }
    } else {
      for (let i = 0; i < 4; i++) {
        const one = entry + <usize>i * Lane.size;
        if (step >= load<i32>(one, Lane.steps)) continue;
        collect(from + ((<usize>i) << 2), count, load<u32>(one, Lane.target), pitch);
      }
    }
  }
}

function gatherSigns(job: usize, table: usize, lanes: i32): void {
  const width = field(job, Job.signsWidth);
  const rows = field(job, Job.signsRows);
  const register = address(job, Job.signsRegister);
  for (let lane = 0; lane < lanes; lane++) {
    const entry = table + <usize>lane * Lane.size;
    const row = load<i32>(entry, Lane.sign);
    const source = address(job, Job.signs) + <usize>(row * width) * 4;
    spread(source, width, register + ((<usize>lane) << 2), (<usize>lanes) << 2);
    store<i32>(entry, row + 1 == rows ? 0 : row + 1, Lane.sign);
  }
}

function startLanes(job: usize, table: usize, lanes: i32): void {
  const carry = address(job, Job.carryRegister);
  const stateWidth = field(job, Job.stateWidth);
  const rest = field(job, Job.carryWidth) - stateWidth;
  const pitch = (<usize>lanes) << 2;
  for (let lane = 0; lane < lanes; lane++) {
    const entry = table + <usize>lane * Lane.size;
    const at = carry + ((<usize>lane) << 2);
    spread(load<u32>(entry, Lane.initial), stateWidth, at, pitch);
    spread(address(job, Job.restart), rest, at + <usize>stateWidth * pitch, pitch);
  }
}

/** Writes out what a lane carries when it has done its last step, and moves the others on. */
function advance(job: usize, table: usize, lanes: i32, step: i32): void {
  const next = address(job, Job.nextRegister);
  const stateWidth = field(job, Job.stateWidth);
  const rest = field(job, Job.carryWidth) - stateWidth;
  const pitch = (<usize>lanes) << 2;
  for (let lane = 0; lane < lanes; lane++) {
    const entry = table + <usize>lane * Lane.size;
    const steps = load<i32>(entry, Lane.steps);
    if (step + 1 < steps) {
      store<u32>(entry, load<u32>(entry, Lane.source) + field(job, Job.sourceStride), Lane.source);
      store<u32>(entry, load<u32>(entry, Lane.target) + field(job, Job.targetStride), Lane.target);
    } else if (step + 1 == steps) {
      const at = next + ((<usize>lane) << 2);
      const final = <usize>load<u32>(entry, Lane.final);
      if (final != 0) collect(at, stateWidth, final, pitch);
      const finalRest = <usize>load<u32>(entry, Lane.finalRest);
      if (finalRest != 0) collect(at + <usize>stateWidth * pitch, rest, finalRest, pitch);
    }
  }
}

/** Runs every lane to its end; lanes that end early idle. */
export function runLanes(job: usize): void {
  const code = address(job, Job.code);
  const firstCode = address(job, Job.firstCode);
  const lanes = field(job, Job.lanes);
  const table = address(job, Job.table);
  const steps = field(job, Job.steps);
  const sourceWidth = field(job, Job.sourceWidth);
  const sourceRegister = address(job, Job.sourceRegister);
  const carryRegister = address(job, Job.carryRegister);
  const nextRegister = address(job, Job.nextRegister);
  const carryCount = field(job, Job.carryWidth) * lanes;
  const targetWidth = field(job, Job.targetWidth);
  const hasSigns = address(job, Job.signs) != 0;
  startLanes(job, table, lanes);
  for (let step = 0; step < steps; step++) {
    gather(table, lanes, sourceWidth, sourceRegister);
    if (hasSigns) gatherSigns(job, table, lanes);
    execute(step == 0 ? firstCode : code);
    if (targetWidth > 0) scatter(table, lanes, step, targetWidth, nextRegister);
    advance(job, table, lanes, step);
    copy(nextRegister, carryCount, carryRegister);
  }
}
