/** What a visitor can set in the Solve tab: as text in the form and in the URL, and checked, as values. */
import type { BackendName, EvaluateOptions, JacobianKind, MethodName } from "antler";
import { EXAMPLE_CELL } from "./example-cell.ts";

export const CELL_NAMES = {
  "gru-reset-after": "GRU (reset after)",
  "gru-reset-before": "GRU (reset before)",
  "lstm-plain": "LSTM",
  "lstm-peephole": "LSTM with peepholes",
  "lstm-coupled": "LSTM with coupled gates",
  "minimal-gru": "Minimal GRU",
  "rnn-tanh": "Elman RNN, tanh",
  "rnn-relu": "Elman RNN, ReLU",
  "diagonal-gru": "Diagonal GRU (ParaRNN)",
  "diagonal-lstm": "Diagonal LSTM (ParaRNN)",
  "autoregressive-gru": "Autoregressive GRU",
  lorenz96: "Lorenz-96",
  own: "Write your own …",
} as const;

export type CellChoice = keyof typeof CELL_NAMES;

export const METHOD_NAMES: Readonly<Record<MethodName | "auto", string>> = {
  auto: "auto",
  sequential: "sequential",
  threads: "threads (merging)",
  "quasi-deer": "quasi-DEER (diagonal)",
  deer: "DEER (dense)",
  "quasi-elk": "quasi-ELK (damped)",
  elk: "ELK (dense, damped)",
  jacobi: "Jacobi (no Jacobian)",
  picard: "Picard (identity)",
};

export const JACOBIAN_NAMES: Readonly<Record<JacobianKind | "implied", string>> = {
  implied: "as the method implies",
  none: "none",
  identity: "identity",
  diagonal: "diagonal",
  block: "one block a unit",
  dense: "dense",
};

export const BACKEND_NAMES: Readonly<Record<BackendName | "auto", string>> = {
  auto: "auto",
  wasm: "WebAssembly",
  webgpu: "WebGPU",
  reference: "reference (float64)",
};

export interface SolveSettings {
  readonly cell: CellChoice;
  readonly hiddenSize: number;
  readonly inputSize: number;
  readonly steps: number;
  /** Weights are uniform on ±gain / √hiddenSize. */
  readonly gain: number;
  /** F of Lorenz-96. */
  readonly forcing: number;
  readonly seed: number;
  readonly method: MethodName | "auto";
  /** Most threads on WebAssembly; null is as many as Antler takes by itself. */
  readonly threads: number | null;
  /** Whether "threads" must give every bit as sequential evaluation does. */
  readonly exact: boolean;
  readonly chunk: number;
  readonly jacobian: JacobianKind | "implied";
  /** λ; null is the method's own. */
  readonly damping: number | null;
  readonly trustRegion: boolean;
  readonly tolerance: number;
  readonly maxIterations: number;
  readonly backend: BackendName | "auto";
  /** The visitor's own cell. */
  readonly code: string;
}

export type SettingName = keyof SolveSettings;
/** What stands in the form's fields. */
export type SettingTexts = Readonly<Record<SettingName, string>>;

export const DEFAULT_TEXTS: SettingTexts = {
  cell: "gru-reset-after",
  hiddenSize: "16",
  inputSize: "3",
  steps: "1000",
  gain: "3",
  forcing: "8",
  seed: "1",
  method: "quasi-deer",
  threads: "",
  exact: "no",
  chunk: "1",
  jacobian: "implied",
  damping: "",
  trustRegion: "no",
  tolerance: "1e-5",
  maxIterations: "100",
  backend: "auto",
  code: EXAMPLE_CELL,
};

interface NumberRule {
  readonly low: number;
  readonly high: number;
  readonly whole: boolean;
}

export const NUMBER_RULES = {
  hiddenSize: { low: 1, high: 256, whole: true },
  inputSize: { low: 1, high: 256, whole: true },
  steps: { low: 1, high: 100_000, whole: true },
  gain: { low: 0, high: 100, whole: false },
  forcing: { low: -100, high: 100, whole: false },
  seed: { low: 0, high: 2 ** 32 - 1, whole: true },
  threads: { low: 1, high: 64, whole: true },
  chunk: { low: 1, high: 100_000, whole: true },
  damping: { low: 0, high: 1e12, whole: false },
  tolerance: { low: 1e-14, high: 1, whole: false },
  maxIterations: { low: 0, high: 500, whole: true },
} as const satisfies Partial<Record<SettingName, NumberRule>>;

export type NumberSetting = keyof typeof NUMBER_RULES;

/** Floats that a run may keep for its pictures: T · D, several arrays of it. */
const MOST_NUMBERS = 2 ** 24;

export type SettingErrors = Partial<Record<SettingName, string>>;

/** The fields as values, or what is wrong with which of them. */
export function parseSettings(
  texts: SettingTexts,
): { settings: SolveSettings; errors: null } | { settings: null; errors: SettingErrors } {
  const errors: SettingErrors = {};
  const number = (name: NumberSetting): number => {
    const { value, error } = parseNumber(texts[name], NUMBER_RULES[name]);
    if (error) errors[name] = error;
    return value;
  };
  const choice = <Name extends string>(
    name: SettingName,
    allowed: Readonly<Record<Name, string>>,
  ) => {
    if (!Object.hasOwn(allowed, texts[name])) {
      errors[name] = `expected one of ${Object.keys(allowed).join(", ")}, got "${texts[name]}"`;
    }
    return texts[name] as Name;
  };
  const cell = choice("cell", CELL_NAMES);
  const method = choice("method", METHOD_NAMES);
  const settings: SolveSettings = {
    cell,
    method,
    hiddenSize: number("hiddenSize"),
    inputSize: number("inputSize"),
    steps: number("steps"),
    gain: number("gain"),
    forcing: number("forcing"),
    seed: number("seed"),
    threads: texts.threads.trim() === "" ? null : number("threads"),
    exact: texts.exact === "yes",
    chunk: number("chunk"),
    jacobian: choice("jacobian", JACOBIAN_NAMES),
    damping: texts.damping.trim() === "" ? null : number("damping"),
    trustRegion: texts.trustRegion === "yes",
    tolerance: number("tolerance"),
    maxIterations: number("maxIterations"),
    backend: choice("backend", BACKEND_NAMES),
    code: texts.code,
  };
  if (cell === "lorenz96" && settings.hiddenSize < 4) {
    errors.hiddenSize ??= `expected at least 4 for Lorenz-96, got ${settings.hiddenSize}`;
  }
  if (method === "threads" && settings.backend === "webgpu") {
    errors.backend ??= "expected WebAssembly for threads, got WebGPU";
  }
  const numbers = settings.steps * settings.hiddenSize;
  if (numbers > MOST_NUMBERS) {
    errors.steps ??=
      `expected steps × size of at most ${MOST_NUMBERS.toLocaleString("en")} in this page,` +
      ` got ${numbers.toLocaleString("en")}`;
  }
  return Object.keys(errors).length === 0 ? { settings, errors: null } : { settings: null, errors };
}

function parseNumber(text: string, { low, high, whole }: NumberRule) {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  const fits = value >= low && value <= high && (!whole || Number.isInteger(value));
  if (fits) return { value, error: "" };
  const kind = whole ? "a whole number" : "a number";
  const range = `${low.toLocaleString("en")} to ${high.toLocaleString("en")}`;
  const spelt = low > 0 && low < 1 ? `${low} to ${high}` : range;
  return { value: Number.NaN, error: `expected ${kind} from ${spelt}, got "${text.trim()}"` };
}

/** Whether a method makes sweeps. */
export function hasSweeps(method: MethodName | "auto"): boolean {
  return method !== "sequential" && method !== "threads";
}

/** The settings as Antler's options; what a method does not take is left out. */
export function evaluateOptions(settings: SolveSettings): EvaluateOptions {
  const { method, backend, chunk, tolerance, maxIterations, jacobian } = settings;
  const { damping, trustRegion } = settings;
  if (method === "sequential" || method === "auto") return { method, backend };
  if (method === "threads") return { method, backend, exact: settings.exact };
  const lambda = damping === null ? {} : { lambda: damping };
  return {
    ...{ method, backend, chunk, tolerance, maxIterations },
    ...(jacobian !== "implied" && { jacobian }),
    ...((damping !== null || trustRegion) && { damping: { ...lambda, trustRegion } }),
  };
}
