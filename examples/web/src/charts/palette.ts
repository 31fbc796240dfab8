/** The page's colours, as a canvas needs them: resolved from the style sheet's variables. */

const names = ["text", "muted", "line", "surface", "accent", "second", "mark"] as const;

export type Palette = Readonly<Record<(typeof names)[number], string>> & {
  /** From the smallest error to the largest. */
  readonly ramp: readonly string[];
};

const RAMP_STEPS = 6;

export function readPalette(): Palette {
  const probe = document.createElement("span");
  document.body.append(probe);
  const resolve = (name: string) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const colours = Object.fromEntries(names.map((name) => [name, resolve(name)]));
  const ramp = Array.from({ length: RAMP_STEPS }, (_, i) => resolve(`ramp-${i}`));
  probe.remove();
  return { ...(colours as Record<(typeof names)[number], string>), ramp };
}
