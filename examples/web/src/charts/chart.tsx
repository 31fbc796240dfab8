/** A chart with its title, its meaning in a sentence, and its colours and size kept up to date. */
import type { EChartsCoreOption, EChartsType } from "echarts/core";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { useThemeVersion } from "../page/theme.tsx";
import { type Palette, readPalette } from "./palette.ts";

interface ChartProps {
  readonly title: string;
  /** What the picture shows, in a sentence: its text alternative. */
  readonly summary: string;
  readonly height: number;
  readonly option: (palette: Palette, width: number) => EChartsCoreOption;
  /** What the picture is drawn from; it is drawn anew when one of them changes. */
  readonly data: readonly unknown[];
  /** Controls above the picture. */
  readonly controls?: ComponentChildren;
  /** The data table. */
  readonly children?: ComponentChildren;
}

const stillPreferred = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function Chart({ title, summary, height, option, data, controls, children }: ChartProps) {
  const heading = useId();
  const frame = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType | null>(null);
  const [width, setWidth] = useState(0);
  const theme = useThemeVersion();

  useEffect(() => {
    const element = frame.current!;
    let gone = false;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    import("./echarts.ts").then(({ createChart }) => {
      if (gone) return;
      chart.current = createChart(element);
      observer.observe(element);
    });
    return () => {
      gone = true;
      observer.disconnect();
      chart.current?.dispose();
      chart.current = null;
    };
  }, []);

  useEffect(() => {
    if (!chart.current || width === 0) return;
    const palette = readPalette();
    chart.current.resize({ width, height });
    const whole = {
      animation: !stillPreferred(),
      animationDuration: 200,
      animationDurationUpdate: 0,
      textStyle: { fontFamily: "system-ui, sans-serif", color: palette.text },
      aria: { enabled: true, label: { description: `${title}. ${summary}` } },
      ...option(palette, width),
    };
    chart.current.setOption(whole, { notMerge: true });
  }, [width, height, theme, summary, title, ...data]);

  return (
    <figure class="chart" aria-labelledby={heading}>
      <div class="chart-head">
        <h2 id={heading}>{title}</h2>
        {controls}
      </div>
      <div
        ref={frame}
        class="canvas"
        role="img"
        aria-label={`${title}. ${summary}`}
        style={{ height: `${height}px` }}
      />
      <figcaption>{summary}</figcaption>
      {children}
    </figure>
  );
}
