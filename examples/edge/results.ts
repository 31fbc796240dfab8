/** How results travel: NDJSON, or frames of little-endian float32. */
import { type Reason, Refusal } from "./refusal.ts";

/** What was done, once all of it is done. */
export interface Summary {
  readonly steps: number;
  readonly windows: number;
  readonly backend: string;
  readonly simd: string | null;
  readonly method: string;
  /** As in Antler's report, of the whole sequence. */
  readonly residual: number;
  readonly errorEstimate: number;
  readonly converged: boolean;
  /** By the host's clock; some hosts stop it while code runs, and this is then 0. */
  readonly milliseconds: number;
}

export interface ResultFormat {
  readonly type: string;
  /** @param states `[n, stateSize]`, of steps `from` to `from + n`. */
  states(from: number, states: Float32Array, stateSize: number): Uint8Array;
  /** The end of a stream that holds all states. */
  report(report: Summary, finalState: Float32Array): Uint8Array;
  /** The end of a stream that does not. */
  error(reason: Reason): Uint8Array;
}

const encoder = new TextEncoder();
const line = (value: unknown) => encoder.encode(`${JSON.stringify(value)}\n`);

/** Nine digits are what a float32 needs; as a double it would be written with seventeen. */
function shortened(value: number): number {
  // Nearly always enough for states up to 1, and several times as fast.
  const rounded = Math.round(value * 1e9) / 1e9;
  return Math.fround(rounded) === value ? rounded : Number(value.toPrecision(9));
}

const ndjson: ResultFormat = {
  type: "application/x-ndjson",
  states(from, states, stateSize) {
    const rows: number[][] = [];
    for (let row = 0; row < states.length; row += stateSize) {
      rows.push(Array.from(states.subarray(row, row + stateSize), shortened));
    }
    return line({ from, states: rows });
  },
  report: (report, finalState) => line({ report, finalState: Array.from(finalState, shortened) }),
  error: (error) => line({ error }),
};

/** The first number of a frame; the second is the number of bytes that follow. Both are uint32. */
const frameKinds = { states: 1, report: 2, error: 3 } as const;
const HEADER_BYTES = 8;

function frame(kind: keyof typeof frameKinds, length: number): [Uint8Array, DataView] {
  const bytes = new Uint8Array(HEADER_BYTES + length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, frameKinds[kind], true);
  view.setUint32(4, length, true);
  return [bytes, view];
}

function jsonFrame(kind: "report" | "error", value: unknown): Uint8Array {
  const json = encoder.encode(JSON.stringify(value));
  const [bytes] = frame(kind, json.length);
  bytes.set(json, HEADER_BYTES);
  return bytes;
}

const frames: ResultFormat = {
  type: "application/octet-stream",
  states(_, states) {
    const [bytes, view] = frame("states", 4 * states.length);
    states.forEach((value, i) => {
      view.setFloat32(HEADER_BYTES + 4 * i, value, true);
    });
    return bytes;
  },
  report: (report, finalState) =>
    jsonFrame("report", { report, finalState: Array.from(finalState, shortened) }),
  error: (error) => jsonFrame("error", { error }),
};

/** The first is what a client gets that does not mind. */
export const resultFormats: readonly ResultFormat[] = [ndjson, frames];

/**
 * The format that the header `Accept` likes best.
 *
 * @throws Refusal where it likes none.
 */
export function resultFormatFor(request: Request): ResultFormat {
  const header = request.headers.get("accept") ?? "*/*";
  const ranges = header.split(",").map((text) => {
    const [range, ...parameters] = text
      .trim()
      .toLowerCase()
      .split(/\s*;\s*/);
    const quality = parameters.find((parameter) => parameter.startsWith("q="));
    return { range, quality: quality ? Number(quality.slice(2)) : 1 };
  });
  const qualityOf = ({ type }: ResultFormat) => {
    // The most specific range counts.
    for (const wanted of [type, "application/*", "*/*"]) {
      const found = ranges.find(({ range }) => range === wanted);
      if (found) return found.quality;
    }
    return 0;
  };
  const best = resultFormats.reduce((a, b) => (qualityOf(b) > qualityOf(a) ? b : a));
  if (qualityOf(best) > 0) return best;
  const expected = resultFormats.map(({ type }) => type).join(" or ");
  throw new Refusal(406, "not-acceptable", { field: "Accept", expected, got: header });
}
