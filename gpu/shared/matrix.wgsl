// What the monoids of matrices share: all threads of a workgroup hold one accumulator together, in its work area.

// The work area, WORK floats of a monoid's own, is workgroup memory or, where that is too small (STORED), a part of
// `scratch` for each workgroup.
const MATRIX = STATE_SIZE * STATE_SIZE;

// What an accumulator or a slot holds; see the monoids.
const FULL = 0u;
const CUT = 1u;
const KNOWN = 2u;
const IDENTITY = 3u;

var<workgroup> kind: u32;
var<workgroup> slotKind: u32;
var<workgroup> vector: array<f32, STATE_SIZE>;
//#if STORED
var<private> workAt: u32;

fn work_area(workgroup: u32) {
  workAt = level.workAt + workgroup * WORK;
}

fn held(i: u32) -> f32 {
  return scratch[workAt + i];
}

fn hold(i: u32, value: f32) {
  scratch[workAt + i] = value;
}

fn synchronise() {
  storageBarrier();
  workgroupBarrier();
}
//#else
var<workgroup> work: array<f32, WORK>;

fn work_area(workgroup: u32) {}

fn held(i: u32) -> f32 {
  return work[i];
}

fn hold(i: u32, value: f32) {
  work[i] = value;
}

fn synchronise() {
  workgroupBarrier();
}
//#end

fn set_kind(value: u32) {
  if (thread == 0u) {
    kind = value;
  }
}

fn store_kind(own: u32, slot: u32) {
  if (thread == 0u) {
    scratch[slot] = f32(own);
  }
}

// The kind that is stored at `at`, the same for all threads.
fn stored_kind(at: u32) -> u32 {
  if (thread == 0u) {
    slotKind = u32(scratch[at]);
  }
  return workgroupUniformLoad(&slotKind);
}
//#if UPPER
//#else

var<workgroup> largestBits: atomic<u32>;
var<private> productAt: u32;
var<private> usable: bool;
var<private> shrink: f32;

// Looks at all of P_k: it counts as the identity unless all entries are finite; larger ones than `limit` are
// scaled down together.
fn choose_product(k: u32, limit: f32) {
  productAt = k * MATRIX;
  workgroupBarrier();
  if (thread == 0u) {
    atomicStore(&largestBits, 0u);
  }
  workgroupBarrier();
  var bits = 0u;
  for (var e = thread; e < MATRIX; e += WORKGROUP) {
    bits = max(bits, bitcast<u32>(products[productAt + e]) & 0x7fffffffu);
  }
  atomicMax(&largestBits, bits);
  workgroupBarrier();
  let most = atomicLoad(&largestBits);
  usable = most < 0x7f800000u;
  shrink = limit / max(limit, select(1.0, abs(scaled(bitcast<f32>(most))), usable));
}

// Entry `e` of the chosen P_k.
fn product_entry(e: u32) -> f32 {
  let identity = select(0.0, 1.0, e % (STATE_SIZE + 1u) == 0u);
  return scaled(select(identity, products[productAt + e], usable)) * shrink;
}

fn defect_of(k: u32, i: u32) -> f32 {
  return ends[k * STATE_SIZE + i] - boundaries[boundary_at(k) + i];
}
//#end
