/** The page: a heading, three tabs, and whose work it is. */
import { useState } from "preact/hooks";
import { CheckPanel } from "./check/panel.tsx";
import { useHash } from "./page/hash.ts";
import { Tabs } from "./page/tabs.tsx";
import { ThemeProvider, ThemeSelect, useTheme } from "./page/theme.tsx";
import { SolvePanel } from "./solve/panel.tsx";
import { SpeechPanel } from "./speech/panel.tsx";

const TAB_DEFAULTS = { tab: "solve" };
const TAB_IDS = ["solve", "speech", "check"];

export function App() {
  const { choice, effective, choose } = useTheme();
  const [{ tab }, change] = useHash(TAB_DEFAULTS);
  const selected = TAB_IDS.includes(tab) ? tab : TAB_DEFAULTS.tab;
  // A panel is made when it is first looked at, and then stays, with what is running in it.
  const [seen, setSeen] = useState<ReadonlySet<string>>(new Set([selected]));
  if (!seen.has(selected)) setSeen(new Set([...seen, selected]));
  return (
    <ThemeProvider value={effective}>
      <header class="top">
        <div>
          <h1>Antler playground</h1>
          <p>Nonlinear recurrences, solved in parallel over time, in this browser.</p>
        </div>
        <ThemeSelect choice={choice} onChange={choose} />
      </header>
      <main>
        <Tabs
          label="What to try"
          selected={selected}
          onSelect={(id) => change({ tab: id })}
          tabs={[
            { id: "solve", label: "Solve", content: seen.has("solve") && <SolvePanel /> },
            { id: "speech", label: "Speech", content: seen.has("speech") && <SpeechPanel /> },
            {
              id: "check",
              label: "Check this device",
              content: seen.has("check") && <CheckPanel />,
            },
          ]}
        />
      </main>
      <footer>
        <p>
          Antler {__VERSIONS__.antler}. Everything is computed on this device; nothing leaves it.{" "}
          <a href="./licences.txt">Licences</a>
        </p>
      </footer>
    </ThemeProvider>
  );
}
