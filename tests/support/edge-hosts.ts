/** The service of examples/edge on real hosts: bundled as for its users, started, watched and stopped. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { build, type OutputFile } from "esbuild";
import { Miniflare } from "miniflare";
import { denoProgram } from "../../scripts/package/project.mjs";
import { liveBytes } from "./inspector.ts";

export interface EdgeHost {
  readonly origin: string;
  readonly port: number;
  /** Bytes of memory that the server's process has resident, or null where the system does not tell. */
  residentBytes(): number | null;
  /** Bytes of JavaScript's heap and array buffers that are left after a collection. */
  liveBytes(): Promise<number>;
  stop(): Promise<void>;
}

export type EdgeHostName = "Deno" | "workerd" | "Node";
export type Variables = Readonly<Record<string, string>>;

const example = fileURLToPath(new URL("../../examples/edge/", import.meta.url));
const kernel = fileURLToPath(new URL("../../dist/kernel.wasm", import.meta.url));
const START_LIMIT_MS = 60_000;

/** @param variables the service's settings, as its environment has them. */
export function startEdge(name: EdgeHostName, variables: Variables = {}): Promise<EdgeHost> {
  if (name === "workerd") return startWorkerd(variables);
  return startProgram(name, variables);
}

/** The entry `file` of the example with all that it imports, in modules that lie in `folder`. */
async function bundle(file: string, folder: string, write: boolean): Promise<OutputFile[]> {
  const forWorkerd = file === "worker.ts";
  const { outputFiles = [] } = await build({
    entryPoints: [join(example, file)],
    outdir: folder,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: file === "node.ts" ? "node" : "neutral",
    outExtension: { ".js": ".mjs" },
    logLevel: "silent",
    write,
    ...(forWorkerd && {
      conditions: ["workerd"],
      plugins: [
        {
          name: "wasm as a module",
          setup: ({ onResolve }) => {
            onResolve({ filter: /\.wasm$/ }, () => ({ path: "./kernel.wasm", external: true }));
          },
        },
      ],
    }),
  });
  return outputFiles;
}

async function startWorkerd(variables: Variables): Promise<EdgeHost> {
  const folder = join(tmpdir(), "antler-edge-worker");
  const files = await bundle("worker.ts", folder, false);
  const entryFirst = files.sort(({ path }) => (path.endsWith("worker.mjs") ? -1 : 1));
  const before = new Set(childrenNamed("workerd"));
  const miniflare = new Miniflare({
    compatibilityDate: "2026-04-01",
    compatibilityFlags: ["enable_request_signal"],
    // It logs every malformed request.
    handleRuntimeStdio: (out: Readable, error: Readable) => {
      out.resume();
      error.resume();
    },
    // Else it asks the network what Cloudflare would tell of a request.
    cf: false,
    inspectorPort: 0,
    host: "127.0.0.1",
    port: 0,
    bindings: { ...variables },
    modulesRoot: folder,
    modules: [
      ...entryFirst.map(({ path, text }) => ({
        type: "ESModule" as const,
        path,
        contents: text,
      })),
      {
        type: "CompiledWasm" as const,
        path: join(folder, "kernel.wasm"),
        contents: readFileSync(kernel),
      },
    ],
  });
  const { port } = await miniflare.ready;
  const inspector = new URL("/core:user:", await miniflare.getInspectorURL());
  const pid = childrenNamed("workerd").find((child) => !before.has(child));
  return {
    origin: `http://127.0.0.1:${port}`,
    port: Number(port),
    residentBytes: () => residentBytes(pid),
    liveBytes: () => liveBytes(inspector.href),
    stop: () => miniflare.dispose(),
  };
}

const denoOptions = ["--no-lock", "--no-prompt", "--no-remote"];
/** As much heap as an edge gives; the port of the inspector is any that is free. */
const denoLimits = ["--v8-flags=--max-old-space-size=128", "--inspect=127.0.0.1:0"];
const denoPermissions = ["--allow-net=127.0.0.1", "--allow-env"];

async function startProgram(name: "Deno" | "Node", variables: Variables): Promise<EdgeHost> {
  const folder = mkdtempSync(join(tmpdir(), "antler-edge-"));
  await bundle(name === "Deno" ? "deno.ts" : "node.ts", folder, true);
  const deno = ["run", "--no-config", ...denoOptions, ...denoLimits, ...denoPermissions];
  const [program, args] =
    name === "Deno"
      ? [denoProgram(), [...deno, "deno.mjs"]]
      : [process.execPath, ["--inspect=127.0.0.1:0", "node.mjs"]];
  const child = spawn(program, args, {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      ...variables,
      PORT: "0",
      DENO_DIR: join(folder, "cache"),
      DENO_NO_UPDATE_CHECK: "1",
    },
  });
  return untilListening(child, () => rmSync(folder, { recursive: true, force: true }));
}

/** The unbundled program, started by the command that the README gives. */
export function startDenoFromSource(): Promise<EdgeHost> {
  const args = ["run", ...denoOptions, "--allow-net", "--allow-env", "deno.ts"];
  const folder = mkdtempSync(join(tmpdir(), "antler-edge-"));
  const child = spawn(denoProgram(), args, {
    cwd: example,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      PORT: "0",
      DENO_DIR: join(folder, "cache"),
      DENO_NO_UPDATE_CHECK: "1",
    },
  });
  return untilListening(child, () => rmSync(folder, { recursive: true, force: true }));
}

/** @throws Error with what the program printed, where it ends instead. */
function untilListening(child: ChildProcess, clear: () => void): Promise<EdgeHost> {
  return new Promise((resolve, reject) => {
    let printed = "";
    const ended = new Promise<void>((done) => child.once("exit", () => done()));
    const fail = (why: string) => {
      child.kill("SIGKILL");
      ended.then(clear);
      reject(new Error(`the edge example ${why}; it printed:\n${printed}`));
    };
    const timer = setTimeout(() => fail("does not listen"), START_LIMIT_MS);
    const endedEarly = () => fail("ended");
    child.once("exit", endedEarly);
    child.stderr!.on("data", (data) => {
      printed += data;
    });
    child.stdout!.on("data", (data) => {
      printed += data;
      const found = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(printed);
      if (!found) return;
      clearTimeout(timer);
      child.off("exit", endedEarly);
      resolve({
        origin: `http://127.0.0.1:${found[1]}`,
        port: Number(found[1]),
        residentBytes: () => residentBytes(child.pid),
        liveBytes: () => {
          const inspector = /listening on (ws:\S+)/.exec(printed);
          if (!inspector) throw new Error(`no inspector; the program printed:\n${printed}`);
          return liveBytes(inspector[1]);
        },
        stop: async () => {
          child.kill("SIGKILL");
          await ended;
          clear();
        },
      });
    });
  });
}

/** Processes that this one started, by the name of their program; none where there is no /proc. */
function childrenNamed(name: string): number[] {
  if (!existsSync("/proc/self/stat")) return [];
  const found: number[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    let stat: string;
    try {
      stat = readFileSync(`/proc/${entry}/stat`, "utf8");
    } catch {
      // It has ended meanwhile.
      continue;
    }
    // "pid (name) state parent ..."
    const [, program, rest] = /\((.*)\) (.*)$/s.exec(stat)!;
    if (program === name && Number(rest.split(" ")[1]) === process.pid) found.push(Number(entry));
  }
  return found;
}

function residentBytes(pid: number | undefined): number | null {
  const path = `/proc/${pid}/status`;
  if (pid === undefined || !existsSync(path)) return null;
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(path, "utf8"));
  return kilobytes ? 1024 * Number(kilobytes[1]) : null;
}
