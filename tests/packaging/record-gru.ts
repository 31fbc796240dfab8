/**
 * Records the states that every host must find, as the float64 oracle computes them:
 *
 *     npx tsx tests/packaging/record-gru.ts
 */
import { writeFileSync } from "node:fs";
import { createRuntime, gru } from "../../src/index.ts";
import { seededProblem } from "../support/packed-program.ts";

const { inputs, ...recurrence } = seededProblem();
const { hiddenSize } = recurrence;
const runtime = await createRuntime({ backend: "reference" });
const { states } = await runtime.evaluate(gru(recurrence), inputs, {
  method: "sequential",
  backend: "reference",
});
runtime.dispose();

const rows = Array.from({ length: states.length / hiddenSize }, (_, t) => {
  const row = states.subarray(t * hiddenSize, (t + 1) * hiddenSize);
  return `  [${Array.from(row, (value) => Number(value.toPrecision(12))).join(", ")}]`;
});
writeFileSync(new URL("recorded-gru.json", import.meta.url), `[\n${rows.join(",\n")}\n]\n`);
