/** What a solve came to: pictures, their numbers, and words. */
import type { Report } from "antler";
import { useEffect, useState } from "preact/hooks";
import { Chart } from "../charts/chart.tsx";
import { barsOption, heatMapOption, residualOption, statesOption } from "../charts/solve.ts";
import { counted, milliseconds, scientific, whole } from "../format.ts";
import { DataTable, TableDetails } from "../page/table.tsx";
import { BACKEND_NAMES, type SolveSettings } from "./settings.ts";
import type { ComparedRun, SolveStart, SweepPicture } from "./tasks.ts";
import { binStart } from "./trace.ts";
import { describeErrors, describeReport, describeResiduals, verdictOf } from "./words.ts";

export interface SolveResults {
  readonly settings: SolveSettings;
  readonly start: SolveStart;
  readonly report: Report | null;
  readonly error: number;
  readonly pictures: readonly SweepPicture[];
}

export function ReportInWords({ report, error, settings, start }: SolveResults) {
  if (!report) return null;
  const { kind, title } = verdictOf(report);
  const facts: [string, string][] = [
    ["Method", report.method],
    ["Backend", report.backend],
    ...threadFacts(report),
    ["Residual", scientific(report.residual)],
    ["Error estimate", scientific(report.errorEstimate)],
    ["Measured error", scientific(error)],
    ["Time", milliseconds(report.milliseconds.total)],
  ];
  return (
    <section class={`report ${kind}`} aria-label="Report">
      <h2>{title}</h2>
      <dl class="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <details>
        <summary>The report in words</summary>
        {describeReport(report, error, settings.tolerance, start).map((sentence) => (
          <p key={sentence}>{sentence}</p>
        ))}
      </details>
    </section>
  );
}

/** What there is instead of sweeps where threads worked. */
function threadFacts({ method, iterations, threads, steps }: Report): [string, string][] {
  if (method !== "threads") return [["Sweeps", whole(iterations)]];
  return [
    ["Threads", whole(threads ?? 1)],
    ["Steps run again", whole(steps?.rerun ?? 0)],
  ];
}

/** Columns of time in the heat map's table. */
const TABLE_PARTS = 8;

export function Pictures({ settings, start, pictures }: SolveResults) {
  const { bins, steps } = start;
  const exact64 = start.sequentialBackend === "reference" && settings.backend === "reference";
  const floor = exact64 ? -16 : -8;
  const parts = Math.min(TABLE_PARTS, bins);
  const partStart = (part: number) => Math.floor((part * bins) / parts);
  const partName = (part: number) => {
    const last = binStart(partStart(part + 1), bins, steps) - 1;
    return `${whole(binStart(partStart(part), bins, steps))}–${whole(last)}`;
  };
  const partError = (errors: Float32Array, part: number) =>
    scientific(Math.max(...errors.subarray(partStart(part), partStart(part + 1))));
  const summary = describeErrors(pictures, steps);
  return (
    <>
      <Chart
        title="Error over time step and sweep"
        summary={summary}
        height={Math.min(460, Math.max(230, 110 + 9 * pictures.length))}
        data={[pictures.length, floor, start]}
        option={(palette, width) => heatMapOption(palette, width, { pictures, bins, steps, floor })}
      >
        <TableDetails
          summary="Errors as a table"
          caption="Largest error in each part of time, after each sweep"
          head={["Sweep", ...Array.from({ length: parts }, (_, part) => `Steps ${partName(part)}`)]}
          rows={pictures.map(({ sweep, errors }) => [
            sweep,
            ...Array.from({ length: parts }, (_, part) => partError(errors, part)),
          ])}
        />
      </Chart>
      <Chart
        title="Residual after each sweep"
        summary={describeResiduals(pictures, settings.tolerance)}
        height={260}
        data={[pictures.length, start]}
        option={(palette) => residualOption(palette, { pictures, tolerance: settings.tolerance })}
      >
        <TableDetails
          summary="Residuals as a table"
          caption="Residual and largest error after each sweep"
          head={["Sweep", "Residual", "Largest error", "At step", "Exact chunks"]}
          rows={pictures.map((picture) => [
            picture.sweep,
            scientific(picture.residual, 3),
            scientific(picture.largestError, 3),
            whole(picture.largestAt),
            `${whole(picture.exactChunks)} of ${whole(picture.chunks)}`,
          ])}
        />
      </Chart>
      <States start={start} pictures={pictures} />
    </>
  );
}

const MOST_TABLE_ROWS = 50;
/** A sweep is shown this long when all are played. */
const PLAY_MILLISECONDS = 200;

function States({ start, pictures }: Pick<SolveResults, "start" | "pictures">) {
  const { stateSize, sampledSteps, sequential } = start;
  const [chosenUnit, setUnit] = useState(0);
  const [chosenSweep, setSweep] = useState<number | null>(null);
  const unit = Math.min(chosenUnit, stateSize - 1);
  const lastSweep = pictures.length - 1;
  const sweep = Math.min(chosenSweep ?? lastSweep, lastSweep);
  const [playing, setPlaying] = useState(false);
  useEffect(() => {
    if (!playing) return;
    if (sweep === lastSweep) return setPlaying(false);
    const timer = setTimeout(() => setSweep(sweep + 1), PLAY_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [playing, sweep, lastSweep]);
  const play = () => {
    if (!playing && sweep === lastSweep) setSweep(0);
    setPlaying(!playing);
  };
  const ofUnit = (states: Float32Array) =>
    sampledSteps.map((_, row) => states[row * stateSize + unit]);
  const exact = ofUnit(sequential);
  const iterate = ofUnit(pictures[sweep].states);
  const largest = exact.reduce((most, value, i) => Math.max(most, Math.abs(value - iterate[i])), 0);
  const stride = Math.ceil(sampledSteps.length / MOST_TABLE_ROWS);
  const rows = sampledSteps.map((step, i) => [
    whole(step),
    exact[i].toFixed(6),
    iterate[i].toFixed(6),
  ]);
  return (
    <Chart
      title="States against the sequential result"
      summary={`Unit ${unit} after sweep ${sweep}: at the ${counted(sampledSteps.length, "time step")} shown it is at most ${scientific(largest)} away from the sequential result.`}
      height={260}
      data={[unit, sweep, pictures.length, start]}
      option={(palette) =>
        statesOption(palette, { steps: sampledSteps, sequential: exact, iterate, sweep })
      }
      controls={
        <div class="chart-controls">
          <label>
            Unit
            <select
              value={String(unit)}
              onChange={(event) => setUnit(Number(event.currentTarget.value))}
            >
              {Array.from({ length: stateSize }, (_, index) => (
                <option key={index} value={String(index)}>
                  {index}
                </option>
              ))}
            </select>
          </label>
          <label>
            After sweep
            <input
              type="range"
              min={0}
              max={lastSweep}
              value={sweep}
              aria-valuetext={`sweep ${sweep} of ${lastSweep}`}
              onInput={(event) => setSweep(Number(event.currentTarget.value))}
            />
            <output>{sweep}</output>
          </label>
          <button type="button" class="small" onClick={play}>
            {playing ? "Stop" : "Play"}
          </button>
        </div>
      }
    >
      <TableDetails
        summary="States as a table"
        caption={`Unit ${unit}: sequential, and after sweep ${sweep}`}
        head={["Step", "Sequential", `Sweep ${sweep}`]}
        rows={rows.filter((_, row) => row % stride === 0 || row === rows.length - 1)}
      />
    </Chart>
  );
}

export function Comparison({ runs, method }: { runs: readonly ComparedRun[]; method: string }) {
  const backends = [...new Set(runs.map(({ backend }) => backend))];
  const find = (backend: string, run: ComparedRun["run"]) =>
    runs.find((other) => other.backend === backend && other.run === run);
  const time = (run: ComparedRun | undefined) => (run && run.runs > 0 ? run.milliseconds : null);
  const label = (backend: ComparedRun["backend"]) =>
    runs.some((run) => run.backend === backend && run.software)
      ? `${BACKEND_NAMES[backend]}\n(imitated)`
      : BACKEND_NAMES[backend].replace(" (", "\n(");
  const bars = backends.map((backend) => ({
    label: label(backend),
    method: time(find(backend, "method")),
    sequential: time(find(backend, "sequential")),
  }));
  const finished = runs.filter(({ runs }) => runs > 0);
  const fastest = finished.reduce<ComparedRun | null>(
    (best, run) => (best && best.milliseconds <= run.milliseconds ? best : run),
    null,
  );
  const name = (run: ComparedRun) => (run.run === "method" ? method : "sequential");
  const software = runs.some((run) => run.software)
    ? " The GPU here is imitated by a program: its times say nothing about a GPU."
    : "";
  const summary = fastest
    ? `The fastest was ${name(fastest)} on ${BACKEND_NAMES[fastest.backend]}, with ${milliseconds(fastest.milliseconds)}.${software}`
    : `No run succeeded.${software}`;
  const table = (
    <DataTable
      caption="Milliseconds, the median of several runs"
      head={["Backend", "Run", "Median", "Runs", "Sweeps", "Outcome"]}
      textColumns={[0, 1, 5]}
      rows={runs.map((run) => [
        BACKEND_NAMES[run.backend],
        name(run),
        milliseconds(run.milliseconds),
        run.runs,
        run.report ? whole(run.report.iterations) : "–",
        run.error ?? (run.report ? verdictOf(run.report).title : "–"),
      ])}
    />
  );
  if (finished.length === 0) return table;
  return (
    <Chart
      title="Milliseconds on each backend"
      summary={summary}
      height={90 + 58 * backends.length}
      data={[runs]}
      option={(palette, width) => barsOption(palette, width, { bars, methodName: method })}
    >
      <details class="data" open>
        <summary>Times as a table</summary>
        {table}
      </details>
    </Chart>
  );
}
