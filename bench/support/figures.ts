/** The charts of the peers' results, as SVG that reads on light and on dark pages. */
import { mkdir, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { type EChartsCoreOption, init } from "echarts";
import type { PeersResult } from "../peers.ts";
import type { SweepCount } from "./sweep-counts.ts";
import { best, isOurs, isRival, nanoseconds, shortName, speedUp } from "./verdicts.ts";

/** What the charts are drawn from. */
export interface FigureData {
  readonly results: readonly PeersResult[];
  readonly sweeps: readonly SweepCount[];
}

/** One chart. */
export interface Figure {
  /** Of the file, without ".svg". */
  readonly name: string;
  /** What it shows, in a sentence, for those who do not see it. */
  readonly title: string;
  readonly svg: string;
}

/** Colours on a light page, and what stands for them on a dark one. */
const ink = { light: "#24292f", dark: "#e6edf3" } as const;
const faint = { light: "#d0d7de", dark: "#3d444d" } as const;
/** Ours in one colour family, rivals in others; all are legible on white and on black. */
const palette = [
  "#d1495b",
  "#e8891d",
  "#b5179e",
  "#2a7de1",
  "#1b9aaa",
  "#5b8c3a",
  "#8f6bd1",
  "#8a7250",
  "#7a8591",
  "#c2a01c",
  "#3f9c78",
] as const;

/** Thrown away where nothing was measured for it. */
type Drawing = { name: string; title: string; option: EChartsCoreOption } | null;

/** All charts that there is something to draw for. */
export function drawFigures(data: FigureData): Figure[] {
  const layers = [...new Set(data.results.map(({ layer }) => layer))].filter(
    (layer) => layer !== null,
  );
  const drawings: Drawing[] = [
    ...layers.map((layer) => timeOverSteps(data.results, layer)),
    speedUps(data.results),
    sweeps(data.sweeps),
  ];
  return drawings
    .filter((drawing) => drawing !== null)
    .map(({ name, title, option }) => ({ name, title, svg: render(title, option) }));
}

/** Writes all charts into a folder, and gives their files. */
export async function writeFigures(data: FigureData, folder: string): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const files: string[] = [];
  for (const { name, svg } of drawFigures(data)) {
    const file = join(folder, `${name}.svg`);
    await writeFile(file, svg);
    files.push(relative(process.cwd(), file));
  }
  return files;
}

const WIDTH = 860;
const HEIGHT = 480;

const text = { color: ink.light, fontFamily: "system-ui, sans-serif", fontSize: 13 } as const;
const axis = (name: string) =>
  ({
    name,
    nameLocation: "middle",
    nameTextStyle: text,
    axisLabel: { ...text, fontSize: 12 },
    axisLine: { lineStyle: { color: ink.light } },
    axisTick: { lineStyle: { color: ink.light } },
    splitLine: { lineStyle: { color: faint.light } },
    minorSplitLine: { show: false },
  }) as const;

/** @param below pixels for the labels of the axis, its name and the legend */
function frame(title: string, below = 110): EChartsCoreOption {
  return {
    animation: false,
    color: [...palette],
    title: { text: title, left: "center", textStyle: { ...text, fontSize: 15 } },
    // Without a page texts are measured too narrow.
    legend: { bottom: 0, textStyle: text, itemGap: 26 },
    grid: { left: 70, right: 30, top: 45, bottom: below },
  };
}

/** The middle size of the grid, one sequence: milliseconds over T, a line a peer. */
function timeOverSteps(results: readonly PeersResult[], layer: "GRU" | "LSTM"): Drawing {
  const own = results.filter((result) => result.layer === layer && result.batch === 1);
  const sizes = [...new Set(own.map(({ hiddenSize }) => hiddenSize))];
  const hiddenSize = sizes.includes(64) ? 64 : sizes[sizes.length >> 1];
  const shown = own.filter((result) => result.hiddenSize === hiddenSize);
  if (shown.length === 0) return null;
  const peers = [...new Set(shown.flatMap(({ scores }) => scores.map(({ peer }) => peer)))];
  const title = `Time over T: ${layer}, D = ${hiddenSize}, one sequence`;
  return {
    name: `time-over-steps-${layer.toLowerCase()}`,
    title,
    option: {
      ...frame(title),
      xAxis: { type: "log", ...axis("T, steps"), nameGap: 26, min: "dataMin", max: "dataMax" },
      yAxis: { type: "log", ...axis("milliseconds"), nameGap: 48 },
      series: peers.map((peer) => ({
        type: "line",
        name: shortName(peer),
        symbol: "circle",
        symbolSize: 7,
        lineStyle: { width: 2, type: peer.startsWith("antler") ? "solid" : "dashed" },
        data: shown.flatMap(({ steps, scores }) => {
          const time = nanoseconds(
            scores.find((score) => score.peer === peer),
            1,
          );
          return time === null ? [] : [[steps, significant((time * steps) / 1e6)]];
        }),
      })),
    },
  };
}

/** The best of ours over the best rival, for every shape at its longest T. */
function speedUps(results: readonly PeersResult[]): Drawing {
  const longest = results.filter(
    ({ layer, hiddenSize, batch, steps, task }) =>
      !results.some(
        (other) =>
          other.layer === layer &&
          other.hiddenSize === hiddenSize &&
          other.batch === batch &&
          (layer !== null || other.task === task) &&
          other.steps > steps,
      ),
  );
  const ratios = longest.map((result) => ({
    label: labelOf(result),
    one: speedUp(
      best(result, (score) => isOurs(score) && score.threads === 1),
      best(result, (score) => isRival(score) && score.threads === 1),
    ),
    all: speedUp(best(result, isOurs), best(result, isRival)),
  }));
  if (ratios.every(({ all }) => all === null)) return null;
  const title = "Speed-up over the best rival (above 1: we are faster)";
  const bars = (name: string, values: readonly (number | null)[]) => ({
    type: "bar",
    name,
    data: values.map((value) => (value === null ? "-" : significant(value))),
    markLine: {
      silent: true,
      symbol: "none",
      label: { show: false },
      lineStyle: { color: ink.light, type: "solid", width: 1.5 },
      data: [{ yAxis: 1 }],
    },
  });
  return {
    name: "speed-up",
    title,
    option: {
      ...frame(title, 150),
      xAxis: {
        type: "category",
        ...axis(""),
        data: ratios.map(({ label }) => label),
        axisLabel: { ...text, fontSize: 11, rotate: 55, interval: 0 },
        splitLine: { show: false },
      },
      yAxis: { type: "value", ...axis("times faster"), nameGap: 40, min: 0 },
      series: [
        bars(
          "one thread each",
          ratios.map(({ one }) => one),
        ),
        bars(
          "the best of each",
          ratios.map(({ all }) => all),
        ),
      ],
    },
  };
}

function labelOf({ layer, hiddenSize, batch, task }: PeersResult): string {
  if (layer === null) return task.split(",")[0];
  return `${layer} ${hiddenSize}${batch === 1 ? "" : ` × ${batch}`}`;
}

/** Sweeps over the chunk, a line a problem and method; what did not converge is not drawn. */
function sweeps(counts: readonly SweepCount[]): Drawing {
  if (counts.length === 0) return null;
  const chunks = [...new Set(counts.map(({ chunk }) => chunk))].sort((a, b) => a - b);
  const lines = new Map<string, [string, number][]>();
  for (const { problem, method, chunk, sweeps } of counts) {
    if (!["jacobi", "quasi-deer", "deer"].includes(method)) continue;
    const key = `${problem}: ${method}`;
    const points = lines.get(key) ?? [];
    if (sweeps !== null && sweeps > 0) points.push([String(chunk), sweeps]);
    lines.set(key, points);
  }
  const title = `Sweeps until converged, T = ${counts[0].steps.toLocaleString("en-US")}`;
  return {
    name: "sweeps",
    title,
    option: {
      ...frame(title, 155),
      xAxis: {
        type: "category",
        ...axis("C, steps a chunk"),
        nameGap: 26,
        data: chunks.map(String),
      },
      yAxis: { type: "log", ...axis("sweeps"), nameGap: 40, min: 1 },
      series: [...lines].map(([name, data]) => ({
        type: "line",
        name,
        symbol: "circle",
        symbolSize: 6,
        lineStyle: { width: 2 },
        data,
      })),
    },
  };
}

function significant(value: number): number {
  return Number(value.toPrecision(4));
}

/**
 * The chart as text. Colours are attributes, which a style sheet overrules where the page is dark.
 */
function render(title: string, option: EChartsCoreOption): string {
  const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height: HEIGHT });
  try {
    chart.setOption(option);
    const svg = still(chart.renderToSVGString());
    const dark = [ink, faint]
      .map(
        ({ light, dark }) => `[fill="${light}"]{fill:${dark}}[stroke="${light}"]{stroke:${dark}}`,
      )
      .join("");
    const head =
      `<title>${escapeXml(title)}</title>\n` +
      `<style>@media (prefers-color-scheme: dark){${dark}}</style>\n`;
    return `${svg.replace("<svg ", '<svg role="img" ').replace(/(<svg [^>]*>\n?)/, `$1${head}`)}\n`;
  } finally {
    chart.dispose();
  }
}

/**
 * Without what only a live chart needs: classes that answer to the mouse, numbered through all charts of the
 * process, and facts for its events.
 */
function still(svg: string): string {
  return svg
    .replace(/<style ?>[\s\S]*?<\/style>\s*/g, "")
    .replace(/ (class|ecmeta_\w+|pointer-events)="[^"]*"/g, "")
    .replace(/\bzr\d+-/g, "zr-");
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
