// The boundary update as a scan over chunks, one level of it.
//
// Reduce-then-scan. The items of level 0 are the K chunks; a tile is a run of consecutive items, and the tiles'
// elements are the items of the next level. Reducing combines the elements of each tile, level by level, until few
// items are left. The top level is then walked over in one go (WHOLE), and (SWEEP) each tile of a level from the
// state before it, down to the chunks, where boundaries are written. UPPER levels have elements for items.
//
// An *element* says what some consecutive chunks do; a *state* says what is known where they begin. Before the
// first chunk nothing has changed, so that prefixes are states and not elements: on the way down elements only
// act on states, which for matrices is a matrix–vector product in place of one of matrices. With BACKWARD the
// walk goes from the last item to the first, and a state is what is known of the items after.
//
// A monoid provides, on an accumulator of its own (k a chunk, j its sequence, `slot` an offset into `scratch`):
//
//   const ELEMENT_FLOATS, STATE_FLOATS             numbers a unit
//   element_clear()                                the identity
//   element_absorb_chunk(k, j, role)               then chunk k
//   element_absorb(slot), element_store(slot)      then a stored element
//   state_clear(), state_load(slot), state_store(slot)
//   state_advance(slot)                            a stored element acts on the state
//   state_apply(k, j, role)                        chunk k acts on the state; writes what level 0 writes
//
// The state falls into UNITS of UNIT_SIZE elements that do not touch each other: unit u has elements u, u + UNITS, ….
// A thread has a tile of one unit for itself; with TEAM the whole workgroup works on it, and calls all of these in
// uniform control flow.
//#import shared/problem.wgsl
//#import shared/sequence_of.wgsl

// src/backend/webgpu/scan.ts replaces these by what a kernel uses, numbered in its own order.
//#section bindings
@group(0) @binding(0) var<uniform> level: Level;
@group(0) @binding(1) var<storage, read_write> scratch: array<f32>;
@group(0) @binding(2) var<uniform> problem: Problem;
@group(0) @binding(3) var<storage, read> control: array<Sequence>;
@group(0) @binding(4) var<storage, read> ends: array<f32>;
@group(0) @binding(5) var<storage, read_write> boundaries: array<f32>;
@group(0) @binding(6) var<storage, read> products: array<f32>;
@group(0) @binding(7) var<storage, read> bounds: array<vec2f>;
@group(0) @binding(8) var<storage, read_write> states: array<f32>;
@group(0) @binding(9) var<storage, read_write> saved: array<f32>;
//#end

struct Level {
  items: u32,
  tiles: u32,
  workgroups: u32,
  // Items of a tile.
  run: u32,
  // Offsets into `scratch`: elements and states of this level's items,
  itemsAt: u32,
  statesAt: u32,
  // elements and states of its tiles,
  tilesAt: u32,
  tileStatesAt: u32,
  // and what the smoother's forward pass leaves for every chunk.
  stashAt: u32,
  // Memory that workgroups have for themselves.
  workAt: u32,
  spare0: u32,
  spare1: u32,
}

const STATE_SIZE = 64u;
const UNIT_SIZE = 1u;
const UNITS = 64u;
const WORKGROUP = 256u;
// Units side by side in a workgroup, a thread each.
const LANES = 32u;
const GROUPS = (UNITS + LANES - 1u) / LANES;

// Not swept, or exact and known to be: nothing changes, nothing passes.
const FROZEN = 0u;
// The last exact chunk: the boundary after it becomes its end, and what changed starts the chain.
const HEAD = 1u;
const FREE = 2u;

var<private> unit: u32;

fn role_of(k: u32, j: u32) -> u32 {
  let head = control[j].firstChunk + control[j].exactChunks - 1u;
  if (control[j].phase != SWEEPING || k < head) {
    return FROZEN;
  }
  return select(FREE, HEAD, k == head);
}

//#import shared/accumulator.wgsl
//#if DAMPED
//#import monoids/kalman.wgsl
//#else
//#import monoids/affine.wgsl
//#end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let workgroup = folded(id, count);
  if (workgroup >= level.workgroups) {
    return;
  }
//#if TEAM
  let tile = workgroup / UNITS;
  unit = workgroup % UNITS;
  member = local;
//#if STORED
  workAt = level.workAt + workgroup * WORK;
//#end
//#else
  let tile = workgroup / GROUPS * (WORKGROUP / LANES) + local / LANES;
  unit = workgroup % GROUPS * LANES + local % LANES;
  if (unit >= UNITS || tile >= level.tiles) {
    return;
  }
//#end
  let begin = tile * level.run;
  let end = min(begin + level.run, level.items);
//#if SWEEP
//#if WHOLE
  state_clear();
//#else
  state_load(level.tileStatesAt + tile * STATE_FLOATS * UNITS);
//#end
//#else
  element_clear();
//#end
  for (var i = begin; i < end; i++) {
//#if BACKWARD
    let item = begin + end - 1u - i;
//#else
    let item = i;
//#end
//#if UPPER
    let slot = level.itemsAt + item * ELEMENT_FLOATS * UNITS;
//#if SWEEP
    state_store(level.statesAt + item * STATE_FLOATS * UNITS);
    state_advance(slot);
//#else
    element_absorb(slot);
//#end
//#else
    let j = sequence_of(item);
    let role = role_of(item, j);
//#if SWEEP
    state_apply(item, j, role);
//#else
    element_absorb_chunk(item, j, role);
//#end
//#end
  }
//#if SWEEP
//#else
  element_store(level.tilesAt + tile * ELEMENT_FLOATS * UNITS);
//#end
}
