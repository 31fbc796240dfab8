// Whether states are finite, where they stay on the device: for each sequence of a window, whether one is not.
//#import shared/problem.wgsl

//#section bindings
@group(0) @binding(0) var<uniform> problem: Problem;
@group(0) @binding(1) var<storage, read> control: array<Sequence>;
// [rows, STATE_SIZE]
@group(0) @binding(2) var<storage, read> states: array<f32>;
// [sequences]
@group(0) @binding(3) var<storage, read_write> spoiled: array<atomic<u32>>;
//#end

const STATE_SIZE = 4u;
const WIDTH = 64u;
// Rows that a workgroup looks at.
const TILE = 256u;

@compute @workgroup_size(WIDTH)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let begin = folded(workgroup, workgroups) * TILE;
  let end = min(begin + TILE, problem.rows);
  var j = 0u;
  for (var row = begin; row < end; row++) {
    while (row >= control[j].firstRow + control[j].length) {
      j++;
    }
    for (var i = thread; i < STATE_SIZE; i += WIDTH) {
      if (!is_finite(states[row * STATE_SIZE + i])) {
        atomicMax(&spoiled[j], 1u);
      }
    }
  }
}
