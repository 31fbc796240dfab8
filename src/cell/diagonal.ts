/**
 * The unit-block diagonal of a Jacobian, as a vector program.
 *
 * Exact through up to two nested linear layers, by diag(W₂ diag(a) W₁) = (W₂ ∘ W₁ᵀ) a; beyond that,
 * Hutchinson's estimate mean_p z_p ∘ (J z_p) with fixed random signs z_p.
 */
import type { Graph, Vector } from "./expression.ts";
import { applyForm, type Form, type Term } from "./linearise.ts";
import { block, diagonalOf, hadamardTranspose, type Matrix } from "./weight.ts";

interface Range {
  /** First row of the diagonal's rows in the derivative. */
  readonly row: number;
  /** First column of the diagonal in the state. */
  readonly column: number;
  readonly size: number;
}

/**
 * ∂v[row + i] / ∂state[column + i] for i < size, where `form` is v's derivative; null when some path
 * passes through more than two linear layers.
 */
export function exactDiagonal(graph: Graph, form: Form, range: Range): Vector | null {
  let sum = graph.constant(0, range.size);
  for (const term of form.terms) {
    const from = Math.max(range.row, term.start);
    const to = Math.min(range.row + range.size, term.start + term.coefficient.size);
    if (from >= to) continue;
    const piece = termDiagonal(graph, term, {
      row: from - term.start,
      column: range.column + (from - range.row),
      size: to - from,
    });
    if (!piece) return null;
    sum = graph.apply("add", [sum, embed(graph, piece, from - range.row, range.size)]);
  }
  return sum;
}

/** `range.row` counts within the term here, and the range lies within it. */
function termDiagonal(graph: Graph, term: Term, range: Range): Vector | null {
  const { atom } = term;
  const coefficient = graph.slice(term.coefficient, range.row, range.size);
  if (atom.kind === "part") return null;
  if (atom.kind === "seed") {
    const aligned = atom.start + range.row === range.column;
    return aligned ? coefficient : graph.constant(0, range.size);
  }
  const rows = block(atom.matrix, range.row, 0, range.size, atom.matrix.columns);
  let sum = graph.constant(0, range.size);
  for (const inner of atom.form.terms) {
    const piece = layerDiagonal(graph, rows, inner, range.column);
    if (!piece) return null;
    sum = graph.apply("add", [sum, piece]);
  }
  return graph.apply("multiply", [coefficient, sum]);
}

/** The diagonal of `rows` · (inner term), against state columns `column` …. */
function layerDiagonal(graph: Graph, rows: Matrix, inner: Term, column: number): Vector | null {
  const { atom, coefficient, start } = inner;
  if (atom.kind === "part") return null;
  if (atom.kind === "seed") {
    return alignedDiagonal(graph, rows.rows, coefficient, atom.start, column, (i, j, size) =>
      graph.weight(diagonalOf(block(rows, i, start + j, size, size))),
    );
  }
  let sum = graph.constant(0, rows.rows);
  for (const innermost of atom.form.terms) {
    if (innermost.atom.kind !== "seed") return null;
    const seed = innermost.atom.start;
    const piece = alignedDiagonal(
      graph,
      rows.rows,
      innermost.coefficient,
      seed,
      column,
      (i, j, size) => {
        const outer = block(rows, i, start, size, coefficient.size);
        const { matrix } = atom;
        const columns = block(matrix, 0, innermost.start + j, matrix.rows, size);
        return graph.linear(hadamardTranspose(outer, columns), coefficient);
      },
    );
    sum = graph.apply("add", [sum, piece]);
  }
  return sum;
}

/**
 * Rows 0 … `size` want state element `column` + i; the term offers elements `seed` … with its
 * coefficients. Where the two meet, from row i and element j of the term on, the entry is
 * `entries(i, j, length)` ∘ coefficient; elsewhere zero.
 */
function alignedDiagonal(
  graph: Graph,
  size: number,
  coefficient: Vector,
  seed: number,
  column: number,
  entries: (i: number, j: number, length: number) => Vector,
): Vector {
  const from = Math.max(column, seed);
  const to = Math.min(column + size, seed + coefficient.size);
  if (from >= to) return graph.constant(0, size);
  const j = from - seed;
  const piece = graph.apply("multiply", [
    entries(from - column, j, to - from),
    graph.slice(coefficient, j, to - from),
  ]);
  return embed(graph, piece, from - column, size);
}

function embed(graph: Graph, piece: Vector, start: number, size: number): Vector {
  return graph.concat([
    graph.constant(0, start),
    piece,
    graph.constant(0, size - start - piece.size),
  ]);
}

/**
 * Hutchinson's estimate of blocks [a][b] of diagonals, for `units` parts of equal size: the seed is
 * random signs on part b and zero elsewhere, one run per part and probe.
 *
 * @param signs the leaf of signs, `[probes, stateSize]`.
 */
export function estimatedDiagonal(
  graph: Graph,
  form: Form,
  units: number,
  signs: Vector,
  leaf: string,
): Vector[][] {
  const stateSize = form.size;
  const probes = signs.size / stateSize;
  const size = stateSize / units;
  const blocks = Array.from({ length: units }, () =>
    Array.from({ length: units }, () => graph.constant(0, size)),
  );
  for (let probe = 0; probe < probes; probe++) {
    for (let b = 0; b < units; b++) {
      const sign = graph.slice(signs, probe * stateSize + b * size, size);
      const image = applyForm(graph, form, { [leaf]: embed(graph, sign, b * size, stateSize) });
      for (let a = 0; a < units; a++) {
        const sample = graph.apply("multiply", [sign, graph.slice(image, a * size, size)]);
        blocks[a]![b] = graph.apply("add", [blocks[a]![b]!, sample]);
      }
    }
  }
  const share = graph.constant(1 / probes, size);
  return blocks.map((row) => row.map((sum) => graph.apply("multiply", [share, sum])));
}
