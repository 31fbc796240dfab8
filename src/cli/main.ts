/** The program `antler`: runs a command, and turns what goes wrong into one line and an exit code. */
import { CommanderError } from "commander";
import { asCliError, CliError, exitCode, UsageError } from "./failure.ts";
import { createProgram } from "./program.ts";
import { outliveReaders, styleFor } from "./terminal.ts";

outliveReaders();
const program = createProgram();
try {
  if (process.argv.length <= 2) {
    process.stderr.write(program.helpInformation());
    throw new UsageError("expected a command, got none", "antler --help");
  }
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** Says what went wrong, and tells the exit code. */
function report(error: unknown): number {
  if (error instanceof CommanderError) {
    // Help and version are errors too, to commander.
    if (error.exitCode === 0) return exitCode.fine;
    return report(usageErrorOf(error));
  }
  const known = asCliError(error);
  const { bad } = styleFor(process.stderr);
  if (known instanceof CliError) {
    const hint = known.hint === undefined ? "" : ` (${known.hint})`;
    process.stderr.write(`${bad("antler:")} ${oneLine(known.message)}${hint}\n`);
    return known.exitCode;
  }
  const stack = error instanceof Error ? error.stack : String(error);
  process.stderr.write(`${bad("antler:")} a mistake of the program itself: ${stack}\n`);
  return exitCode.failed;
}

/** "error: unknown option '--x'\n(Did you mean --y?)" → "unknown option '--x' (Did you mean --y?)". */
function usageErrorOf({ message }: CommanderError): UsageError {
  const command = program.commands.find((candidate) => process.argv[2] === candidate.name());
  const help = command ? `antler ${command.name()} --help` : "antler --help";
  return new UsageError(message.replace(/^error: /, ""), `${help} shows what there is`);
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, " ").trim();
}
