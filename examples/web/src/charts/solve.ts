/** The pictures of a solve. */
import type { EChartsCoreOption } from "echarts/core";
import { milliseconds, scientific, whole } from "../format.ts";
import type { SweepPicture } from "../solve/tasks.ts";
import { binStart } from "../solve/trace.ts";
import { axis, grid, legend, named, tooltip } from "./options.ts";
import type { Palette } from "./palette.ts";

export interface HeatMap {
  readonly pictures: readonly SweepPicture[];
  readonly bins: number;
  readonly steps: number;
  /** Power of ten at the lower end of the colours. */
  readonly floor: number;
}

/** Pixels around the heat map's cells. */
export const HEAT_MAP_MARGINS = { top: 8, bottom: 78, left: 50, right: 14 };

/** Error over time (across) and sweep (down), on a logarithmic scale. */
export function heatMapOption(
  palette: Palette,
  width: number,
  { pictures, bins, steps, floor }: HeatMap,
): EChartsCoreOption {
  const data: [number, number, number][] = [];
  for (const { sweep, errors } of pictures) {
    errors.forEach((error, bin) => {
      data.push([bin, sweep, Math.max(floor, Math.min(0, Math.log10(error)))]);
    });
  }
  const narrow = width < 500;
  const firstStep = (bin: number) => whole(binStart(bin, bins, steps));
  const lastStep = (bin: number) => whole(binStart(bin + 1, bins, steps) - 1);
  return {
    animation: false,
    grid: { ...HEAT_MAP_MARGINS, outerBoundsMode: "none" },
    xAxis: axis(palette, {
      type: "category",
      data: Array.from({ length: bins }, (_, bin) => firstStep(bin)),
      splitLine: { show: false },
      axisLabel: {
        color: palette.muted,
        hideOverlap: true,
        interval: Math.max(0, Math.ceil(bins / (narrow ? 4 : 8)) - 1),
      },
      ...named("time step", 26),
    }),
    yAxis: axis(palette, {
      type: "category",
      inverse: true,
      data: pictures.map(({ sweep }) => String(sweep)),
      splitLine: { show: false },
      axisLabel: { color: palette.muted, interval: labelStride(pictures.length) - 1 },
      ...named("sweep", 32),
    }),
    visualMap: {
      type: "continuous",
      min: floor,
      max: 0,
      calculable: false,
      orient: "horizontal",
      left: "center",
      bottom: 0,
      itemWidth: 10,
      itemHeight: Math.min(220, width - 170),
      text: ["error 1", floor === -8 ? "≤ 1e-8" : `≤ 1e${floor}`],
      textStyle: { color: palette.muted },
      inRange: { color: [...palette.ramp] },
    },
    tooltip: tooltip(palette, {
      formatter: ({ value }: { value: [number, number, number] }) => {
        const [bin, sweep, power] = value;
        const error = power <= floor ? `≤ 1e${floor}` : scientific(10 ** power);
        const [first, last] = [firstStep(bin), lastStep(bin)];
        const span = first === last ? `step ${first}` : `steps ${first} to ${last}`;
        return `sweep ${sweep}, ${span}\nlargest error ${error}`;
      },
    }),
    series: [{ type: "heatmap", data, progressive: 0, emphasis: { disabled: true } }],
  };
}

/** A label on every 1st, 2nd, 5th, 10th … sweep, so that they do not run into one another. */
function labelStride(count: number): number {
  const wanted = count / 8;
  const power = 10 ** Math.floor(Math.log10(Math.max(1, wanted)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((stride) => stride >= wanted) ?? 1;
}

export function residualOption(
  palette: Palette,
  { pictures, tolerance }: { pictures: readonly SweepPicture[]; tolerance: number },
): EChartsCoreOption {
  // A logarithm has no place for 0, which is what is left when all chunks are exact.
  const positive = (value: number) => (value > 0 && Number.isFinite(value) ? value : null);
  const line = (name: string, colour: string, values: readonly number[], style: string) => ({
    name,
    type: "line",
    showSymbol: values.length < 40,
    symbolSize: 5,
    lineStyle: { color: colour, width: 2, type: style },
    itemStyle: { color: colour },
    data: values.map((value, i) => [pictures[i].sweep, positive(value)]),
  });
  const residuals = pictures.map(({ residual }) => residual);
  const errors = pictures.map(({ largestError }) => largestError);
  return {
    grid: grid({ top: 34, bottom: 30 }),
    legend: legend(palette),
    tooltip: tooltip(palette, {
      trigger: "axis",
      valueFormatter: (value: number | null) => (value === null ? "0" : scientific(value)),
    }),
    xAxis: axis(palette, { type: "value", minInterval: 1, max: "dataMax", ...named("sweep", 26) }),
    yAxis: axis(palette, {
      type: "log",
      axisLabel: { color: palette.muted, formatter: (value: number) => scientific(value, 0) },
    }),
    series: [
      line("residual", palette.accent, residuals, "solid"),
      line("largest error", palette.second, errors, "dashed"),
      {
        ...line(
          "tolerance",
          palette.muted,
          residuals.map(() => tolerance),
          "dotted",
        ),
        showSymbol: false,
      },
    ],
  };
}

export interface StatesPlot {
  readonly steps: readonly number[];
  readonly sequential: readonly number[];
  readonly iterate: readonly number[];
  readonly sweep: number;
}

export function statesOption(
  palette: Palette,
  { steps, sequential, iterate, sweep }: StatesPlot,
): EChartsCoreOption {
  const points = (values: readonly number[]) =>
    values.map((value, i) => [steps[i], Number.isFinite(value) ? value : null]);
  const line = { type: "line", showSymbol: false, animation: false };
  return {
    grid: grid({ top: 34, bottom: 30 }),
    legend: legend(palette),
    tooltip: tooltip(palette, {
      trigger: "axis",
      valueFormatter: (value: number | null) => (value === null ? "not finite" : value.toFixed(5)),
    }),
    xAxis: axis(palette, {
      type: "value",
      min: steps[0],
      max: steps.at(-1),
      ...named("time step", 26),
    }),
    yAxis: axis(palette, { type: "value", scale: true }),
    series: [
      {
        ...line,
        name: "sequential",
        data: points(sequential),
        lineStyle: { color: palette.second, width: 6, opacity: 0.4 },
        itemStyle: { color: palette.second },
      },
      {
        ...line,
        name: `sweep ${sweep}`,
        data: points(iterate),
        lineStyle: { color: palette.accent, width: 1.5 },
        itemStyle: { color: palette.accent },
      },
    ],
  };
}

export interface Bar {
  readonly label: string;
  readonly method: number | null;
  readonly sequential: number | null;
}

/** Milliseconds, the method beside sequential evaluation, by backend. */
export function barsOption(
  palette: Palette,
  width: number,
  { bars, methodName }: { bars: readonly Bar[]; methodName: string },
): EChartsCoreOption {
  const all = bars.flatMap(({ method, sequential }) => [method, sequential]);
  const times = all.filter((time): time is number => time !== null);
  const wide = Math.max(...times) > 30 * Math.min(...times);
  const series = (name: string, colour: string, values: readonly (number | null)[]) => ({
    name,
    type: "bar",
    barMaxWidth: 18,
    itemStyle: { color: colour, borderRadius: 2 },
    label: {
      show: true,
      position: "right",
      color: palette.text,
      formatter: ({ value }: { value: number }) => milliseconds(value),
    },
    data: values,
  });
  const lowest = 10 ** Math.floor(Math.log10(Math.min(...times)) - 0.3);
  return {
    grid: grid({ top: 34, bottom: 26, right: width < 500 ? 64 : 80 }),
    legend: legend(palette),
    tooltip: tooltip(palette, {
      valueFormatter: (value: number | null) => (value === null ? "–" : milliseconds(value)),
    }),
    xAxis: axis(palette, {
      type: wide ? "log" : "value",
      ...(wide && { min: lowest, startValue: lowest }),
      ...named(wide ? "milliseconds, logarithmic" : "milliseconds", 24),
    }),
    yAxis: axis(palette, {
      type: "category",
      inverse: true,
      data: bars.map(({ label }) => label),
      splitLine: { show: false },
      axisLabel: { color: palette.muted, lineHeight: 16 },
    }),
    series: [
      series(
        methodName,
        palette.accent,
        bars.map(({ method }) => method),
      ),
      series(
        "sequential",
        palette.second,
        bars.map(({ sequential }) => sequential),
      ),
    ],
  };
}
