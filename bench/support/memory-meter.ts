/**
 * What evaluations hold and send around: WebAssembly memories, arrays, and what goes to workers. It looks
 * over the shoulder of the constructors, so it must be there before what it is to see.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";

export interface MemoryUse {
  /** Bytes of the WebAssembly memories of this thread that were made since the last `reset`. */
  readonly wasm: number;
  /** Bytes of live objects and array buffers after a collection, WebAssembly memories aside. */
  readonly live: number;
  /** Bytes of shared array buffers made since the last `reset`. */
  readonly shared: number;
  /** Bytes of array buffers sent to workers since the last `reset`. */
  readonly sent: number;
}

export interface MemoryMeter {
  read(): Promise<MemoryUse>;
  reset(): void;
  /** Puts the constructors back. */
  stop(): void;
}

export function openMemoryMeter(): MemoryMeter {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  let memories: WeakRef<WebAssembly.Memory>[] = [];
  let shared = 0;
  let sent = 0;
  const { instantiate } = WebAssembly;
  const { SharedArrayBuffer: Shared } = globalThis;
  const { postMessage } = Worker.prototype;

  const note = (instance: WebAssembly.Instance) => {
    for (const value of Object.values(instance.exports)) {
      if (value instanceof WebAssembly.Memory) memories.push(new WeakRef(value));
    }
  };
  WebAssembly.instantiate = (async (
    source: BufferSource | WebAssembly.Module,
    imports?: object,
  ) => {
    const result = await (instantiate as (...args: unknown[]) => Promise<unknown>)(source, imports);
    note(
      result instanceof WebAssembly.Instance
        ? result
        : (result as WebAssembly.WebAssemblyInstantiatedSource).instance,
    );
    return result;
  }) as typeof instantiate;
  globalThis.SharedArrayBuffer = new Proxy(Shared, {
    construct: (target, args, newTarget) => {
      shared += Number(args[0]);
      return Reflect.construct(target, args, newTarget) as object;
    },
  });
  Worker.prototype.postMessage = function (this: Worker, value: unknown, ...rest: unknown[]) {
    const [transfer] = rest as [readonly unknown[] | undefined];
    for (const item of transfer ?? []) if (item instanceof ArrayBuffer) sent += item.byteLength;
    return (postMessage as (...args: unknown[]) => void).call(this, value, ...rest);
  } as typeof postMessage;

  return {
    read: async () => {
      // The buffers of dead arrays are freed some time after the collection that found them dead.
      for (let round = 0; round < 3; round++) {
        collect();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      let wasm = 0;
      for (const reference of memories) wasm += reference.deref()?.buffer.byteLength ?? 0;
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      return { wasm, live: heapUsed + arrayBuffers, shared, sent };
    },
    reset: () => {
      memories = [];
      shared = 0;
      sent = 0;
    },
    stop: () => {
      WebAssembly.instantiate = instantiate;
      globalThis.SharedArrayBuffer = Shared;
      Worker.prototype.postMessage = postMessage;
    },
  };
}
