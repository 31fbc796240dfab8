/** The peers' results as tables: times, what was aimed at, and where others are faster. */
import type { PeersResult } from "../peers.ts";
import type { Cell, Column, Table } from "../report.ts";
import type { Score } from "./contenders.ts";
import { describeSteps } from "./grid.ts";

/** Nanoseconds a step of one sequence; null where a peer failed. */
export function nanoseconds(score: Score | undefined, batch: number): number | null {
  return score?.timing ? (1e6 * score.timing.median) / score.steps / batch : null;
}

/** A peer's name for the head of a column. */
export function shortName(peer: string): string {
  return peer
    .replace("onnxruntime", "ort")
    .replace("tfjs-backend-wasm", "tfjs")
    .replace("plain JavaScript", "plain JS")
    .replace(/, (\d) threads?/, " $1t")
    .replace(", ", " ");
}

export interface Best {
  readonly peer: string;
  readonly nanoseconds: number;
}

/** The fastest of those scores that pass; null where there is none. */
export function best(
  { scores, batch }: Pick<PeersResult, "scores" | "batch">,
  passes: (score: Score) => boolean,
): Best | null {
  let found: Best | null = null;
  for (const score of scores.filter(passes)) {
    const time = nanoseconds(score, batch);
    if (time !== null && (found === null || time < found.nanoseconds)) {
      found = { peer: score.peer, nanoseconds: time };
    }
  }
  return found;
}

/** On the CPU, and so the rivals: a GPU is another matter, and has columns of its own. */
export const isOurs = ({ library, threads }: Score) => library === "antler" && threads > 0;
export const isRival = ({ library, threads }: Score) => library !== "antler" && threads > 0;

/** How many times faster the first is than the second; null where one is missing. */
export function speedUp(ours: Best | null, rival: Best | null): number | null {
  return ours && rival ? rival.nanoseconds / ours.nanoseconds : null;
}

function peersOf(results: readonly PeersResult[]): string[] {
  return [...new Set(results.flatMap(({ scores }) => scores.map(({ peer }) => peer)))];
}

/** One table for each number of sequences, and one of the trained networks. */
export function timesTables(results: readonly PeersResult[]): Table[] {
  const peers = peersOf(results);
  const grid = results.filter(({ layer }) => layer !== null);
  const batches = [...new Set(grid.map(({ batch }) => batch))];
  const columns = (first: readonly string[]): Column[] => [
    ...first.map((title): Column => ({ title, align: "left" })),
    ...peers.map((peer): Column => ({ title: shortName(peer), align: "right", digits: 0 })),
    { title: "best of ours", align: "left" },
    { title: "best rival", align: "left" },
    { title: "speed-up", digits: 2 },
  ];
  const times = (result: PeersResult, scale: number): Cell[] => {
    const ours = best(result, isOurs);
    const rival = best(result, isRival);
    return [
      ...peers.map((name): Cell => timeCell(result, name, scale)),
      ours && shortName(ours.peer),
      rival && shortName(rival.peer),
      speedUp(ours, rival),
    ];
  };
  const trained = results.filter(({ layer }) => layer === null);
  const tables: Table[] = [
    ...batches.map((batch): Table => {
      const rows = grid.filter((result) => result.batch === batch);
      const what = batch === 1 ? "one sequence" : `${batch} sequences, a step of one of them`;
      return {
        title: `Nanoseconds a step: ${what}`,
        columns: columns(["layer", "D", "T"]),
        rows: rows.map((result) => [
          result.layer,
          String(result.hiddenSize),
          describeSteps(result.steps, result.measured),
          ...times(result, 1),
        ]),
      };
    }),
    {
      title: "Milliseconds: trained networks",
      columns: columns(["network", "T"]),
      rows: trained.map((result) => [
        result.task,
        describeSteps(result.steps, result.measured),
        ...times(result, result.steps / 1e6),
      ]),
    },
  ];
  return tables.filter(({ rows }) => rows.length > 0);
}

/** A number; where it was measured at fewer steps than the others, these too. */
function timeCell({ scores, batch, measured }: PeersResult, name: string, scale: number): Cell {
  const score = scores.find(({ peer }) => peer === name);
  const time = nanoseconds(score, batch);
  if (score === undefined) return null;
  if (time === null) return "failed";
  if (score.steps === measured) return time * scale;
  const text = Math.round(time * scale).toLocaleString("en-US");
  return `${text} @${score.steps.toLocaleString("en-US")}`;
}

/** What is aimed at on one machine, side by side. */
interface Aim {
  readonly work: string;
  readonly against: string;
  readonly atLeast: number;
  concerns(result: PeersResult): boolean;
  ours(score: Score): boolean;
  rival(score: Score): boolean;
}

const exactly = (library: string, threads: number) => (score: Score) =>
  score.library === library && score.threads === threads;
const ofLibrary = (library: string) => (score: Score) =>
  score.library === library && score.threads > 0;
const oneThread = exactly("antler", 1);

/** The longest T of the grid, one sequence. */
const long = (sizes: readonly number[]) => (result: PeersResult) =>
  result.layer !== null &&
  result.batch === 1 &&
  result.steps >= 100_000 &&
  sizes.includes(result.hiddenSize);
const batched = ({ layer, batch }: PeersResult) => layer !== null && batch === 16;
const isNanopore = ({ task }: PeersResult) => task.startsWith("nanopore");

const web = "onnxruntime-web";
const aims: readonly Aim[] = [
  ...(
    [
      [[8], 2],
      [[32], 1.3],
      [[64, 128], 1.05],
    ] as const
  ).map(([sizes, atLeast]) => ({
    work: `GRU and LSTM, D = ${sizes.join(", ")}, B = 1, T = 100,000, one thread`,
    against: `${web}, one thread`,
    atLeast,
    concerns: long(sizes),
    ours: oneThread,
    rival: exactly(web, 1),
  })),
  {
    work: "the same, D = 8 … 128, two threads",
    against: "our one thread",
    atLeast: 1.75,
    concerns: long([8, 32, 64, 128]),
    ours: ({ peer }) => peer === "antler, 2 threads",
    rival: oneThread,
  },
  {
    work: "B = 16, one thread",
    against: `${web}, one thread`,
    atLeast: 1.5,
    concerns: batched,
    ours: oneThread,
    rival: exactly(web, 1),
  },
  {
    work: "B = 16, two threads",
    against: `${web}, one or two threads`,
    atLeast: 1.5,
    concerns: batched,
    ours: isOurs,
    rival: ofLibrary(web),
  },
  ...(
    [
      [web, 1.5],
      ["onnxruntime-node", 1.1],
    ] as const
  ).map(([library, atLeast]) => ({
    work: "nanopore, five layers, two threads",
    against: `${library}, one or two threads`,
    atLeast,
    concerns: isNanopore,
    ours: isOurs,
    rival: ofLibrary(library),
  })),
];

/** An aim with the least of the ratios that were measured; aims that nothing was measured for are left out. */
export function aimsTable(results: readonly PeersResult[]): Table {
  const rows = aims.map((aim): Cell[] | null => {
    let least: { ratio: number; where: string } | null = null;
    for (const result of results.filter((result) => aim.concerns(result))) {
      const ratio = speedUp(best(result, aim.ours), best(result, aim.rival));
      if (ratio !== null && ratio < (least?.ratio ?? Number.POSITIVE_INFINITY)) {
        least = { ratio, where: result.task };
      }
    }
    if (least === null) return null;
    const { work, against, atLeast } = aim;
    return [
      work,
      against,
      atLeast,
      least.ratio,
      least.where,
      least.ratio >= atLeast ? "yes" : "no",
    ];
  });
  return {
    title: "How many times faster: aimed at, and the least measured",
    columns: [
      "work",
      "against",
      { title: "aim", digits: 2 },
      { title: "least", digits: 2 },
      "on",
      "met",
    ],
    rows: rows.filter((row) => row !== null),
  };
}

/** Every task on which somebody is faster than we are on as many threads. */
export function lossesTable(results: readonly PeersResult[]): Table {
  const rows: [string, string, number, string, number, number][] = [];
  for (const result of results) {
    for (const threads of [1, 2]) {
      const ours = best(result, (score) => isOurs(score) && score.threads <= threads);
      const rival = best(
        result,
        (score) => isRival(score) && (threads === 1 ? score.threads === 1 : score.threads <= 2),
      );
      const ratio = speedUp(ours, rival);
      if (ratio === null || ratio >= 1) continue;
      const where = `${result.task.replace(/, T = [\d,]+/, "")}, T = ${describeSteps(result.steps, result.measured)}`;
      const last = rows.at(-1);
      // On two threads nobody was faster than on one.
      if (last?.[0] === where && last[2] === ours!.nanoseconds && last[4] === rival!.nanoseconds) {
        continue;
      }
      rows.push([
        where,
        shortName(ours!.peer),
        ours!.nanoseconds,
        shortName(rival!.peer),
        rival!.nanoseconds,
        1 / ratio,
      ]);
    }
  }
  rows.sort((a, b) => b[5] - a[5]);
  return {
    title:
      "Where a rival is faster on as many threads: nanoseconds a step, and how many times faster",
    columns: [
      "work",
      "ours",
      { title: "ns", digits: 0 },
      "rival",
      { title: "ns", digits: 0 },
      { title: "times", digits: 2 },
    ],
    rows,
  };
}
