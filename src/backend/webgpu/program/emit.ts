/** Writes a plan as WGSL: the statements of one step, and those that start what it carries. */
import type { Leaf, Vector } from "../../../cell/expression.ts";
import type { PointwiseName } from "../../../cell/pointwise.ts";
import type { Operand, Output, Piece, Plan, Range } from "./plan.ts";
import type { WeightStore } from "./weights.ts";

/** How a workgroup is laid out over a program. */
export interface Shape {
  /** 1, 2 or 4: chunks that a thread works on. */
  readonly lanes: number;
  /** Threads that share a chunk's (or its columns') vectors. */
  readonly units: number;
  /** 2: what a step reads and what it writes lie apart; 1: written after a further barrier, in half the memory. */
  readonly copies: 1 | 2;
}

export interface Emitted {
  /** Elements of workgroup memory that a group needs. */
  readonly plain: number;
  readonly columned: number;
  /** Declares and starts what is carried. */
  readonly start: string;
  /** One step. */
  readonly step: string;
}

const operators: Partial<Record<PointwiseName, string>> = {
  add: "+",
  subtract: "-",
  multiply: "*",
  divide: "/",
};

/** A carried range, in a thread's own memory or in the workgroup's. */
interface Place extends Range {
  readonly own: string | null;
  readonly offset: number;
}

type Class = "plain" | "columned";

/**
 * The code calls `start_LEAF(i)` for what element i of a carried leaf is at first, `keep_LEAF(i, value)` for what
 * it goes on with (for a columned leaf also with the first output's element i), `keep_output(i, value)` for other
 * outputs, and `signs_at(i)` or `source_at(i)` for other leaves. It reads `unit`, `parity`, `plain_base` and, with columns,
 * `columned_base` and `leading`, which is true for the threads that write plain vectors.
 */
export function emit(plan: Plan, weights: WeightStore, shape: Shape): Emitted {
  return new Emitter(plan, weights, shape).emit();
}

class Emitter {
  readonly #plan: Plan;
  readonly #weights: WeightStore;
  readonly #shape: Shape;
  readonly #places = new Map<Vector, Place[]>();
  readonly #temporaries = new Map<Vector, number>();
  readonly #sizes = { plain: 0, columned: 0 };
  readonly #carriedSizes = { plain: 0, columned: 0 };
  /** Pieces that a later stage of the same thread uses. */
  readonly #spilled = new Map<Piece, string>();
  readonly #columns: boolean;
  #names = 0;

  constructor(plan: Plan, weights: WeightStore, shape: Shape) {
    this.#plan = plan;
    this.#weights = weights;
    this.#shape = shape;
    this.#columns = plan.outputs.some(({ leaf }) => leaf && plan.isColumned(leaf));
    this.#placeCarried();
    this.#placeTemporaries();
    for (const piece of plan.pieces) this.#findSpills(plan.operands(piece), piece.stage);
    this.#findSpills(this.#outputOperands(), plan.stages - 1);
  }

  emit(): Emitted {
    const { stages, outputs } = this.#plan;
    const carried = outputs.filter(({ leaf }) => leaf) as Required<Output>[];
    const start: string[] = [];
    for (const { leaf } of carried) {
      for (const place of this.#places.get(leaf)!) {
        if (place.own)
          start.push(`var ${place.own}: array<${this.#type(leaf)}, ${this.#turns(place.size)}>;`);
        const value = `start_${leaf.name}(${plus(place.start, "i")})`;
        start.push(this.#loop(place.size, [this.#keep(leaf, place, value)]));
      }
    }
    const { plain, columned } = this.#carriedSizes;
    const parity = (name: Class, size: number) => [
      `let ${name}_now = ${name}_base + parity * ${size}u;`,
      `let ${name}_then = ${name}_base + (1u - parity) * ${size}u;`,
    ];
    const body: string[] = [
      ...(this.#shape.copies === 2 && plain ? parity("plain", plain) : []),
      ...(this.#shape.copies === 2 && columned ? parity("columned", columned) : []),
    ];
    for (const [piece, name] of this.#spilled) {
      body.push(`var ${name}: array<${this.#type(piece.node)}, ${this.#turns(piece.size)}>;`);
    }
    for (let stage = 0; stage < stages; stage++) body.push(...this.#stage(stage));
    return {
      plain: this.#sizes.plain,
      columned: this.#sizes.columned,
      start: start.join("\n"),
      step: body.join("\n"),
    };
  }

  #class(node: Vector): Class {
    return this.#plan.isColumned(node) ? "columned" : "plain";
  }

  #type(node: Vector): string {
    return this.#plan.isColumned(node) ? "Columns" : "Lane";
  }

  #turns(size: number): number {
    return Math.ceil(size / this.#shape.units);
  }

  #placeCarried(): void {
    const { outputs, outputPieces } = this.#plan;
    const used = this.#carriedSizes;
    outputs.forEach(({ leaf }, output) => {
      if (!leaf) return;
      const kind = this.#class(leaf);
      const places = outputPieces[output]!.map((range, k): Place => {
        const own = this.#plan.isOwn(leaf, range) ? `own_${leaf.name}_${k}` : null;
        const offset = used[kind];
        if (!own) used[kind] += range.size;
        return { ...range, own, offset };
      });
      this.#places.set(leaf, places);
    });
    const { copies } = this.#shape;
    this.#sizes.plain = used.plain * copies;
    this.#sizes.columned = used.columned * copies;
  }

  /** Vectors that are not needed at the same time share their memory. */
  #placeTemporaries(): void {
    const { memory, pieces } = this.#plan;
    const until = new Map<Vector, number>();
    const read = (operand: Operand, stage: number) => {
      if (operand.kind === "memory") {
        until.set(operand.node, Math.max(until.get(operand.node) ?? 0, stage));
      } else if (operand.kind === "gather") for (const { part } of operand.parts) read(part, stage);
    };
    for (const piece of pieces)
      for (const operand of this.#plan.operands(piece)) read(operand, piece.stage);
    for (const operand of this.#outputOperands()) read(operand, this.#plan.stages - 1);
    const live: { node: Vector; start: number; from: number; to: number }[] = [];
    const sorted = [...memory].sort((a, b) => a.id - b.id);
    for (const node of sorted) {
      const kind = this.#class(node);
      const from = Math.min(...this.#plan.piecesOf(node).map(({ stage }) => stage));
      const to = until.get(node) ?? from;
      const others = live
        .filter((o) => this.#class(o.node) === kind && o.from <= to && from <= o.to)
        .sort((a, b) => a.start - b.start);
      let start = this.#carriedSizes[kind] * this.#shape.copies;
      for (const other of others) {
        if (start + node.size <= other.start) break;
        start = Math.max(start, other.start + other.node.size);
      }
      live.push({ node, start, from, to });
      this.#temporaries.set(node, start);
      this.#sizes[kind] = Math.max(this.#sizes[kind], start + node.size);
    }
  }

  #outputOperands(): Operand[] {
    const { outputs, outputPieces } = this.#plan;
    return outputs.flatMap(({ next }, i) =>
      outputPieces[i]!.map(({ start, size }) => this.#plan.operand(next, start, size)),
    );
  }

  #findSpills(operands: readonly Operand[], stage: number): void {
    for (const operand of operands) {
      if (operand.kind !== "piece" || operand.piece.stage >= stage) continue;
      if (!this.#spilled.has(operand.piece)) {
        this.#spilled.set(operand.piece, `spilled_${this.#spilled.size}`);
      }
    }
  }

  /** `statements` for every element i < `size` of the thread, its e-th. */
  #loop(size: number, statements: readonly string[]): string {
    const { units } = this.#shape;
    const turns = this.#turns(size);
    const body = statements.join("\n");
    if (turns === 1) {
      const head = size < units ? `if (unit < ${size}u) {` : "{";
      return `${head}\nlet e = 0u;\nlet i = unit;\n${body}\n}`;
    }
    const inner = size % units === 0 ? body : `if (i < ${size}u) {\n${body}\n}`;
    return `for (var e = 0u; e < ${turns}u; e++) {\nlet i = unit + e * ${units}u;\n${inner}\n}`;
  }

  #stage(stage: number): string[] {
    const plan = this.#plan;
    const { copies } = this.#shape;
    const isLast = stage === plan.stages - 1;
    const pieces = plan.pieces.filter((piece) => piece.stage === stage);
    const domains = new Set(pieces.map(({ size }) => size));
    if (isLast)
      for (const ranges of plan.outputPieces) for (const { size } of ranges) domains.add(size);
    const statements: string[] = [];
    const late: string[] = [];
    for (const size of domains) {
      const body = new Body(this, stage);
      const domain = pieces.filter((piece) => piece.size === size);
      // Far memory is asked first, and answers while the products are computed.
      for (const piece of domain) if (piece.node.kind !== "linear") this.#readSources(piece, body);
      body.products(domain.filter(({ node }) => node.kind === "linear"));
      for (const piece of domain) this.#finish(piece, body);
      if (isLast) this.#outputs(size, body, statements, late);
      statements.push(this.#loop(size, body.lines));
    }
    const isShared = this.#carriedSizes.plain + this.#carriedSizes.columned > 0;
    if (!isLast) statements.push("workgroupBarrier();");
    else if (late.length > 0)
      statements.push("workgroupBarrier();", ...late, "workgroupBarrier();");
    else if ((isShared && copies === 2) || plan.stages > 1) statements.push("workgroupBarrier();");
    return statements;
  }

  #readSources(piece: Piece, body: Body): void {
    for (const operand of this.#plan.operands(piece)) {
      if (operand.kind === "leaf" && !this.#places.has(operand.node)) body.read(operand);
    }
  }

  #finish(piece: Piece, body: Body): void {
    const { node, start } = piece;
    const value = body.value(piece);
    const spill = this.#spilled.get(piece);
    if (spill) body.lines.push(`${spill}[e] = ${value};`);
    const offset = this.#temporaries.get(node);
    if (offset === undefined) return;
    const kind = this.#class(node);
    const place = `${kind}[${plus(offset + start, `${kind}_base + i`)}]`;
    // A part of a concatenation may lack the columns that the others have.
    const line = `${place} = ${kind === "columned" ? `Columns(${value})` : value};`;
    body.lines.push(kind === "plain" && this.#columns ? `if (leading) {\n${line}\n}` : line);
  }

  /** Writes of the carried leaves come last, when all has been read. */
  #outputs(size: number, body: Body, before: string[], late: string[]): void {
    const { outputs, outputPieces } = this.#plan;
    const writes: string[] = [];
    outputs.forEach(({ next, leaf }, output) => {
      for (const range of outputPieces[output]!) {
        if (range.size !== size) continue;
        const { start } = range;
        const element = plus(start, "i");
        const read = (vector: Vector) => body.read(this.#plan.operand(vector, start, size));
        const columned = leaf && this.#plan.isColumned(leaf);
        // A part of it may lack the columns that the others have.
        const value = columned ? `Columns(${read(next)})` : read(next);
        if (!leaf) {
          writes.push(`keep_output(${element}, ${value});`);
          continue;
        }
        const beside = columned ? `, ${read(outputs[0]!.next)}` : "";
        const kept = `keep_${leaf.name}(${element}, ${value}${beside})`;
        const place = this.#places.get(leaf)!.find((other) => other.start === start)!;
        if (place.own || this.#shape.copies === 2) {
          writes.push(this.#keep(leaf, place, kept, "then"));
          continue;
        }
        const name = `late_${leaf.name}_${start}`;
        before.push(`var ${name}: array<${this.#type(leaf)}, ${this.#turns(size)}>;`);
        writes.push(`${name}[e] = ${kept};`);
        late.push(this.#loop(size, [this.#keep(leaf, place, `${name}[e]`)]));
      }
    });
    body.lines.push(...writes);
  }

  #keep(leaf: Leaf, place: Place, value: string, when: "base" | "then" = "base"): string {
    if (place.own) return `${place.own}[e] = ${value};`;
    const kind = this.#class(leaf);
    // The call has effects in every thread, whoever writes.
    const target = `${kind}[${plus(place.offset, `${kind}_${when} + i`)}]`;
    if (kind === "plain" && this.#columns) {
      const name = this.name();
      return `let ${name} = ${value};\nif (leading) {\n${target} = ${name};\n}`;
    }
    return `${target} = ${value};`;
  }

  name(): string {
    return `v${this.#names++}`;
  }

  /** Element `index`, from `from` on, of an operand that is not a gather. */
  element(operand: Exclude<Operand, { kind: "gather" }>, index: string, stage: number, from = 0) {
    if (operand.kind === "piece") {
      const { piece } = operand;
      return piece.stage < stage ? `${this.#spilled.get(piece)}[e]` : "";
    }
    const { kind, node, start } = operand;
    if (kind === "static") {
      if (node.kind === "constant" && Number.isFinite(Math.fround(node.value))) {
        return `Lane(${literal(node.value)})`;
      }
      const offset = this.#weights.vector(node) + start;
      return `Lane(weights[${plus(offset, index)}])`;
    }
    const memory = this.#class(node);
    if (kind === "memory") {
      return `${memory}[${plus(this.#temporaries.get(node)! + start, `${memory}_base + ${index}`)}]`;
    }
    const places = this.#places.get(node);
    if (!places) {
      const read = (node as Leaf).name === "signs" ? "signs_at" : "source_at";
      return `${read}(${plus(start, index)})`;
    }
    const own = places.find((place) => place.own && place.start === start);
    if (own) return `${own.own}[e]`;
    // Shared ranges that touch each other in the leaf do so in memory.
    const place = places.find((other) => other.start + other.size > start + from)!;
    const when = this.#shape.copies === 2 ? "now" : "base";
    return `${memory}[${plus(place.offset + start - place.start, `${memory}_${when} + ${index}`)}]`;
  }

  argument(node: Vector, stage: number): (column: string) => string {
    const operand = this.#plan.argument(node) as Operand & { kind: "leaf" | "memory" };
    return (column) => this.element(operand, column, stage);
  }

  operands(piece: Piece): Operand[] {
    return this.#plan.operands(piece);
  }

  typeOf(node: Vector): string {
    return this.#type(node);
  }

  weight(node: Vector & { kind: "linear" }, row: number): { offset: number; pitch: number } {
    const { offset, pitch } = this.#weights.matrix(node.matrix);
    return { offset: offset + row, pitch };
  }

  get lanes(): number {
    return this.#shape.lanes;
  }
}

/** Columns of a matrix that one turn of the loop over them takes. */
const UNROLLED = 4;

/** The statements for element i of one loop. */
class Body {
  readonly lines: string[] = [];
  readonly #emitter: Emitter;
  readonly #stage: number;
  readonly #known = new Map<string, string>();
  readonly #values = new Map<Piece, string>();

  constructor(emitter: Emitter, stage: number) {
    this.#emitter = emitter;
    this.#stage = stage;
  }

  #let(expression: string): string {
    let name = this.#known.get(expression);
    if (!name) {
      name = this.#emitter.name();
      this.#known.set(expression, name);
      this.lines.push(`let ${name} = ${expression};`);
    }
    return name;
  }

  read(operand: Operand): string {
    if (operand.kind === "gather") return this.#gather(operand);
    if (operand.kind === "piece" && operand.piece.stage === this.#stage) {
      return this.#values.get(operand.piece)!;
    }
    return this.#let(this.#emitter.element(operand, "i", this.#stage));
  }

  #gather({ parts }: Operand & { kind: "gather" }): string {
    const elements = parts.map(({ from, part }) =>
      this.#emitter.element(part as Exclude<Operand, { kind: "gather" }>, "i", this.#stage, from),
    );
    const key = elements.join(" ") + parts.map(({ from }) => from).join(" ");
    let name = this.#known.get(key);
    if (name) return name;
    name = this.#emitter.name();
    this.#known.set(key, name);
    const isColumned = parts.some(
      ({ part }) => "node" in part && this.#emitter.typeOf(part.node) === "Columns",
    );
    const type = isColumned ? "Columns" : "Lane";
    this.lines.push(`var ${name} = ${type}(${elements[0]});`);
    for (let k = 1; k < parts.length; k++) {
      this.lines.push(`if (i >= ${parts[k]!.from}u) {\n${name} = ${type}(${elements[k]});\n}`);
    }
    return name;
  }

  /** Products with equally many columns share a loop, and what they read in it. */
  products(pieces: readonly Piece[]): void {
    const groups = new Map<number, Piece[]>();
    for (const piece of pieces) {
      const { columns } = (piece.node as Vector & { kind: "linear" }).matrix;
      groups.set(columns, [...(groups.get(columns) ?? []), piece]);
    }
    for (const [columns, group] of groups) {
      for (const piece of group) {
        const name = this.#emitter.name();
        this.#values.set(piece, name);
        this.lines.push(`var ${name} = ${this.#emitter.typeOf(piece.node)}();`);
      }
      const whole = columns - (columns % UNROLLED);
      if (whole > 0) {
        const turn = Array.from({ length: UNROLLED }, (_, k) => this.#column(group, "c", k)).join(
          "\n",
        );
        this.lines.push(
          whole === UNROLLED
            ? `{\nconst c = 0u;\n${turn}\n}`
            : `for (var c = 0u; c < ${whole}u; c += ${UNROLLED}u) {\n${turn}\n}`,
        );
      }
      for (let c = whole; c < columns; c++) this.lines.push(this.#column(group, "", c));
    }
  }

  /** Column `variable` + k of all products of a group. */
  #column(group: readonly Piece[], variable: string, k: number): string {
    const lines: string[] = [];
    const known = new Map<string, string>();
    const read = (expression: string) => {
      let name = known.get(expression);
      if (!name) {
        name = this.#emitter.name();
        known.set(expression, name);
        lines.push(`let ${name} = ${expression};`);
      }
      return name;
    };
    const index = variable ? plus(k, variable) : `${k}u`;
    for (const piece of group) {
      const node = piece.node as Vector & { kind: "linear" };
      const x = read(this.#emitter.argument(node, this.#stage)(index));
      const { offset, pitch } = this.#emitter.weight(node, piece.start);
      const at = variable ? `i + ${variable} * ${pitch}u` : "i";
      const weight = read(`weights[${plus(offset + k * pitch, at)}]`);
      lines.push(`${this.#values.get(piece)} += ${weight} * ${x};`);
    }
    return `{\n${lines.join("\n")}\n}`;
  }

  value(piece: Piece): string {
    const known = this.#values.get(piece);
    if (known) return known;
    const { node } = piece;
    const args = this.#emitter.operands(piece).map((operand) => this.read(operand));
    const expression = node.kind === "pointwise" ? this.#apply(node.name, args) : args[0]!;
    const name = node.kind === "pointwise" ? this.#let(expression) : expression;
    this.#values.set(piece, name);
    return name;
  }

  #apply(name: PointwiseName, args: readonly string[]): string {
    const [a, b] = args;
    if (name === "negate") return `-${a}`;
    const operator = operators[name];
    return operator
      ? `${a} ${operator} ${b}`
      : `${name}_${this.#emitter.lanes}(${args.join(", ")})`;
  }
}

/** `number` + `index`. */
function plus(number: number, index: string): string {
  if (number === 0) return index;
  // An index that is less than zero only before its first element is reached.
  return number < 0 ? `${index} - ${-number}u` : `${index} + ${number}u`;
}

function literal(value: number): string {
  const rounded = Math.fround(value);
  return Object.is(rounded, -0) ? "-0.0f" : `${rounded}f`;
}
