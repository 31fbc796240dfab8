// What a sweep, or a sweep of the certificate, found: the records of a tile of chunks as one, a workgroup each.
// A sequence has at most problem.measureTiles tiles, which decide.wgsl looks at.
//#if SUBGROUPS
enable subgroups;
//#end
//#import shared/problem.wgsl

//#section bindings
@group(0) @binding(0) var<uniform> problem: Problem;
@group(0) @binding(1) var<storage, read> control: array<Sequence>;
// The bits, of the sweep's chunks: (residual, merit, 1 if the chunk's end is the next boundary in every bit, 1 if finite).
@group(0) @binding(2) var<storage, read> measures: array<vec4u>;
// The bits, of the certificate's chunks: (residual, error estimate, how far a seam still moves, 1 if finite).
@group(0) @binding(3) var<storage, read> errorMeasures: array<vec4u>;
// [sequences, measureTiles]: sweep: (residual, merit, first chunk that is not exact); certificate: the first three maxima.
@group(0) @binding(4) var<storage, read_write> tiles: array<vec4u>;
//#end

const WIDTH = 256u;

// Floats that are not negative are ordered like their bits, infinity included.
var<workgroup> largest: array<atomic<u32>, 3>;
var<workgroup> firstInexact: atomic<u32>;
var<workgroup> merits: array<f32, WIDTH>;

fn largest_of(index: u32, value: u32) {
//#if SUBGROUPS
  let most = subgroupMax(value);
  if (subgroupElect()) {
    atomicMax(&largest[index], most);
  }
//#else
  atomicMax(&largest[index], value);
//#end
}

@compute @workgroup_size(WIDTH)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let index = folded(workgroup, workgroups);
  if (index >= problem.sequences * problem.measureTiles) {
    return;
  }
  let sequence = control[index / problem.measureTiles];
  let sweeping = sequence.phase == SWEEPING;
  if (!sweeping && sequence.phase != CERTIFYING) {
    return;
  }
  let begin = (index % problem.measureTiles) * problem.measureTile;
  let end = min(begin + problem.measureTile, select(sequence.errorChunks, sequence.chunks, sweeping));
  if (thread == 0u) {
    atomicStore(&firstInexact, sequence.chunks);
    for (var i = 0u; i < 3u; i++) {
      atomicStore(&largest[i], 0u);
    }
  }
  var found = vec3u();
  var merit = 0.0;
  var inexact = sequence.chunks;
  let skipped = select(0u, sequence.exactChunks, sweeping);
  for (var c = max(begin, skipped) + thread; c < end; c += WIDTH) {
    if (sweeping) {
      let record = measures[sequence.firstChunk + c];
      found.x = max(found.x, record.x);
      merit += bitcast<f32>(record.y);
      if (record.z == 0u) {
        inexact = min(inexact, c);
      }
    } else {
      found = max(found, errorMeasures[sequence.firstErrorChunk + c].xyz);
    }
  }
  workgroupBarrier();
  largest_of(0u, found.x);
  largest_of(1u, found.y);
  largest_of(2u, found.z);
  atomicMin(&firstInexact, inexact);
  merits[thread] = merit;
  for (var step = WIDTH / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (thread < step) {
      merits[thread] += merits[thread + step];
    }
  }
  workgroupBarrier();
  if (thread == 0u) {
    tiles[index] = select(
      vec4u(atomicLoad(&largest[0]), atomicLoad(&largest[1]), atomicLoad(&largest[2]), 0u),
      vec4u(atomicLoad(&largest[0]), bitcast<u32>(merits[0]), atomicLoad(&firstInexact), 0u),
      sweeping,
    );
  }
}
