/** What a program on V8 holds in memory, asked through its inspector. */
import { createRequire } from "node:module";

// Node 20 has no WebSocket of its own; Miniflare brings one.
const require = createRequire(createRequire(import.meta.url).resolve("miniflare"));
const { WebSocket: Socket } = require("undici") as { WebSocket: typeof WebSocket };

interface HeapUsage {
  readonly usedSize: number;
  /** Of array buffers. */
  readonly backingStorageSize: number;
}

/**
 * Bytes that are alive after a collection: JavaScript's heap, and array buffers.
 *
 * @param url of the inspector's web socket
 */
export async function liveBytes(url: string): Promise<number> {
  const socket = new Socket(url);
  const waiting = new Map<number, (result: unknown) => void>();
  try {
    await new Promise<void>((resolve, reject) => {
      socket.onopen = () => resolve();
      socket.onerror = () => reject(new Error(`no inspector at ${url}`));
    });
    socket.onmessage = ({ data }) => {
      const { id, result } = JSON.parse(String(data)) as { id?: number; result: unknown };
      if (id !== undefined) waiting.get(id)?.(result);
    };
    const ask = (id: number, method: string) =>
      new Promise<unknown>((resolve) => {
        waiting.set(id, resolve);
        socket.send(JSON.stringify({ id, method }));
      });
    // Collects all garbage first, in workerd too, which does not answer to `collectGarbage`.
    await ask(1, "HeapProfiler.takeHeapSnapshot");
    const { usedSize, backingStorageSize } = (await ask(2, "Runtime.getHeapUsage")) as HeapUsage;
    return usedSize + (backingStorageSize ?? 0);
  } finally {
    socket.close();
  }
}
