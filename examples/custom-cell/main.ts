/**
 * Runs the recurrence of cell.ts by several methods on every backend that is here, and prints how far the
 * states are from those of the float64 reference. Exit code 1 where they disagree.
 */
import { type BackendName, createRuntime, type EvaluateOptions, type Report } from "antler";
import { populations, stimulus } from "./cell.ts";
import { findGpu } from "./gpu.ts";

const SIZE = 8;
const STEPS = 800;
/** Float32 against float64: what a converged result may be off by, relative to 1 + ‖s‖∞. */
const AGREEMENT = 1e-4;

const methods: readonly EvaluateOptions[] = [
  { method: "sequential" },
  { method: "deer" },
  { method: "quasi-deer", jacobian: "block" },
  { method: "quasi-deer", jacobian: "block", chunk: 32 },
  { method: "quasi-elk", chunk: 32 },
  { method: "jacobi", chunk: 100 },
];
/** A GPU that is only imitated on the CPU takes minutes for the others. */
const quickMethods = methods.filter(
  ({ method, chunk }) => method === "sequential" || (chunk && method !== "quasi-elk"),
);

const cell = populations(SIZE);
const inputs = stimulus(SIZE, STEPS);
const gpu = await findGpu();
const runtime = await createRuntime(gpu ? { gpu } : {});

const { states: exact, report } = await runtime.evaluate(cell, inputs, {
  backend: "reference",
  method: "sequential",
});
console.log(`${cell.name}: ${STEPS} steps, state of ${cell.stateSize}, inputs of ${SIZE}`);
console.log("difference: the largest from the states of the float64 reference, run sequentially\n");

const columns = ["backend", "method", "jacobian", "chunk", "sweeps", "residual", "difference", ""];
const widths = [11, 12, 10, 7, 8, 10, 12, 0];
const print = (cells: readonly unknown[]) =>
  console.log(
    cells
      .map((text, i) => String(text).padEnd(widths[i]))
      .join("")
      .trimEnd(),
  );
print(columns);

let disagreements = 0;
let last: Report = report;
for (const { name, available, reason, adapter } of runtime.backends) {
  if (!available) {
    console.log(`${name.padEnd(widths[0])}not here: ${reason}`);
    continue;
  }
  for (const options of adapter?.software ? quickMethods : methods) await compare(name, options);
}

async function compare(backend: BackendName, options: EvaluateOptions): Promise<void> {
  const { states, report } = await runtime.evaluate(cell, inputs, { ...options, backend });
  const difference = (states as Float32Array).reduce(
    (most, value, at) => Math.max(most, Math.abs(value - exact[at])),
    0,
  );
  const agrees = difference <= AGREEMENT;
  if (!agrees) disagreements++;
  if (backend !== "reference") last = report;
  print([
    backend,
    report.method,
    report.jacobian ?? "",
    report.chunk,
    report.iterations,
    report.residual.toExponential(1),
    difference.toExponential(1),
    // What did not converge was finished step by step: right all the same, but not by this method.
    [agrees ? "agrees" : "DISAGREES", report.fallback && "(finished sequentially)"].join(" "),
  ]);
}

console.log("\nThe last report in full:");
console.log(JSON.stringify(last, null, 2));
const adapter = runtime.backends.find(({ name }) => name === "webgpu")?.adapter;
if (adapter?.software) {
  console.log(
    "\nThe GPU is imitated on the CPU: fewer methods ran on it, and its times mean nothing.",
  );
}
if (disagreements > 0) {
  console.error(`${disagreements} results disagree with the reference`);
  process.exitCode = 1;
}
runtime.dispose();
