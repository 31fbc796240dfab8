// The iteration's decisions, as src/solve/iterate.ts takes them, one thread a sequence: what the last sweep or
// certificate means, what each sequence does next, and with that which kernels of the next slot have work.
//#import shared/problem.wgsl

//#section bindings
@group(0) @binding(0) var<uniform> problem: Problem;
@group(0) @binding(1) var<storage, read_write> control: array<Sequence>;
@group(0) @binding(2) var<storage, read> measures: array<vec4u>;
@group(0) @binding(3) var<storage, read> tiles: array<vec4u>;
// (x, y, when) for each dispatch of a slot; x and y are its workgroups when it has work.
@group(0) @binding(4) var<storage, read> planned: array<vec4u>;
@group(0) @binding(5) var<storage, read_write> dispatches: array<vec4u>;
// [sequences, TRACED]: (bits of the residual, exact chunks) of every sweep.
//#if TRACE
@group(0) @binding(6) var<storage, read_write> trace: array<vec2u>;
//#end
//#end

const WIDTH = 64u;
const DISPATCHES = 8u;
// Sweeps of which the trace has room.
const TRACED = 101u;

// When a dispatch has work: while a sequence is sweeping, while one is certifying, or while either.
const WHILE_SWEEPING = 1u;
const WHILE_CERTIFYING = 2u;

// See src/solve/iterate.ts, of which these are the constants.
const TRUST_FACTOR = 10.0;
const RETRY_FACTOR = 2.0;
const NOISE_FLOOR = 8.0;
const FALLING_FACTOR = 0.8;
const ERROR_FACTOR = 10.0;

// If every sweep that is left moved the seams by as much as the last one, the estimate may change by this share.
const SEAM_SHARE = 0.5;

var<workgroup> busy: atomic<u32>;
// The one that a thread looks at.
var<private> sequence: Sequence;

fn infinity() -> f32 {
  return bitcast<f32>(0x7f800000u | (problem.sequences & 0u));
}

// Numbers that are not negative are ordered like their bits; what is no number counts as infinite.
fn ordered(x: f32) -> u32 {
  return min(bitcast<u32>(x) & 0x7fffffffu, 0x7f800000u);
}

fn at_floor() -> bool {
  return sequence.residual <= NOISE_FLOOR * problem.unitRoundoff;
}

// Whether a certificate is worth trying.
fn hopeful() -> bool {
  let residual = sequence.residual;
  let again = residual < sequence.retryBelow || at_floor();
  return is_finite(residual) && residual <= problem.tolerance && again;
}

fn finish(phase: u32, reason: u32) {
  sequence.phase = phase;
  sequence.reason = reason;
}

// Chooses what the next update does and, with a trust region, λ.
fn step() {
  sequence.iterations += 1u;
  var action = UPDATE;
  if (problem.trustRegion != 0u) {
    let merit = sequence.merit;
    let rejected = sequence.rejected != 0u;
    var factor = 1.0;
    if (!rejected && ordered(merit) > ordered(sequence.acceptedMerit)) {
      factor = TRUST_FACTOR;
      action = RESTORE;
    } else {
      if (!rejected) {
        factor = 1.0 / TRUST_FACTOR;
        action = SAVE_AND_UPDATE;
      }
      sequence.acceptedMerit = merit;
    }
    sequence.lambda = clamp(sequence.lambda * factor, 1e-12, 1e12);
    sequence.rejected = u32(action == RESTORE);
  }
  sequence.action = action;
}

fn after_sweep(index: u32) {
  var residual = 0u;
  var merit = 0.0;
  var inexact = sequence.chunks;
  let used = (sequence.chunks + problem.measureTile - 1u) / problem.measureTile;
  for (var i = sequence.exactChunks / problem.measureTile; i < used; i++) {
    let tile = tiles[index * problem.measureTiles + i];
    residual = max(residual, tile.x);
    merit += bitcast<f32>(tile.y);
    inexact = min(inexact, tile.z);
  }
  let exactChunks = min(inexact + 1u, sequence.chunks);
  let exact = exactChunks == sequence.chunks;
  sequence.residual = bitcast<f32>(residual);
  sequence.merit = merit;
  sequence.exactChunks = exactChunks;
//#if TRACE
  if (sequence.iterations < TRACED) {
    trace[index * TRACED + sequence.iterations] = vec2u(select(residual, 0u, exact), exactChunks);
  }
//#end
  let finite = measures[sequence.firstChunk + exactChunks - 1u].w != 0u;
  sequence.finite = u32(finite);
  if (!finite) {
    finish(FAILED, REASON_NOT_FINITE);
    return;
  }
  if (exact) {
    sequence.residual = 0.0;
    if (sequence.continued == 0u) {
      finish(CONVERGED, REASON_EXACT);
      return;
    }
  }
  let last = sequence.iterations == problem.maxIterations;
  // What began with an error may have made it larger, though its own steps are exact.
  if (exact || hopeful() || (last && problem.certifyFailure != 0u)) {
    sequence.phase = CERTIFYING;
    sequence.certificateSweeps = 0u;
    sequence.exactErrorChunks = 0u;
  } else if (last) {
    finish(FAILED, REASON_TOO_MANY_SWEEPS);
  } else {
    step();
  }
}

fn after_certificate(index: u32) {
  var largest = vec3u();
  let used = (sequence.errorChunks + problem.measureTile - 1u) / problem.measureTile;
  for (var i = 0u; i < used; i++) {
    largest = max(largest, tiles[index * problem.measureTiles + i].xyz);
  }
  let residual = bitcast<f32>(largest.x);
  var estimate = bitcast<f32>(largest.y);
  let seams = bitcast<f32>(largest.z);
  let sweeps = sequence.certificateSweeps + 1u;
  sequence.certificateSweeps = sweeps;
  sequence.exactErrorChunks = sweeps;
  sequence.certificateResidual = residual;
  let finite = is_finite(residual) && is_finite(estimate);
  let left = sequence.errorChunks - min(sweeps, sequence.errorChunks);
  let settled = left == 0u || (sweeps > 1u && f32(left) * seams <= SEAM_SHARE * estimate);
  if (finite && !settled) {
    return;
  }
  if (!finite) {
    estimate = infinity();
  }
  sequence.errorEstimate = estimate;
  let expected = hopeful();
  let passes = finite && residual <= problem.tolerance;
  if (expected && passes && estimate <= ERROR_FACTOR * problem.tolerance) {
    sequence.continued = 1u;
    finish(CONVERGED, REASON_CERTIFIED);
    return;
  }
  let last = sequence.iterations == problem.maxIterations;
  let falling = ordered(estimate) <= ordered(FALLING_FACTOR * sequence.lastEstimate);
  let exact = sequence.exactChunks == sequence.chunks;
  if (last || exact || (at_floor() && !falling)) {
    // A last one may have been asked for just to know what is returned.
    let reason = select(REASON_TOO_MANY_SWEEPS, REASON_ERROR_TOO_LARGE, expected);
    finish(FAILED, reason);
    return;
  }
  sequence.phase = SWEEPING;
  sequence.retryBelow = sequence.residual / RETRY_FACTOR;
  sequence.lastEstimate = estimate;
  step();
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(local_invocation_index) thread: u32) {
  if (thread == 0u) {
    atomicStore(&busy, 0u);
  }
  workgroupBarrier();
  for (var index = thread; index < problem.sequences; index += WIDTH) {
    sequence = control[index];
    if (sequence.phase == SWEEPING) {
      after_sweep(index);
    } else if (sequence.phase == CERTIFYING) {
      after_certificate(index);
    }
    control[index] = sequence;
    if (sequence.phase == SWEEPING) {
      atomicOr(&busy, WHILE_SWEEPING);
    } else if (sequence.phase == CERTIFYING) {
      atomicOr(&busy, WHILE_CERTIFYING);
    }
  }
  workgroupBarrier();
  let going = atomicLoad(&busy);
  for (var i = thread; i < DISPATCHES; i += WIDTH) {
    let plan = planned[i];
    dispatches[i] = select(vec4u(0u, 1u, 1u, 0u), vec4u(plan.xy, 1u, 0u), (plan.z & going) != 0u);
  }
}
