/**
 * Plans a boundary update (docs/methods.md, (1) and (4)) as a reduce-then-scan over any number of chunks:
 * which kernels, in which order, on which parts of one scratch buffer. How the scan works is said in
 * gpu/shared/scan.wgsl.
 */
import type { JacobianKind } from "../../types.ts";
import type { Binding, BindingKind } from "./pipelines.ts";
import type { Kernel } from "./recorder.ts";
import { denseMonoid } from "./scan-dense.ts";
import { localMonoid } from "./scan-local.ts";
import { assembleShader } from "./shader.ts";

export interface ScanShape {
  readonly kind: JacobianKind;
  /** D. */
  readonly stateSize: number;
  /** n: the elements of a unit that a block of P_k couples; only for `kind: "block"`. */
  readonly unitSize: number;
  /** K, of all sequences together, at least one. */
  readonly chunks: number;
  /** λ > 0. */
  readonly damped: boolean;
  /** Whether a damped update is the smoother's. */
  readonly smoother: boolean;
  readonly trustRegion: boolean;
  /** Items of a tile, to make many levels of few chunks; what suits the device if left out. */
  readonly tile?: number;
}

/** How a monoid's accumulators lie on a workgroup, and how many items go into a tile. */
export interface Monoid {
  /** Numbers of an element and of a state in each unit. */
  readonly element: number;
  readonly state: number;
  readonly units: number;
  /** Threads of a workgroup: units side by side × runs of items; 1 × 1 where all work on one run. */
  readonly lanes: number;
  readonly rows: number;
  readonly workgroup: number;
  /** Whether the runs of a workgroup make one tile. */
  readonly merges: boolean;
  /** Items of a run: of chunks, and of the levels above. */
  readonly run: number;
  readonly upperRun: number;
  /** Most items that are walked over in one go, without a level above. */
  readonly spine: number;
  /** Floats that each workgroup has for itself. */
  readonly work?: number;
  readonly flags: readonly string[];
  /** Constants of the monoid's own files. */
  readonly constants?: Readonly<Record<string, number>>;
}

export interface ScanPlan {
  /** Of the buffer `scratch`. */
  readonly bytes: number;
  /** In the order in which they run. */
  readonly kernels: readonly Kernel[];
}

/** The fields of the uniform `Level` of gpu/shared/scan.wgsl, in their order; it is padded to 12. */
const levelFields = [
  "items",
  "tiles",
  "workgroups",
  "run",
  "itemsAt",
  "statesAt",
  "tilesAt",
  "tileStatesAt",
  "runsAt",
  "stashAt",
  "workAt",
] as const;

type Level = Readonly<Record<(typeof levelFields)[number], number>>;

const bindings: Readonly<Record<string, readonly [BindingKind, string]>> = {
  level: ["uniform", "Level"],
  scratch: ["write", "array<f32>"],
  problem: ["uniform", "Problem"],
  control: ["read", "array<Sequence>"],
  ends: ["read", "array<f32>"],
  boundaries: ["write", "array<f32>"],
  products: ["read", "array<f32>"],
  bounds: ["read", "array<vec2f>"],
  states: ["write", "array<f32>"],
  saved: ["write", "array<f32>"],
};

const spaces = { uniform: "uniform", read: "storage, read", write: "storage, read_write" };

/** Declares the bindings that a kernel uses first, and then all others, which only unused functions name. */
function declarations(used: readonly Binding[]): string {
  const names = used.map(({ name }) => name);
  const all = [...names, ...Object.keys(bindings).filter((name) => !names.includes(name))];
  return all
    .map((name, number) => {
      const [kind, type] = bindings[name]!;
      return `@group(0) @binding(${number}) var<${spaces[kind]}> ${name}: ${type};`;
    })
    .join("\n");
}

/**
 * A scan of `kind`. The kernels bind buffers named as in `bindings`, and a uniform `level` of their own.
 *
 * @throws RangeError as `denseMonoid`.
 */
export function planScan(shape: ScanShape): ScanPlan {
  const { kind, chunks, damped, trustRegion } = shape;
  const monoid = kind === "dense" ? denseMonoid(shape) : localMonoid(shape);
  const { element, state, units, lanes, rows, workgroup, work = 0 } = monoid;
  const tileRuns = monoid.merges ? rows : 1;
  const passes = kind !== "none";
  const smoother = damped && shape.smoother && passes;
  const groups = Math.ceil(units / lanes);

  let floats = 0;
  const take = (count: number) => {
    const at = floats;
    floats += count;
    return at;
  };
  const levels: Level[] = [];
  let level = { items: chunks, itemsAt: 0, statesAt: 0 };
  for (;;) {
    const { items } = level;
    const isTop = passes && items <= monoid.spine;
    const usual = levels.length === 0 ? monoid.run : monoid.upperRun;
    const run = isTop ? Math.ceil(items / tileRuns) : usual;
    const tiles = Math.ceil(items / (run * tileRuns));
    const above = isTop || !passes ? 0 : tiles;
    const next = {
      items: tiles,
      itemsAt: take(above * element * units),
      statesAt: take(above * state * units),
    };
    const { itemsAt: tilesAt, statesAt: tileStatesAt } = next;
    const keepsRuns = monoid.merges && levels.length === 0;
    const runsAt = take(keepsRuns ? above * rows * element * units : 0);
    const workgroups = Math.ceil((tiles * tileRuns) / rows) * groups;
    const own = { ...level, tiles, workgroups, run, tilesAt, tileStatesAt, runsAt };
    levels.push({ ...own, stashAt: 0, workAt: 0 });
    if (above === 0) break;
    level = next;
  }
  const stashAt = take(smoother ? chunks * state * units : 0);
  const workAt = take(work * levels[0]!.workgroups);

  const constants = {
    STATE_SIZE: shape.stateSize,
    UNIT_SIZE: shape.stateSize / units,
    UNITS: units,
    LANES: lanes,
    ROWS: rows,
    WORKGROUP: workgroup,
    ...monoid.constants,
  };
  const productsStored = passes && kind !== "identity";
  const common = [...monoid.flags];
  if (damped) common.push("DAMPED");
  if (productsStored) common.push("PRODUCTS");
  if (monoid.merges) common.push("MERGE");

  const kernel = (stage: "reduce" | "spine" | "downsweep", index: number, flags: string[]) => {
    const own = levels[index]!;
    const isUpper = flags.includes("UPPER");
    const isTop = index === levels.length - 1;
    const all = [...common, ...flags];
    if (stage !== "reduce") all.push("SWEEP");
    if (isTop) all.push("WHOLE");
    else if (!isUpper && monoid.merges) all.push("RUNS");
    const writes = !isUpper && stage !== "reduce" && !flags.includes("STASH");
    if (writes && trustRegion) all.push("TRUST");
    const names = ["level", "scratch"];
    if (!isUpper) names.push("problem", "control", "ends", "boundaries");
    if (!isUpper && productsStored) names.push("products");
    if (writes) names.push("bounds", "states");
    if (writes && trustRegion) names.push("saved");
    const used = names.map((name) => ({ name, kind: bindings[name]![0] }));
    const level = new Uint32Array(12);
    level.set(levelFields.map((field) => ({ ...own, stashAt, workAt })[field]));
    return {
      label: `scan ${stage} ${index}${flags.includes("BACKWARD") ? " backward" : ""}`,
      stage: "scan",
      code: assembleShader(`scan_${stage}.wgsl`, {
        constants,
        flags: all,
        sections: { bindings: declarations(used) },
      }),
      bindings: used,
      workgroups: own.workgroups,
      uniforms: { level },
    };
  };
  const top = levels.length - 1;
  const down = (flags: string[], last: string[]) => {
    const kernels: Kernel[] = [];
    for (let index = top; index > 0; index--) {
      kernels.push(kernel(index === top ? "spine" : "downsweep", index, [...flags, "UPPER"]));
    }
    kernels.push(kernel("downsweep", 0, [...flags, ...last]));
    return kernels;
  };
  const up = levels.slice(1).map((_, index) => kernel("reduce", index, index > 0 ? ["UPPER"] : []));
  const kernels = smoother
    ? [...up, ...down([], ["STASH"]), ...down(["BACKWARD"], [])]
    : [...up, ...down([], [])];
  return { bytes: 4 * Math.max(floats, 1), kernels };
}
