/** How many chunks a workgroup takes, and how: as many as its memory and the number of chunks allow. */
import { TooLargeForGpuError } from "../../../errors.ts";
import type { Emitted, Shape } from "./emit.ts";

export interface KernelLimits {
  /** `maxComputeInvocationsPerWorkgroup`. */
  readonly maxInvocations: number;
  /** `maxComputeWorkgroupStorageSize`, in bytes. */
  readonly maxWorkgroupStorage: number;
}

export interface Geometry extends Shape {
  /** Groups of chunks side by side in a workgroup. */
  readonly groups: number;
  /** Columns that a thread works on: 1, 2 or 4; and groups of threads with different columns of one chunk. */
  readonly width: number;
  readonly columnGroups: number;
  /** Elements of workgroup memory a group. */
  readonly plain: number;
  readonly columned: number;
}

/** Overrides, so that every variant can be tested. */
export type GeometryChoice = Partial<
  Pick<Geometry, "lanes" | "groups" | "copies" | "width" | "columnGroups">
>;

export interface GeometryRequest {
  /** For messages, such as `stateSize 4096`. */
  readonly what: string;
  /** The longest vector that is computed elementwise. */
  readonly longest: number;
  readonly chunks: number;
  readonly limits: KernelLimits;
  /** Columns in all, and how many a thread may take; none for a program without. */
  readonly columns?: number;
  readonly widths?: readonly number[];
  /** Whether a thread may work on several chunks. */
  readonly hasLanes: boolean;
  readonly emit: (shape: Shape) => Emitted;
  readonly choice?: GeometryChoice;
}

/** Below so many workgroups a device is not busy. */
const WANTED_WORKGROUPS = 64;
/** Workgroup memory beside the vectors, in bytes: a few counters. */
const COUNTERS = 32;
const COUNTERS_PER_CHUNK = 64;

/** @throws RangeError when one chunk does not fit. */
export function chooseGeometry(request: GeometryRequest): Geometry {
  const { longest, chunks, limits, columns = 0, widths = [1], choice = {}, emit, what } = request;
  const turns = Math.ceil(longest / limits.maxInvocations);
  const units = Math.ceil(longest / turns);
  const bytes = ({ lanes, groups, width, columnGroups, plain, columned }: Geometry) =>
    COUNTERS +
    groups * (4 * (plain * lanes + columned * width * columnGroups) + COUNTERS_PER_CHUNK * lanes);
  const fits = (geometry: Geometry) => bytes(geometry) <= limits.maxWorkgroupStorage;
  let best: Geometry | undefined;
  let least = Infinity;
  for (const copies of [2, 1] as const) {
    if (copies !== (choice.copies ?? copies)) continue;
    const { plain, columned } = emit({ lanes: 1, units, copies });
    for (const width of widths) {
      if (width !== (choice.width ?? width)) continue;
      const memory = { plain: Math.max(plain, units), columned: columned };
      const single = { lanes: 1, units, copies, groups: 1, width, columnGroups: 1, ...memory };
      least = Math.min(least, bytes(single));
      if (!best && fits(single)) best = single;
    }
  }
  if (!best) {
    throw new TooLargeForGpuError(
      `${what}: needs ${least} bytes of workgroup memory, the device has ${limits.maxWorkgroupStorage}`,
    );
  }
  const atMost = Math.floor(limits.maxInvocations / units);
  const largest = (most: number, grown: (n: number) => Geometry) => {
    for (let n = Math.max(1, most); n > 1; n--) if (fits(grown(n))) return grown(n);
    return grown(1);
  };
  const single = best;
  const columnGroups = Math.min(choice.columnGroups ?? Math.ceil(columns / single.width), atMost);
  const wide = largest(columnGroups, (n) => ({ ...single, columnGroups: n }));
  const share = Math.max(1, Math.floor(chunks / WANTED_WORKGROUPS));
  const groups = Math.min(choice.groups ?? share, Math.floor(atMost / wide.columnGroups));
  const tall = largest(groups, (n) => ({ ...wide, groups: n }));
  if (!request.hasLanes) return tall;
  const lanes = choice.lanes ?? (share >= 4 * tall.groups ? 4 : share >= 2 * tall.groups ? 2 : 1);
  for (const n of [4, 2]) {
    const deep = { ...tall, lanes: n };
    if (n <= lanes && fits(deep)) return deep;
  }
  return tall;
}
