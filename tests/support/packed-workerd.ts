/** A worker of workerd that answers HTTP on this machine, as Cloudflare runs it. */
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { Miniflare } from "miniflare";

export interface WorkerService {
  /** The JSON that the worker answers with. @throws Error for a status other than 200 */
  ask(path: string, body?: Uint8Array<ArrayBuffer>): Promise<unknown>;
  stop(): Promise<void>;
}

/** Modules that are no module of the worker: whoever imports one must say so. */
export interface WorkerModules {
  readonly folder: string;
  /** Paths in the folder; the first is the worker itself. Folders stand for all modules in them. */
  readonly paths: readonly string[];
}

/** Nothing is bundled here: what the modules import must be among them. */
export async function startWorker({ folder, paths }: WorkerModules): Promise<WorkerService> {
  const modules = paths.flatMap((path) =>
    filesOf(folder, path).map((file) => ({
      type: file.endsWith(".wasm") ? ("CompiledWasm" as const) : ("ESModule" as const),
      path: resolve(folder, file),
    })),
  );
  const miniflare = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    // Or it asks the network where on earth it is.
    cf: false,
    compatibilityDate: "2026-01-01",
    modulesRoot: folder,
    modules,
  });
  const origin = await miniflare.ready;
  return {
    async ask(path, body) {
      const response = await fetch(new URL(path, origin), body && { method: "POST", body });
      if (response.status !== 200) {
        throw new Error(`${path}: expected 200, got ${response.status}: ${await response.text()}`);
      }
      return response.json();
    },
    stop: () => miniflare.dispose(),
  };
}

function filesOf(folder: string, path: string): string[] {
  if (/\.(js|wasm)$/.test(path)) return [path];
  const names = readdirSync(join(folder, path));
  return names.filter((name) => /\.(js|wasm)$/.test(name)).map((name) => join(path, name));
}
