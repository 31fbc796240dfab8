// Combines the elements of every tile of a level: chunks, or (UPPER) the tiles of the level below.
//#import shared/problem.wgsl
//#import shared/scan.wgsl
//#import shared/scan_bindings.wgsl
//#import shared/scan_monoid.wgsl
//#import shared/scan_absorb.wgsl

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
  place(workgroup, local);
  let tile = tile_of(workgroup);
  let run = run_of(tile);
  absorb_run(run);
//#if MERGE
//#if RUNS
  if (run.begin < run.end) {
    element_store(level.runsAt + run_index(tile) * ELEMENT_FLOATS * UNITS);
  }
//#end
  rows_merge();
  let stores = row == 0u;
//#else
  let stores = tile < level.tiles;
//#end
  if (stores) {
    element_store(level.tilesAt + tile * ELEMENT_FLOATS * UNITS);
  }
}
