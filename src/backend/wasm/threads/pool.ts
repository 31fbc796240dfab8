/** A pool of worker threads that all have the kernels: started when first wanted, and then kept. */
import { workerBuild } from "../generated/worker.ts";
import type { Answer, Request, SentError, StartReply, StartRequest } from "./protocol.ts";
import { type HostWorker, type Way, waysToStart } from "./spawn.ts";

/** How long a worker may take to load and to instantiate the kernels before it counts as refused. */
const START_LIMIT_MS = 10_000;
const NO_WAY =
  "this host has neither Worker nor node:worker_threads, which takes Node 20.16 or 22.3";

export interface Thread {
  /**
   * Sends a request. A thread answers one after the other, in the order of the calls, and keeps the
   * process alive until it has answered all.
   *
   * @param transfer buffers in `request` that are moved instead of copied.
   * @returns the reply of the worker's handler for this task.
   * @throws what the handler threw, by name and message; Error if the thread ends before it has
   * answered; DataCloneError for what cannot be sent.
   */
  call<Reply extends object>(request: Request, transfer?: readonly ArrayBuffer[]): Promise<Reply>;
}

export interface PoolOptions {
  /** Threads beside the caller's. */
  readonly size: number;
  /** The kernels. */
  readonly module: WebAssembly.Module;
  /** Where the file `antler/worker.js` is, for hosts that do not take the program from a blob. */
  readonly worker?: string | URL | undefined;
}

/** The threads between two calls of `terminate`. */
interface Generation {
  readonly threads: Set<WorkerThread>;
  starting: Promise<readonly Thread[]> | null;
}

export class ThreadPool {
  readonly #options: PoolOptions;
  /** What the host has not refused yet. */
  readonly #ways: Way[];
  readonly #refusals: string[] = [];
  /** Smaller than asked for once the host has refused to start more. */
  #size: number;
  #reason: string | null = null;
  #current: Generation = { threads: new Set(), starting: null };

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#ways = waysToStart(options.worker);
    this.#size = options.size;
  }

  /** Why `start` gave fewer threads than asked for; null if it gave all. */
  get reason(): string | null {
    return this.#reason;
  }

  /** Whether threads can be sent a SharedArrayBuffer. */
  get shared(): boolean {
    return typeof SharedArrayBuffer !== "undefined" && globalThis.crossOriginIsolated !== false;
  }

  /**
   * Starts the threads that are missing, and waits until they have the kernels. Never rejects.
   *
   * @returns all threads that work: fewer than asked for, or none, where the host refuses.
   */
  start(): Promise<readonly Thread[]> {
    const generation = this.#current;
    generation.starting ??= this.#start(generation).finally(() => {
      generation.starting = null;
    });
    return generation.starting;
  }

  /**
   * Ends all threads, as soon as a run of the kernels returns; what they have not answered rejects at once.
   * A later `start` makes new ones.
   */
  terminate(): void {
    const { threads } = this.#current;
    this.#current = { threads: new Set(), starting: null };
    for (const thread of threads) thread.end("the pool was terminated");
  }

  async #start(generation: Generation): Promise<readonly Thread[]> {
    const { threads } = generation;
    while (threads.size < this.#size && this.#ways.length > 0) {
      const way = this.#ways[0]!;
      // The first finds out whether this way works: a violation of a policy is not reported by each.
      const count = threads.size === 0 ? 1 : this.#size - threads.size;
      const opened = Array.from({ length: count }, () => this.#open(way, threads));
      const refusal = (await Promise.all(opened)).find((reason) => reason !== null);
      if (generation !== this.#current) return [];
      if (!refusal) continue;
      this.#refusals.push(`${way.name}: ${refusal}`);
      // Asking again at every start would only cost time.
      if (threads.size > 0) this.#size = threads.size;
      else this.#ways.shift();
    }
    if (threads.size < this.#options.size) this.#reason = this.#refusals.join("; ") || NO_WAY;
    return [...threads];
  }

  /** @returns why the thread does not work; null if it does, and then it is among `threads`. */
  async #open(way: Way, threads: Set<WorkerThread>): Promise<string | null> {
    let thread: WorkerThread;
    try {
      thread = new WorkerThread(way, threads);
    } catch (error) {
      return (error as Error).message;
    }
    const end = () => thread.end(`no answer within ${START_LIMIT_MS / 1000} s`);
    const timer = setTimeout(end, START_LIMIT_MS);
    try {
      const request: StartRequest = { task: "start", module: this.#options.module };
      const { build } = await thread.call<StartReply>(request);
      if (build !== workerBuild) thread.end(`expected build ${workerBuild}, got ${build}`);
    } catch (error) {
      thread.end((error as Error).message);
    } finally {
      clearTimeout(timer);
    }
    return thread.ended;
  }
}

interface Pending {
  resolve(reply: never): void;
  reject(error: Error): void;
}

class WorkerThread implements Thread {
  /** Why it is of no more use; null while it is. */
  ended: string | null = null;
  readonly #worker: HostWorker;
  readonly #threads: Set<WorkerThread>;
  /** The oldest first, as they are answered. */
  readonly #pending: Pending[] = [];

  constructor({ open }: Way, threads: Set<WorkerThread>) {
    this.#worker = open({
      message: (data) => this.#answered(data),
      failed: (reason) => this.end(reason),
    });
    this.#threads = threads.add(this);
  }

  call<Reply extends object>(
    request: Request,
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.ended !== null) throw this.#failure();
      this.#worker.postMessage(request, transfer as ArrayBuffer[]);
      this.#pending.push({ resolve, reject });
      this.#worker.ref?.();
    });
  }

  /** May be called more than once. */
  end(reason: string): void {
    if (this.ended !== null) return;
    this.ended = reason;
    this.#threads.delete(this);
    this.#worker.terminate();
    for (const { reject } of this.#pending) reject(this.#failure());
  }

  #failure(): Error {
    return new Error(`threads: a worker ended before it had answered: ${this.ended}`);
  }

  /** @param data another program, at a URL that was wrong, may send anything. */
  #answered(data: unknown): void {
    const { reply, error = { name: "Error", message: "not Antler's worker" } } =
      (data as Answer | null) ?? {};
    const pending = this.#pending.shift();
    if (this.#pending.length === 0) this.#worker.unref?.();
    if (reply) pending?.resolve(reply as never);
    else pending?.reject(revived(error));
  }
}

/** An error as the worker threw it, as far as it can be sent. */
function revived({ name, message }: SentError): Error {
  const Kind = { RangeError, TypeError }[name] ?? Error;
  return Object.assign(new Kind(message), { name });
}
