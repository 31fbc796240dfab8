// What a solve works on: one window of steps, its sequences, and how far each of them has come.
// src/backend/webgpu/layout.ts reads these structures' offsets from this file. All fields take four bytes.

struct Problem {
  // B, the sequences of this window; K, their chunks; C, steps a chunk; T, their rows.
  sequences: u32,
  chunks: u32,
  chunkLength: u32,
  rows: u32,
  // The same for the certificate, which may cut the steps in another way; errorChunks ≤ chunks.
  errorChunks: u32,
  errorChunkLength: u32,
  reverse: u32,
  maxIterations: u32,
  clip: u32,
  smoother: u32,
  trustRegion: u32,
  // How many chunks a workgroup of `measure` looks at, and how many of its results a sequence has at most.
  measureTile: u32,
  measureTiles: u32,
  // Whether to measure the states of a run that did not converge, because they will be returned.
  certifyFailure: u32,
  // 1 − scale of the damping.
  keep: f32,
  tolerance: f32,
  unitRoundoff: f32,
  spare0: f32,
  spare1: f32,
  spare2: f32,
}

// Steps `begin` … `end − 1` of every chunk: long chunks run in several dispatches.
struct Slice {
  begin: u32,
  end: u32,
  spare0: u32,
  spare1: u32,
}

// Phases of a sequence.
const SWEEPING = 0u;
const CERTIFYING = 1u;
const CONVERGED = 2u;
const FAILED = 3u;

// What the next boundary update does.
const UPDATE = 0u;
const SAVE_AND_UPDATE = 1u;
const RESTORE = 2u;

// Why a sequence ended; src/backend/webgpu/results.ts has the words.
const REASON_EXACT = 1u;
const REASON_CERTIFIED = 2u;
const REASON_NOT_FINITE = 3u;
const REASON_TOO_MANY_SWEEPS = 4u;
const REASON_ERROR_TOO_LARGE = 5u;

struct Sequence {
  // Row of its first input, and T. Rows are counted in the window.
  firstRow: u32,
  length: u32,
  firstChunk: u32,
  chunks: u32,
  firstErrorChunk: u32,
  errorChunks: u32,
  phase: u32,
  // Chunks at its start that have run from exact boundaries; they are frozen.
  exactChunks: u32,
  iterations: u32,
  action: u32,
  rejected: u32,
  // Whether the exact states met so far are finite.
  finite: u32,
  // Which of the reasons above ended it.
  reason: u32,
  certificateSweeps: u32,
  exactErrorChunks: u32,
  // Whether it begins with an error, as it goes on from a window that was not exact; in the end, whether the
  // window after it does.
  continued: u32,
  residual: f32,
  merit: f32,
  lambda: f32,
  acceptedMerit: f32,
  retryBelow: f32,
  lastEstimate: f32,
  certificateResidual: f32,
  errorEstimate: f32,
}

// WGSL compilers may fold x != x, so the exponent's bits are looked at.
fn is_finite(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// Row of step t (from 0, in the direction of time) of a sequence.
fn row_of(sequence: Sequence, t: u32, reverse: u32) -> u32 {
  return sequence.firstRow + select(t, sequence.length - 1u - t, reverse != 0u);
}

// More workgroups than fit one dimension are folded into two.
fn folded(workgroup: vec3u, workgroups: vec3u) -> u32 {
  return workgroup.y * workgroups.x + workgroup.x;
}
