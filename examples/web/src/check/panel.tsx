/** The Check tab: whether this device computes what it should, and how fast. */
import type { BackendName, BackendStatus } from "antler";
import type { ConformanceReport } from "antler/conformance";
import { useEffect, useMemo, useState } from "preact/hooks";
import { counted, whole } from "../format.ts";
import { CopyButton } from "../page/copy.tsx";
import { CheckField } from "../page/fields.tsx";
import { TaskButtons, TaskProgress, useTask } from "../page/task.tsx";
import { BACKEND_NAMES } from "../solve/settings.ts";
import { describeAdapter } from "../solve/words.ts";
import { WorkerClient } from "../worker/client.ts";
import { type DeviceResult, resultAsJson, resultAsText } from "./result.ts";
import { BenchmarkResults, ConformanceResults } from "./results.tsx";
import type { BenchmarkRow, CheckTasks } from "./tasks.ts";

const spawn = () => new Worker(new URL("./check.worker.ts", import.meta.url), { type: "module" });

export function CheckPanel() {
  const client = useMemo(() => new WorkerClient<CheckTasks>(spawn), []);
  const [backends, setBackends] = useState<readonly BackendStatus[] | null>(null);
  const [skipped, setSkipped] = useState<ReadonlySet<BackendName>>(new Set());
  const [suite, setSuite] = useState<{ report: ConformanceReport; text: string } | null>(null);
  const [rows, setRows] = useState<readonly BenchmarkRow[]>([]);
  const checking = useTask();
  const timing = useTask();
  const busy = checking.state.status === "running" || timing.state.status === "running";
  const available = (backends ?? []).filter((status) => status.available);
  const chosen = available.map(({ name }) => name).filter((name) => !skipped.has(name));
  const idle = busy || chosen.length === 0;

  useEffect(() => {
    client.run("backends", null).then(setBackends, () => setBackends([]));
  }, [client]);

  const check = () =>
    checking.start(async (signal, tell) => {
      const onProgress = ({ done, total, failed }: CheckTasks["conformance"]["progress"]) => {
        const wrong = failed === 0 ? "" : `, ${failed} failed`;
        tell(`Checking: ${whole(done)} of ${whole(total)}${wrong}`, done / total);
      };
      const outcome = await client.run("conformance", { backends: chosen }, { signal, onProgress });
      setSuite(outcome);
      const { passed, results } = outcome.report;
      const failed = results.filter((result) => !result.passed).length;
      return passed
        ? `All ${counted(results.length, "evaluation")} passed.`
        : `${counted(failed, "evaluation")} of ${whole(results.length)} failed.`;
    });

  const time = () =>
    timing.start(async (signal, tell) => {
      setRows([]);
      await client.run(
        "benchmark",
        { backends: chosen },
        {
          signal,
          onProgress: ({ text, done, row }) => {
            tell(`Timing: ${text}`, done);
            if (row) setRows((before) => [...before, row]);
          },
        },
      );
      return "The benchmark is done.";
    });

  const result = (): DeviceResult => ({
    date: new Date().toISOString(),
    versions: {
      ...__VERSIONS__,
      ...(suite && { "conformance suite": suite.report.version }),
    },
    userAgent: navigator.userAgent,
    cores: navigator.hardwareConcurrency ?? null,
    adapter: available.find(({ adapter }) => adapter)?.adapter ?? null,
    backends: backends ?? [],
    conformance: suite?.report ?? null,
    benchmark: rows,
  });

  return (
    <div class="columns">
      <form class="settings" aria-label="Settings" onSubmit={(event) => event.preventDefault()}>
        <fieldset>
          <legend>Backends of this device</legend>
          {!backends && <p class="hint">Looking for what this device has …</p>}
          {(backends ?? []).map(({ name, available, reason, simd, adapter }) => (
            <CheckField
              key={name}
              label={BACKEND_NAMES[name]}
              checked={available && !skipped.has(name)}
              disabled={!available || busy}
              hint={hintFor({ available, reason, simd, adapter })}
              onChange={(checked) => {
                const next = new Set(skipped);
                if (checked) next.delete(name);
                else next.add(name);
                setSkipped(next);
              }}
            />
          ))}
        </fieldset>
        <fieldset>
          <legend>Conformance</legend>
          <p class="hint">
            Every cell by every method, against states recorded in float64; the suite also catches a
            backend that says too much good of its result.
          </p>
          <TaskButtons task={checking} label="Run the suite" onStart={check} disabled={idle} />
          <TaskProgress task={checking} name="Checking" />
        </fieldset>
        <fieldset>
          <legend>Benchmark</legend>
          <p class="hint">A GRU in three sizes, after a run to warm up; medians.</p>
          <TaskButtons task={timing} label="Run the benchmark" onStart={time} disabled={idle} />
          <TaskProgress task={timing} name="Timing" />
        </fieldset>
      </form>
      <div class="results">
        {suite && <ConformanceResults report={suite.report} />}
        {rows.length > 0 && <BenchmarkResults rows={rows} />}
        {!suite && rows.length === 0 && <EmptyCheck />}
        {(suite || rows.length > 0) && !busy && (
          <section class="handing" aria-labelledby="handing-heading">
            <h2 id="handing-heading">Result to copy</h2>
            <p>With the date, this browser’s name, its GPU and the versions; nothing is sent.</p>
            <CopyButton
              label="Copy as text"
              text={() => resultAsText(result(), suite?.text ?? "")}
            />
            <CopyButton label="Copy as JSON" text={() => resultAsJson(result())} />
          </section>
        )}
      </div>
    </div>
  );
}

function hintFor({ available, reason, simd, adapter }: Omit<BackendStatus, "name">): string {
  if (!available) return `Not available: ${reason}`;
  if (adapter) return describeAdapter(adapter);
  return simd ? `${simd} SIMD kernels` : "the float64 oracle";
}

function EmptyCheck() {
  return (
    <section class="empty" aria-label="Nothing has been checked yet">
      <h2>Nothing has been checked yet</h2>
      <p>
        GPUs and browsers differ in how they round, and drivers have faults. The suite proves on
        this very device that Antler’s results are right on each of its backends, and that its
        reports say so honestly.
      </p>
    </section>
  );
}
