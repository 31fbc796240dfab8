// Which sequence a chunk belongs to, by bisection of `control`: of the sweep's chunks or (ERROR_CHUNKS) the certificate's.
//#import shared/problem.wgsl

fn first_chunk_of(j: u32) -> u32 {
//#if ERROR_CHUNKS
  return control[j].firstErrorChunk;
//#else
  return control[j].firstChunk;
//#end
}

// The last sequence that begins at chunk k or before.
fn sequence_of(k: u32) -> u32 {
  var low = 0u;
  var high = problem.sequences - 1u;
  while (low < high) {
    let middle = (low + high + 1u) / 2u;
    if (first_chunk_of(middle) <= k) {
      low = middle;
    } else {
      high = middle - 1u;
    }
  }
  return low;
}
