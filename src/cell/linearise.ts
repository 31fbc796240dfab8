/**
 * First derivatives of a straight-line program, symbolically.
 *
 * The derivative of each vector is kept as a *form*: a piecewise sum of coefficient ∘ atom, where an
 * atom is a piece of the seed (the tangent of the state) or a matrix applied to another form. Terms
 * with the same atom are merged, so a GRU's tangent is four scaled vectors and its coefficients cost
 * about one more pass of pointwise work, however the step was written.
 */
import { type Graph, type LeafName, topologicalOrder, type Vector } from "./expression.ts";
import { block, type Matrix } from "./weight.ts";

export type Atom =
  /** Elements `start` … of the seed. */
  | { readonly kind: "seed"; readonly leaf: LeafName; readonly start: number }
  /** matrix · form. */
  | { readonly kind: "linear"; readonly matrix: Matrix; readonly form: Form }
  /** Elements `start` … of a form that has too many terms to carry on with. */
  | { readonly kind: "part"; readonly form: Form; readonly start: number };

/** coefficient ∘ atom, added to elements `start` … of the derivative. */
export interface Term {
  readonly start: number;
  readonly coefficient: Vector;
  readonly atom: Atom;
}

export interface Form {
  readonly id: number;
  readonly size: number;
  readonly terms: readonly Term[];
}

export interface LineariseOptions {
  /** Leaves to differentiate with respect to. */
  readonly leaves: readonly LeafName[];
  /** A form with more terms than this is not expanded any further. Default: no limit. */
  readonly maximumTerms?: number;
}

export class Linearisation {
  readonly #graph: Graph;
  readonly #leaves: ReadonlySet<LeafName>;
  readonly #maximumTerms: number;
  readonly #forms = new Map<Vector, Form>();
  #count = 0;

  constructor(graph: Graph, { leaves, maximumTerms = Infinity }: LineariseOptions) {
    this.#graph = graph;
    this.#leaves = new Set(leaves);
    this.#maximumTerms = maximumTerms;
  }

  /** The derivative of `vector` with respect to the chosen leaves. */
  form(vector: Vector): Form {
    const known = this.#forms.get(vector);
    if (known) return known;
    const exact = this.#newForm(vector.size, this.#terms(vector));
    const form = exact.terms.length > this.#maximumTerms ? this.#abbreviate(exact) : exact;
    this.#forms.set(vector, form);
    return form;
  }

  #newForm(size: number, terms: readonly Term[]): Form {
    return { id: this.#count++, size, terms };
  }

  #abbreviate(form: Form): Form {
    const coefficient = this.#graph.constant(1, form.size);
    return this.#newForm(form.size, [
      { start: 0, coefficient, atom: { kind: "part", form, start: 0 } },
    ]);
  }

  #terms(vector: Vector): readonly Term[] {
    const graph = this.#graph;
    switch (vector.kind) {
      case "constant":
      case "weight":
        return [];
      case "leaf": {
        if (!this.#leaves.has(vector.name)) return [];
        const coefficient = graph.constant(1, vector.size);
        return [{ start: 0, coefficient, atom: { kind: "seed", leaf: vector.name, start: 0 } }];
      }
      case "linear": {
        const form = this.form(vector.args[0]!);
        if (form.terms.length === 0) return [];
        const coefficient = graph.constant(1, vector.size);
        return [{ start: 0, coefficient, atom: { kind: "linear", matrix: vector.matrix, form } }];
      }
      case "slice":
        return this.#sliceTerms(this.form(vector.args[0]!).terms, vector.start, vector.size);
      case "concat": {
        const terms: Term[] = [];
        let offset = 0;
        for (const part of vector.args) {
          for (const term of this.form(part).terms) {
            terms.push({ ...term, start: term.start + offset });
          }
          offset += part.size;
        }
        return terms;
      }
      case "pointwise":
        return this.#pointwiseTerms(vector);
    }
  }

  #sliceTerms(terms: readonly Term[], start: number, size: number): Term[] {
    const result: Term[] = [];
    for (const term of terms) {
      const from = Math.max(start, term.start);
      const to = Math.min(start + size, term.start + term.coefficient.size);
      if (from >= to) continue;
      const skip = from - term.start;
      result.push({
        start: from - start,
        coefficient: this.#graph.slice(term.coefficient, skip, to - from),
        atom: sliceAtom(term.atom, skip, to - from),
      });
    }
    return result;
  }

  /**
   * Reverse accumulation through the pointwise nodes above `vector`, down to the first nodes that are
   * not pointwise: few outputs, many inputs, so this is where reverse mode costs least.
   */
  #pointwiseTerms(vector: Vector & { kind: "pointwise" }): readonly Term[] {
    const graph = this.#graph;
    const adjoints = new Map<Vector, Vector>([[vector, graph.constant(1, vector.size)]]);
    const merged = new Map<string, Term>();
    for (const node of topologicalOrder(
      [vector],
      (other) => other.kind !== "pointwise",
    ).reverse()) {
      const adjoint = adjoints.get(node);
      if (!adjoint) continue;
      if (node.kind !== "pointwise") {
        for (const term of this.form(node).terms) addScaled(graph, merged, term, adjoint);
        continue;
      }
      graph.partials(node).forEach((partial, i) => {
        if (!partial) return;
        const share = graph.apply("multiply", [partial, adjoint]);
        const known = adjoints.get(node.args[i]!);
        adjoints.set(node.args[i]!, known ? graph.apply("add", [known, share]) : share);
      });
    }
    return [...merged.values()];
  }
}

function addScaled(graph: Graph, merged: Map<string, Term>, term: Term, adjoint: Vector): void {
  const { start, coefficient, atom } = term;
  const scaled = graph.apply("multiply", [
    graph.slice(adjoint, start, coefficient.size),
    coefficient,
  ]);
  const key = `${start} ${scaled.size} ${atomKey(atom)}`;
  const other = merged.get(key);
  const sum = other ? graph.apply("add", [other.coefficient, scaled]) : scaled;
  merged.set(key, { start, coefficient: sum, atom });
}

function sliceAtom(atom: Atom, start: number, size: number): Atom {
  if (atom.kind === "linear") {
    const { matrix } = atom;
    return { ...atom, matrix: block(matrix, start, 0, size, matrix.columns) };
  }
  return { ...atom, start: atom.start + start };
}

function atomKey(atom: Atom): string {
  switch (atom.kind) {
    case "seed":
      return `${atom.leaf} ${atom.start}`;
    case "linear":
      return `${atom.matrix.key} · ${atom.form.id}`;
    case "part":
      return `part ${atom.form.id} ${atom.start}`;
  }
}

/**
 * The derivative applied to `seeds` (one vector per leaf): a vector that is linear in the seeds,
 * J · seed.
 */
export function applyForm(
  graph: Graph,
  form: Form,
  seeds: Readonly<Record<LeafName, Vector>>,
): Vector {
  const known = new Map<Form, Vector>();
  const evaluate = (inner: Form): Vector => {
    let vector = known.get(inner);
    if (!vector) {
      vector = sumPieces(graph, inner.size, inner.terms.map(scaledAtom));
      known.set(inner, vector);
    }
    return vector;
  };
  const scaledAtom = ({ start, coefficient, atom }: Term): Piece => {
    const value =
      atom.kind === "linear"
        ? graph.linear(atom.matrix, evaluate(atom.form))
        : graph.slice(
            atom.kind === "seed" ? seeds[atom.leaf]! : evaluate(atom.form),
            atom.start,
            coefficient.size,
          );
    return { start, value: graph.apply("multiply", [coefficient, value]) };
  };
  return evaluate(form);
}

/** A vector to be added to elements `start` … of a sum. */
export interface Piece {
  readonly start: number;
  readonly value: Vector;
}

/** The sum of overlapping pieces, as one vector of `size` elements; zero where there is none. */
export function sumPieces(graph: Graph, size: number, pieces: readonly Piece[]): Vector {
  const cuts = new Set([0, size]);
  for (const { start, value } of pieces) cuts.add(start).add(start + value.size);
  const edges = [...cuts].sort((a, b) => a - b);
  const segments: Vector[] = [];
  for (let i = 0; i + 1 < edges.length; i++) {
    const from = edges[i]!;
    const length = edges[i + 1]! - from;
    let sum = graph.constant(0, length);
    for (const { start, value } of pieces) {
      if (start <= from && from + length <= start + value.size) {
        sum = graph.apply("add", [sum, graph.slice(value, from - start, length)]);
      }
    }
    segments.push(sum);
  }
  return graph.concat(segments);
}
