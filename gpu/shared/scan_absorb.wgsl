// The elements of a run, in order.
fn absorb_run(run: Run) {
  element_clear();
//#if UPPER
  for (var item = run.begin; item < run.end; item++) {
    element_absorb(level.itemsAt + item * ELEMENT_FLOATS * UNITS);
  }
//#else
  var j = sequence_of(run.begin);
  var span = span_of(j);
  for (var k = run.begin; k < run.end; k++) {
    while (k >= span.end) {
      j++;
      span = span_of(j);
    }
    element_absorb_chunk(k, j, role_in(span, k));
  }
//#end
}
