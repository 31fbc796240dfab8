/** What a machine is, as far as Antler cares. */
import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { availableParallelism, cpus, freemem, homedir, totalmem } from "node:os";
import { delimiter, join } from "node:path";

export interface Machine {
  /** Such as "Node 20.20.2". */
  readonly host: string;
  /** Such as "V8 11.3". */
  readonly engine: string;
  readonly platform: string;
  readonly cpu: string;
  readonly cores: number;
  /** Bytes. */
  readonly memory: { readonly total: number; readonly free: number };
}

export function describeMachine(): Machine {
  const { versions } = process;
  const { deno, bun } = versions as { deno?: string; bun?: string };
  const host = deno ? `Deno ${deno}` : bun ? `Bun ${bun}` : `Node ${versions.node}`;
  return {
    host,
    engine: bun ? "JavaScriptCore" : `V8 ${versions.v8.split("-")[0]}`,
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model.trim() || "unknown",
    cores: availableParallelism(),
    memory: { total: totalmem(), free: freemem() },
  };
}

const WASM_PAGE = 65536;
/** Of 32-bit addresses. */
const MOST_PAGES = 65536;

/** Bytes of the largest WebAssembly memory that can be had, to a power of two; 0 without WebAssembly. */
export function largestWasmMemory(): number {
  if (typeof WebAssembly === "undefined") return 0;
  for (let pages = MOST_PAGES; pages >= 1; pages /= 2) {
    try {
      // Reserved, but not touched: it takes addresses, and no memory.
      new WebAssembly.Memory({ initial: pages, maximum: pages });
      return pages * WASM_PAGE;
    } catch {
      // Half as much, then.
    }
  }
  return 0;
}

/** What Linux has of Vulkan, by which Dawn finds a GPU there. */
export interface Vulkan {
  /** Environment variables that say which drivers to load, and the files in them that are not there. */
  readonly variables: Readonly<Record<string, string>>;
  readonly missingFiles: readonly string[];
  /** Driver manifests that the loader finds by itself. */
  readonly drivers: readonly string[];
  /** Files by which the kernel shows a GPU. */
  readonly devices: readonly string[];
  /** Of those, the ones that this user may not open. */
  readonly closedDevices: readonly string[];
}

const driverVariables = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES"];
const deviceFiles = ["/dev/nvidia0", "/dev/dxg"];

/** Null on other systems, where Dawn uses what the system brings along. */
export function describeVulkan(): Vulkan | null {
  if (process.platform !== "linux") return null;
  const variables: Record<string, string> = {};
  for (const name of driverVariables) {
    const value = process.env[name];
    if (value) variables[name] = value;
  }
  const named = Object.values(variables)
    .flatMap((value) => value.split(delimiter))
    .filter(Boolean);
  const devices = [...filesIn("/dev/dri", /^renderD/), ...deviceFiles.filter(existsSync)];
  return {
    variables,
    missingFiles: named.filter((path) => !existsSync(path)),
    drivers: manifestFolders().flatMap((folder) => filesIn(folder, /\.json$/)),
    devices,
    closedDevices: devices.filter((path) => !isOpenTo(path)),
  };
}

function manifestFolders(): string[] {
  const { XDG_CONFIG_HOME, XDG_CONFIG_DIRS, XDG_DATA_HOME, XDG_DATA_DIRS } = process.env;
  const roots = [
    XDG_CONFIG_HOME || join(homedir(), ".config"),
    ...(XDG_CONFIG_DIRS || "/etc/xdg").split(delimiter),
    "/etc",
    XDG_DATA_HOME || join(homedir(), ".local/share"),
    ...(XDG_DATA_DIRS || "/usr/local/share:/usr/share").split(delimiter),
  ];
  return [...new Set(roots)].map((root) => join(root, "vulkan/icd.d"));
}

function filesIn(folder: string, pattern: RegExp): string[] {
  try {
    const names = readdirSync(folder).filter((name) => pattern.test(name));
    return names.map((name) => join(folder, name));
  } catch {
    return [];
  }
}

function isOpenTo(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
