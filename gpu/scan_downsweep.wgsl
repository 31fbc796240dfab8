// Walks every tile of a level from the state before it: gives the items of an UPPER level their states, and
// writes the boundaries after the chunks.
//#import shared/problem.wgsl
//#import shared/scan.wgsl
//#import shared/scan_bindings.wgsl
//#import shared/scan_monoid.wgsl
//#import shared/scan_walk.wgsl

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
  walk(workgroup);
}
