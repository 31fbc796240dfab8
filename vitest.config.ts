import { defineConfig } from "vitest/config";
import { summaryReporter } from "./scripts/test-summary.ts";

// Set by .ci/run, which reads the counts from this file.
const summaryFile = process.env.ANTLER_TEST_SUMMARY;

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    environment: "node",
    setupFiles: ["tests/support/setup.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A page on two busy cores may need longer than the default second.
    expect: { poll: { timeout: 30_000 } },
    reporters: summaryFile ? ["default", summaryReporter(summaryFile)] : ["default"],
  },
});
