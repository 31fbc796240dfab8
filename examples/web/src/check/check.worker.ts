/** Runs the conformance suite and the benchmark in a thread of their own. */
import { createRuntime, type Runtime } from "antler";
import { formatConformance, runConformance } from "antler/conformance";
import { serveTasks } from "../worker/serve.ts";
import { benchmarkCases, timeCase } from "./benchmark.ts";
import type { CheckTasks } from "./tasks.ts";

/** Messages to the page at most this often, in milliseconds. */
const TELL_INTERVAL = 50;

let opened: Promise<Runtime> | undefined;
const openRuntime = () => {
  opened ??= createRuntime();
  return opened;
};

serveTasks<CheckTasks>({
  backends: async () => (await openRuntime()).backends,

  conformance: async ({ backends }, { signal, tell }) => {
    let failed = 0;
    let last = 0;
    const report = await runConformance(await openRuntime(), {
      backends,
      signal,
      onResult: ({ passed }, done, total) => {
        if (!passed) failed++;
        if (performance.now() - last < TELL_INTERVAL && done < total) return;
        last = performance.now();
        tell({ done, total, failed });
      },
    });
    return { report, text: formatConformance(report) };
  },

  benchmark: async ({ backends }, { signal, tell }) => {
    const runtime = await openRuntime();
    const chosen = runtime.backends.filter(
      ({ name, available }) => available && backends.includes(name),
    );
    const cases = benchmarkCases(chosen, navigator.hardwareConcurrency ?? 1);
    for (const [index, one] of cases.entries()) {
      const text = `GRU ${one.hiddenSize}, ${one.steps} steps, ${one.method} on ${one.backend.name}`;
      tell({ text, done: index / cases.length, row: null });
      const row = await timeCase(runtime, one, signal);
      tell({ text, done: (index + 1) / cases.length, row });
    }
    return null;
  },
});
