/** `antler doctor`: what this machine has, why something is missing, and what to do about it. */
import type { Command } from "commander";
import { version } from "../../package.json";
import { type BackendName, createRuntime, type Runtime } from "../index.ts";
import { adviseOnGpu, adviseOnWasm } from "./advice.ts";
import { CliError, reasonOf } from "./failure.ts";
import { type Probe, probeGpu } from "./gpu.ts";
import { dawnOption } from "./gpu-option.ts";
import { interruptible } from "./interrupt.ts";
import {
  describeMachine,
  describeVulkan,
  largestWasmMemory,
  type Machine,
  type Vulkan,
} from "./machine.ts";
import { createProgress } from "./progress.ts";
import { SELF_TEST, type SelfTestResult, selfTest } from "./self-test.ts";
import { jsonTarget, print, type Style, styleFor, writeJson } from "./terminal.ts";
import { adviseOnThreads, examineThreads, type ThreadsFindings } from "./threads.ts";
import { columns, counted, inBytes, milliseconds, scientific, wrapped } from "./words.ts";

interface Options {
  readonly json?: true | string;
  readonly dawn?: readonly string[];
}

interface BackendFindings {
  readonly name: BackendName;
  readonly works: boolean;
  /** Why it does not. */
  readonly reason?: string;
  readonly simd?: "plain" | "relaxed";
  readonly selfTest?: SelfTestResult;
  readonly advice: readonly string[];
}

interface Findings {
  readonly antler: string;
  readonly machine: Machine;
  readonly backends: readonly BackendFindings[];
  readonly wasm: { readonly relaxedSimd: boolean; readonly largestMemory: number };
  readonly threads: ThreadsFindings;
  readonly webgpu: Probe;
  readonly vulkan: Vulkan | null;
}

const EXAMPLES = `
WebGPU is navigator.gpu where the host has one, else the optional npm package webgpu, looked for from the present
folder and beside antler. It is tried in a process of its own, so that a driver's crash does no harm.

Examples:
  antler doctor
  antler doctor --json > machine.json
  VK_DRIVER_FILES=/path/to/driver.json antler doctor --dawn backend=vulkan

Exit code: 0 if a backend works; 1 if none does; 2 wrong usage; 130 interrupted.
`;

export function addDoctorCommand(program: Command): void {
  program
    .command("doctor")
    .summary("tell what this machine has, and what to do about what is missing")
    .description(
      "Tells which backends, adapters, features and limits this machine has, tries each backend on a " +
        `small problem (${SELF_TEST}), and says what to do about a missing one.`,
    )
    .option("--json [file]", "print everything as JSON instead, or write it to a file too")
    .addOption(dawnOption())
    .addHelpText("after", EXAMPLES)
    .action((options: Options) => interruptible((signal) => doctor(options, signal)));
}

async function doctor({ json, dawn }: Options, signal: AbortSignal): Promise<void> {
  const progress = createProgress();
  let findings: Findings;
  try {
    findings = await examine({ dawn }, signal, (done, text) => progress.update(done, 4, text));
  } finally {
    progress.stop();
  }
  const { target, stdoutIsFree } = jsonTarget(json);
  if (stdoutIsFree) await print(rendered(findings, styleFor(process.stdout)));
  if (target !== null) await writeJson(target, findings);
  if (!findings.backends.some(({ works }) => works)) {
    throw new CliError("no backend works here", "what to do stands above");
  }
}

async function examine(
  options: { dawn: readonly string[] | undefined },
  signal: AbortSignal,
  onProgress: (done: number, text: string) => void,
): Promise<Findings> {
  const machine = describeMachine();
  const vulkan = describeVulkan();
  onProgress(0, "trying wasm");
  const wasm = await examineHost("wasm", machine);
  onProgress(1, "trying threads");
  const threads = await examineThreads();
  onProgress(2, "trying the reference");
  const reference = await examineHost("reference", machine);
  signal.throwIfAborted();
  onProgress(3, "trying WebGPU");
  const webgpu = await probeGpu({ ...options, selfTest: true }, signal);
  return {
    antler: version,
    machine,
    backends: [gpuFindings(webgpu, vulkan), wasm, reference],
    wasm: { relaxedSimd: wasm.simd === "relaxed", largestMemory: largestWasmMemory() },
    threads,
    webgpu,
    vulkan,
  };
}

async function examineHost(name: "wasm" | "reference", machine: Machine): Promise<BackendFindings> {
  const advise = (works: boolean, simd?: string) =>
    name === "wasm" ? adviseOnWasm(works, simd, machine) : [];
  let runtime: Runtime;
  try {
    runtime = await createRuntime({ backend: name });
  } catch (error) {
    return { name, works: false, reason: reasonOf(error), advice: advise(false) };
  }
  try {
    const simd = runtime.backends.find((status) => status.name === name)?.simd;
    const tested = await selfTest(runtime, name);
    const { passed: works } = tested;
    return {
      name,
      works,
      ...(!works && { reason: tested.failure ?? "" }),
      ...(simd && { simd }),
      selfTest: tested,
      advice: advise(works, simd),
    };
  } finally {
    runtime.dispose();
  }
}

function gpuFindings(probe: Probe, vulkan: Vulkan | null): BackendFindings {
  const advice = adviseOnGpu(probe, vulkan);
  if (!probe.found) return { name: "webgpu", works: false, reason: probe.reason, advice };
  const { selfTest } = probe.facts;
  const works = selfTest?.passed === true;
  const reason = selfTest?.failure;
  return {
    name: "webgpu",
    works,
    ...(reason !== undefined && { reason }),
    ...(selfTest && { selfTest }),
    advice,
  };
}

function rendered(findings: Findings, style: Style): string {
  const { antler, machine, backends, wasm, threads, webgpu } = findings;
  const { total, free } = machine.memory;
  const sections = [
    `${style.bold(`Antler ${antler}`)}\n`,
    section(style, "Machine", [
      ["host", `${machine.host} (${machine.engine}), ${machine.platform}`],
      ["CPU", `${machine.cpu}, ${machine.cores} ${machine.cores === 1 ? "core" : "cores"}`],
      ["memory", `${inBytes(total)}, ${inBytes(free)} of it free`],
    ]),
    section(
      style,
      "Backends",
      backends.map((backend) => [backend.name, verdict(backend, style)]),
      true,
    ),
    section(style, "WebAssembly", [
      ["SIMD", simdText(backends.find(({ name }) => name === "wasm"))],
      ["memory", wasm.largestMemory > 0 ? `up to ${inBytes(wasm.largestMemory)}` : "none"],
    ]),
    section(style, "Threads", threadRows(threads, machine, style), true),
    section(style, "WebGPU", gpuRows(webgpu)),
  ];
  const all = [...backends, { name: "threads", advice: adviseOnThreads(threads, machine) }];
  const advice = all.flatMap(({ name, advice }) =>
    advice.map((text) => `${wrapped(`${name}: ${text}`, "  ", "    ")}\n`),
  );
  if (advice.length > 0) sections.push(`${style.bold("What to do")}\n${advice.join("")}`);
  return sections.join("\n");
}

function section(
  style: Style,
  title: string,
  rows: readonly (readonly [string, string])[],
  wrap = false,
): string {
  return `${style.bold(title)}\n${columns(rows, { indent: "  ", wrap })}`;
}

function verdict({ works, reason, selfTest }: BackendFindings, style: Style): string {
  if (!works && !selfTest) return `${style.bad("missing")}  ${reason}`;
  if (!works) return `${style.bad("wrong")}    self test failed: ${reason}`;
  const { error, milliseconds: time } = selfTest!;
  const how = `self test passed: error ${scientific(error)} in ${milliseconds(time)} ms`;
  return `${style.good("works")}    ${how}`;
}

function threadRows(
  { threads, workers, reason, sharedMemory, sharedMemoryReason }: ThreadsFindings,
  { cores }: Machine,
  style: Style,
): [string, string][] {
  const why = reason ?? (cores === 1 ? "this machine has one core" : "");
  const tried = workers ? `${style.good("start")}    ` : `${style.warn("none")}     `;
  const together = `${counted(threads, "thread")} evaluated a sequence together`;
  const told = workers ? [together, reason].filter(Boolean).join("; ") : why;
  return [
    ["workers", `${tried}${told}`],
    ["memory", sharedMemory ? "can be shared with workers" : `is copied: ${sharedMemoryReason}`],
  ];
}

function simdText(wasm: BackendFindings | undefined): string {
  if (!wasm?.simd) return "none";
  return wasm.simd === "relaxed"
    ? "plain and relaxed; relaxed is used"
    : "plain; this engine has no relaxed SIMD";
}

/** Limits that bound what Antler can do. */
const shownLimits = {
  maxBufferSize: inBytes,
  maxStorageBufferBindingSize: inBytes,
  maxComputeWorkgroupStorageSize: inBytes,
  maxComputeInvocationsPerWorkgroup: String,
  maxComputeWorkgroupsPerDimension: String,
  maxStorageBuffersPerShaderStage: String,
} as const;

function gpuRows(probe: Probe): [string, string][] {
  const { source } = probe;
  const from =
    source.kind === "host"
      ? "navigator.gpu"
      : source.kind === "package"
        ? `package webgpu ${source.version}, ${source.entry}`
        : "none: no navigator.gpu, no package webgpu";
  const rows: [string, string][] = [["from", from]];
  if (!probe.found) return [...rows, ["adapter", "none"]];
  const { adapter, limits, features, subgroups } = probe.facts;
  const { vendor, architecture, description, software } = adapter;
  const name = description || adapter.device || "unnamed";
  rows.push(["adapter", `${name}${software ? " (software, on the CPU)" : ""}`]);
  rows.push(["vendor", [vendor, architecture].filter(Boolean).join(", ") || "not told"]);
  for (const [limit, inWords] of Object.entries(shownLimits)) {
    const value = limits[limit];
    if (value !== undefined) rows.push([limit, inWords(value)]);
  }
  rows.push(["subgroups", subgroups ? `of ${subgroups.min} to ${subgroups.max}` : "no"]);
  const timestamps = features.includes("timestamp-query");
  rows.push(["timestamp-query", timestamps ? "yes" : "no: `profile` cannot tell stages apart"]);
  return rows;
}
