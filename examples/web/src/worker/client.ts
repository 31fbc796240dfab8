/** The page's end of a worker: one task at a time, cancelled at once, the worker replaced if it hangs. */
import type { FromWorker, PlainError, TaskTypes, ToWorker } from "./messages.ts";

/** How long a worker may take to answer a cancellation. */
const GRACE_MILLISECONDS = 2000;

/** What a worker's task ended with. */
export class TaskError extends Error {
  readonly line: number | null;
  constructor(plain: PlainError) {
    super(plain.message);
    this.name = plain.name;
    this.line = plain.line ?? null;
  }
}

/** The task was cancelled; `restarted` if its worker had to be stopped by force. */
export class Cancelled extends Error {
  override readonly name = "Cancelled";
  constructor(readonly restarted: boolean) {
    super(
      restarted
        ? `Cancelled. The worker did not answer within ${GRACE_MILLISECONDS / 1000} s, so it was stopped and started anew.`
        : "Cancelled.",
    );
  }
}

interface Pending {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: (value: never) => void;
}

export interface RunOptions<Progress> {
  readonly signal?: AbortSignal;
  readonly onProgress?: (value: Progress) => void;
}

export class WorkerClient<Tasks extends TaskTypes> {
  readonly #spawn: () => Worker;
  #worker: Worker | null = null;
  #nextId = 1;
  readonly #pending = new Map<number, Pending>();

  /** The worker starts with the first task. */
  constructor(spawn: () => Worker) {
    this.#spawn = spawn;
  }

  /** @throws TaskError, Cancelled */
  run<Name extends keyof Tasks & string>(
    task: Name,
    input: Tasks[Name]["input"],
    { signal, onProgress = () => {} }: RunOptions<Tasks[Name]["progress"]> = {},
  ): Promise<Tasks[Name]["result"]> {
    const id = this.#nextId++;
    this.#worker ??= this.#start();
    return new Promise<Tasks[Name]["result"]>((resolve, reject) => {
      if (signal?.aborted) return reject(new Cancelled(false));
      let grace: ReturnType<typeof setTimeout> | undefined;
      const settle = <Value>(then: (value: Value) => void) => {
        return (value: Value) => {
          clearTimeout(grace);
          signal?.removeEventListener("abort", cancel);
          this.#pending.delete(id);
          then(value);
        };
      };
      const cancel = () => {
        this.#send({ kind: "cancel", id });
        grace = setTimeout(() => this.#replace(new Cancelled(true)), GRACE_MILLISECONDS);
      };
      signal?.addEventListener("abort", cancel);
      this.#pending.set(id, {
        resolve: settle(resolve),
        reject: settle((error: Error) => reject(signal?.aborted ? asCancelled(error) : error)),
        onProgress,
      });
      this.#send({ kind: "start", id, task, input });
    });
  }

  #send(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }

  #start(): Worker {
    const worker = this.#spawn();
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      const pending = this.#pending.get(data.id);
      if (data.kind === "progress") pending?.onProgress(data.value as never);
      else if (data.kind === "result") pending?.resolve(data.value as never);
      else pending?.reject(new TaskError(data.error));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      const message = event.message || "its file could not be loaded";
      this.#replace(new TaskError({ name: "Error", message: `the worker failed: ${message}` }));
    };
    return worker;
  }

  /** Stops the worker; the next task starts another. */
  #replace(error: Error): void {
    this.#worker?.terminate();
    this.#worker = null;
    for (const { reject } of [...this.#pending.values()]) reject(error);
  }
}

/** After a cancellation whatever a task fails with is the cancellation. */
function asCancelled(error: Error): Cancelled {
  return error instanceof Cancelled ? error : new Cancelled(false);
}
