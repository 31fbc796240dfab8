// δ ↦ M δ + b with a matrix M: the undamped update. A state is δ, and only elements need products of matrices.
//
// Accumulator: b or δ in `vector`, M in the work area, which holds two to multiply from one into the other. A CUT element
// has M = 0.
//#import shared/matrix.wgsl

const ELEMENT_FLOATS = MATRIX + STATE_SIZE + 1u;
const STATE_FLOATS = STATE_SIZE;

const WORK = 2u * MATRIX;
// Entries of a product that a thread computes at a time: TILE × TILE.
const TILE = 1u;
// No limit: whatever is finite.
const LARGEST_FLOAT = 3.4028234e38;
// Threads that share a row of a matrix–vector product.
const SHARERS = 4u;
const ROWS_AT_ONCE = WORKGROUP / SHARERS;

var<workgroup> results: array<f32, STATE_SIZE>;
var<workgroup> shares: array<f32, WORKGROUP>;
// Where in the work area M lies: at 0 or MATRIX.
var<private> current: u32;

// The link, what is absorbed: a stored element, or a chunk.
//#if UPPER
var<private> linkAt: u32;

fn link(e: u32) -> f32 {
  return scratch[linkAt + e];
}
//#else
fn link(e: u32) -> f32 {
  return product_entry(e);
}
//#end

// results ← the link's M · vector.
fn multiply_vector() {
  for (var first = 0u; first < STATE_SIZE; first += ROWS_AT_ONCE) {
    workgroupBarrier();
    let row = first + thread / SHARERS;
    var sum = 0.0;
    if (row < STATE_SIZE) {
      for (var column = thread % SHARERS; column < STATE_SIZE; column += SHARERS) {
        // A product of matrices may overflow where nothing has changed.
        let change = vector[column];
        sum += select(link(row * STATE_SIZE + column) * change, 0.0, change == 0.0);
      }
    }
    shares[thread] = sum;
    workgroupBarrier();
    if (thread < ROWS_AT_ONCE && first + thread < STATE_SIZE) {
      var total = 0.0;
      for (var share = 0u; share < SHARERS; share++) {
        total += shares[thread * SHARERS + share];
      }
      results[first + thread] = total;
    }
  }
  workgroupBarrier();
}
//#if SWEEP

fn state_clear() {
  workgroupBarrier();
  for (var i = thread; i < STATE_SIZE; i += WORKGROUP) {
    vector[i] = 0.0;
  }
}

fn state_load(slot: u32) {
  workgroupBarrier();
  for (var i = thread; i < STATE_SIZE; i += WORKGROUP) {
    vector[i] = scratch[slot + i];
  }
}

fn state_store(slot: u32) {
  for (var i = thread; i < STATE_SIZE; i += WORKGROUP) {
    scratch[slot + i] = vector[i];
  }
}
//#if UPPER

fn state_advance(element: u32) {
  linkAt = element;
  let through = stored_kind(element + ELEMENT_FLOATS - 1u) == FULL;
  if (through) {
    multiply_vector();
  }
  for (var i = thread; i < STATE_SIZE; i += WORKGROUP) {
    vector[i] = scratch[element + MATRIX + i] + select(0.0, results[i], through);
  }
}
//#else

// b'_{k+1} = Φ_k + P_k δ: Φ_k in every bit where there is nothing to add, −0 as well.
fn state_apply(k: u32, j: u32, role: u32) {
  if (role == FREE) {
    choose_product(k, LARGEST_FLOAT);
    multiply_vector();
  } else {
    workgroupBarrier();
  }
  for (var i = thread; i < STATE_SIZE; i += WORKGROUP) {
    let end = ends[k * STATE_SIZE + i];
    let old = boundaries[boundary_at(k) + i];
    var fresh = end;
    if (role == FREE) {
      let carried = results[i];
      fresh = select(end + carried, end, carried == 0.0);
      write_free(k, j, i, fresh, old);
    } else if (role == HEAD) {
      write_head(k, j, i, end);
    }
    vector[i] = select(fresh - old, 0.0, role == FROZEN);
  }
}
//#end
//#else

fn element_clear() {
  workgroupBarrier();
  for (var i = thread; i < STATE_SIZE; i += WORKGROUP) {
    vector[i] = 0.0;
  }
  set_kind(IDENTITY);
}

fn element_store(slot: u32) {
  let own = workgroupUniformLoad(&kind);
  synchronise();
  for (var e = thread; e < MATRIX; e += WORKGROUP) {
    scratch[slot + e] = held(current + e);
  }
  for (var i = thread; i < STATE_SIZE; i += WORKGROUP) {
    scratch[slot + MATRIX + i] = vector[i];
  }
  store_kind(own, slot + ELEMENT_FLOATS - 1u);
}

// M ← the link's M · M.
fn multiply_matrix() {
  synchronise();
  let other = MATRIX - current;
  let across = (STATE_SIZE + TILE - 1u) / TILE;
  for (var tile = thread; tile < across * across; tile += WORKGROUP) {
    let top = tile / across * TILE;
    let left = tile % across * TILE;
    var sums: array<f32, TILE * TILE>;
    for (var inner = 0u; inner < STATE_SIZE; inner++) {
      var entries: array<f32, TILE>;
      for (var c = 0u; c < TILE; c++) {
        entries[c] = held(current + inner * STATE_SIZE + min(left + c, STATE_SIZE - 1u));
      }
      for (var r = 0u; r < TILE; r++) {
        let factor = link(min(top + r, STATE_SIZE - 1u) * STATE_SIZE + inner);
        for (var c = 0u; c < TILE; c++) {
          sums[r * TILE + c] += factor * entries[c];
        }
      }
    }
    for (var r = 0u; r < min(TILE, STATE_SIZE - top); r++) {
      for (var c = 0u; c < min(TILE, STATE_SIZE - left); c++) {
        hold(other + (top + r) * STATE_SIZE + left + c, sums[r * TILE + c]);
      }
    }
  }
  current = other;
}

// The link's M after the accumulator of a kind; `results` is M · b unless there was nothing yet.
fn follow(own: u32) {
  if (own == IDENTITY) {
    synchronise();
    for (var e = thread; e < MATRIX; e += WORKGROUP) {
      hold(current + e, link(e));
    }
    return;
  }
  if (own == FULL) {
    multiply_matrix();
  }
  multiply_vector();
}
//#if UPPER

fn element_absorb(element: u32) {
  let own = workgroupUniformLoad(&kind);
  let cut = stored_kind(element + ELEMENT_FLOATS - 1u) != FULL;
  linkAt = element;
  if (!cut) {
    follow(own);
  }
  for (var i = thread; i < STATE_SIZE; i += WORKGROUP) {
    vector[i] = scratch[element + MATRIX + i] + select(results[i], 0.0, cut || own == IDENTITY);
  }
  set_kind(select(FULL, CUT, cut || own == CUT));
}
//#else

fn element_absorb_chunk(k: u32, j: u32, role: u32) {
  let own = workgroupUniformLoad(&kind);
  if (role == FREE) {
    choose_product(k, LARGEST_FLOAT);
    follow(own);
  }
  for (var i = thread; i < STATE_SIZE; i += WORKGROUP) {
    var next = 0.0;
    if (role != FROZEN) {
      next = defect_of(k, i) + select(0.0, results[i], role == FREE && own != IDENTITY);
    }
    vector[i] = next;
  }
  set_kind(select(CUT, FULL, role == FREE && own != CUT));
}
//#end
//#end
