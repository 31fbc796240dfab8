/**
 * Plans a boundary update (docs/methods.md, (1) and (4)) as a reduce-then-scan over any number of chunks:
 * which kernels, in which order, on which parts of one scratch buffer. How the scan works is said in
 * gpu/scan.wgsl.
 */
import type { JacobianKind } from "../../types.ts";
import { bindingsOf, declarations } from "./bindings.ts";
import type { Kernel } from "./recorder.ts";
import { chooseMonoid } from "./scan-monoid.ts";
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
  /** Units side by side in a workgroup, each in threads of their own; 1 where all threads work on one unit. */
  readonly lanes: number;
  /** Tiles side by side in a workgroup. */
  readonly rows: number;
  readonly workgroup: number;
  /** Items of a tile. */
  readonly run: number;
  /** Most items that are walked over in one go, without a level above. */
  readonly spine: number;
  /** Floats that each workgroup has for itself. */
  readonly work: number;
  readonly flags: readonly string[];
  /** Constants of the monoid's own files. */
  readonly constants: Readonly<Record<string, number>>;
}

export interface ScanPlan {
  /** Of the buffer `scratch`. */
  readonly bytes: number;
  /** In the order in which they run. */
  readonly kernels: readonly Kernel[];
}

/** One level, from the chunks (0) to the top. */
interface Level {
  readonly workgroups: number;
  /** The uniform `Level` of gpu/scan.wgsl, up to what all levels share. */
  readonly words: readonly number[];
}

/** What kernels of level 0 read, and what functions name that a kernel may not use. */
const chunkReads = ["problem", "control", "ends"];
const everything = bindingsOf(
  ["level", ...chunkReads, "products", "bounds"],
  ["scratch", "boundaries", "states", "saved"],
);

/**
 * A scan of `kind`. The kernels bind buffers named as in bindings.ts, and a uniform `level` of their own.
 *
 * @throws RangeError as `chooseMonoid`.
 */
export function planScan(shape: ScanShape): ScanPlan {
  const { kind, chunks, damped, trustRegion } = shape;
  const monoid = chooseMonoid(shape);
  const { element, state, units, lanes, rows } = monoid;
  const passes = kind !== "none";
  const smoother = damped && shape.smoother && passes;

  let floats = 0;
  const take = (count: number) => {
    const at = floats;
    floats += count;
    return at;
  };
  const levels: Level[] = [];
  for (let items = chunks, itemsAt = 0, statesAt = 0; ; ) {
    const isTop = !passes || items <= monoid.spine;
    const run = passes && isTop ? items : monoid.run;
    const tiles = Math.ceil(items / run);
    const above = isTop ? 0 : tiles;
    const [tilesAt, tileStatesAt] = [take(above * element * units), take(above * state * units)];
    const workgroups = Math.ceil(tiles / rows) * Math.ceil(units / lanes);
    const places = [itemsAt, statesAt, tilesAt, tileStatesAt];
    levels.push({ workgroups, words: [items, tiles, workgroups, run, ...places] });
    if (isTop) break;
    [items, itemsAt, statesAt] = [tiles, tilesAt, tileStatesAt];
  }
  const stashAt = take(smoother ? chunks * state * units : 0);
  const workAt = take(monoid.work * levels[0]!.workgroups);

  const constants = {
    STATE_SIZE: shape.stateSize,
    UNIT_SIZE: shape.stateSize / units,
    UNITS: units,
    LANES: lanes,
    WORKGROUP: monoid.workgroup,
    ...monoid.constants,
  };
  const productsStored = passes && kind !== "identity";
  const common = [...monoid.flags];
  if (damped) common.push("DAMPED");
  if (productsStored) common.push("PRODUCTS");

  const kernel = (stage: "reduce" | "spine" | "downsweep", index: number, flags: string[]) => {
    const { workgroups, words } = levels[index]!;
    const isUpper = flags.includes("UPPER");
    const writes = !isUpper && stage !== "reduce" && !flags.includes("STASH");
    const all = [...common, ...flags];
    if (stage !== "reduce") all.push("SWEEP");
    if (index === levels.length - 1) all.push("WHOLE");
    const reads = ["level"];
    const written = ["scratch"];
    if (!isUpper) {
      reads.push(...chunkReads);
      written.push("boundaries");
      if (productsStored) reads.push("products");
    }
    if (writes) {
      reads.push("bounds");
      written.push("states");
      if (trustRegion) {
        all.push("TRUST");
        written.push("saved");
      }
    }
    const bindings = bindingsOf(reads, written);
    const others = everything.filter(({ name }) => bindings.every((used) => used.name !== name));
    return {
      label: `scan ${stage} ${index}${flags.includes("BACKWARD") ? " backward" : ""}`,
      stage: "scan",
      code: assembleShader("scan.wgsl", {
        constants,
        flags: all,
        // What is not used comes last, so that the numbers of the others are their positions.
        sections: { bindings: declarations([...bindings, ...others]) },
      }),
      bindings,
      workgroups,
      uniforms: { level: Uint32Array.of(...words, stashAt, workAt, 0, 0) },
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
