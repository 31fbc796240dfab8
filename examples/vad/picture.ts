/** Draws a recording, its speech probability and the segments found in it, as an SVG. */
import type { Prompt } from "./prompts.ts";
import type { Segment } from "./segments.ts";

export interface PictureOptions {
  title: string;
  samples: Float32Array;
  /** The length of the recording. */
  seconds: number;
  /** One a window. */
  probabilities: ArrayLike<number>;
  secondsPerWindow: number;
  /** Where the rule that finds segments opens one, and where it closes it. */
  thresholds: readonly [upper: number, lower: number];
  segments: readonly Segment[];
  prompts: readonly Prompt[];
}

const WIDTH = 1240;
const PLOT = { left: 70, right: 1220 } as const;
const PLOT_WIDTH = PLOT.right - PLOT.left;
const WAVEFORM_HEIGHT = 170;
const PROBABILITY_HEIGHT = 150;
const PROMPT_HEIGHT = 26;

const COLOUR = {
  text: "#222222",
  faint: "#6b6b6b",
  grid: "#dddddd",
  waveform: "#5a6472",
  probability: "#b3261e",
  segment: "#2e7d32",
  prompt: "#2f5fb3",
} as const;

/** The whole picture; every text in it is escaped, so any file name will do. */
export function renderPicture(options: PictureOptions): string {
  const { title, seconds, segments, prompts } = options;
  const x = (time: number) => PLOT.left + (time / seconds) * PLOT_WIDTH;
  const legendTop = 46;
  const promptTop = 72;
  const waveformTop = promptTop + (prompts.length > 0 ? PROMPT_HEIGHT + 10 : 0);
  const probabilityTop = waveformTop + WAVEFORM_HEIGHT + 22;
  const bottom = probabilityTop + PROBABILITY_HEIGHT;
  const height = bottom + 52;

  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}"` +
      ` height="${height}" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="13"` +
      ` fill="${COLOUR.text}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="${PLOT.left}" y="26" font-size="17" font-weight="600">${escapeXml(title)}</text>`,
    legend(legendTop, prompts.length > 0),
    timeAxis(x, seconds, waveformTop, bottom),
    segmentBands(x, segments, waveformTop, bottom),
    prompts.length > 0 ? promptBars(x, prompts, promptTop) : "",
    waveform(options.samples, waveformTop),
    probabilityCurve(options, x, probabilityTop),
    "</svg>",
  ];
  return `${parts.filter((part) => part !== "").join("\n")}\n`;
}

export function escapeXml(text: string): string {
  const entities: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
  };
  return (
    text
      .replace(/[&<>"]/g, (character) => entities[character])
      // biome-ignore lint/suspicious/noControlCharactersInRegex: XML cannot hold them, a file name can
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd")
  );
}

/** Shared by all panels: lines at round times, labelled below the lowest. */
function timeAxis(
  x: (time: number) => number,
  seconds: number,
  top: number,
  bottom: number,
): string {
  const step = roundStep(seconds / 16);
  const decimals = Math.max(0, -Math.floor(Math.log10(step)));
  const parts: string[] = [];
  for (let index = 0; index * step <= seconds; index++) {
    const position = at(x(index * step));
    parts.push(
      `<line x1="${position}" y1="${at(top)}" x2="${position}" y2="${at(bottom + 5)}"` +
        ` stroke="${COLOUR.grid}"/>`,
      `<text x="${position}" y="${at(bottom + 20)}" text-anchor="middle">` +
        `${(index * step).toFixed(decimals)}</text>`,
    );
  }
  const middle = at((PLOT.left + PLOT.right) / 2);
  parts.push(`<text x="${middle}" y="${at(bottom + 40)}" text-anchor="middle">time (s)</text>`);
  return parts.join("\n");
}

/** The next of 1, 2, 5, 10, … times a power of ten. */
function roundStep(atLeast: number): number {
  const power = 10 ** Math.floor(Math.log10(atLeast));
  return power * ([1, 2, 5].find((factor) => factor * power >= atLeast) ?? 10);
}

function segmentBands(
  x: (time: number) => number,
  segments: readonly Segment[],
  top: number,
  bottom: number,
): string {
  return segments
    .map(
      ({ start, end }) =>
        `<rect x="${at(x(start))}" y="${at(top)}" width="${at(x(end) - x(start))}"` +
        ` height="${at(bottom - top)}" fill="${COLOUR.segment}" fill-opacity="0.16">` +
        `<title>speech from ${start.toFixed(3)} s to ${end.toFixed(3)} s</title></rect>`,
    )
    .join("\n");
}

function promptBars(x: (time: number) => number, prompts: readonly Prompt[], top: number): string {
  return prompts
    .map(
      ({ name, start, end }) =>
        `<rect x="${at(x(start))}" y="${at(top)}" width="${at(x(end) - x(start))}"` +
        ` height="${PROMPT_HEIGHT}" rx="4" fill="${COLOUR.prompt}"/>` +
        `<text x="${at(x((start + end) / 2))}" y="${at(top + 17)}" text-anchor="middle"` +
        ` font-size="12" fill="#ffffff">${escapeXml(name)}</text>`,
    )
    .join("\n");
}

/** One vertical line a column, from the lowest sample there to the highest. */
function waveform(samples: Float32Array, top: number): string {
  const columns = Math.min(PLOT_WIDTH, samples.length);
  const peak = samples.reduce((largest, sample) => Math.max(largest, Math.abs(sample)), 0) || 1;
  const y = (value: number) => top + (WAVEFORM_HEIGHT * (1 - value / peak)) / 2;
  const path: string[] = [];
  for (let column = 0; column < columns; column++) {
    const first = Math.floor((column * samples.length) / columns);
    const until = Math.floor(((column + 1) * samples.length) / columns);
    let low = Infinity;
    let high = -Infinity;
    for (let index = first; index < until; index++) {
      low = Math.min(low, samples[index]);
      high = Math.max(high, samples[index]);
    }
    // A line of no length is not drawn, so silence keeps one pixel.
    const bottomEnd = Math.max(y(low), y(high) + 1);
    path.push(`M${at(columnCentre(column, columns))} ${at(y(high))}V${at(bottomEnd)}`);
  }
  const label = (value: number) =>
    `<text x="${PLOT.left - 8}" y="${at(y(value) + 4)}" text-anchor="end"` +
    ` fill="${COLOUR.faint}">${value.toFixed(2).replace("-", "−")}</text>`;
  return [
    `<path d="${path.join("")}" stroke="${COLOUR.waveform}" fill="none"/>`,
    [peak, 0, -peak].map(label).join("\n"),
    axisTitle("amplitude", top + WAVEFORM_HEIGHT / 2),
  ].join("\n");
}

/** The probability, and the two thresholds; in long recordings each column keeps its extremes. */
function probabilityCurve(
  { probabilities, secondsPerWindow, thresholds, seconds }: PictureOptions,
  x: (time: number) => number,
  top: number,
): string {
  const y = (value: number) => top + PROBABILITY_HEIGHT * (1 - value);
  const points = thinOut(probabilities, 4 * PLOT_WIDTH).map((window) => {
    // A probability speaks for its whole window, so it stands in the window's middle.
    const time = Math.min(seconds, (window + 0.5) * secondsPerWindow);
    return `${at(x(time))},${at(y(probabilities[window]))}`;
  });
  const threshold = (value: number) =>
    `<line x1="${PLOT.left}" y1="${at(y(value))}" x2="${PLOT.right}" y2="${at(y(value))}"` +
    ` stroke="${COLOUR.faint}" stroke-dasharray="5 4"/>`;
  const label = (value: number) =>
    `<text x="${PLOT.left - 8}" y="${at(y(value) + 4)}" text-anchor="end"` +
    ` fill="${COLOUR.faint}">${value}</text>`;
  return [
    `<rect x="${PLOT.left}" y="${at(top)}" width="${PLOT_WIDTH}" height="${PROBABILITY_HEIGHT}"` +
      ` fill="none" stroke="${COLOUR.grid}"/>`,
    ...thresholds.map(threshold),
    ...[0, ...thresholds, 1].map(label),
    `<polyline points="${points.join(" ")}" stroke="${COLOUR.probability}" stroke-width="1.2"` +
      ` fill="none" stroke-linejoin="round"/>`,
    axisTitle("p(speech)", top + PROBABILITY_HEIGHT / 2),
  ].join("\n");
}

/** Indices of at most `limit` values: all of them, or the lowest and highest of each of limit / 2 groups. */
function thinOut(values: ArrayLike<number>, limit: number): number[] {
  if (values.length <= limit) return Array.from({ length: values.length }, (_, index) => index);
  const groups = Math.floor(limit / 2);
  const kept: number[] = [];
  for (let group = 0; group < groups; group++) {
    const first = Math.floor((group * values.length) / groups);
    const until = Math.floor(((group + 1) * values.length) / groups);
    let lowest = first;
    let highest = first;
    for (let index = first; index < until; index++) {
      if (values[index] < values[lowest]) lowest = index;
      if (values[index] > values[highest]) highest = index;
    }
    kept.push(Math.min(lowest, highest));
    if (lowest !== highest) kept.push(Math.max(lowest, highest));
  }
  return kept;
}

function legend(top: number, withPrompts: boolean): string {
  const box = (colour: string, opacity: number) => (x: number) =>
    `<rect x="${x}" y="${top - 3}" width="22" height="13" fill="${colour}"` +
    ` fill-opacity="${opacity}"/>`;
  const line = (colour: string, dashes: string) => (x: number) =>
    `<line x1="${x}" y1="${top + 4}" x2="${x + 22}" y2="${top + 4}" stroke="${colour}"` +
    ` stroke-width="2"${dashes}/>`;
  const entries: [draw: (x: number) => string, text: string, width: number][] = [
    [line(COLOUR.waveform, ""), "waveform", 105],
    [line(COLOUR.probability, ""), "speech probability", 165],
    [line(COLOUR.faint, ' stroke-dasharray="5 4"'), "thresholds (open, close)", 205],
    [box(COLOUR.segment, 0.25), "speech found", 135],
  ];
  if (withPrompts) entries.push([box(COLOUR.prompt, 1), "prompt as placed", 150]);
  let position: number = PLOT.left;
  return entries
    .map(([draw, text, width]) => {
      const x = position;
      position += width;
      return `${draw(x)}<text x="${x + 28}" y="${top + 8}">${text}</text>`;
    })
    .join("\n");
}

function axisTitle(text: string, middle: number): string {
  return (
    `<text x="18" y="${at(middle)}" text-anchor="middle"` +
    ` transform="rotate(-90 18 ${at(middle)})">${text}</text>`
  );
}

function columnCentre(column: number, columns: number): number {
  return PLOT.left + ((column + 0.5) * PLOT_WIDTH) / columns;
}

/** A coordinate, to a hundredth of a pixel. */
function at(value: number): string {
  return String(Math.round(value * 100) / 100);
}
