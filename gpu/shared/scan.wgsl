// What all kernels of a scan share: levels, sequences and roles.
//
// Reduce-then-scan. The items of level 0 are the K chunks; a tile is a number of consecutive items, and the tiles'
// elements are the items of the next level. `reduce` combines the elements of each tile, level by level, until
// few items are left; `spine` walks over those in one go; `downsweep` walks each tile of a level from the state
// before it, down to the chunks, where boundaries are written.
//
// An *element* says what some consecutive chunks do; a *state* says what is known where they begin. Before the
// first chunk nothing has changed, so that prefixes are states and not elements: on the way down elements only
// act on states, which for matrices is a matrix–vector product in place of one of matrices. With BACKWARD the
// walk goes from the last item to the first, and a state is what is known of the items after.
//
// A monoid provides, on an accumulator of its own (k a chunk, j its sequence, `at` an offset into `scratch`):
//
//   const ELEMENT_FLOATS, STATE_FLOATS             numbers a unit
//   element_clear()                                the identity
//   element_absorb_chunk(k, j, role)               then chunk k
//   element_absorb(at), element_store(at)          then a stored element
//   state_clear(), state_load(at), state_store(at)
//   state_advance(at)                              a stored element acts on the state
//   state_apply(k, j, role)                        chunk k acts on the state; writes what level 0 writes
//
// Each thread holds an accumulator and has a run of items for itself: `lane` is its unit among the workgroup's, `row` its
// run. A run is a tile; with MERGE the runs of all rows are, and scan_thread.wgsl combines them. With DENSE the whole
// workgroup works on one run, and calls all of these in uniform control flow.

//#import shared/sequence_of.wgsl

struct Level {
  items: u32,
  tiles: u32,
  workgroups: u32,
  // Items of a run.
  run: u32,
  // Offsets into `scratch`: elements and states of this level's items,
  itemsAt: u32,
  statesAt: u32,
  // elements and states of its tiles, elements of the rows,
  tilesAt: u32,
  tileStatesAt: u32,
  runsAt: u32,
  // and what the smoother's forward pass leaves for every chunk.
  stashAt: u32,
  // Memory that workgroups have for themselves.
  workAt: u32,
  spare: u32,
}

const STATE_SIZE = 64u;
// Elements of a unit's state, and units; UNITS is 1 where the state is one unit of all elements.
const UNIT_SIZE = 1u;
const UNITS = 64u;
// Threads: LANES units × ROWS runs.
const LANES = 32u;
const ROWS = 8u;
const WORKGROUP = 256u;
const GROUPS = (UNITS + LANES - 1u) / LANES;

// Not swept, or exact and known to be: nothing changes, nothing passes.
const FROZEN = 0u;
// The last exact chunk: the boundary after it becomes its end, and what changed starts the chain.
const HEAD = 1u;
const FREE = 2u;

var<private> thread: u32;
//#if DENSE
//#else
var<private> lane: u32;
var<private> row: u32;
var<private> unit: u32;
//#end

// A zero carries nothing, not even a NaN: chains start with zeros, and one sequence must not spoil the next.
fn carry(a: f32, x: f32) -> f32 {
  return select(a * x, 0.0, a == 0.0 || x == 0.0);
}

struct Run {
  begin: u32,
  end: u32,
}

// The tile of a thread (DENSE: of a workgroup), and which of all runs is its own.
fn tile_of(workgroup: u32) -> u32 {
//#if DENSE
  return workgroup;
//#else
//#if MERGE
  return workgroup / GROUPS;
//#else
  return workgroup / GROUPS * ROWS + row;
//#end
//#end
}

fn run_index(tile: u32) -> u32 {
//#if MERGE
  return tile * ROWS + row;
//#else
  return tile;
//#end
}

fn run_of(tile: u32) -> Run {
  let begin = run_index(tile) * level.run;
//#if DENSE
  let exists = true;
//#else
  let exists = unit < UNITS;
//#end
  return Run(begin, select(begin, max(begin, min(begin + level.run, level.items)), exists));
}

fn place(workgroup: u32, local: u32) {
  thread = local;
//#if DENSE
  work_area(workgroup);
//#else
  lane = local % LANES;
  row = local / LANES;
  unit = (workgroup % GROUPS) * LANES + lane;
//#end
}

// A sequence's chunks begin … end − 1, of which those before `head` are FROZEN, and those after it FREE.
struct Span {
  begin: u32,
  end: u32,
  head: u32,
}

fn span_of(j: u32) -> Span {
  let begin = control[j].firstChunk;
  let head = select(0xffffffffu, begin + control[j].exactChunks - 1u, control[j].phase == SWEEPING);
  return Span(begin, begin + control[j].chunks, head);
}

fn role_in(span: Span, k: u32) -> u32 {
  return select(select(FROZEN, HEAD, k == span.head), FREE, k > span.head);
}

fn boundary_at(k: u32) -> u32 {
  return (problem.sequences + k) * STATE_SIZE;
}

// scale-ELK, then clip-ELK.
fn scaled(p: f32) -> f32 {
  let value = problem.keep * p;
  return select(value, clamp(value, -1.0, 1.0), problem.clip != 0u);
}
