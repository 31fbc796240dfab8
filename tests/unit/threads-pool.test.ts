/** The pool of worker threads, in Node: what comes of calls, of threads that end, and of processes. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import type { Worker as NodeWorker } from "node:worker_threads";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
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
});

describe("a pool", () => {
  it("starts nothing before it is asked to, and then each thread once", async () => {
    const pool = openPool(3);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(workers).toHaveLength(0);
    const starting = pool.start();
    expect(pool.start()).toBe(starting);
    const once = await starting;
    expect(once).toHaveLength(3);
    expect(new Set(once).size).toBe(3);
    expect(await pool.start()).toEqual(once);
    expect(workers).toHaveLength(3);
    expect(pool.reason).toBeNull();
  });

  it("has none, and no reason to tell, where none is asked for", async () => {
    const pool = openPool(0);
    expect(await pool.start()).toEqual([]);
    expect(pool.reason).toBeNull();
    expect(workers).toHaveLength(0);
  });

  it("gives each thread an instance of the kernels", async () => {
    const { exports } = await WebAssembly.instantiate(module);
    const heapBase = (exports.heapBase as () => number)();
    for (const thread of await openPool(2).start()) {
      expect(await call(thread, "heapBase")).toEqual({ heapBase });
    }
  });

  it("runs the package's own program where no other is given", async () => {
    const pool = new ThreadPool({ size: 1, module });
    pools.add(pool);
    const [thread] = await pool.start();
    const load = (memoryLimit: number) =>
      call(thread, "load", { image: new ArrayBuffer(2 ** 20), memoryLimit });
    await expect(load(2 ** 16)).rejects.toThrow(RangeError);
    await expect(load(2 ** 24)).rejects.toThrow(/memory: expected at most/);
  });
});

describe("calls", () => {
  it("are answered in order, also where a later one has less to do", async () => {
    const [thread] = await openPool(1).start();
    const answered: number[] = [];
    const calls = [30, 0, 10].map(async (ms, index) => {
      const { value } = await call<{ value: number }>(thread, "after", { ms, value: index });
      answered.push(value);
      return value;
    });
    expect(await Promise.all(calls)).toEqual([0, 1, 2]);
    expect(answered).toEqual([0, 1, 2]);
  });

  it("go to threads that work side by side", async () => {
    const [first, second] = await openPool(2).start();
    // Never answered while the first is at it, were they one thread.
    const hanging = call(first, "hang");
    hanging.catch(() => {});
    expect(await call(second, "after", { ms: 0, value: 5 })).toEqual({ value: 5 });
  });

  it("move the buffers that are to be moved, both ways", async () => {
    const [thread] = await openPool(1).start();
    const values = Float32Array.of(1, 2, 3);
    const reply = call<{ values: Float32Array }>(thread, "double", { values }, [values.buffer]);
    expect(values.length).toBe(0);
    expect((await reply).values).toEqual(Float32Array.of(2, 4, 6));
    expect(await call(thread, "left")).toEqual({ value: 0 });
  });

  it("share memory, as the pool says", async () => {
    const pool = openPool(1);
    const [thread] = await pool.start();
    expect(pool.shared).toBe(true);
    const shared = new SharedArrayBuffer(8);
    await call(thread, "fill", { shared });
    expect(new Float32Array(shared)).toEqual(Float32Array.of(7, 7));
  });

  it.each([
    ["RangeError", RangeError, "RangeError", "too far"],
    ["TypeError", TypeError, "TypeError", "of another kind"],
    ["OwnError", Error, "OwnError", "our own"],
    ["a string", Error, "Error", "not an error"],
  ])("throw what the handler threw: %s", async (what, kind, name, message) => {
    const [thread] = await openPool(1).start();
    const error = await call(thread, "fail", { what }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(kind);
    expect(error).toMatchObject({ name, message });
    expect(await call(thread, "after", { ms: 0, value: 1 })).toEqual({ value: 1 });
  });

  it("throw when the kernels trap, and the thread goes on", async () => {
    const [thread] = await openPool(1).start();
    await expect(call(thread, "trap")).rejects.toMatchObject({ name: "RuntimeError" });
    await expect(call(thread, "heapBase")).resolves.toBeDefined();
  });

  it("throw where something cannot be sent, and the next answer is the next call's", async () => {
    const [thread] = await openPool(1).start();
    const before = call(thread, "after", { ms: 10, value: 1 });
    await expect(call(thread, "after", { value: () => {} } as never)).rejects.toMatchObject({
      name: "DataCloneError",
    });
    await expect(call(thread, "unsendable")).rejects.toThrow(/could not be cloned/);
    expect(await before).toEqual({ value: 1 });
    expect(await call(thread, "after", { ms: 0, value: 2 })).toEqual({ value: 2 });
  });
});

describe("a thread that ends", () => {
  it.each([
    ["crash", /^threads: a worker ended before it had answered: out of the blue$/],
    ["exit", /^threads: a worker ended before it had answered: exit code 3$/],
  ])("fails its calls, leaves the others alone, and is replaced: %s", async (task, message) => {
    const pool = openPool(2);
    const [doomed, other] = await pool.start();
    const unharmed = call(other, "after", { ms: 50, value: 8 });
    const fate = call(doomed, task);
    const behind = call(doomed, "heapBase");
    await expect(fate).rejects.toThrow(message);
    await expect(behind).rejects.toThrow(message);
    await expect(call(doomed, "heapBase")).rejects.toThrow(message);
    expect(await unharmed).toEqual({ value: 8 });
    const now = await pool.start();
    expect(now).toHaveLength(2);
    expect(now).toContain(other);
    expect(now).not.toContain(doomed);
    expect(workers).toHaveLength(3);
    for (const thread of now) await call(thread, "heapBase");
  });

  it("may be all of them, at work: those of a pool that is terminated, which can start again", async () => {
    const pool = openPool(2);
    const threads = await pool.start();
    const fates = Promise.allSettled(threads.map((thread) => call(thread, "spin")));
    // Or they would not have begun.
    await new Promise((resolve) => setTimeout(resolve, 50));
    const exits = workers.map((worker) => once(worker, "exit"));
    pool.terminate();
    expect(await Promise.all(exits)).toHaveLength(2);
    const message = "threads: a worker ended before it had answered: the pool was terminated";
    const reason = expect.objectContaining({ message });
    const rejected = { status: "rejected", reason };
    expect(await fates).toEqual([rejected, rejected]);
    await expect(call(threads[0], "heapBase")).rejects.toThrow(message);
    pool.terminate();
    const others = await pool.start();
    expect(others).toHaveLength(2);
    expect(others.some((thread) => threads.includes(thread))).toBe(false);
    await call(others[0], "heapBase");
  });

  it("may not have started yet: then starting gives none, and what is started next is whole", async () => {
    const pool = openPool(2);
    const starting = pool.start();
    pool.terminate();
    const next = pool.start();
    expect(await starting).toEqual([]);
    const threads = await next;
    expect(threads).toHaveLength(2);
    for (const thread of threads) await call(thread, "heapBase");
    expect(pool.reason).toBeNull();
  });
});

describe("a process with a pool", { timeout: 60_000 }, () => {
  const run = async (name: string, text: string, ...args: string[]) => {
    const path = built.write(
      name,
      `import { ThreadPool } from "./pool.js";
      import { inlinedKernels } from "./inlined.js";
      const module = await inlinedKernels("plain");
      const worker = new URL("./worker.js", import.meta.url);
      ${text}`,
    );
    const options = { timeout: 50_000, cwd: built.folder };
    const { stdout } = await promisify(execFile)(process.execPath, [...args, path], options);
    return stdout.trimEnd().split("\n");
  };

  it("ends by itself after the last answer, with all threads alive", async () => {
    const text = `
      const pool = new ThreadPool({ size: 2, module, worker });
      const threads = await pool.start();
      await Promise.all(threads.map((thread) => thread.call({ task: "heapBase" })));
      process.on("exit", (code) => console.log(threads.length, "exit", code));`;
    expect(await run("ends.js", text)).toEqual(["2 exit 0"]);
  });

  it("does not end before: neither while it starts, nor while a call is pending", async () => {
    const text = `
      const pool = new ThreadPool({ size: 1, module, worker });
      // Nothing but the pool keeps the process alive.
      pool.start().then(async ([thread]) => {
        const calls = [1, 2].map((value) => thread.call({ task: "after", ms: 100, value }));
        for (const call of calls) console.log((await call).value);
        await thread.call({ task: "fail", what: "RangeError" }).catch(({ name }) => console.log(name));
        console.log((await thread.call({ task: "after", ms: 50, value: 3 })).value);
      });`;
    expect(await run("pending.js", text)).toEqual(["1", "2", "RangeError", "3"]);
  });

  it("ends where threads have crashed or were terminated while they were at work", async () => {
    const text = `
      const pool = new ThreadPool({ size: 2, module, worker });
      const [first, second] = await pool.start();
      await first.call({ task: "exit" }).catch(() => console.log("crashed"));
      const hanging = second.call({ task: "hang" }).catch(() => console.log("terminated"));
      pool.terminate();
      await hanging;`;
    expect(await run("ended.js", text)).toEqual(["crashed", "terminated"]);
  });

  it("does not pass its options on to the threads", async () => {
    built.write("preloaded.cjs", `console.log("preloaded");`);
    const text = `
      const pool = new ThreadPool({ size: 2, module });
      console.log((await pool.start()).length);`;
    const lines = await run("options.js", text, "--require", "./preloaded.cjs");
    expect(lines).toEqual(["preloaded", "2"]);
  });

  it("holds on to nothing after starting and terminating 50 times", async () => {
    const text = `
      import { readdirSync } from "node:fs";
      const workers = [];
      process.on("worker", (worker) => {
        workers.push(new WeakRef(worker));
        worker.on("exit", () => ended++);
      });
      let ended = 0;
      const pool = new ThreadPool({ size: 1, module, worker });
      const turn = async () => {
        const [thread] = await pool.start();
        await thread.call({ task: "heapBase" });
        pool.terminate();
      };
      const settle = async (count) => {
        while (ended < count) await new Promise((resolve) => setTimeout(resolve, 5));
        for (let i = 0; i < 5; i++) {
          await new Promise((resolve) => setTimeout(resolve, 5));
          gc();
        }
      };
      const osThreads = () => process.platform === "linux" ? readdirSync("/proc/self/task").length : 0;
      const memory = () => process.memoryUsage().heapUsed;
      for (let i = 0; i < 10; i++) await turn();
      await settle(10);
      const before = { threads: osThreads(), heap: memory() };
      for (let i = 0; i < 50; i++) await turn();
      await settle(60);
      const held = workers.filter((worker) => worker.deref()).length;
      const threads = osThreads() - before.threads;
      console.log(JSON.stringify({ started: workers.length, held, threads, heap: memory() - before.heap }));`;
    const [line] = await run("leak.js", text, "--expose-gc");
    const { started, held, threads, heap } = JSON.parse(line!);
    expect(started).toBe(60);
    expect({ held, threads }).toEqual({ held: 0, threads: 0 });
    expect(heap, `bytes for 50 turns: ${heap}`).toBeLessThan(50 * 2048);
  });
});
