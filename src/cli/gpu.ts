/**
 * WebGPU for the command line: `navigator.gpu` where the host has one, else the optional package `webgpu`,
 * looked for from the user's folder and beside Antler.
 *
 * A driver may crash the process that asks it, or write on stderr by itself. So a child process asks first.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Gpu } from "../types.ts";
import { reasonOf } from "./failure.ts";
import { factsOf, type GpuFacts } from "./gpu-facts.ts";

export interface GpuOptions {
  /** Dawn's own options, such as "backend=vulkan"; only for the package `webgpu`. */
  readonly dawn?: readonly string[] | undefined;
}

export interface ProbeOptions extends GpuOptions {
  readonly selfTest?: boolean;
}

export type GpuSource =
  | { readonly kind: "host" }
  | { readonly kind: "package"; readonly entry: string; readonly version: string }
  | { readonly kind: "none" };

export type Probe =
  | { readonly found: true; readonly source: GpuSource; readonly facts: GpuFacts }
  | {
      readonly found: false;
      readonly source: GpuSource;
      readonly stage: "source" | "load" | "adapter" | "crash";
      readonly reason: string;
    };

/** What the child prints. */
export type ProbeAnswer =
  | { readonly facts: GpuFacts }
  | { readonly stage: "load" | "adapter"; readonly reason: string };

/** The hidden command that the child runs. */
export const PROBE_COMMAND = "probe-gpu";
/** Compiling shaders for a GPU in software takes seconds; a driver that hangs must not hang the user. */
const PROBE_SECONDS = 120;

export function findGpu(): GpuSource {
  const host = globalThis as { navigator?: { gpu?: unknown } };
  if (host.navigator?.gpu) return { kind: "host" };
  for (const from of [pathToFileURL(join(process.cwd(), "antler.js")).href, import.meta.url]) {
    try {
      const entry = createRequire(from).resolve("webgpu");
      return { kind: "package", entry, version: versionOf(entry) };
    } catch {
      // Not there; perhaps in the next place.
    }
  }
  return { kind: "none" };
}

/** Of the package that a file belongs to. */
function versionOf(entry: string): string {
  for (let folder = dirname(entry); folder !== dirname(folder); folder = dirname(folder)) {
    const manifest = join(folder, "package.json");
    if (!existsSync(manifest)) continue;
    const { version } = JSON.parse(readFileSync(manifest, "utf8"));
    if (typeof version === "string") return version;
  }
  return "of unknown version";
}

/** @throws what the package throws while it loads. */
export async function loadGpu(source: GpuSource, { dawn = [] }: GpuOptions): Promise<Gpu> {
  if (source.kind === "host")
    return (globalThis as unknown as { navigator: { gpu: Gpu } }).navigator.gpu;
  if (source.kind === "none") throw new Error("there is no WebGPU to load");
  const { create } = (await import(pathToFileURL(source.entry).href)) as {
    create(options: readonly string[]): Gpu;
  };
  return create([...dawn]);
}

/** Asks for an adapter; with `selfTest`, evaluates something on it too. */
export async function tryGpu(options: ProbeOptions): Promise<ProbeAnswer> {
  let gpu: Gpu;
  try {
    gpu = await loadGpu(findGpu(), options);
  } catch (error) {
    return { stage: "load", reason: reasonOf(error) };
  }
  try {
    return { facts: await factsOf(gpu, options.selfTest === true) };
  } catch (error) {
    return { stage: "adapter", reason: reasonOf(error) };
  }
}

/** As `tryGpu`, in a process of its own where the package `webgpu` is used. */
export async function probeGpu(options: ProbeOptions, signal?: AbortSignal): Promise<Probe> {
  const source = findGpu();
  if (source.kind === "none") {
    const reason = "no navigator.gpu, and the optional package `webgpu` is not installed";
    return { found: false, source, stage: "source", reason };
  }
  const apart = source.kind === "package" && process.versions.deno === undefined;
  if (!apart) {
    const answer = await tryGpu(options);
    return "facts" in answer
      ? { found: true, source, ...answer }
      : { found: false, source, ...answer };
  }
  const { dawn = [], selfTest = false } = options;
  const flags = [...dawn.flatMap((flag) => ["--dawn", flag]), ...(selfTest ? ["--self-test"] : [])];
  const child = await runProgram([PROBE_COMMAND, ...flags], signal);
  const answer = answerIn(child.stdout);
  if (answer && "facts" in answer) return { found: true, source, facts: answer.facts };
  if (answer) {
    // What the driver's loader writes on stderr is often the only reason there is.
    const said = warningIn(child.stderr);
    const reason = said ? `${answer.reason} (${said})` : answer.reason;
    return { found: false, source, stage: answer.stage, reason };
  }
  const how = child.ended === null ? `exit code ${child.code}` : child.ended;
  const last = child.stderr.trim().split("\n").at(-1) ?? "";
  const reason = `the process that tried WebGPU ended by ${how}${last && `: ${last}`}`;
  return { found: false, source, stage: "crash", reason };
}

/** A GPU that a child process has seen to work; else why there is none. */
export async function openGpu(
  options: GpuOptions,
  signal?: AbortSignal,
): Promise<{ gpu: Gpu; software: boolean } | { gpu: null; reason: string }> {
  const probe = await probeGpu(options, signal);
  if (!probe.found) return { gpu: null, reason: probe.reason };
  try {
    const gpu = await loadGpu(probe.source, options);
    return { gpu, software: probe.facts.adapter.software };
  } catch (error) {
    return { gpu: null, reason: reasonOf(error) };
  }
}

function answerIn(stdout: string): ProbeAnswer | null {
  try {
    return JSON.parse(stdout) as ProbeAnswer;
  } catch {
    return null;
  }
}

/** Dawn's first warning about drivers, without the place in its source. */
function warningIn(stderr: string): string {
  return /^Warning: (.*(?:vulkan|d3d|metal|driver|adapter).*)$/im.exec(stderr)?.[1] ?? "";
}

interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
  /** A signal's name, or that it took too long; null if it exited. */
  readonly ended: string | null;
}

/** Runs this program with other arguments. @throws the signal's reason. */
function runProgram(args: readonly string[], signal: AbortSignal | undefined): Promise<Ended> {
  const [program = ""] = process.argv.slice(1);
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const child = spawn(process.execPath, [...process.execArgv, program, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: PROBE_SECONDS * 1000,
      killSignal: "SIGKILL",
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    const onAbort = () => child.kill("SIGKILL");
    signal?.addEventListener("abort", onAbort, { once: true });
    child.on("error", reject);
    child.on("close", (code, killedBy) => {
      signal?.removeEventListener("abort", onAbort);
      if (signal?.aborted) return reject(signal.reason);
      const late = killedBy === "SIGKILL" ? `signal SIGKILL (after ${PROBE_SECONDS} s?)` : null;
      resolve({ stdout, stderr, code, ended: late ?? (killedBy && `signal ${killedBy}`) });
    });
  });
}
