/** What the program says, and how it exits, when it cannot do what it was asked for. */
import {
  BackendUnavailableError,
  ConvergenceError,
  DeviceLostError,
  GpuError,
  NonFiniteError,
} from "../index.ts";

/** How a run of the program ends; see docs/command-line.md. */
export const exitCode = { fine: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** Something that the user can put right: shown as one line on stderr, without a stack. */
export class CliError extends Error {
  override readonly name: string = "CliError";
  readonly exitCode: number = exitCode.failed;
  /** @param hint what to try, in a few words. */
  constructor(
    message: string,
    readonly hint?: string,
  ) {
    super(message);
  }
}

/** The command line, or a file that it names, is not what it should be. */
export class UsageError extends CliError {
  override readonly name = "UsageError";
  override readonly exitCode = exitCode.usage;
}

/** The user pressed Ctrl-C, or the system asked the program to stop. */
export class InterruptedError extends CliError {
  override readonly name = "InterruptedError";
  override readonly exitCode = exitCode.interrupted;
}

/** In one line: why a backend is missing, else an error's message; Node's system errors without their code and path. */
export function reasonOf(error: unknown): string {
  if (error instanceof BackendUnavailableError) return error.reason;
  const message = error instanceof Error ? error.message : String(error);
  const withoutCode = message.replace(/^E[A-Z0-9]+: /, "").replace(/, [a-z]+( '.*')?$/s, "");
  return withoutCode.split("\n")[0]!;
}

/** A file's trouble, by the system: `FILE: no such file or directory`. */
export function fileTrouble(path: string, error: unknown, hint?: string): UsageError {
  return new UsageError(`${path}: ${reasonOf(error)}`, hint);
}

/** How the library begins a message about an argument: its name, perhaps with an index, and a colon. */
const aboutAnArgument = /^(?<name>[A-Za-z]\w*)(\.[\w.]+|\[\d+\])?: /;
/** Options that are called otherwise here. */
const optionOf: Readonly<Record<string, string>> = {
  backends: "--backend",
  cells: "--cell",
  methods: "--method",
  chunk: "--chunk",
  damping: "--damping",
  initialState: "--initial-state",
  jacobian: "--jacobian",
  lengths: "--lengths",
  memoryLimit: "--memory-limit",
  threads: "--threads",
};
const outOfMemory = /allocation failed|invalid (typed )?array (buffer )?length/i;

/** An error of the library as the user should see it; what is a mistake of the program stays as it is. */
export function asCliError(error: unknown): unknown {
  if (error instanceof CliError) return error;
  if (error instanceof BackendUnavailableError) {
    return new CliError(error.message, "`antler doctor` tells what this machine has");
  }
  if (error instanceof ConvergenceError) {
    return new CliError(
      error.message,
      "try --damping, a larger --chunk or --max-iterations, or --on-failure sequential",
    );
  }
  if (error instanceof NonFiniteError) {
    return new CliError(error.message, "the weights or the inputs make the recurrence blow up");
  }
  if (error instanceof DeviceLostError || error instanceof GpuError) {
    return new CliError(error.message, "try --backend wasm");
  }
  if (!(error instanceof RangeError || error instanceof TypeError)) return error;
  const { message } = error;
  if (message.startsWith("memory: ") || outOfMemory.test(message)) {
    return new CliError(message, "fewer steps at a time, or a larger --memory-limit, may do");
  }
  const found = aboutAnArgument.exec(message);
  if (!found) return error;
  const name = found.groups!.name!;
  const option = optionOf[name];
  return new UsageError(option ? message.replace(found[0], `${option}: `) : message);
}
