/** The parts of Apache ECharts that the charts here are made of; loaded with the first chart. */
import { BarChart, HeatmapChart, LineChart } from "echarts/charts";
import {
  AriaComponent,
  GridComponent,
  LegendComponent,
  MarkAreaComponent,
  MarkLineComponent,
  TooltipComponent,
  VisualMapContinuousComponent,
} from "echarts/components";
import { type EChartsType, init, use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";

const parts = [
  ...[BarChart, HeatmapChart, LineChart, CanvasRenderer],
  ...[AriaComponent, GridComponent, LegendComponent, TooltipComponent],
  ...[MarkAreaComponent, MarkLineComponent, VisualMapContinuousComponent],
];

/** An empty chart that fills the width of `element`. */
export function createChart(element: HTMLElement): EChartsType {
  // A second registration does nothing. It is here as a module of its own effects would be shaken off.
  use(parts);
  return init(element, null, { renderer: "canvas" });
}
