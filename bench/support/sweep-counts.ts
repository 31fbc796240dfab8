/** How many sweeps each method takes, by the length of its chunks. */
import { createRuntime, type Runtime } from "../../src/index.ts";
import { nanoporeFile } from "../../tests/support/nanopore.ts";
import { sharedData } from "../../tests/support/shared-data.ts";
import type { Column, Table } from "../report.ts";
import { cellOf, type Layer } from "./layers.ts";
import type { Way } from "./peers/antler.ts";
import { nanoporeTask, randomTask, shortened } from "./tasks.ts";

export interface SweepCount {
  readonly problem: string;
  readonly steps: number;
  readonly method: string;
  readonly chunk: number;
  /** Null where it did not converge within `MOST_SWEEPS`. */
  readonly sweeps: number | null;
}

const CHUNKS = [1, 4, 16, 64, 256, 1024];
const MOST_SWEEPS = 60;

type Method = Way & { readonly name: string };
const methods: readonly Method[] = [
  { name: "jacobi", method: "jacobi" },
  { name: "quasi-deer", method: "quasi-deer" },
  { name: "quasi-deer, block", method: "quasi-deer", jacobian: "block" },
  { name: "quasi-elk", method: "quasi-elk" },
  { name: "deer", method: "deer" },
];

interface Problem {
  readonly name: string;
  readonly layer: Layer;
  readonly inputs: Float32Array;
}

/** Random layers, whose dynamics contract, and two of the nanopore network, of which one remembers. */
async function problems(runtime: Runtime, steps: number): Promise<Problem[]> {
  const random = (["GRU", "LSTM"] as const).map((operator): Problem => {
    const { layers, inputs } = randomTask(operator, 32, 1, steps);
    return { name: `${operator}, D = 32`, layer: layers[0], inputs };
  });
  if (sharedData(nanoporeFile) === null) return random;
  const task = shortened(nanoporeTask(), steps);
  const trained: Problem[] = [];
  let inputs = task.inputs;
  for (const [index, layer] of task.layers.entries()) {
    trained.push({ name: `nanopore, layer ${index}`, layer, inputs });
    const { reverse } = layer;
    const options = { backend: "wasm", method: "sequential", reverse } as const;
    inputs = (await runtime.evaluate(cellOf(layer), inputs, options)).states;
  }
  return [...random, trained[0], trained[2]];
}

/** Counts at tolerance 1e-5 from a guess of zeros; the dense Jacobian where the state is small. */
export async function countSweeps(
  steps: number,
  log: (line: string) => void,
): Promise<SweepCount[]> {
  const runtime = await createRuntime({ backend: "wasm" });
  const counts: SweepCount[] = [];
  try {
    for (const { name: problem, layer, inputs } of await problems(runtime, steps)) {
      log(`sweeps: ${problem} …`);
      const cell = cellOf(layer);
      for (const { name, ...way } of methods) {
        if (way.jacobian === "block" && layer.operator === "GRU") continue;
        if (way.method === "deer" && layer.hiddenSize > 32) continue;
        for (const chunk of CHUNKS.filter((size) => size < steps)) {
          const { report } = await runtime.evaluate(cell, inputs, {
            ...way,
            backend: "wasm",
            reverse: layer.reverse,
            chunk,
            maxIterations: MOST_SWEEPS,
            onFailure: "return",
          });
          const sweeps = report.converged ? report.iterations : null;
          counts.push({ problem, steps, method: name, chunk, sweeps });
        }
      }
    }
    return counts;
  } finally {
    runtime.dispose();
  }
}

export function sweepsTable(counts: readonly SweepCount[]): Table {
  const chunks = [...new Set(counts.map(({ chunk }) => chunk))];
  const rows = new Map<string, SweepCount[]>();
  for (const count of counts) {
    const key = `${count.problem}\n${count.method}`;
    rows.set(key, [...(rows.get(key) ?? []), count]);
  }
  return {
    title: `Sweeps until converged, T = ${counts[0]?.steps.toLocaleString("en-US")}; by chunk`,
    columns: [
      "problem",
      "method",
      ...chunks.map((chunk): Column => ({ title: `C = ${chunk}`, align: "right" })),
    ],
    rows: [...rows.values()].map((row) => [
      row[0].problem,
      row[0].method,
      ...chunks.map((chunk) => {
        const count = row.find((other) => other.chunk === chunk);
        return count ? (count.sweeps ?? `> ${MOST_SWEEPS}`) : null;
      }),
    ]),
  };
}
