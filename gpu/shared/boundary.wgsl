// Writing one element of the boundary after a chunk, with the guards of docs/methods.md.

// A HEAD: the boundary is the chunk's end, which is exact, undamped and unclipped; so is the step before it.
fn write_head(k: u32, j: u32, i: u32, end: f32) {
  boundaries[boundary_at(k) + i] = end;
  let c = k - control[j].firstChunk + 1u;
  if (c < control[j].chunks) {
    let seam = row_of(control[j], c * problem.chunkLength - 1u, problem.reverse);
    states[seam * STATE_SIZE + i] = end;
  }
}

// x + change, and x in every bit where there is nothing to add: −0 + 0 is 0.
fn moved(x: f32, change: f32) -> f32 {
  return select(x + change, x, change == 0.0);
}

// A FREE chunk: what is not finite keeps its old value, and all is clipped to the bounds.
fn write_free(k: u32, j: u32, i: u32, fresh: f32, old: f32) {
//#if TRUST
  if (control[j].action == RESTORE) {
    boundaries[boundary_at(k) + i] = saved[k * STATE_SIZE + i];
    return;
  }
  if (control[j].action == SAVE_AND_UPDATE) {
    saved[k * STATE_SIZE + i] = old;
  }
//#end
  let bound = bounds[j * STATE_SIZE + i];
  let usable = select(old, fresh, is_finite(fresh));
  boundaries[boundary_at(k) + i] = min(max(usable, bound.x), bound.y);
}
