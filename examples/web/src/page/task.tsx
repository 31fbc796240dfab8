/** A task that is running, has ended or has failed, and what the page shows of it. */
import { useRef, useState } from "preact/hooks";
import { Cancelled, TaskError } from "../worker/client.ts";

export type TaskStatus = "idle" | "running" | "done" | "cancelled" | "failed";

export interface TaskState {
  readonly status: TaskStatus;
  /** What is being done, or how it ended. */
  readonly text: string;
  /** Share that is done, from 0 to 1; null where nobody knows. */
  readonly done: number | null;
  /** The line of the visitor's own code that is to blame. */
  readonly line: number | null;
}

const IDLE: TaskState = { status: "idle", text: "", done: null, line: null };

export interface TaskControl {
  readonly state: TaskState;
  /** Runs `work`; a text that it returns is how it ended. Nothing happens while another one runs. */
  start(work: (signal: AbortSignal, tell: Tell) => Promise<string>): Promise<void>;
  cancel(): void;
}

export type Tell = (text: string, done?: number) => void;

export function useTask(): TaskControl {
  const [state, setState] = useState(IDLE);
  const controller = useRef<AbortController | null>(null);
  return {
    state,
    async start(work) {
      if (controller.current) return;
      const own = new AbortController();
      controller.current = own;
      setState({ ...IDLE, status: "running", text: "Starting" });
      const tell: Tell = (text, done) => {
        if (own.signal.aborted) return;
        setState({ ...IDLE, status: "running", text, done: done ?? null });
      };
      try {
        const text = await work(own.signal, tell);
        setState({ ...IDLE, status: "done", text });
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        const line = error instanceof TaskError ? error.line : null;
        const status = error instanceof Cancelled ? "cancelled" : "failed";
        setState({ ...IDLE, status, text, line });
      } finally {
        controller.current = null;
      }
    },
    cancel() {
      if (!controller.current || controller.current.signal.aborted) return;
      setState({ ...IDLE, status: "running", text: "Cancelling" });
      controller.current.abort();
    },
  };
}

interface TaskButtonsProps {
  readonly task: TaskControl;
  readonly label: string;
  readonly onStart: () => void;
  readonly disabled?: boolean;
}

/** Start and cancel. Both stay where they are, so that focus is never lost. */
export function TaskButtons({ task, label, onStart, disabled = false }: TaskButtonsProps) {
  const running = task.state.status === "running";
  return (
    <div class="buttons">
      <button
        type="button"
        class="primary"
        aria-disabled={running || disabled}
        onClick={() => !running && !disabled && onStart()}
      >
        {label}
      </button>
      <button type="button" aria-disabled={!running} onClick={() => running && task.cancel()}>
        Cancel
      </button>
    </div>
  );
}

/** Progress and how it ended. What is read out are the stages, not each step of them. */
export function TaskProgress({ task, name }: { task: TaskControl; name: string }) {
  const { status, text, done } = task.state;
  const running = status === "running";
  const spoken = running ? text.split(":")[0] : text;
  return (
    <div class={`progress ${status}`}>
      {running && (
        <>
          {done === null ? (
            <progress aria-label={name} />
          ) : (
            <progress aria-label={name} value={done} max={1} />
          )}
          <p aria-hidden="true">{text} …</p>
        </>
      )}
      <p role="status" class={running || status === "failed" ? "visually-hidden" : undefined}>
        {status === "failed" ? "" : spoken}
      </p>
      <div role="alert">{status === "failed" && <p class="failure">{text}</p>}</div>
    </div>
  );
}
