// What the monoids share: an accumulator for one unit, of numbers in a work area, a vector and a kind, which a thread has
// for itself or (TEAM) all threads of a workgroup hold together. And a chunk's numbers as they see them.
//#import shared/boundary.wgsl

const N = UNIT_SIZE;
const MATRIX = N * N;

// What an accumulator or a slot holds; see the monoids.
const FULL = 0u;
const CUT = 1u;
const KNOWN = 2u;
const IDENTITY = 3u;

//#if TEAM
const MEMBERS = WORKGROUP;
var<private> member: u32;
var<workgroup> kind: u32;
var<workgroup> slotKind: u32;
var<workgroup> vector: array<f32, N>;
var<workgroup> largestBits: atomic<u32>;
//#else
const MEMBERS = 1u;
const member = 0u;
var<private> kind: u32;
var<private> vector: array<f32, N>;
//#end

// The work area, WORK floats of a monoid's own, is the thread's or the workgroup's memory or, where that is too small
// (STORED), a part of `scratch` for each workgroup.
//#if STORED
var<private> workAt: u32;

fn held(i: u32) -> f32 {
  return scratch[workAt + i];
}

fn hold(i: u32, value: f32) {
  scratch[workAt + i] = value;
}
//#else
//#if TEAM
var<workgroup> work: array<f32, WORK>;
//#else
var<private> work: array<f32, WORK>;
//#end

fn held(i: u32) -> f32 {
  return work[i];
}

fn hold(i: u32, value: f32) {
  work[i] = value;
}
//#end

fn synchronise() {
//#if STORED
  storageBarrier();
//#end
//#if TEAM
  workgroupBarrier();
//#end
}

fn own_kind() -> u32 {
//#if TEAM
  return workgroupUniformLoad(&kind);
//#else
  return kind;
//#end
}

fn set_kind(value: u32) {
  if (member == 0u) {
    kind = value;
  }
}

// The kind that is stored in a slot's last number, the same for all threads.
fn stored_kind(slot: u32, last: u32) -> u32 {
//#if TEAM
  if (member == 0u) {
    slotKind = u32(stored(slot, last));
  }
  return workgroupUniformLoad(&slotKind);
//#else
  return u32(stored(slot, last));
//#end
}

fn largest_of(bits: u32) -> u32 {
//#if TEAM
  workgroupBarrier();
  if (member == 0u) {
    atomicStore(&largestBits, 0u);
  }
  workgroupBarrier();
  atomicMax(&largestBits, bits);
  workgroupBarrier();
  return atomicLoad(&largestBits);
//#else
  return bits;
//#end
}

// Number f of a slot.
fn stored(slot: u32, f: u32) -> f32 {
  return scratch[slot + f * UNITS + unit];
}

fn store(slot: u32, f: u32, value: f32) {
  scratch[slot + f * UNITS + unit] = value;
}

fn store_kind(own: u32, slot: u32, last: u32) {
  if (member == 0u) {
    store(slot, last, f32(own));
  }
}

// A zero carries nothing, not even a NaN: chains start with zeros, and one sequence must not spoil the next.
fn carry(a: f32, x: f32) -> f32 {
  return select(a * x, 0.0, a == 0.0 || x == 0.0);
}

// Number e of the unit's part of P_k, row by row.
fn entry_at(k: u32, e: u32) -> f32 {
//#if PRODUCTS
  return products[k * STATE_SIZE * N + e * UNITS + unit];
//#else
//#if NONE
  return 0.0;
//#else
  return 1.0;
//#end
//#end
}
//#if UPPER
//#else

var<private> chosen: u32;
var<private> usable: bool;
var<private> shrink: f32;

// Scale-ELK, then clip-ELK.
fn scaled(p: f32) -> f32 {
  let value = problem.keep * p;
  return select(value, clamp(value, -1.0, 1.0), problem.clip != 0u);
}

// Looks at all of the unit's P_k: it counts as the identity unless all entries are finite; larger ones than `limit`
// are scaled down together.
fn choose_product(k: u32, limit: f32) {
  chosen = k;
  var bits = 0u;
  for (var e = member; e < MATRIX; e += MEMBERS) {
    bits = max(bits, bitcast<u32>(entry_at(k, e)) & 0x7fffffffu);
  }
  let most = largest_of(bits);
  usable = most < 0x7f800000u;
  shrink = limit / max(limit, select(1.0, abs(scaled(bitcast<f32>(most))), usable));
}

// Entry e of the chosen P_k.
fn product_entry(e: u32) -> f32 {
  let identity = select(0.0, 1.0, e % (N + 1u) == 0u);
  return scaled(select(identity, entry_at(chosen, e), usable)) * shrink;
}

fn defect_of(k: u32, a: u32) -> f32 {
  let i = a * UNITS + unit;
  return ends[k * STATE_SIZE + i] - boundaries[boundary_at(k) + i];
}
//#end
