// δ ↦ M δ + b with a matrix M: the undamped update. A state is δ, and only elements need products of matrices.
//
// Accumulator: b or δ in `vector`, M in the work area, which holds two to multiply from one into the other. A CUT element
// has M = 0.

const ELEMENT_FLOATS = MATRIX + N + 1u;
const STATE_FLOATS = N;

const WORK = 2u * MATRIX;
// Entries of a product that a thread computes at a time: TILE × TILE.
const TILE = 1u;
// No limit: whatever is finite.
const LARGEST_FLOAT = 3.4028234e38;
// Threads that share a row of a matrix–vector product.
const SHARERS = min(4u, MEMBERS);
const ROWS_AT_ONCE = MEMBERS / SHARERS;

//#if TEAM
var<workgroup> results: array<f32, N>;
var<workgroup> shares: array<f32, MEMBERS>;
//#else
var<private> results: array<f32, N>;
var<private> shares: array<f32, MEMBERS>;
//#end
// Where in the work area M lies: at 0 or MATRIX.
var<private> current: u32;

// The link, what is absorbed: a stored element, FREE unless it is CUT, or a chunk.
//#if UPPER
var<private> linkAt: u32;

fn choose_link(slot: u32) -> u32 {
  linkAt = slot;
  return select(HEAD, FREE, stored_kind(slot, ELEMENT_FLOATS - 1u) == FULL);
}

fn link(e: u32) -> f32 {
  return stored(linkAt, e);
}

fn link_vector(i: u32) -> f32 {
  return stored(linkAt, MATRIX + i);
}
//#else
fn choose_link(k: u32, role: u32) {
  synchronise();
  chosen = k;
  if (role == FREE) {
    choose_product(k, LARGEST_FLOAT);
  }
}

fn link(e: u32) -> f32 {
  return product_entry(e);
}

fn link_vector(i: u32) -> f32 {
  return defect_of(chosen, i);
}
//#end

// results ← the link's M · vector.
fn multiply_vector() {
  for (var first = 0u; first < N; first += ROWS_AT_ONCE) {
    synchronise();
    let row = first + member / SHARERS;
    var sum = 0.0;
    if (row < N) {
      for (var column = member % SHARERS; column < N; column += SHARERS) {
        // A product of matrices may overflow where nothing has changed.
        sum += carry(link(row * N + column), vector[column]);
      }
    }
    shares[member] = sum;
    synchronise();
    if (member < ROWS_AT_ONCE && first + member < N) {
      var total = 0.0;
      for (var share = 0u; share < SHARERS; share++) {
        total += shares[member * SHARERS + share];
      }
      results[first + member] = total;
    }
  }
  synchronise();
}
//#if SWEEP

fn state_clear() {
  synchronise();
  for (var i = member; i < N; i += MEMBERS) {
    vector[i] = 0.0;
  }
}

fn state_load(slot: u32) {
  synchronise();
  for (var i = member; i < N; i += MEMBERS) {
    vector[i] = stored(slot, i);
  }
}

fn state_store(slot: u32) {
  for (var i = member; i < N; i += MEMBERS) {
    store(slot, i, vector[i]);
  }
}
//#if UPPER

fn state_advance(slot: u32) {
  let role = choose_link(slot);
  if (role == FREE) {
    multiply_vector();
  }
  for (var i = member; i < N; i += MEMBERS) {
    vector[i] = link_vector(i) + select(0.0, results[i], role == FREE);
  }
}
//#else

// b'_{k+1} = Φ_k + P_k δ
fn state_apply(k: u32, j: u32, role: u32) {
  choose_link(k, role);
  if (role == FREE) {
    multiply_vector();
  }
  for (var a = member; a < N; a += MEMBERS) {
    let i = a * UNITS + unit;
    let fresh = moved(ends[k * STATE_SIZE + i], select(0.0, results[a], role == FREE));
    let old = boundaries[boundary_at(k) + i];
    write_boundary(k, j, role, i, fresh);
    vector[a] = select(fresh - old, 0.0, role == FROZEN);
  }
}
//#end
//#else

fn element_clear() {
  synchronise();
  for (var i = member; i < N; i += MEMBERS) {
    vector[i] = 0.0;
  }
  set_kind(IDENTITY);
}

fn element_store(slot: u32) {
  let own = own_kind();
  synchronise();
  for (var e = member; e < MATRIX; e += MEMBERS) {
    store(slot, e, held(current + e));
  }
  for (var i = member; i < N; i += MEMBERS) {
    store(slot, MATRIX + i, vector[i]);
  }
  store_kind(own, slot, ELEMENT_FLOATS - 1u);
}

// M ← the link's M · M.
fn multiply_matrix() {
  synchronise();
  let other = MATRIX - current;
  let across = (N + TILE - 1u) / TILE;
  for (var tile = member; tile < across * across; tile += MEMBERS) {
    let top = tile / across * TILE;
    let left = tile % across * TILE;
    // Said to be zeros, as SwiftShader forgets it for an array of one.
    var sums = array<f32, TILE * TILE>();
    for (var inner = 0u; inner < N; inner++) {
      var entries: array<f32, TILE>;
      for (var c = 0u; c < TILE; c++) {
        entries[c] = held(current + inner * N + min(left + c, N - 1u));
      }
      for (var r = 0u; r < TILE; r++) {
        let factor = link(min(top + r, N - 1u) * N + inner);
        for (var c = 0u; c < TILE; c++) {
          sums[r * TILE + c] += factor * entries[c];
        }
      }
    }
    for (var r = 0u; r < min(TILE, N - top); r++) {
      for (var c = 0u; c < min(TILE, N - left); c++) {
        hold(other + (top + r) * N + left + c, sums[r * TILE + c]);
      }
    }
  }
  current = other;
}

fn absorb(role: u32) {
  let own = own_kind();
  if (role == FREE) {
    if (own == IDENTITY) {
      synchronise();
      for (var e = member; e < MATRIX; e += MEMBERS) {
        hold(current + e, link(e));
      }
    } else {
      if (own == FULL) {
        multiply_matrix();
      }
      multiply_vector();
    }
  }
  for (var i = member; i < N; i += MEMBERS) {
    var next = 0.0;
    if (role != FROZEN) {
      next = link_vector(i) + select(0.0, results[i], role == FREE && own != IDENTITY);
    }
    vector[i] = next;
  }
  set_kind(select(CUT, FULL, role == FREE && own != CUT));
}
//#if UPPER

fn element_absorb(slot: u32) {
  absorb(choose_link(slot));
}
//#else

fn element_absorb_chunk(k: u32, j: u32, role: u32) {
  choose_link(k, role);
  absorb(role);
}
//#end
//#end
