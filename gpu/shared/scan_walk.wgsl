// The way down through one tile: from the state before it (BACKWARD: after it) through all of its items.
//#if MERGE
//#import shared/scan_absorb.wgsl
//#end

fn walk(workgroup: u32) {
  let tile = tile_of(workgroup);
  let run = run_of(tile);
//#if WHOLE
  state_clear();
//#else
  state_load(level.tileStatesAt + min(tile, level.tiles - 1u) * STATE_FLOATS * UNITS);
//#end
//#if MERGE
//#if RUNS
  element_load(level.runsAt + run_index(tile) * ELEMENT_FLOATS * UNITS, run);
//#else
  absorb_run(run);
//#end
  rows_advance();
//#end
//#if UPPER
  for (var i = run.begin; i < run.end; i++) {
//#if BACKWARD
    let item = run.begin + run.end - 1u - i;
//#else
    let item = i;
//#end
    state_store(level.statesAt + item * STATE_FLOATS * UNITS);
    state_advance(level.itemsAt + item * ELEMENT_FLOATS * UNITS);
  }
//#else
//#if BACKWARD
  var j = sequence_of(max(run.end, 1u) - 1u);
  var span = span_of(j);
  for (var k = run.end; k > run.begin;) {
    k--;
    while (k < span.begin) {
      j--;
      span = span_of(j);
    }
    state_apply(k, j, role_in(span, k));
  }
//#else
  var j = sequence_of(run.begin);
  var span = span_of(j);
  for (var k = run.begin; k < run.end; k++) {
    while (k >= span.end) {
      j++;
      span = span_of(j);
    }
    state_apply(k, j, role_in(span, k));
  }
//#end
//#end
}
