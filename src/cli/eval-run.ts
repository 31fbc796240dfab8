/** The work of `antler eval`: files are read and checked, the layer evaluated, states and report written. */
import { resolve } from "node:path";
import type {
  BackendName,
  EvaluateOptions,
  Evaluation,
  FloatArray,
  JacobianKind,
  MethodName,
} from "../index.ts";
import { suitsGpu } from "../solve/choice.ts";
import type { Job } from "../validate.ts";
import { cellKind, cellNames, checkVariant } from "./cells.ts";
import { UsageError } from "./failure.ts";
import { type Layer, type LayerChoice, readLayer } from "./layer.ts";
import { writeNpy } from "./npy.ts";
import { namesOf } from "./options.ts";
import { prepareOutput, writeOutput } from "./output.ts";
import { createProgress, type Progress } from "./progress.ts";
import { openRuntime } from "./runtime.ts";
import { SafetensorsFile } from "./safetensors.ts";
import { type Rows, readLengths, readRows } from "./tables.ts";
import { print, writeJson } from "./terminal.ts";
import { checkThreadsOptions } from "./threads.ts";
import { columns, count, counted, inBytes, reportRows } from "./words.ts";

export interface EvalOptions {
  readonly list?: boolean;
  readonly cell?: string;
  readonly variant?: string;
  readonly prefix?: string;
  readonly layer?: string;
  readonly output?: string;
  readonly force?: boolean;
  readonly finalOnly?: boolean;
  readonly lengths?: string;
  readonly initialState?: string;
  readonly reverse?: boolean;
  readonly method: MethodName | "auto";
  readonly backend: BackendName | "auto";
  readonly jacobian?: JacobianKind;
  readonly chunk?: number;
  readonly threads?: number;
  readonly exact?: boolean;
  readonly damping?: number;
  readonly tolerance: number;
  readonly maxIterations?: number;
  readonly onFailure?: "sequential" | "throw" | "return";
  readonly json?: string;
  readonly memoryLimit?: number;
  readonly dawn?: readonly string[];
}

/** @throws UsageError for options and files; what the evaluation throws; the signal's reason. */
export async function evaluateFiles(
  weights: string,
  inputsPath: string | undefined,
  options: EvalOptions,
  signal: AbortSignal,
): Promise<void> {
  const { cell: cellName, output } = options;
  if (cellName === undefined) {
    throw new UsageError(`--cell: expected one of ${namesOf(cellNames)}, got nothing`);
  }
  if (inputsPath === undefined) {
    throw new UsageError("inputs: expected a .npy or .csv file, or - for stdin, got nothing");
  }
  if (output === undefined) {
    throw new UsageError("--output: expected a .npy file, or - for stdout, got nothing");
  }
  if (options.json !== undefined && resolve(options.json) === resolve(output)) {
    throw new UsageError(`--json: expected another file than that of --output, got ${output}`);
  }
  checkThreadsOptions([options.method], [options.backend], ["webgpu"], options.exact);
  const kind = cellKind(cellName);
  const variant = checkVariant(kind, options.variant);
  const read = [weights, inputsPath, options.initialState].filter((path) => path !== undefined);
  await prepareOutput("--output", output, { force: options.force === true, keep: read });
  if (options.json !== undefined) {
    await prepareOutput("--json", options.json, { force: true, keep: [...read, output] });
  }
  const { prefix, layer } = options;
  const found = await openLayer(weights, { kind, variant, prefix, layer });
  const inputs = await readRows(inputsPath, signal);
  checkInputs(inputs, inputsPath, found);
  const lengths = options.lengths === undefined ? undefined : await readLengths(options.lengths);
  const initial = options.initialState;
  const initialState = initial === undefined ? undefined : await readRows(initial, signal);
  if (initialState) checkInitialState(initialState, initial!, found, lengths?.length ?? 1);
  const progress = createProgress();
  let result: Evaluation<FloatArray>;
  try {
    result = await run(found, inputs, { options, lengths, initialState }, progress, signal);
  } finally {
    progress.stop();
  }
  await write(result, { output, found, inputs, lengths, options });
}

interface Extra {
  readonly options: EvalOptions;
  readonly lengths: number[] | undefined;
  readonly initialState: Rows | undefined;
}

async function run(
  { cell, reverse }: Layer,
  inputs: Rows,
  { options, lengths, initialState }: Extra,
  progress: Progress,
  signal: AbortSignal,
): Promise<Evaluation<FloatArray>> {
  const { method, backend, jacobian, chunk, damping, tolerance, maxIterations, onFailure } =
    options;
  const mayUseGpu = suitsGpu({ method, rows: inputs.rows } as Job);
  const withGpu = backend === "webgpu" || (backend === "auto" && mayUseGpu);
  const needed = backend === "auto" ? [] : [backend];
  const { runtime } = await openRuntime(needed, { ...options, withGpu }, signal);
  const sequences = lengths?.length ?? 1;
  const asked: EvaluateOptions = {
    method,
    backend,
    tolerance,
    reverse: options.reverse === true || reverse,
    signal,
    ...(jacobian && { jacobian }),
    ...(chunk !== undefined && { chunk }),
    ...(options.exact && { exact: true }),
    ...(damping !== undefined && { damping }),
    ...(maxIterations !== undefined && { maxIterations }),
    ...(onFailure && { onFailure }),
    ...(lengths && { lengths }),
    ...(initialState && { initialState: initialState.data }),
    onProgress: (done, total) =>
      progress.update(done, total, `${count(done)} of ${count(total)} steps`),
    onIteration: ({ sequence, iteration, residual, exactChunks, chunks }) => {
      const which = sequences > 1 ? `sequence ${sequence + 1} of ${sequences}, ` : "";
      const text = `${which}sweep ${iteration}, residual ${residual.toExponential(1)}`;
      progress.update(exactChunks, chunks, `${text}, ${count(exactChunks)} chunks exact`);
    },
  };
  try {
    return await runtime.evaluate(cell, inputs.data, asked);
  } finally {
    runtime.dispose();
  }
}

async function openLayer(path: string, choice: LayerChoice): Promise<Layer> {
  const file = await SafetensorsFile.open(path);
  try {
    return await readLayer(file, choice);
  } finally {
    await file.close();
  }
}

function checkInputs(inputs: Rows, path: string, { sizes, weightName }: Layer): void {
  const { inputSize } = sizes;
  if (inputs.columns !== inputSize) {
    throw new UsageError(
      `${path}: expected shape [T, ${inputSize}], as of ${weightName}, got [${inputs.shape.join(", ")}]`,
    );
  }
  const bad = inputs.data.findIndex((value: number) => !Number.isFinite(value));
  if (bad >= 0) {
    const where = `row ${Math.floor(bad / inputSize)}, column ${bad % inputSize}, counted from 0`;
    throw new UsageError(`${path}: expected finite numbers, got ${inputs.data[bad]} at ${where}`);
  }
}

function checkInitialState(given: Rows, path: string, { cell }: Layer, sequences: number): void {
  const { stateSize } = cell;
  const { shape } = given;
  const fitting = [`${stateSize}`, `1,${stateSize}`, `${sequences},${stateSize}`];
  // A column of one number a row is what a vector is as text.
  if (fitting.includes(shape.join()) || shape.join() === `${stateSize},1`) return;
  const expected = [`[${stateSize}]`, ...(sequences > 1 ? [`[${sequences}, ${stateSize}]`] : [])];
  throw new UsageError(
    `--initial-state ${path}: expected shape ${expected.join(" or ")}, got [${shape.join(", ")}]`,
  );
}

interface Written {
  readonly output: string;
  readonly found: Layer;
  readonly inputs: Rows;
  readonly lengths: number[] | undefined;
  readonly options: EvalOptions;
}

async function write(result: Evaluation<FloatArray>, written: Written): Promise<void> {
  const { output, found, inputs, lengths, options } = written;
  const { states, finalStates, report } = result;
  const { stateSize, name } = found.cell;
  const batch = lengths?.length;
  const finalShape = batch === undefined ? [stateSize] : [batch, stateSize];
  const shape = options.finalOnly ? finalShape : [inputs.rows, stateSize];
  const data = options.finalOnly ? finalStates : states;
  const bytes = writeNpy(data, shape);
  await writeOutput(output, bytes, options.force === true);
  const type = data instanceof Float64Array ? "float64" : "float32";
  const { inputSize, hiddenSize } = found.sizes;
  const batchText = batch === undefined ? "" : `, ${counted(batch, "sequence")}`;
  const rows: [string, string][] = [
    ["layer", `${name}, ${inputSize} → ${hiddenSize}, from ${found.weightName}`],
    ["inputs", `${counted(inputs.rows, "step")}${batchText}`],
    ...reportRows(report, options.tolerance),
    [
      options.finalOnly ? "final" : "states",
      `[${shape.join(", ")}] ${type}, ${inBytes(bytes.length)}, in ${output === "-" ? "stdout" : output}`,
    ],
  ];
  // What goes to stdout goes alone.
  const stdoutIsTaken = output === "-" || options.json === "-";
  await print(columns(rows), stdoutIsTaken ? process.stderr : process.stdout);
  if (options.json !== undefined) {
    const { steps, ...layerFacts } = { steps: inputs.rows, cell: name, ...found.sizes, stateSize };
    await writeJson(options.json, {
      layer: layerFacts,
      steps,
      sequences: batch ?? 1,
      output: { file: output, shape, type },
      report,
    });
  }
}
