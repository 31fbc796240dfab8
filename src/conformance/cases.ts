/** How each problem is evaluated: every method, under every Jacobian that it has, in a few chunks. */
import { blockSize } from "../cell/differentiate.ts";
import { methods as methodTable, type SweepMethod } from "../solve/method.ts";
import type {
  BackendName,
  DampingOptions,
  EvaluateOptions,
  JacobianKind,
  MethodName,
} from "../types.ts";
import { conformanceCells, type Problem } from "./problems.ts";

/** One evaluation of a problem. */
export interface Case {
  readonly method: MethodName;
  /** Null for sequential evaluation and for "threads". */
  readonly jacobian: JacobianKind | null;
  readonly damping?: DampingOptions;
  /** `damping` in words. */
  readonly dampingName?: string;
  /** "threads" only: whether every bit must be that of sequential evaluation. */
  readonly exact?: boolean;
  /** "threads" only: whether it starts from the golden states, so that chunks merge within a few steps. */
  readonly guessed?: boolean;
  /** Null: none is asked for. */
  readonly chunk: number | null;
  /** Residual that a converged result must reach. */
  readonly tolerance: number;
  /** Name of the case among those of its problem. */
  readonly key: string;
  /** Whether it belongs to the short suite too, for programs that imitate a GPU. */
  readonly short: boolean;
}

interface Setting {
  readonly method: SweepMethod;
  readonly jacobian?: JacobianKind;
  readonly damping?: DampingOptions;
  readonly dampingName?: string;
  /** Default: those of all. */
  readonly chunks?: readonly number[];
  /** Default: all cells. */
  readonly only?: (problem: Problem) => boolean;
}

/** Well above the noise of float32, and far below what a wrong kernel does. */
const TOLERANCE = 1e-6;
/**
 * Jacobi's iteration over chunks stops well above the noise with this one: there, a report that
 * understates its residual can be told from one that does not.
 */
const LOOSE_TOLERANCE = 1e-4;
/** 7 divides none of the suite's lengths. */
const CHUNKS: readonly number[] = [1, 7];

const isOneOf =
  (...names: readonly string[]) =>
  ({ cell }: Problem) =>
    names.includes(cell.name);

const settings: readonly Setting[] = [
  { method: "jacobi" },
  { method: "picard" },
  { method: "deer" },
  { method: "quasi-deer" },
  { method: "quasi-deer", jacobian: "block", only: ({ cell }) => blockSize(cell) > 1 },
  { method: "elk" },
  { method: "quasi-elk" },
  {
    method: "elk",
    damping: { lambda: 1e-2, estimate: "smoother" },
    dampingName: "smoother",
    chunks: [7],
    only: isOneOf("gru-reset-after", "lstm-plain"),
  },
  {
    method: "quasi-elk",
    damping: { lambda: 1e-2, trustRegion: true },
    dampingName: "trust region",
    chunks: [7],
    only: isOneOf("minimal-gru"),
  },
];

/**
 * In the short suite, cells take turns with two methods that share their programs, and with chunks: the
 * bits of a cell's place in the list decide, a different one for each pair and for its chunk. So each
 * program is compiled once, and each method meets half of the cells, in both chunks.
 */
const turns: Readonly<Record<SweepMethod, readonly [bit: number, value: number]>> = {
  jacobi: [0, 0],
  picard: [0, 1],
  deer: [1, 0],
  elk: [1, 1],
  "quasi-deer": [2, 0],
  "quasi-elk": [2, 1],
};

function isShort({ method, jacobian, chunks }: Setting, chunk: number, cell: number): boolean {
  if (chunks) return true;
  const [bit, value] = turns[method];
  const turn = chunk === CHUNKS[(cell >> ((bit + 1) % 3)) & 1];
  return turn && (jacobian !== undefined || ((cell >> bit) & 1) === value);
}

/**
 * Short chunks without a guess never merge in a non-exact way, as they end before they could hold for
 * long enough; chunks of 11 steps from a good guess do.
 */
const threadsSettings: readonly Pick<Case, "chunk" | "exact" | "guessed">[] = [
  { chunk: CHUNKS[1]! },
  { chunk: CHUNKS[1]!, exact: true },
  { chunk: null },
  { chunk: null, exact: true },
  { chunk: 11, guessed: true },
];

function threadsCase(setting: (typeof threadsSettings)[number]): Case {
  const { chunk, exact, guessed } = setting;
  const words = ["threads", exact && "exact", guessed && "guessed", chunk && `C = ${chunk}`];
  return {
    ...setting,
    method: "threads",
    jacobian: null,
    tolerance: TOLERANCE,
    key: words.filter(Boolean).join(" "),
    short: true,
  };
}

/** All cases of a problem on a backend: only WebAssembly has threads. */
export function casesOf(problem: Problem, backend: BackendName): Case[] {
  const index = conformanceCells.indexOf(problem.cell.name);
  const sequential: Case = {
    method: "sequential",
    jacobian: null,
    chunk: Math.max(...problem.lengths),
    tolerance: TOLERANCE,
    key: "sequential",
    short: true,
  };
  const parallel = settings
    .filter(({ only }) => !only || only(problem))
    .flatMap((setting) => {
      const { method, jacobian, damping, dampingName, chunks = CHUNKS } = setting;
      return chunks.map((chunk): Case => {
        const words = [method, jacobian, dampingName, `C = ${chunk}`];
        return {
          method,
          jacobian: jacobian ?? methodTable[method].jacobian,
          ...(damping && { damping }),
          ...(dampingName && { dampingName }),
          chunk,
          tolerance: method === "jacobi" && chunk > 1 ? LOOSE_TOLERANCE : TOLERANCE,
          key: words.filter(Boolean).join(" "),
          short: isShort(setting, chunk, index),
        };
      });
    });
  const threads = backend === "wasm" ? threadsSettings.map(threadsCase) : [];
  return [sequential, ...threads, ...parallel];
}

/** Arguments of `evaluate`, save the backend and the guess. */
export function optionsOf(problem: Problem, one: Case): EvaluateOptions {
  const { lengths, initialState, reverse } = problem;
  const { method, jacobian, damping, chunk, tolerance, exact } = one;
  return {
    initialState,
    reverse,
    ...(lengths.length !== 1 && { lengths }),
    method,
    tolerance,
    ...(jacobian && { jacobian }),
    ...(method !== "sequential" && chunk !== null && { chunk }),
    ...(damping && { damping }),
    ...(exact && { exact }),
  };
}
