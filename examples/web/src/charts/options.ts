/** What the charts have in common: axes, grids and tooltips in the page's colours. */
import type { Palette } from "./palette.ts";

export const grid = (more: object = {}) => ({
  left: 8,
  right: 14,
  top: 16,
  bottom: 8,
  outerBoundsMode: "same",
  outerBoundsContain: "axisLabel",
  ...more,
});

export const axis = (palette: Palette, more: object = {}) => ({
  axisLine: { lineStyle: { color: palette.line } },
  axisTick: { lineStyle: { color: palette.line } },
  axisLabel: { color: palette.muted, hideOverlap: true },
  splitLine: { lineStyle: { color: palette.line, opacity: 0.5 } },
  nameTextStyle: { color: palette.muted },
  ...more,
});

/** An axis with its name below or beside it. */
export const named = (name: string, gap: number) => ({
  name,
  nameLocation: "middle",
  nameGap: gap,
});

/** Drawn on the canvas: the page's policy allows no styles inside of HTML. */
export const tooltip = (palette: Palette, more: object = {}) => ({
  renderMode: "richText",
  confine: true,
  backgroundColor: palette.surface,
  borderColor: palette.line,
  textStyle: { color: palette.text, fontSize: 13 },
  ...more,
});

export const legend = (palette: Palette, more: object = {}) => ({
  textStyle: { color: palette.text },
  inactiveColor: palette.muted,
  top: 0,
  left: 0,
  itemWidth: 18,
  itemHeight: 9,
  ...more,
});
