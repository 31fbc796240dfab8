/** The worker's end: runs tasks, tells how they go, and stops them. */
import { type FromWorker, type TaskTypes, type ToWorker, toPlainError } from "./messages.ts";

export interface TaskContext<Progress> {
  readonly signal: AbortSignal;
  tell(value: Progress): void;
}

export type TaskHandlers<Tasks extends TaskTypes> = {
  readonly [Name in keyof Tasks]: (
    input: Tasks[Name]["input"],
    context: TaskContext<Tasks[Name]["progress"]>,
  ) => Promise<Tasks[Name]["result"]>;
};

/** The worker's global scope; the DOM's types, which this project uses, take it for a window. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
}

export function serveTasks<Tasks extends TaskTypes>(handlers: TaskHandlers<Tasks>): void {
  const scope = globalThis as unknown as WorkerScope;
  const running = new Map<number, AbortController>();
  const start = async (id: number, task: string, input: unknown) => {
    const controller = new AbortController();
    running.set(id, controller);
    try {
      const value = await handlers[task](input as never, {
        signal: controller.signal,
        tell: (progress) => scope.postMessage({ kind: "progress", id, value: progress }),
      });
      scope.postMessage({ kind: "result", id, value });
    } catch (error) {
      scope.postMessage({ kind: "error", id, error: toPlainError(error) });
    } finally {
      running.delete(id);
    }
  };
  scope.onmessage = ({ data }) => {
    if (data.kind === "start") start(data.id, data.task, data.input);
    else running.get(data.id)?.abort();
  };
}
