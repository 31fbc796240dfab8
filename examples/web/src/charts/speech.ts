/** Waveform, probability and the speech that was found, over the same seconds. */
import type { EChartsCoreOption } from "echarts/core";
import { clock } from "../format.ts";
import { peaksOf } from "../speech/envelope.ts";
import type { SpeechResult } from "../speech/tasks.ts";
import { axis, named, tooltip } from "./options.ts";
import type { Palette } from "./palette.ts";

export function speechOption(
  palette: Palette,
  { envelope, probabilities, segments, seconds, threshold }: SpeechResult,
): EChartsCoreOption {
  const bins = envelope.low.length;
  const at = (bin: number) => ((bin + 0.5) * seconds) / bins;
  const peaks = peaksOf(probabilities);
  const windowAt = (bin: number) => ((bin + 0.5) * seconds) / peaks.length;
  const time = axis(palette, { type: "value", min: 0, max: seconds, splitLine: { show: false } });
  const speech = {
    silent: true,
    itemStyle: { color: palette.mark },
    data: segments.map(({ start, end }) => [{ xAxis: start }, { xAxis: end }]),
  };
  const flat = { type: "line", showSymbol: false, animation: false, silent: true };
  const wave = (name: string, values: Float32Array) => ({
    ...flat,
    name,
    xAxisIndex: 0,
    yAxisIndex: 0,
    tooltip: { show: false },
    lineStyle: { color: palette.second, width: 1 },
    areaStyle: { color: palette.second, opacity: 0.55, origin: 0 },
    data: Array.from(values, (value, bin) => [at(bin), value]),
  });
  return {
    grid: [
      { left: 44, right: 14, top: 10, height: 110, outerBoundsMode: "none" },
      { left: 44, right: 14, top: 146, height: 110, outerBoundsMode: "none" },
    ],
    xAxis: [
      { ...time, gridIndex: 0, axisLabel: { show: false } },
      {
        ...time,
        gridIndex: 1,
        axisLabel: { color: palette.muted, showMaxLabel: Number.isInteger(seconds) },
        ...named("seconds", 26),
      },
    ],
    yAxis: [
      axis(palette, {
        ...{ type: "value", gridIndex: 0, min: -1, max: 1, interval: 1 },
        splitLine: { show: false },
      }),
      axis(palette, { type: "value", gridIndex: 1, min: 0, max: 1, interval: 0.5 }),
    ],
    tooltip: tooltip(palette, {
      trigger: "axis",
      formatter: (points: { seriesName: string; value: [number, number] }[]) => {
        const point = points.find(({ seriesName }) => seriesName === "probability");
        return point ? `${clock(point.value[0])}\nprobability ${point.value[1].toFixed(3)}` : "";
      },
    }),
    series: [
      { ...wave("highest sample", envelope.high), markArea: speech },
      wave("lowest sample", envelope.low),
      {
        ...flat,
        name: "probability",
        silent: false,
        xAxisIndex: 1,
        yAxisIndex: 1,
        lineStyle: { color: palette.accent, width: 1.5 },
        itemStyle: { color: palette.accent },
        markArea: speech,
        markLine: {
          silent: true,
          symbol: "none",
          lineStyle: { color: palette.muted, type: "dotted" },
          label: { show: false },
          data: [{ yAxis: threshold }],
        },
        data: peaks.map((peak, bin) => [windowAt(bin), peak]),
      },
    ],
  };
}
