/** Light and dark: the system's choice, or the visitor's, which is remembered. */
import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";

export type ThemeChoice = "auto" | "light" | "dark";
const STORAGE_KEY = "antler-playground-theme";
const choices = { auto: "Auto", light: "Light", dark: "Dark" } as const;

/** A counter that changes with the colours in effect: what is drawn on a canvas is drawn anew. */
const ThemeVersion = createContext("");
export const ThemeProvider = ThemeVersion.Provider;
export const useThemeVersion = () => useContext(ThemeVersion);

/** Storage may be forbidden; the choice then lasts as long as the page. */
function remembered(): ThemeChoice {
  try {
    const value = localStorage.getItem(STORAGE_KEY);
    return value === "light" || value === "dark" ? value : "auto";
  } catch {
    return "auto";
  }
}

function remember(choice: ThemeChoice): void {
  try {
    if (choice === "auto") localStorage.removeItem(STORAGE_KEY);
    else localStorage.setItem(STORAGE_KEY, choice);
  } catch {
    // Not remembered, then.
  }
}

export function useTheme() {
  const [choice, setChoice] = useState(remembered);
  const [systemIsDark, setSystemIsDark] = useState(() => systemQuery().matches);
  useEffect(() => {
    const query = systemQuery();
    const listener = () => setSystemIsDark(query.matches);
    query.addEventListener("change", listener);
    // The system may have changed between the first rendering and this effect.
    listener();
    return () => query.removeEventListener("change", listener);
  }, []);
  const effective = choice === "auto" ? (systemIsDark ? "dark" : "light") : choice;
  document.documentElement.dataset.theme = effective;
  const choose = (next: ThemeChoice) => {
    remember(next);
    setChoice(next);
  };
  return { choice, effective, choose };
}

const systemQuery = () => matchMedia("(prefers-color-scheme: dark)");

export function ThemeSelect({
  choice,
  onChange,
}: {
  choice: ThemeChoice;
  onChange: (choice: ThemeChoice) => void;
}) {
  return (
    <label class="theme">
      <span>Theme</span>
      <select
        value={choice}
        onChange={(event) => onChange(event.currentTarget.value as ThemeChoice)}
      >
        {Object.entries(choices).map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}
