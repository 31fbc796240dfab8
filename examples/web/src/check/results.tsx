/** What the suite and the benchmark have found. */
import type { ConformanceReport, ConformanceResult } from "antler/conformance";
import { counted, milliseconds, scientific, whole } from "../format.ts";
import { DataTable, TableDetails } from "../page/table.tsx";
import { BACKEND_NAMES } from "../solve/settings.ts";
import { countPassed, settingOf } from "./result.ts";
import type { BenchmarkRow } from "./tasks.ts";

export function ConformanceResults({ report }: { report: ConformanceReport }) {
  const { results, passed, unavailable, shortened = [] } = report;
  const backends = [...new Set(results.map(({ backend }) => backend))];
  const failures = results.filter((result) => !result.passed);
  return (
    <section class={`report ${passed ? "good" : "bad"}`} aria-label="Conformance">
      <h2>
        {passed
          ? `All ${counted(results.length, "evaluation")} passed`
          : `${whole(failures.length)} of ${counted(results.length, "evaluation")} failed`}
      </h2>
      <p class="muted">
        Suite {report.version}, in {milliseconds(report.milliseconds)}
      </p>
      {unavailable.map(({ backend, reason }) => (
        <p key={backend}>
          {BACKEND_NAMES[backend]} was not checked: {reason}
        </p>
      ))}
      {shortened.map(({ backend, ran, total, reason }) => (
        <p key={backend}>
          {BACKEND_NAMES[backend]} ran {whole(ran)} of {whole(total)}: {reason}
        </p>
      ))}
      {failures.length > 0 && (
        <DataTable
          caption="What failed"
          head={["Backend", "Cell", "Setting", "Why"]}
          textColumns={[0, 1, 2, 3]}
          rows={failures.map((result) => [
            BACKEND_NAMES[result.backend],
            result.cell,
            settingOf(result),
            result.failures.join("; "),
          ])}
        />
      )}
      {backends.map((backend) => (
        <Matrix
          key={backend}
          name={BACKEND_NAMES[backend]}
          results={results.filter((result) => result.backend === backend)}
        />
      ))}
      <TableDetails
        summary="Every evaluation as a table"
        caption="Largest error, residual, sweeps and time of each evaluation"
        head={[
          "Cell",
          "Backend",
          "Setting",
          "Outcome",
          "Largest error",
          "Allowed",
          "Residual",
          "Sweeps",
          "Time",
        ]}
        textColumns={[0, 1, 2, 3]}
        rows={results.map((result) => [
          result.cell,
          result.backend,
          settingOf(result),
          result.passed ? "pass" : "fail",
          scientific(result.largestError),
          scientific(result.allowedError),
          scientific(result.residual),
          Number.isFinite(result.iterations) ? whole(result.iterations) : "–",
          milliseconds(result.milliseconds),
        ])}
      />
    </section>
  );
}

/** Cells down, methods across; a method's chunks and Jacobians share a place. */
function Matrix({ name, results }: { name: string; results: readonly ConformanceResult[] }) {
  const methods = [...new Set(results.map(({ method }) => method))];
  const cells = [...new Set(results.map(({ cell }) => cell))];
  const entry = (cell: string, method: string) => {
    const both = results.filter((other) => other.cell === cell && other.method === method);
    if (both.length === 0) return "–";
    const good = countPassed(both);
    const all = good === both.length;
    return (
      <span class={all ? "pass" : "fail"}>
        {all ? "pass" : "fail"} {good}/{both.length}
      </span>
    );
  };
  return (
    <DataTable
      caption={`${name}: ${whole(countPassed(results))} of ${whole(results.length)} passed`}
      head={["Cell", ...methods]}
      textColumns={[0]}
      rows={cells.map((cell) => [cell, ...methods.map((method) => entry(cell, method))])}
    />
  );
}

export function BenchmarkResults({ rows }: { rows: readonly BenchmarkRow[] }) {
  return (
    <section class="report" aria-label="Benchmark">
      <h2>Benchmark</h2>
      <DataTable
        caption="A GRU with 3 inputs; medians of several runs"
        head={["Size", "Steps", "Backend", "Method", "Chunk", "Median", "Runs", "Sweeps", "Note"]}
        textColumns={[2, 3, 8]}
        rows={rows.map((row) => [
          row.hiddenSize,
          whole(row.steps),
          BACKEND_NAMES[row.backend],
          row.method,
          row.chunk ?? "–",
          row.milliseconds === null ? "failed" : milliseconds(row.milliseconds),
          row.runs,
          whole(row.sweeps),
          row.note,
        ])}
      />
    </section>
  );
}
