/** The worker's side: requests are answered one after the other, in order. */
import type { Answer, Request, StartReply, StartRequest } from "./protocol.ts";

export interface Reply {
  readonly reply: object;
  /** Buffers in `reply` that are moved instead of copied. */
  readonly transfer?: ArrayBuffer[];
}

export type Handlers = Readonly<Record<string, (request: never) => Reply | Promise<Reply>>>;

/** The end of the channel in a worker, of whichever kind. */
interface Port {
  onmessage: ((event: { readonly data: Request }) => void) | null;
  onmessageerror: (() => void) | null;
  postMessage(answer: Answer, transfer?: ArrayBuffer[]): void;
}

interface WorkerHost extends Port {
  readonly process?: {
    getBuiltinModule?(name: string): { readonly parentPort?: Port | null } | undefined;
  };
}

/** Written by the build: a digest of the worker's program. */
declare const WORKER_BUILD: string;

/**
 * Answers the calls of the thread that started this worker.
 *
 * @param start takes the kernels and makes the handlers, by task. What a handler throws
 * is thrown by the call.
 */
export function serve(start: (module: WebAssembly.Module) => Promise<Handlers>): void {
  const host = globalThis as unknown as WorkerHost;
  const port = host.process?.getBuiltinModule?.("node:worker_threads")?.parentPort ?? host;

  let handlers: Handlers = {
    async start({ module }: StartRequest) {
      handlers = await start(module);
      const reply: StartReply = { build: WORKER_BUILD };
      return { reply };
    },
  };
  let last = Promise.resolve();
  const answer = (work: () => Reply | Promise<Reply>) => {
    last = last.then(async () => {
      try {
        const { reply, transfer = [] } = await work();
        port.postMessage({ reply }, transfer);
      } catch (thrown) {
        const { name, message } = thrown instanceof Error ? thrown : new Error(String(thrown));
        port.postMessage({ error: { name, message } });
      }
    });
  };
  port.onmessage = ({ data }) => answer(() => handlers[data.task]!(data as never));
  port.onmessageerror = () =>
    answer(() => {
      throw new Error("threads: a worker could not read a request");
    });
}
