/** Ctrl-C: the first one aborts the work, which then puts things in order; the second one ends the process. */
import { exitCode, InterruptedError } from "./failure.ts";

const signals = ["SIGINT", "SIGTERM"] as const;

/** Runs `work` with a signal that is aborted, with an `InterruptedError`, when the process is told to stop. */
export async function interruptible<Result>(
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(exitCode.interrupted);
    controller.abort(new InterruptedError("interrupted"));
  };
  for (const name of signals) process.on(name, stop);
  try {
    return await work(controller.signal);
  } finally {
    for (const name of signals) process.off(name, stop);
  }
}
