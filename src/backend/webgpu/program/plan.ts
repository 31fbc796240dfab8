/**
 * Plans how a workgroup computes a vector program: every vector is cut into *pieces*, of which one thread
 * computes one element at a time; pieces of one length that need nothing from other threads share a loop;
 * and loops between which threads must exchange elements are *stages*, with a barrier in between.
 */
import { dependents, type Leaf, topologicalOrder, type Vector } from "../../../cell/expression.ts";

/** What a program computes; with a leaf, it is the leaf's value in the next step. */
export interface Output {
  readonly next: Vector;
  readonly leaf?: Leaf;
}

export interface PlanSource {
  readonly outputs: readonly Output[];
  /** The leaf whose elements have several columns; nothing but linear in it. */
  readonly columns?: string;
}

/** Elements `start` … `start + size − 1` of a vector. */
export interface Range {
  readonly start: number;
  readonly size: number;
}

/** A part of a vector that is computed in one loop. */
export interface Piece extends Range {
  readonly node: Vector;
  stage: number;
}

/** Where element i of a range comes from. */
export type Operand =
  | { readonly kind: "static" | "leaf" | "memory"; readonly node: Vector; readonly start: number }
  | { readonly kind: "piece"; readonly piece: Piece }
  /** Elements from `from` on, up to the next part's, come from `part`. */
  | {
      readonly kind: "gather";
      readonly parts: readonly { readonly from: number; readonly part: Operand }[];
    };

interface LeafRead extends Range {
  readonly leaf: Vector;
  /** Whether element i is read by the thread that has element i of the range. */
  readonly aligned: boolean;
}

export class Plan {
  readonly outputs: readonly Output[];
  readonly isColumned: (node: Vector) => boolean;
  /** In an order in which they can be computed. */
  readonly pieces: Piece[] = [];
  /** The pieces of each output, which have the same cuts for all outputs of one size. */
  readonly outputPieces: readonly (readonly Range[])[];
  /** Vectors that other threads read, but carried leaves; leaves among them are copied. */
  readonly memory = new Set<Vector>();
  readonly stages: number;
  readonly #dynamic: ReadonlySet<Vector>;
  readonly #gathers = new Set<Vector>();
  readonly #cuts = new Map<Vector, readonly number[]>();
  readonly #demands = new Map<Vector, Map<string, Range>>();
  readonly #found = new Map<Vector, Map<string, Piece>>();
  readonly #leafReads: LeafRead[] = [];
  readonly #carried: ReadonlySet<Vector>;

  constructor({ outputs, columns }: PlanSource) {
    this.outputs = outputs;
    this.#carried = new Set(outputs.flatMap(({ leaf }) => leaf ?? []));
    const order = topologicalOrder(outputs.map(({ next }) => next));
    this.#dynamic = dependents(order, () => true);
    const columned = dependents(order, (leaf) => leaf === columns);
    // The leaf itself may not occur: a Jacobian can be zero.
    this.isColumned = (node) =>
      columned.has(node) || (node.kind === "leaf" && node.name === columns);
    const dynamic = order.filter((node) => this.#dynamic.has(node));
    for (const node of dynamic) this.#findCuts(node);
    this.outputPieces = outputs.map(({ next }) => {
      const alike = outputs.filter((other) => other.next.size === next.size);
      return rangesBetween(
        alike.flatMap((other) => this.#cuts.get(other.next) ?? []),
        next.size,
      );
    });
    outputs.forEach(({ next }, i) => {
      for (const { start, size } of this.outputPieces[i]!) this.#request(next, start, size);
    });
    for (const node of dynamic.reverse()) this.#cut(node);
    this.pieces.reverse();
    this.stages = this.#schedule();
  }

  /** Where element `start` + i of `node` comes from, for i < `size`. */
  operand(node: Vector, start: number, size: number): Operand {
    if (!this.#dynamic.has(node)) return { kind: "static", node, start };
    switch (node.kind) {
      case "leaf":
        return { kind: "leaf", node, start };
      case "slice":
        return this.operand(node.args[0]!, start + node.start, size);
      case "concat": {
        const parts = overlapping(node, start, size);
        const [first] = parts as [Part];
        if (!this.#gathers.has(node)) return this.operand(first.node, first.start, size);
        const gathered = parts.map(({ node: part, start: at, from }) => {
          const base = part.kind === "slice" ? part.args[0]! : part;
          const offset = (part.kind === "slice" ? part.start : 0) + at - from;
          const kind = !this.#dynamic.has(base)
            ? "static"
            : base.kind === "leaf"
              ? "leaf"
              : "memory";
          return { from, part: { kind, node: base, start: offset } as Operand };
        });
        return gathered.length === 1 ? gathered[0]!.part : { kind: "gather", parts: gathered };
      }
      default: {
        const piece = this.#found.get(node)?.get(keyOf({ start, size }));
        return piece ? { kind: "piece", piece } : { kind: "memory", node, start };
      }
    }
  }

  /** What a piece's element is computed from. */
  operands({ node, start, size }: Piece): Operand[] {
    if (node.kind === "leaf") return [{ kind: "leaf", node, start }];
    if (node.kind === "linear") return [this.argument(node)];
    if (node.kind === "concat") return [this.operand(node, start, size)];
    return node.args.map((arg) => this.operand(arg, start, size));
  }

  /** Where a matrix finds element 0 of the vector that it is multiplied with. */
  argument(node: Vector): Operand {
    const [arg] = node.args as [Vector];
    const base = arg.kind === "slice" ? arg.args[0]! : arg;
    const start = arg.kind === "slice" ? arg.start : 0;
    return { kind: this.#carried.has(base) ? "leaf" : "memory", node: base, start };
  }

  /** Whether no other thread reads these elements of a carried leaf than the one that computes them. */
  isOwn(leaf: Vector, { start, size }: Range): boolean {
    return this.#leafReads.every(
      (read) =>
        read.leaf !== leaf ||
        read.start >= start + size ||
        read.start + read.size <= start ||
        (read.aligned && read.start === start && read.size === size),
    );
  }

  #findCuts(node: Vector): void {
    const cutsOf = (arg: Vector) => this.#cuts.get(arg) ?? [];
    let cuts: number[] = [];
    if (node.kind === "pointwise") cuts = node.args.flatMap(cutsOf);
    if (node.kind === "slice") cuts = cutsOf(node.args[0]!).map((cut) => cut - node.start);
    if (node.kind === "concat") {
      const bases = node.args
        .filter((part) => this.#dynamic.has(part))
        .map((part) => (part.kind === "slice" ? part.args[0]! : part));
      // A shift, say: other threads' elements are read anyway, so one loop will do.
      if (new Set(bases).size < bases.length) this.#gathers.add(node);
      else {
        for (const part of overlapping(node, 0, node.size)) {
          cuts.push(part.from, ...cutsOf(part.node).map((cut) => cut + part.from));
        }
      }
    }
    const inner = new Set(cuts.filter((cut) => cut > 0 && cut < node.size));
    this.#cuts.set(node, [...inner]);
  }

  #request(node: Vector, start: number, size: number): void {
    if (!this.#dynamic.has(node)) return;
    if (node.kind === "slice") this.#request(node.args[0]!, start + node.start, size);
    else if (node.kind === "leaf") this.#leafReads.push({ leaf: node, start, size, aligned: true });
    else if (node.kind === "concat") {
      for (const part of overlapping(node, start, size)) {
        if (this.#gathers.has(node)) this.#share(part.node, part.start, part.size);
        else this.#request(part.node, part.start, part.size);
      }
    } else {
      const demands = this.#demands.get(node) ?? new Map<string, Range>();
      this.#demands.set(node, demands.set(keyOf({ start, size }), { start, size }));
    }
  }

  /** For threads other than those that compute the elements. */
  #share(node: Vector, start: number, size: number): void {
    if (!this.#dynamic.has(node)) return;
    if (node.kind === "slice") this.#share(node.args[0]!, start + node.start, size);
    else if (node.kind === "leaf")
      this.#leafReads.push({ leaf: node, start, size, aligned: false });
    else this.memory.add(node);
  }

  /** Cuts a vector into pieces, all of whose users are known, and asks for what they need. */
  #cut(node: Vector): void {
    const demands = [...(this.#demands.get(node)?.values() ?? [])];
    if (demands.length === 0 && !this.memory.has(node)) return;
    const natural = rangesBetween(this.#cuts.get(node)!, node.size);
    const isNatural = (range: Range) => natural.some((other) => keyOf(other) === keyOf(range));
    let ranges = demands;
    if (this.memory.has(node) || overlap(demands)) {
      ranges = natural;
      if (!demands.every(isNatural)) this.memory.add(node);
    }
    const found = new Map<string, Piece>();
    this.#found.set(node, found);
    for (const { start, size } of ranges) {
      const piece = { node, start, size, stage: 0 };
      this.pieces.push(piece);
      found.set(keyOf(piece), piece);
      if (node.kind === "pointwise") for (const arg of node.args) this.#request(arg, start, size);
      if (node.kind === "concat") this.#request(node, start, size);
    }
    if (node.kind !== "linear") return;
    const [arg] = node.args as [Vector];
    const base = arg.kind === "slice" ? arg.args[0]! : arg;
    if (this.#carried.has(base)) this.#share(arg, 0, arg.size);
    else this.memory.add(base);
  }

  /** As late as possible, so that little has to be kept from one stage to the next. */
  #schedule(): number {
    const operandsOf = new Map(this.pieces.map((piece) => [piece, this.operands(piece)]));
    const sources = (operand: Operand): { piece: Piece; exchanged: boolean }[] => {
      switch (operand.kind) {
        case "piece":
          return [{ piece: operand.piece, exchanged: false }];
        case "memory":
          return this.piecesOf(operand.node).map((piece) => ({ piece, exchanged: true }));
        case "gather":
          return operand.parts.flatMap(({ part }) => sources(part));
        default:
          return [];
      }
    };
    let last = 0;
    for (const piece of this.pieces) {
      for (const source of operandsOf.get(piece)!.flatMap(sources)) {
        piece.stage = Math.max(piece.stage, source.piece.stage + Number(source.exchanged));
      }
      last = Math.max(last, piece.stage);
    }
    const outputs = this.outputs.flatMap(({ next }, i) =>
      this.outputPieces[i]!.map(({ start, size }) => this.operand(next, start, size)),
    );
    // An output may read what other threads computed in the last stage.
    const exchanged = outputs.flatMap(sources).filter((source) => source.exchanged);
    for (const { piece } of exchanged) last = Math.max(last, piece.stage + 1);
    for (const piece of this.pieces) piece.stage = last;
    for (const { piece } of exchanged) piece.stage = last - 1;
    for (const piece of [...this.pieces].reverse()) {
      for (const source of operandsOf.get(piece)!.flatMap(sources)) {
        const latest = piece.stage - Number(source.exchanged);
        source.piece.stage = Math.min(source.piece.stage, latest);
      }
    }
    return last + 1;
  }

  piecesOf(node: Vector): Piece[] {
    return [...(this.#found.get(node)?.values() ?? [])];
  }
}

const keyOf = ({ start, size }: Range) => `${start}+${size}`;

function rangesBetween(cuts: readonly number[], size: number): Range[] {
  const edges = [...new Set([0, ...cuts, size])].sort((a, b) => a - b);
  return edges.slice(1).map((end, i) => ({ start: edges[i]!, size: end - edges[i]! }));
}

function overlap(ranges: readonly Range[]): boolean {
  const sorted = [...ranges].sort((a, b) => a.start - b.start);
  return sorted.some(
    (range, i) => i > 0 && range.start < sorted[i - 1]!.start + sorted[i - 1]!.size,
  );
}

interface Part extends Range {
  readonly node: Vector;
  /** Where it begins in the range that was asked for. */
  readonly from: number;
}

/** The parts of a concatenation that meet elements `start` …; their own `start` counts in the part. */
function overlapping(concat: Vector, start: number, size: number): Part[] {
  const parts: Part[] = [];
  let offset = 0;
  for (const node of concat.args) {
    const begin = Math.max(start, offset);
    const end = Math.min(start + size, offset + node.size);
    if (begin < end) {
      parts.push({ node, start: begin - offset, size: end - begin, from: begin - start });
    }
    offset += node.size;
  }
  return parts;
}
