/** The command line. */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { reasonOf, UserError } from "./failure.ts";
import { BUNDLED_RECORDING } from "./prompts.ts";

export const HELP = `Finds speech in a recording with the Silero VAD, its LSTM evaluated by Antler.

Usage: npm start -- [recording.wav] [options]

  recording.wav     any WAV file; without one, the bundled recording of 76 seconds

Options:
  --output FILE     where to write the picture (default: examples/vad/out/vad.svg)
  --no-table        find the speech only, and do not compare methods
  -h, --help        show this text
`;

export interface Arguments {
  readonly help: boolean;
  readonly recording: string;
  readonly output: string;
  readonly table: boolean;
}

/** @throws {UserError} for anything that is not in the help text. */
export function readArguments(argv: readonly string[]): Arguments {
  const { values, positionals } = parse(argv);
  if (positionals.length > 1) {
    throw new UserError(
      `expected one recording, got ${positionals.length}: ${positionals.join(", ")}`,
    );
  }
  for (const value of [...positionals, values.output]) {
    if (value === "") throw new UserError("expected a file name, got an empty one");
  }
  return {
    help: values.help ?? false,
    recording: positionals[0] ?? BUNDLED_RECORDING,
    output: values.output ?? fileURLToPath(new URL("out/vad.svg", import.meta.url)),
    table: !values["no-table"],
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        output: { type: "string" },
        "no-table": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new UserError(`${reasonOf(error)} (--help shows what there is)`);
  }
}
