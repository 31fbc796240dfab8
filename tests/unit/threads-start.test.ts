/** How the pool starts its threads, and what it makes of hosts that refuse them. */
import type { Worker as NodeWorker } from "node:worker_threads";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { inlinedKernels } from "../../src/backend/wasm/inlined.ts";
import { ThreadPool } from "../../src/backend/wasm/threads/pool.ts";
import { type BuiltPool, buildPool, call } from "../support/built-pool.ts";

let built: BuiltPool;
let module: WebAssembly.Module;
beforeAll(async () => {
  built = buildPool();
  module = await inlinedKernels("plain");
});
afterAll(() => built.remove());

const pools = new Set<ThreadPool>();
function openPool(size: number, worker: string | URL | undefined = built.worker): ThreadPool {
  const pool = new ThreadPool({ size, module, worker });
  pools.add(pool);
  return pool;
}

/** All workers that Node has started since the test began. */
let workers: NodeWorker[];
const onWorker = (worker: NodeWorker) => void workers.push(worker);
beforeEach(() => {
  workers = [];
  process.on("worker", onWorker);
});
afterEach(() => {
  process.off("worker", onWorker);
  for (const pool of pools) pool.terminate();
  pools.clear();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("a worker that is refused", () => {
  it.each(["missing", "foreign", "otherBuild"] as const)(
    "is replaced by the inlined one: %s",
    async (which) => {
      const url = which === "missing" ? new URL("missing.js", built.worker) : built[which];
      const pool = openPool(2, url);
      const [thread] = await pool.start();
      expect(await pool.start()).toHaveLength(2);
      expect(pool.reason).toBeNull();
      await expect(
        call(thread, "load", { image: new ArrayBuffer(2 ** 20), memoryLimit: 2 ** 16 }),
      ).rejects.toThrow(RangeError);
      // Once it has been refused, it is not tried again.
      const before = workers.length;
      pool.terminate();
      expect(await pool.start()).toHaveLength(2);
      expect(workers.length - before).toBe(2);
    },
  );

  it("leaves one thread, with the reasons, where there is no other way", async () => {
    let asked = 0;
    class Refused {
      constructor() {
        asked++;
        throw new Error("no threads here");
      }
    }
    vi.spyOn(process, "getBuiltinModule").mockReturnValue({ Worker: Refused } as never);
    const pool = openPool(3, built.worker);
    expect(await pool.start()).toEqual([]);
    expect(pool.reason).toBe(
      `${built.worker}: no threads here; node:worker_threads: no threads here`,
    );
    expect(await pool.start()).toEqual([]);
    expect(asked).toBe(2);
  });

  it("leaves one thread in hosts that have no workers", async () => {
    vi.spyOn(process, "getBuiltinModule").mockReturnValue(undefined as never);
    const pool = openPool(1);
    expect(await pool.start()).toEqual([]);
    expect(pool.reason).toBe(
      "this host has neither Worker nor node:worker_threads, which takes Node 20.16 or 22.3",
    );
  });

  it("leaves as many threads as the host has room for, and the host is not asked again", async () => {
    const { Worker } = process.getBuiltinModule("node:worker_threads");
    let asked = 0;
    class Scarce extends Worker {
      constructor(...args: ConstructorParameters<typeof Worker>) {
        asked++;
        if (asked > 2) throw new Error("no more threads");
        super(...args);
      }
    }
    vi.spyOn(process, "getBuiltinModule").mockReturnValue({ Worker: Scarce } as never);
    const pool = openPool(4);
    expect(await pool.start()).toHaveLength(2);
    expect(pool.reason).toBe(`${built.worker}: no more threads`);
    expect(asked).toBe(4);
    expect(await pool.start()).toHaveLength(2);
    expect(pool.reason).not.toBeNull();
    expect(asked).toBe(4);
  });

  it("is one that does not answer for ten seconds", async () => {
    vi.useFakeTimers();
    let ended = 0;
    class Silent {
      on() {}
      postMessage() {}
      ref() {}
      unref() {}
      terminate() {
        ended++;
      }
    }
    vi.spyOn(process, "getBuiltinModule").mockReturnValue({ Worker: Silent } as never);
    const pool = new ThreadPool({ size: 2, module });
    const starting = pool.start();
    await vi.advanceTimersByTimeAsync(9_999);
    expect(ended).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(await starting).toEqual([]);
    expect(ended).toBe(1);
    expect(pool.reason).toBe("node:worker_threads: no answer within 10 s");
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("in a page", () => {
  /** What a page has, as far as the pool needs it. */
  class PageWorker {
    static made: { url: string; options: WorkerOptions }[] = [];
    static refuses: (url: string) => "throw" | "event" | null = () => null;
    onmessage: ((event: { data: unknown }) => void) | null = null;
    onmessageerror: (() => void) | null = null;
    onerror: ((event: object) => void) | null = null;
    readonly preventDefault = vi.fn();
    readonly terminate = vi.fn();
    readonly #url: string;

    constructor(url: string | URL, options: WorkerOptions) {
      this.#url = `${url}`;
      PageWorker.made.push({ url: this.#url, options });
      const refusal = PageWorker.refuses(this.#url);
      if (refusal === "throw") throw new Error("SecurityError");
      if (refusal) setTimeout(() => this.onerror?.({ preventDefault: this.preventDefault }));
    }

    postMessage(): void {
      if (PageWorker.refuses(this.#url)) return;
      setTimeout(() => this.onmessage?.({ data: { reply: { build: "wrong" } } }));
    }
  }

  beforeEach(() => {
    PageWorker.made = [];
    vi.spyOn(process, "getBuiltinModule").mockReturnValue(undefined as never);
    vi.stubGlobal("Worker", PageWorker);
  });

  it.each(["throw", "event"] as const)(
    "the file that the caller names comes first, then a blob, then the file beside: %s",
    async (how) => {
      PageWorker.refuses = () => how;
      const pool = openPool(2, "/scripts/worker.js");
      expect(await pool.start()).toEqual([]);
      const [named, blob, beside] = PageWorker.made;
      expect(PageWorker.made).toHaveLength(3);
      expect(named).toMatchObject({ url: "/scripts/worker.js", options: { type: "module" } });
      expect(blob!.url).toMatch(/^blob:/);
      expect(blob!.options.type).toBeUndefined();
      expect(beside).toMatchObject({ options: { type: "module" } });
      expect(beside!.url).toMatch(/\/worker\.js$/);
      const why = how === "throw" ? "SecurityError" : expect.any(String);
      const reasons = pool.reason!.split("; ").map((reason) => reason.split(": "));
      expect(reasons).toEqual([
        ["/scripts/worker.js", why],
        ["blob", why],
        ["worker.js", why],
      ]);
    },
  );

  it("another build than the package's is refused, and says so", async () => {
    PageWorker.refuses = () => null;
    const pool = openPool(1);
    expect(await pool.start()).toEqual([]);
    expect(pool.reason).toMatch(
      /blob: expected build [0-9a-f]{12}, got wrong; worker\.js: expected/,
    );
  });

  it("memory is shared only where the page is isolated", () => {
    vi.stubGlobal("crossOriginIsolated", false);
    expect(openPool(1).shared).toBe(false);
    vi.stubGlobal("crossOriginIsolated", true);
    expect(openPool(1).shared).toBe(true);
    vi.stubGlobal("SharedArrayBuffer", undefined);
    expect(openPool(1).shared).toBe(false);
  });
});
