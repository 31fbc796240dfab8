/** Writing to stdout and stderr: colour where it is wanted, JSON, and readers that stop early. */
import { writeFile } from "node:fs/promises";
import { exitCode, fileTrouble, reasonOf } from "./failure.ts";

export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  warn(text: string): string;
}

/** Colours if `stream` is a terminal that has them; Node asks NO_COLOR, FORCE_COLOR and TERM. */
export function styleFor(stream: NodeJS.WriteStream): Style {
  const colours = stream.isTTY === true && stream.hasColors?.() === true;
  const paint = (open: number, close: number) => (text: string) =>
    colours ? `\x1b[${open}m${text}\x1b[${close}m` : text;
  return {
    bold: paint(1, 22),
    dim: paint(2, 22),
    good: paint(32, 39),
    bad: paint(31, 39),
    warn: paint(33, 39),
  };
}

/** Lets a reader such as `head` stop early: what would go to it is dropped, and the work goes on. */
export function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE" || error.code === "EOF") return;
      // A full disk, say: nothing more can be told there.
      if (stream === process.stdout) process.stderr.write(`antler: stdout: ${reasonOf(error)}\n`);
      process.exit(exitCode.failed);
    });
  }
}

/** Settles when the text or bytes are handed to the system, or when nobody reads any more. */
export function print(
  text: string | Uint8Array,
  stream: NodeJS.WriteStream = process.stdout,
): Promise<void> {
  return new Promise((resolve) => {
    stream.write(text, () => resolve());
  });
}

/** JSON knows no NaN and no infinity: they are written as strings. */
export function toJson(value: unknown): string {
  const plain = (_: string, item: unknown) =>
    typeof item === "number" && !Number.isFinite(item) ? String(item) : item;
  return `${JSON.stringify(value, plain, 2)}\n`;
}

/** Writes JSON to a file, which is replaced, or to stdout for "-". */
export async function writeJson(target: string, value: unknown): Promise<void> {
  if (target === "-") return print(toJson(value));
  try {
    await writeFile(target, toJson(value));
  } catch (error) {
    throw fileTrouble(`--json ${target}`, error);
  }
}

/** What `--json [file]` means: where JSON goes, if anywhere, and whether that leaves stdout for text. */
export function jsonTarget(option: true | string | undefined): {
  readonly target: string | null;
  readonly stdoutIsFree: boolean;
} {
  const target = option === undefined ? null : option === true ? "-" : option;
  return { target, stdoutIsFree: target !== "-" };
}
