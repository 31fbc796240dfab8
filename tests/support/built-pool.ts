/** The pool and workers for it, built as the package is, for tests and for processes of their own. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type BuildOptions, buildSync } from "esbuild";
import { workerBuild } from "../../src/backend/wasm/generated/worker.ts";
import type { Thread } from "../../src/backend/wasm/threads/pool.ts";

export interface BuiltPool {
  readonly folder: string;
  /** tests/support/pool-worker.ts, which says that it is of the package's own build. */
  readonly worker: URL;
  /** The same, of another build. */
  readonly otherBuild: URL;
  /** A worker that speaks another language. */
  readonly foreign: URL;
  /** Writes a module beside `pool.js` and `inlined.js`, bundles of src/. @returns its path */
  write(name: string, text: string): string;
  remove(): void;
}

const sourceOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export function buildPool(): BuiltPool {
  const folder = mkdtempSync(join(tmpdir(), "antler-pool-"));
  const bundle = (path: string, name: string, options: BuildOptions = {}) => {
    const outfile = join(folder, name);
    buildSync({ entryPoints: [sourceOf(path)], outfile, bundle: true, format: "esm", ...options });
    return pathToFileURL(outfile);
  };
  const write = (name: string, text: string) => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const worker = (name: string, build: string) =>
    bundle("pool-worker.ts", name, { define: { WORKER_BUILD: JSON.stringify(build) } });
  write("package.json", `{ "type": "module" }`);
  bundle("../../src/backend/wasm/threads/pool.ts", "pool.js");
  bundle("../../src/backend/wasm/inlined.ts", "inlined.js");
  return {
    folder,
    worker: worker("worker.js", workerBuild),
    otherBuild: worker("other.js", "another"),
    foreign: pathToFileURL(
      write(
        "foreign.js",
        `import { parentPort } from "node:worker_threads";
        parentPort.on("message", () => parentPort.postMessage("hello"));`,
      ),
    ),
    write,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Calls a handler of tests/support/pool-worker.ts, or of the package's own worker. */
export function call<Reply extends object>(
  thread: Thread | undefined,
  task: string,
  values: object = {},
  transfer?: ArrayBuffer[],
): Promise<Reply> {
  return thread!.call<Reply>({ task, ...values }, transfer);
}
