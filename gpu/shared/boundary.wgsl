// Writing one element of the boundary after a chunk, with the guards of docs/methods.md.

fn boundary_at(k: u32) -> u32 {
  return (problem.sequences + k) * STATE_SIZE;
}

// x + change, and x in every bit where there is nothing to add: −0 + 0 is 0.
fn moved(x: f32, change: f32) -> f32 {
  return select(x + change, x, change == 0.0);
}

fn write_boundary(k: u32, j: u32, role: u32, i: u32, fresh: f32) {
  let at = boundary_at(k) + i;
  if (role == HEAD) {
    // The chunk's end, which is exact, undamped and unclipped; so is the step before it.
    let end = ends[k * STATE_SIZE + i];
    boundaries[at] = end;
    let c = k - control[j].firstChunk + 1u;
    if (c < control[j].chunks) {
      let seam = row_of(control[j], c * problem.chunkLength - 1u, problem.reverse);
      states[seam * STATE_SIZE + i] = end;
    }
  }
  if (role != FREE) {
    return;
  }
  let old = boundaries[at];
//#if TRUST
  if (control[j].action == RESTORE) {
    boundaries[at] = saved[k * STATE_SIZE + i];
    return;
  }
  if (control[j].action == SAVE_AND_UPDATE) {
    saved[k * STATE_SIZE + i] = old;
  }
//#end
  // What is not finite keeps its old value, and all is clipped to the bounds.
  let bound = bounds[j * STATE_SIZE + i];
  let usable = select(old, fresh, is_finite(fresh));
  boundaries[at] = min(max(usable, bound.x), bound.y);
}
