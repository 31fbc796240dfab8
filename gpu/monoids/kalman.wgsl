// The Kalman filter and smoother of docs/methods.md, (3), the damped update: 5-tuples in square-root information form.
// Plain 5-tuples (A, b, C, η, J) in float32 lose the smoother where P_k expand, since C reaches 1/λ and J ‖P‖². Median
// errors relative to the largest δ, chains of 100 random 4 × 4 P_k of norms 1.5 to 100, plain → here: λ = 1e-8: filter
// 3e-5 … 3e-4 → 5e-7 … 9e-6, smoother 0.03 … 0.8 → 1e-5 … 4e-5; λ = 1e-3: smoother 1e-5 … 0.03 → 1e-6 … 1e-5.
// On the ELK paper's autoregressive GRU both take float64's 9 sweeps as a filter and 10 as a smoother. The rows of P_k
// go above what has been gathered: below it the filter loses up to four more digits.
// Sources: G. J. Bierman, Factorization Methods for Discrete Sequential Estimation (1977), and, for scans of square
// roots, F. Yaghoobi, A. Corenflos, S. Hassan, S. Särkkä, arXiv 2207.00426. Rows are combined by Householder reflections.
//
// An element says of δ before and δ' after its chunks: R δ' + E δ = z + N(0, I) and S δ = y + N(0, I), so that
// A = −R⁻¹E, b = R⁻¹z, C = R⁻¹R⁻ᵀ, J = SᵀS, η = Sᵀy; R and S are triangular. One chunk: −P δ + δ' = d, √λ δ' = 0.
// A CUT element has E = 0: δ' does not depend on δ. After a KNOWN one δ' is known: `vector`, or z of the slot.
// A state is (R, z) of what is known of δ after the items so far, CUT or KNOWN, or (BACKWARD) (S, y) of those to come.
//
// Work area: rows of PITCH numbers in four bands of N rows, and in each row one block of columns for the δ that
// is eliminated (`eliminated`), one for the δ that stays, the right-hand side, and δ before the element:
//
//   0  a link (what is absorbed):  E  R  z
//   1  the accumulator:            R  .  z  E    BACKWARD: S . y
//   2  more of the link:           S  .  y       or, of a chunk, .  √λ
//   3  an element's                      y  S

const ELEMENT_FLOATS = 3u * MATRIX + 2u * N + 1u;
const STATE_FLOATS = MATRIX + N + 1u;
const BOTH = 2u * N;
const RIGHT = BOTH;
const BEFORE = BOTH + 1u;
const ALL = 3u * N;
//#if SWEEP
const PITCH = BOTH + 1u;
//#else
const PITCH = ALL + 1u;
//#end
const WORK = 4u * N * PITCH;

// Squared length of a column that counts as zero: below it reciprocals would overflow.
const NOTHING = 1e-30;
// Where so little is left of a difference, it has lost too many digits.
const SMALL_SHARE = 1e-3;
// Largest entry of a P_k. Where the dynamics expand by so much it says nothing about the states that are looked for, and
// in a matrix its rounding errors drown what the other directions say.
const LARGEST_PRODUCT = select(1e6, 1e12, N == 1u);

// First column of δ that the next link eliminates; the other one of the first two blocks is δ that stays.
//#if TEAM
var<private> eliminated: u32;
//#else
const eliminated = 0u;
//#end

fn at(band: u32, i: u32, column: u32) -> u32 {
  return (band * N + i) * PITCH + column;
}

fn staying() -> u32 {
  return N - eliminated;
}

// Columns count from the block to be eliminated on, and `end` is the right-hand side.
fn column_of(v: u32, end: u32) -> u32 {
  if (v == end) {
    return RIGHT;
  }
  return select(v + 1u, (v + eliminated) % BOTH, v < BOTH);
}

// Householder reflections of rows `top` … `bottom` − 1 that make `count` columns from `left` on upper triangular; the
// others up to `end` follow. What is left below the diagonal is not zero but means nothing. Each thread has its own
// columns, and finds the pivot's length as it goes along it.
fn triangularise(top: u32, bottom: u32, left: u32, end: u32, count: u32) {
  var diagonal = 0.0;
  for (var p = 0u; p <= count; p++) {
    synchronise();
    if (p > 0u && member == 0u) {
      hold((top + p - 1u) * PITCH + column_of(left + p - 1u, end), diagonal);
    }
    if (p < count) {
      let first = (top + p) * PITCH;
      let past = bottom * PITCH;
      let pivot = column_of(left + p, end);
      let head = held(first + pivot);
      for (var v = left + p + 1u + member; v <= end; v += MEMBERS) {
        let column = column_of(v, end);
        var squares = 0.0;
        var product = 0.0;
        for (var row = first; row < past; row += PITCH) {
          let along = held(row + pivot);
          squares += along * along;
          product += along * held(row + column);
        }
        let something = squares > NOTHING;
        let size = select(0.0, sqrt(squares), something);
        let length = select(size, -size, head < 0.0);
        diagonal = -length;
        if (something) {
          let share = (product + length * held(first + column)) / (size * (size + abs(head)));
          let reflected = product / diagonal;
          let difference = held(first + column) - share * (head + length);
          // The same number twice: one is better where terms cancel, the other goes with the rows below.
          let cancels = abs(reflected) < SMALL_SHARE * abs(held(first + column));
          hold(first + column, select(difference, reflected, cancels));
          for (var row = first + PITCH; row < past; row += PITCH) {
            hold(row + column, held(row + column) - share * held(row + pivot));
          }
        }
      }
    }
  }
  synchronise();
}

// vector ← R⁻¹ z, with R and z in a band.
fn back_substitute(band: u32) {
  for (var i = member; i < N; i += MEMBERS) {
    vector[i] = held(at(band, i, RIGHT));
  }
  for (var p = N - 1u; p > 0u; p--) {
    synchronise();
    let found = vector[p] / held(at(band, p, eliminated + p));
    for (var i = member; i < p; i += MEMBERS) {
      vector[i] -= held(at(band, i, eliminated + p)) * found;
    }
  }
  synchronise();
  for (var i = member; i < N; i += MEMBERS) {
    vector[i] /= held(at(band, i, eliminated + i));
  }
}

// An upper triangle from or to a slot: the matrix at number f, the right-hand side at number g.
fn load_triangle(band: u32, column: u32, slot: u32, f: u32, g: u32) {
  for (var e = member; e < MATRIX; e += MEMBERS) {
    hold(at(band, e / N, column + e % N), stored(slot, f + e));
  }
  for (var i = member; i < N; i += MEMBERS) {
    hold(at(band, i, RIGHT), stored(slot, g + i));
  }
}

fn store_triangle(band: u32, column: u32, slot: u32, f: u32, g: u32) {
  for (var e = member; e < MATRIX; e += MEMBERS) {
    store(slot, f + e, triangle(band, column, e));
  }
  for (var i = member; i < N; i += MEMBERS) {
    store(slot, g + i, held(at(band, i, RIGHT)));
  }
}

fn triangle(band: u32, column: u32, e: u32) -> f32 {
  let i = e / N;
  let j = e % N;
  return select(held(at(band, i, column + j)), 0.0, j < i);
}

fn clear_band(band: u32, column: u32) {
  for (var e = member; e < MATRIX; e += MEMBERS) {
    hold(at(band, e / N, column + e % N), 0.0);
  }
  for (var i = member; i < N; i += MEMBERS) {
    hold(at(band, i, RIGHT), 0.0);
  }
}

// The link: a stored element, or a chunk. Entry `e` of its matrices (E, R; S on δ before, S on δ after), and row i of
// its right-hand sides.
//#if UPPER
var<private> linkAt: u32;
// Whether only what it says of δ before counts, R = I and E = 0 taking the others' place.
var<private> linkCut: bool;

fn link(e: u32) -> vec4f {
  let before = stored(linkAt, 2u * MATRIX + e);
  if (linkCut) {
    return vec4f(0.0, select(0.0, 1.0, e % (N + 1u) == 0u), before, 0.0);
  }
  return vec4f(stored(linkAt, MATRIX + e), stored(linkAt, e), before, 0.0);
}

fn link_right(i: u32) -> vec2f {
  let own = 3u * MATRIX + i;
  return vec2f(select(stored(linkAt, own), 0.0, linkCut), stored(linkAt, own + N));
}
//#else
var<private> linkRoot: f32;

fn link(e: u32) -> vec4f {
  let identity = select(0.0, 1.0, e % (N + 1u) == 0u);
  return vec4f(-product_entry(e), identity, 0.0, linkRoot * identity);
}

fn link_right(i: u32) -> vec2f {
  return vec2f(defect_of(chosen, i), 0.0);
}

fn choose_chunk(k: u32, j: u32) {
  linkRoot = sqrt(control[j].lambda);
  choose_product(k, LARGEST_PRODUCT);
}
//#end

// Puts the link beside an accumulator of a kind (BACKWARD: CUT), and eliminates δ between them.
fn absorb(own: u32) {
  synchronise();
  let begins = own == KNOWN || own == IDENTITY;
  let before = own == FULL || own == IDENTITY;
  for (var e = member; e < MATRIX; e += MEMBERS) {
    let i = e / N;
    let j = e % N;
//#if BACKWARD
    let m = link(e).yxwz;
//#else
    let m = link(e);
//#end
    hold(at(2u, i, staying() + j), m.w);
    if (begins) {
      hold(at(1u, i, staying() + j), m.y);
//#if SWEEP
//#else
      hold(at(1u, i, BEFORE + j), m.x);
      hold(at(2u, i, BEFORE + j), m.z);
//#end
    } else {
      hold(at(0u, i, eliminated + j), m.x);
      hold(at(0u, i, staying() + j), m.y);
      hold(at(1u, i, staying() + j), 0.0);
      if (j < i) {
        hold(at(1u, i, eliminated + j), 0.0);
      }
      hold(at(2u, i, eliminated + j), m.z);
//#if SWEEP
//#else
      hold(at(0u, i, BEFORE + j), 0.0);
      hold(at(2u, i, BEFORE + j), 0.0);
//#end
    }
  }
  for (var i = member; i < N; i += MEMBERS) {
    var right = link_right(i);
    if (own == KNOWN) {
      for (var j = 0u; j < N; j++) {
        right.x -= link(i * N + j).x * vector[j];
      }
      right.y = 0.0;
    }
    hold(at(select(0u, 1u, begins), i, RIGHT), right.x);
    hold(at(2u, i, RIGHT), right.y);
  }
  let top = select(0u, N, begins);
  triangularise(top, ALL, top, select(BOTH, ALL, before), BOTH - top);
  // A thread moves what stays, so that compilers know where everything lies.
//#if TEAM
  eliminated = staying();
//#else
  for (var e = 0u; e < MATRIX; e++) {
    hold(at(1u, e / N, e % N), held(at(1u, e / N, N + e % N)));
  }
//#end
//#if SWEEP
//#else
  if (before) {
    triangularise(BOTH, 4u * N, BOTH, ALL, N);
    for (var e = member; e < MATRIX; e += MEMBERS) {
      hold(at(3u, e / N, BEFORE + e % N), triangle(2u, BEFORE, e));
    }
    for (var i = member; i < N; i += MEMBERS) {
      hold(at(3u, i, RIGHT), held(at(2u, i, RIGHT)));
    }
  }
//#end
}

// R and z, or δ if it is known.
fn load_known(slot: u32, right: u32) {
  synchronise();
  load_triangle(1u, eliminated, slot, 0u, right);
  for (var i = member; i < N; i += MEMBERS) {
    vector[i] = stored(slot, right + i);
  }
}

fn store_known(own: u32, slot: u32, right: u32) {
  store_triangle(1u, eliminated, slot, 0u, right);
  if (own == KNOWN) {
    for (var i = member; i < N; i += MEMBERS) {
      store(slot, right + i, vector[i]);
    }
  }
}

//#if UPPER
//#else

// δ is known after a chunk that is not FREE.
fn know(k: u32, role: u32) {
  synchronise();
  for (var i = member; i < N; i += MEMBERS) {
    vector[i] = 0.0;
    if (role == HEAD) {
      vector[i] = defect_of(k, i);
    }
  }
  set_kind(KNOWN);
}
//#end
//#if SWEEP

fn state_load(slot: u32) {
  load_known(slot, MATRIX);
  set_kind(stored_kind(slot, STATE_FLOATS - 1u));
}

fn state_store(slot: u32) {
  let own = own_kind();
  synchronise();
  store_known(own, slot, MATRIX);
  store_kind(own, slot, STATE_FLOATS - 1u);
}
//#if BACKWARD

fn state_clear() {
  synchronise();
  clear_band(1u, eliminated);
  set_kind(CUT);
}
//#if UPPER

fn state_advance(slot: u32) {
  linkAt = slot;
  if (stored_kind(slot, ELEMENT_FLOATS - 1u) == FULL) {
    absorb(CUT);
  } else {
    synchronise();
    load_triangle(1u, eliminated, slot, 2u * MATRIX, 3u * MATRIX + N);
  }
}
//#else

fn state_apply(k: u32, j: u32, role: u32) {
  if (role == FREE) {
    choose_chunk(k, j);
    let stashed = level.stashAt + k * STATE_FLOATS * UNITS;
    synchronise();
    load_triangle(2u, eliminated, stashed, 0u, MATRIX);
    for (var e = member; e < MATRIX; e += MEMBERS) {
      hold(at(3u, e / N, eliminated + e % N), triangle(1u, eliminated, e));
    }
    for (var i = member; i < N; i += MEMBERS) {
      hold(at(3u, i, RIGHT), held(at(1u, i, RIGHT)));
    }
    triangularise(BOTH, 4u * N, 0u, N, N);
    back_substitute(2u);
    absorb(CUT);
  } else {
    state_clear();
  }
  write_unit(k, j, role);
}
//#end
//#else

fn state_clear() {
  for (var i = member; i < N; i += MEMBERS) {
    vector[i] = 0.0;
  }
  set_kind(KNOWN);
}
//#if UPPER

fn state_advance(slot: u32) {
  let own = own_kind();
  let later = stored_kind(slot, ELEMENT_FLOATS - 1u);
  linkAt = slot;
  if (later == FULL) {
    absorb(own);
  } else {
    load_known(slot, 3u * MATRIX);
  }
  set_kind(select(later, CUT, later == FULL));
}
//#else

fn state_apply(k: u32, j: u32, role: u32) {
  if (role == FREE) {
//#if NONE
    // Not even a NaN passes a chunk.
    state_clear();
//#end
    let own = own_kind();
    choose_chunk(k, j);
    absorb(own);
    set_kind(CUT);
//#if STASH
    state_store(level.stashAt + k * STATE_FLOATS * UNITS);
//#else
    back_substitute(1u);
//#end
  } else {
    know(k, role);
  }
//#if STASH
//#else
  write_unit(k, j, role);
//#end
}
//#end
//#end
//#if UPPER
//#else

// From `vector`, for a FREE chunk.
fn write_unit(k: u32, j: u32, role: u32) {
  for (var a = member; a < N; a += MEMBERS) {
    let i = a * UNITS + unit;
    write_boundary(k, j, role, i, moved(boundaries[boundary_at(k) + i], vector[a]));
  }
}
//#end
//#else

fn element_clear() {
  synchronise();
  clear_band(3u, BEFORE);
  set_kind(IDENTITY);
}

fn element_store(slot: u32) {
  let own = own_kind();
  synchronise();
  store_known(own, slot, 3u * MATRIX);
  store_triangle(3u, BEFORE, slot, 2u * MATRIX, 3u * MATRIX + N);
  for (var e = member; e < MATRIX; e += MEMBERS) {
    store(slot, MATRIX + e, held(at(1u, e / N, BEFORE + e % N)));
  }
  store_kind(own, slot, ELEMENT_FLOATS - 1u);
}
//#if UPPER

fn element_absorb(slot: u32) {
  let own = own_kind();
  let later = stored_kind(slot, ELEMENT_FLOATS - 1u);
  let before = own == FULL || own == IDENTITY;
  linkAt = slot;
  linkCut = later != FULL;
  if (later == FULL || before) {
    absorb(own);
  }
  if (later != FULL) {
    load_known(slot, 3u * MATRIX);
    set_kind(later);
  } else {
    set_kind(select(CUT, FULL, before));
  }
}
//#else

fn element_absorb_chunk(k: u32, j: u32, role: u32) {
  let own = own_kind();
  if (role == FREE) {
    choose_chunk(k, j);
    absorb(own);
    set_kind(select(CUT, FULL, own == FULL || own == IDENTITY));
  } else {
    know(k, role);
  }
}
//#end
//#end
