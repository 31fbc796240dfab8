/** How worker threads are started where the host has them: in Node, Deno, Bun, pages and workers. */
import { workerSource } from "../generated/worker.ts";

/** A worker of whichever kind the host has. */
export interface HostWorker {
  /** @throws DataCloneError for what cannot be sent */
  postMessage(message: object, transfer: ArrayBuffer[]): void;
  terminate(): unknown;
  /** Keeps the process from ending before the worker; pages have no process. */
  ref?(): void;
  unref?(): void;
}

export interface WorkerEvents {
  /** It has sent something. */
  message(data: unknown): void;
  /** It is of no more use; may be called more than once. */
  failed(reason: string): void;
}

export interface Way {
  /** For the reason that users are told. */
  readonly name: string;
  /** @throws Error where the host refuses at once; others do so later, by `failed`. */
  open(events: WorkerEvents): HostWorker;
}

/** The part of `node:worker_threads` that is used. */
interface NodeThreads {
  readonly Worker: new (
    program: string | URL,
    options: { eval: boolean; execArgv: string[]; name: string },
  ) => NodeWorker;
}

interface NodeWorker extends HostWorker {
  on(event: "message", listener: (data: unknown) => void): void;
  on(event: "error" | "messageerror", listener: (error: Error) => void): void;
  on(event: "exit", listener: (code: number) => void): void;
}

interface Host {
  readonly process?: { getBuiltinModule?(name: string): NodeThreads | undefined };
  readonly Deno?: object;
  readonly Worker?: object;
}

/**
 * The ways to start a worker that may work here, the best first.
 *
 * @param file where `antler/worker.js` is, if the caller says so.
 */
export function waysToStart(file: string | URL | undefined): Way[] {
  const { process, Deno, Worker } = globalThis as Host;
  const ways: Way[] = [];
  // Deno and Bun have it, too, and only this way does Deno let a process end before its workers.
  const node = process?.getBuiltinModule?.("node:worker_threads");
  if (node) {
    if (file) ways.push({ name: `${file}`, open: inNode(node, () => new URL(file)) });
    ways.push({ name: "node:worker_threads", open: inNode(node, () => workerSource) });
  }
  if (Worker && !Deno) {
    if (file) ways.push({ name: `${file}`, open: inPage(() => openModule(file)) });
    ways.push({ name: "blob", open: inPage(openBlob) });
    ways.push({ name: "worker.js", open: inPage(openBeside) });
  }
  return ways;
}

function inNode({ Worker }: NodeThreads, program: () => string | URL): Way["open"] {
  return ({ message, failed }) => {
    const code = program();
    const isSource = typeof code === "string";
    // Not with the options of the process, which load programs that have no business here.
    const worker = new Worker(code, { eval: isSource, execArgv: [], name: "antler" });
    worker.on("message", message);
    worker.on("messageerror", ({ message }) => failed(message));
    worker.on("error", ({ message }) => failed(message));
    worker.on("exit", (code) => failed(`exit code ${code}`));
    return worker;
  };
}

function inPage(open: () => Worker): Way["open"] {
  return ({ message, failed }) => {
    const worker = open();
    worker.onmessage = ({ data }) => message(data);
    worker.onmessageerror = () => failed("a message that cannot be read");
    worker.onerror = (event) => {
      // Or the page hears of an error that it cannot do anything about.
      event.preventDefault();
      failed(event.message || "not found, or refused by the policy of the page (worker-src)");
    };
    return worker;
  };
}

function openModule(file: string | URL): Worker {
  return new Worker(file, { type: "module", name: "antler" });
}

let blobUrl: string | undefined;

/** A classic worker, which more browsers have. The URL serves all pools of the page. */
function openBlob(): Worker {
  blobUrl ??= URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" }));
  return new Worker(blobUrl, { name: "antler" });
}

/** For policies without `blob:`. In this very form, Vite and webpack find the file and take it along. */
function openBeside(): Worker {
  return new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
}
