/** Something that the user can put right: shown as one line, without a stack, with exit code 1. */
export class UserError extends Error {
  override readonly name = "UserError";
}

/** The first line of an error's message; Node's system errors without their code and path. */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const withoutCode = message.replace(/^E[A-Z]+: /, "").replace(/, [a-z]+( '.*')?$/s, "");
  return withoutCode.split("\n")[0];
}
