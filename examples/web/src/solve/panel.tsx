/** The Solve tab: settings on one side, the solve on the other. */
import type { BackendStatus } from "antler";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { CopyButton } from "../page/copy.tsx";
import { useHash } from "../page/hash.ts";
import { TaskButtons, TaskProgress, useTask } from "../page/task.tsx";
import { TaskError, WorkerClient } from "../worker/client.ts";
import { CodeField } from "./code-field.tsx";
import { EXAMPLE_CELL } from "./example-cell.ts";
import { SettingsForm } from "./form.tsx";
import { Comparison, Pictures, ReportInWords, type SolveResults } from "./results.tsx";
import {
  DEFAULT_TEXTS,
  hasSweeps,
  parseSettings,
  type SettingErrors,
  type SolveSettings,
} from "./settings.ts";
import type { ComparedRun, SolveProgress, SolveTasks } from "./tasks.ts";
import { verdictOf } from "./words.ts";

const spawn = () => new Worker(new URL("./solve.worker.ts", import.meta.url), { type: "module" });

/** The pictures are drawn anew this often while sweeps come in. */
const REDRAW_MILLISECONDS = 250;
const NO_ERRORS: SettingErrors = {};

export function SolvePanel() {
  const client = useMemo(() => new WorkerClient<SolveTasks>(spawn), []);
  const [texts, change] = useHash(DEFAULT_TEXTS);
  const [backends, setBackends] = useState<readonly BackendStatus[] | null>(null);
  const solving = useTask();
  const comparing = useTask();
  const [results, setResults] = useState<SolveResults | null>(null);
  const [compared, setCompared] = useState<{ runs: ComparedRun[]; method: string } | null>(null);
  const [broken, setBroken] = useState<{ message: string; line: number | null } | null>(null);
  // What was typed here is the visitor's own; anything else came with the address.
  const typed = useRef(EXAMPLE_CELL);
  const parsed = parseSettings(texts);
  const errors = parsed.errors ?? NO_ERRORS;
  const busy = solving.state.status === "running" || comparing.state.status === "running";

  useEffect(() => {
    client.run("backends", null).then(setBackends, () => setBackends([]));
  }, [client]);

  const settingsOrFocus = (): SolveSettings | null => {
    if (!parsed.errors) return parsed.settings;
    document.querySelector<HTMLElement>("#panel-solve [aria-invalid=true]")?.focus();
    return null;
  };

  /** An error of the visitor's own code is shown at its place. */
  const showingBrokenCode = async <Result,>(work: Promise<Result>): Promise<Result> => {
    try {
      const result = await work;
      return result;
    } catch (error) {
      if (error instanceof TaskError && error.name === "OwnCellError") {
        setBroken({ message: error.message, line: error.line });
        throw new Error("The cell’s code has an error; it is shown there.");
      }
      throw error;
    }
  };

  const run = () => {
    const settings = settingsOrFocus();
    if (!settings || busy) return;
    setBroken(null);
    solving.start(async (signal, tell) => {
      const collector = collect(settings, setResults);
      const onProgress = (progress: SolveProgress) => {
        if (progress.kind === "stage") tell(progress.text, progress.done);
        else tell(...collector.add(progress));
      };
      try {
        await showingBrokenCode(client.run("solve", settings, { signal, onProgress }));
      } finally {
        collector.finish();
      }
      const { report } = collector.results()!;
      return `${verdictOf(report!).title}.`;
    });
  };

  const compare = () => {
    const settings = settingsOrFocus();
    if (!settings || busy) return;
    setBroken(null);
    comparing.start(async (signal, tell) => {
      const runs: ComparedRun[] = [];
      await showingBrokenCode(
        client.run("compare", settings, {
          signal,
          onProgress: ({ text, run }) => {
            if (text) tell(`Timing: ${text}`);
            if (!run) return;
            runs.push(run);
            setCompared({ runs: [...runs], method: settings.method });
          },
        }),
      );
      return "All backends have been timed.";
    });
  };

  return (
    <div class="columns">
      <form class="settings" aria-label="Settings" onSubmit={(event) => event.preventDefault()}>
        <SettingsForm texts={texts} errors={errors} onChange={change} backends={backends} />
        <div class="action">
          <TaskButtons task={solving} label="Run" onStart={run} disabled={busy} />
          <TaskProgress task={solving} name="Solving" />
        </div>
        <CopyButton label="Copy a link to these settings" text={() => location.href} />
      </form>
      <div class="results">
        {texts.cell === "own" && (
          <CodeField
            code={texts.code}
            error={broken}
            fromLink={texts.code !== typed.current && texts.code !== EXAMPLE_CELL}
            onChange={(code) => {
              typed.current = code;
              if (code !== texts.code) {
                setBroken(null);
                change({ code });
              }
            }}
          />
        )}
        {results ? (
          <>
            <ReportInWords {...results} />
            {results.pictures.length > 0 && <Pictures {...results} />}
            {results.report && !hasSweeps(results.report.method) && (
              <p class="empty">
                {results.report.method === "threads" ? "Threads have" : "Sequential evaluation has"}{" "}
                no sweeps to watch. Choose a method that makes some to see one converge.
              </p>
            )}
          </>
        ) : (
          <EmptySolve />
        )}
        <section class="compare" aria-labelledby="compare-heading">
          <h2 id="compare-heading">Compare backends</h2>
          <p>
            Runs these settings on every backend of this device, and sequential evaluation beside
            them, several times each where that is quick.
          </p>
          <TaskButtons
            task={comparing}
            label="Compare backends"
            onStart={compare}
            disabled={busy}
          />
          <TaskProgress task={comparing} name="Timing" />
          {compared && <Comparison {...compared} />}
        </section>
      </div>
    </div>
  );
}

function EmptySolve() {
  return (
    <section class="empty" aria-label="Nothing has run yet">
      <h2>Nothing has run yet</h2>
      <p>
        A recurrence computes each state from the one before, step after step. Antler guesses all
        states at once and corrects them in sweeps that work on the whole of time side by side.
        Press <strong>Run</strong> to watch the error vanish, sweep by sweep.
      </p>
    </section>
  );
}

/** Puts together what the worker tells, and shows it now and then. */
function collect(settings: SolveSettings, show: (results: SolveResults) => void) {
  let results: SolveResults | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    if (results) show(results);
  };
  return {
    results: () => results,
    finish: flush,
    add(progress: Exclude<SolveProgress, { kind: "stage" }>): [text: string, done?: number] {
      if (progress.kind === "start") {
        results = { settings, start: progress.start, report: null, error: 0, pictures: [] };
        return ["Solving"];
      }
      if (progress.kind === "report") {
        results = { ...results!, report: progress.report, error: progress.error };
        flush();
        return ["Drawing"];
      }
      results = { ...results!, pictures: [...results!.pictures, progress.picture] };
      timer ??= setTimeout(flush, REDRAW_MILLISECONDS);
      const { sweep } = progress.picture;
      const sweeps = results.report!.iterations;
      return [`Drawing: sweep ${sweep} of ${sweeps}`, sweeps === 0 ? 1 : sweep / sweeps];
    },
  };
}
