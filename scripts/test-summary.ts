/** A vitest reporter that leaves the counts of a run, and why tests were skipped, in a JSON file. */
import { existsSync, writeFileSync } from "node:fs";
import type { Reporter } from "vitest/node";
import { sharedDataFolder } from "../tests/support/shared-data.ts";

/** In the reason of a test that is skipped for want of a peer that not everyone installs. */
const peersOfBenches = "npm install --prefix bench";

/** A test that did not run. */
export interface Skip {
  readonly name: string;
  /** The note of `context.skip(note)`; a reason may be in the name as well. */
  readonly reason: string;
  /** It names a peer of the benches, or the folder of shared data, and that folder is indeed missing. */
  readonly excused: boolean;
}

export interface TestSummary {
  readonly passed: number;
  /** Failed tests, and failures outside of a test: of a file, of a suite's hooks, unhandled. */
  readonly failed: number;
  readonly skipped: number;
  readonly skips: readonly Skip[];
}

/** @param file where to write the summary, once all tests have run */
export function summaryReporter(file: string): Reporter {
  return {
    onTestRunEnd(modules, unhandledErrors) {
      const dataFolder = sharedDataFolder();
      const dataIsMissing = !existsSync(dataFolder);
      const skips: Skip[] = [];
      let passed = 0;
      let failed = unhandledErrors.length;
      for (const module of modules) {
        failed += module.errors().length;
        for (const suite of module.children.allSuites()) failed += suite.errors().length;
        for (const test of module.children.allTests()) {
          const result = test.result();
          if (result.state === "passed") {
            passed++;
          } else if (result.state === "failed") {
            failed++;
          } else {
            const name = `${module.relativeModuleId} > ${test.fullName}`;
            const reason = ("note" in result && result.note) || "";
            const told = `${name} ${reason}`;
            const isData = dataIsMissing && told.includes(dataFolder);
            const excused = isData || told.includes(peersOfBenches);
            skips.push({ name, reason, excused });
          }
        }
      }
      const summary: TestSummary = { passed, failed, skipped: skips.length, skips };
      writeFileSync(file, JSON.stringify(summary));
    },
  };
}
