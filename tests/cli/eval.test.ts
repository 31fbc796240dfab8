/** `antler eval`, run as a process, against the reference backend and against ONNX Runtime. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import npyjs from "npyjs";
import { describe, expect, it } from "vitest";
import { cellKinds, randomWeights as cellWeights } from "../../src/cli/cells.ts";
import { type Cell, createRuntime, type FloatArray, gru } from "../../src/index.ts";
import { largestError } from "../support/agreement.ts";
import { loadNanopore, nanoporeFile } from "../support/nanopore.ts";
import { gruModel, lstmModel } from "../support/onnx.ts";
import { runOnnx } from "../support/onnxruntime.ts";
import { mulberry32, randomWeights, uniform, type Weights } from "../support/random.ts";
import { sharedData, sharedTitle } from "../support/shared-data.ts";
import { gpuEnvironment } from "../support/swiftshader.ts";
import { float32Tensor, float64Tensor, npy, parseNpy, type ReadNpy, safetensors } from "./files.ts";
import { runCli, temporaryFolder } from "./run-cli.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const save = (name: string, bytes: string | Uint8Array) => {
  writeFileSync(at(name), bytes);
  return name;
};

const inputSize = 3;
const hiddenSize = 12;
const steps = 400;
const scale = 1 / Math.sqrt(hiddenSize);
const shapesOf = (gates: number) => ({
  weight_ih: [gates * hiddenSize, inputSize],
  weight_hh: [gates * hiddenSize, hiddenSize],
  bias_ih: [gates * hiddenSize],
  bias_hh: [gates * hiddenSize],
});
const gruWeights = randomWeights(shapesOf(3), scale, 1);
const otherWeights = randomWeights(shapesOf(3), scale, 2);
const lstmWeights = randomWeights(shapesOf(4), scale, 3);
const inputs = uniform(mulberry32(4), steps * inputSize, -2, 2);
const gruCell = gru({ inputSize, hiddenSize, weights: gruWeights });

function tensorsOf(weights: Weights, gates: number, prefix = "", suffix = "") {
  const shapes: Record<string, number[]> = shapesOf(gates);
  return Object.fromEntries(
    Object.entries(weights).map(([name, data]) => [
      `${prefix}${name}${suffix}`,
      float32Tensor(data, shapes[name]!),
    ]),
  );
}

save("gru.safetensors", safetensors(tensorsOf(gruWeights, 3)));
save("lstm.safetensors", safetensors(tensorsOf(lstmWeights, 4, "rnn.", "_l0")));
save(
  "model.safetensors",
  safetensors({
    ...tensorsOf(otherWeights, 3, "decoder.", "_l0"),
    ...tensorsOf(gruWeights, 3, "encoder.", "_l0"),
    ...tensorsOf(otherWeights, 3, "encoder.", "_l0_reverse"),
    "head.weight": float64Tensor([1, 2], [1, 2]),
  }),
);
save("inputs.npy", npy(inputs, [steps, inputSize]));

interface Outcome extends ReadNpy {
  readonly text: string;
}

let outputs = 0;
/** Runs `antler eval`, which must do well, and reads what it wrote. */
async function evaluated(
  args: readonly string[],
  options: Parameters<typeof runCli>[1] = {},
): Promise<Outcome> {
  const output = `states-${outputs++}.npy`;
  const ended = await runCli(["eval", ...args, "--output", output], { cwd: folder, ...options });
  expect(ended.stderr).toBe("");
  expect(ended.code).toBe(0);
  expect(ended.text).toContain(output);
  return { ...parseNpy(readFileSync(at(output))), text: ended.text };
}

async function oracle(cell: Cell, given: FloatArray, options = {}): Promise<Float64Array> {
  const runtime = await createRuntime({ backend: "reference" });
  try {
    return (await runtime.evaluate(cell, given, options)).states;
  } finally {
    runtime.dispose();
  }
}

describe("antler eval", () => {
  it("gives a GRU's states: the reference's, and ONNX Runtime's", async () => {
    const { descr, shape, data, text } = await evaluated([
      "gru.safetensors",
      "inputs.npy",
      "--cell",
      "gru",
    ]);
    expect(descr).toBe("<f4");
    expect(shape).toEqual([steps, hiddenSize]);
    expect(largestError(data, await oracle(gruCell, inputs), hiddenSize)).toBeLessThan(1e-6);
    const model = gruModel({ inputSize, hiddenSize, weights: gruWeights, variant: "reset-after" });
    const { hidden } = await runOnnx(model, inputs);
    expect(largestError(data, hidden, hiddenSize)).toBeLessThan(2e-6);
    expect(text).toContain("gru-reset-after, 3 → 12, from weight_ih");
    expect(text).toMatch(/^method +sequential/m);
    expect(text).toMatch(/^result +within the tolerance/m);
  });

  it("gives an LSTM's states, h and then c, by a parallel method", async () => {
    const args = [
      "lstm.safetensors",
      "inputs.npy",
      "--cell",
      "lstm",
      "--prefix",
      "rnn",
      "--layer",
      "0",
    ];
    const { shape, data, text } = await evaluated([
      ...args,
      ...["--method", "quasi-deer", "--jacobian", "block", "--chunk", "16", "--tolerance", "1e-6"],
    ]);
    expect(shape).toEqual([steps, 2 * hiddenSize]);
    const model = lstmModel({ inputSize, hiddenSize, weights: lstmWeights, variant: "plain" });
    const { hidden, finalCell } = await runOnnx(model, inputs);
    const part = (row: number, first: number) => {
      const start = row * 2 * hiddenSize + first;
      return data.subarray(start, start + hiddenSize);
    };
    for (let row = 0; row < steps; row++) {
      const expected = hidden.subarray(row * hiddenSize, (row + 1) * hiddenSize);
      expect(largestError(part(row, 0), expected, hiddenSize)).toBeLessThan(1e-5);
    }
    expect(largestError(part(steps - 1, hiddenSize), finalCell!, hiddenSize)).toBeLessThan(1e-5);
    expect(text).toMatch(/^method +quasi-deer with Jacobian "block", 16 steps a chunk$/m);
    expect(text).toMatch(/after \d+ sweeps?: residual/);
  });

  it("evaluates chunks on threads, exactly where that is asked for, and ends when it is done", async () => {
    const many = uniform(mulberry32(6), 3 * 5000, -2, 2);
    save("many.npy", npy(many, [5000, 3]));
    const args = ["gru.safetensors", "many.npy", "--cell", "gru"];
    const sequential = await evaluated([...args, "--method", "sequential"]);
    const threads = [...args, "--method", "threads", "--threads", "2"];
    const { data, text } = await evaluated(threads);
    expect(largestError(data, sequential.data, hiddenSize)).toBeLessThan(1e-6);
    expect(text).toMatch(/^method +threads, 2,500 steps a chunk$/m);
    expect(text).toMatch(/^threads +2 threads; 5,\d+ steps evaluated, \d+ of them again$/m);
    expect(text).toMatch(/^result +within the tolerance: residual/m);
    const exact = await evaluated([...threads, "--exact", "--chunk", "500"]);
    expect(exact.data).toEqual(sequential.data);
    expect(exact.text).toMatch(/^method +threads, 500 steps a chunk$/m);
    const ended = await runCli(["eval", ...threads, "--json", "-", "-o", "t.npy"], { cwd: folder });
    expect(JSON.parse(ended.text).report).toMatchObject({
      method: "threads",
      threads: 2,
      steps: { run: expect.any(Number), rerun: expect.any(Number) },
    });
    const alone = await evaluated([...threads, "--threads", "1"]);
    expect(alone.text).toMatch(/^threads +1 thread; 5,000 steps evaluated, 0 of them again$/m);
    expect(alone.data).toEqual(sequential.data);
  });

  it.each(
    cellKinds.flatMap((kind) =>
      (kind.variants.length > 0 ? kind.variants : [""]).map((variant) => ({
        kind,
        variant,
        title: `${kind.name} ${variant}`.trim(),
      })),
    ),
  )("evaluates $title", async ({ kind, variant }) => {
    const sizes = { inputSize: kind.inputSize ?? inputSize, hiddenSize };
    const random = mulberry32(7);
    const weights = cellWeights(kind, sizes, variant, (length, factor) =>
      uniform(random, length, -factor, factor),
    );
    const shapes = { ...kind.required(sizes, variant), ...kind.optional(sizes) };
    const tensors = Object.entries(weights).map(([name, data]) => [
      `layer.${name}`,
      float32Tensor(data as Float32Array, shapes[name]!),
    ]);
    const file = save(
      `${kind.name}-${variant}.safetensors`,
      safetensors(Object.fromEntries(tensors)),
    );
    const given = inputs.subarray(0, 50 * sizes.inputSize);
    const table = save(
      `${sizes.inputSize}.npy`,
      npy(given, sizes.inputSize === 1 ? [50] : [50, sizes.inputSize]),
    );
    const { data } = await evaluated([
      ...[file, table, "--cell", kind.name, "--backend", "reference"],
      ...(variant ? ["--variant", variant] : []),
    ]);
    const cell = kind.make(sizes, weights, variant);
    expect(data).toEqual(await oracle(cell, given));
  });

  it("reads F64, F16 and BF16 weights, and computes with what they say", async () => {
    const widths = Float32Array.from(gruWeights.weight_hh!, (value) => Math.round(value * 64) / 64);
    const exact: Weights = { ...gruWeights, weight_hh: widths };
    const bf16 = Uint16Array.from(new Uint32Array(widths.buffer), (bits) => bits >>> 16);
    const halves = new Map(
      Array.from({ length: 0x10000 }, (_, bits) => [npyjs.float16ToFloat32(bits), bits]),
    );
    const f16 = Uint16Array.from(widths, (value) => halves.get(value)!);
    const tensors = tensorsOf(exact, 3);
    const shape = [3 * hiddenSize, hiddenSize];
    const expected = await oracle(gru({ inputSize, hiddenSize, weights: exact }), inputs);
    for (const spec of [
      float64Tensor(widths, shape),
      { dtype: "F16", shape, bytes: new Uint8Array(f16.buffer) },
      { dtype: "BF16", shape, bytes: new Uint8Array(bf16.buffer) },
    ]) {
      const file = save(`${spec.dtype}.safetensors`, safetensors({ ...tensors, weight_hh: spec }));
      const { data } = await evaluated([
        file,
        "inputs.npy",
        "--cell",
        "gru",
        "--backend",
        "reference",
      ]);
      expect(data).toEqual(expected);
    }
  });

  it("finds a layer by prefix and number, and runs the second direction backwards", async () => {
    const args = ["model.safetensors", "inputs.npy", "--cell", "gru"];
    const { data } = await evaluated([...args, "--prefix", "encoder", "--layer", "0"]);
    expect(largestError(data, await oracle(gruCell, inputs), hiddenSize)).toBeLessThan(1e-6);
    const backwards = await evaluated([...args, "--prefix", "encoder.", "--layer", "0_reverse"]);
    const other = gru({ inputSize, hiddenSize, weights: otherWeights });
    const expected = await oracle(other, inputs, { reverse: true });
    expect(largestError(backwards.data, expected, hiddenSize)).toBeLessThan(1e-6);
    const decoder = await evaluated([...args, "--prefix", "decoder", "--reverse"]);
    expect(decoder.data).toEqual(backwards.data);
  });

  it("runs a ragged batch from initial states, in one file or another", async () => {
    const lengths = [150, 0, 201, 49];
    const start = uniform(mulberry32(9), lengths.length * hiddenSize);
    save("start.npy", npy(Float64Array.from(start), [lengths.length, hiddenSize]));
    save("lengths.txt", "150, 0\n201 49\n");
    save("lengths.npy", npy(BigInt64Array.from(lengths, BigInt), [4], { descr: "<i8" }));
    const expected = await oracle(gruCell, inputs, { lengths, initialState: start });
    for (const given of ["150,0,201,49", "lengths.txt", "lengths.npy"]) {
      const { data, text } = await evaluated([
        ...["gru.safetensors", "inputs.npy", "--cell", "gru"],
        ...["--lengths", given, "--initial-state", "start.npy"],
      ]);
      expect(largestError(data, expected, hiddenSize)).toBeLessThan(1e-6);
      expect(text).toContain("400 steps, 4 sequences");
    }
    const last = await evaluated([
      ...["gru.safetensors", "inputs.npy", "--cell", "gru", "--final-only"],
      ...["--lengths", "lengths.txt", "--initial-state", "start.npy"],
    ]);
    expect(last.shape).toEqual([4, hiddenSize]);
    const rows = [149, null, 350, 399].map((row, i) =>
      row === null
        ? start.subarray(i * hiddenSize, (i + 1) * hiddenSize)
        : expected.subarray(row * hiddenSize, (row + 1) * hiddenSize),
    );
    const finals = Float64Array.from(rows.flatMap((row) => [...row]));
    expect(largestError(last.data, finals, hiddenSize)).toBeLessThan(1e-6);
  });

  it("reads tables as text, from a file or from stdin, with or without a header", async () => {
    const rows = Array.from({ length: 20 }, (_, t) =>
      [...inputs.subarray(3 * t, 3 * t + 3)].join(","),
    );
    save("inputs.csv", `x,y,z\n${rows.join("\n")}\n`);
    const expected = await oracle(gruCell, inputs.subarray(0, 60));
    const args = ["--cell", "gru", "--backend", "reference"];
    const fromFile = await evaluated(["gru.safetensors", "inputs.csv", ...args]);
    expect(fromFile.data).toEqual(expected);
    const piped = await evaluated(["gru.safetensors", "-", ...args], { input: rows.join("\n") });
    expect(piped.data).toEqual(expected);
    const binary = npy(inputs.subarray(0, 60), [20, 3]);
    const pipedNpy = await evaluated(["gru.safetensors", "-", ...args], { input: binary });
    expect(pipedNpy.data).toEqual(expected);
  });

  it("writes states to stdout alone, and the report as JSON where asked", async () => {
    const args = ["eval", "gru.safetensors", "inputs.npy", "--cell", "gru", "--output"];
    const piped = await runCli([...args, "-", "--json", "report.json"], { cwd: folder });
    expect(piped.code).toBe(0);
    const { data } = parseNpy(piped.stdout);
    expect(data.length).toBe(steps * hiddenSize);
    expect(piped.stderr).toMatch(/^method +sequential/m);
    const facts = JSON.parse(readFileSync(at("report.json"), "utf8"));
    expect(facts).toMatchObject({
      layer: { cell: "gru-reset-after", inputSize, hiddenSize, stateSize: hiddenSize },
      steps,
      sequences: 1,
      output: { file: "-", shape: [steps, hiddenSize], type: "float32" },
      report: { method: "sequential", backend: "wasm", converged: true },
    });
    const json = await runCli([...args, "json-states.npy", "--json", "-"], { cwd: folder });
    expect(JSON.parse(json.text)).toMatchObject({ output: { file: "json-states.npy" } });
    expect(parseNpy(readFileSync(at("json-states.npy"))).data).toEqual(data);
  });

  it("keeps a file that is there, unless it is forced", async () => {
    save("kept.npy", "precious");
    const args = ["eval", "gru.safetensors", "inputs.npy", "--cell", "gru", "-o", "kept.npy"];
    const refused = await runCli(args, { cwd: folder });
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain(
      "--output kept.npy: expected a new file, got one that exists (--force",
    );
    expect(readFileSync(at("kept.npy"), "utf8")).toBe("precious");
    expect((await runCli([...args, "--force"], { cwd: folder })).code).toBe(0);
    expect(parseNpy(readFileSync(at("kept.npy"))).shape).toEqual([steps, hiddenSize]);
  });

  it("does what --on-failure says about a method that does not converge", async () => {
    const hard = ["gru.safetensors", "inputs.npy", "--cell", "gru", "--method", "jacobi"];
    const few = [...hard, "--max-iterations", "2"];
    const thrown = await runCli(["eval", ...few, "--on-failure", "throw", "-o", "thrown.npy"], {
      cwd: folder,
    });
    expect(thrown.code).toBe(1);
    expect(thrown.stderr).toMatch(
      /^antler: jacobi: not converged after 2 sweeps: .*\(try --damping.*\)\n$/,
    );
    expect(existsSync(at("thrown.npy"))).toBe(false);
    const returned = await evaluated([...few, "--on-failure", "return"]);
    expect(returned.text).toMatch(/^result +NOT within the tolerance after 2 sweeps/m);
    expect(returned.text).toMatch(/^fallback +left as it is/m);
    const finished = await evaluated(few);
    expect(finished.text).toMatch(/^fallback +evaluated sequentially from step \d+/m);
    expect(largestError(finished.data, await oracle(gruCell, inputs), hiddenSize)).toBeLessThan(
      1e-6,
    );
  });

  it("uses a GPU where one is asked for, and ends when it is done", async () => {
    const flag = "enable-dawn-features=disable_workgroup_init";
    const { data, text } = await evaluated(
      ["gru.safetensors", "inputs.npy", "--cell", "gru", "--backend", "webgpu", "--dawn", flag],
      { env: await gpuEnvironment() },
    );
    expect(largestError(data, await oracle(gruCell, inputs), hiddenSize)).toBeLessThan(1e-4);
    expect(text).toMatch(/^backend +webgpu, float32, .*, in 1 window$/m);
    expect(text).toMatch(/^method +quasi-deer/m);
  });

  const title = sharedTitle("evaluates a trained layer as ONNX Runtime does", nanoporeFile);
  it.skipIf(sharedData(nanoporeFile) === null)(title, async () => {
    const { units, layers, features } = loadNanopore();
    const { weights, reverse } = layers[0]!;
    const rows = 5000;
    const read = features.subarray(0, rows * units);
    const shape: Record<string, number[]> = {
      weight_ih: [3 * units, units],
      weight_hh: [3 * units, units],
      bias_ih: [3 * units],
      bias_hh: [3 * units],
    };
    const tensors = Object.entries(weights).map(([name, data]) => [
      `gru.0.${name}`,
      float32Tensor(data, shape[name]!),
    ]);
    save("nanopore.safetensors", safetensors(Object.fromEntries(tensors)));
    save("features.npy", npy(read, [rows, units]));
    const { data } = await evaluated([
      ...["nanopore.safetensors", "features.npy", "--cell", "gru", "--variant", "reset-before"],
      ...["--prefix", "gru.0", ...(reverse ? ["--reverse"] : [])],
      ...["--method", "quasi-deer", "--chunk", "64", "--tolerance", "1e-6"],
    ]);
    const model = gruModel({
      inputSize: units,
      hiddenSize: units,
      weights,
      variant: "reset-before",
      direction: reverse ? "reverse" : "forward",
    });
    const { hidden } = await runOnnx(model, read);
    expect(largestError(data, hidden, units)).toBeLessThan(1e-5);
  });

  it("lists the tensors of a file", async () => {
    const { code, text } = await runCli(["eval", "model.safetensors", "--list"], { cwd: folder });
    expect(code).toBe(0);
    expect(text).toMatch(/^encoder\.weight_hh_l0_reverse +F32 {3}\[36, 12\]$/m);
    expect(text).toMatch(/^head\.weight +F64 {3}\[1, 2\]$/m);
    expect(text.trimEnd().split("\n")).toHaveLength(13);
  });
});
