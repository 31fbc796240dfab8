/**
 * SwiftShader, the Vulkan driver that runs on the CPU, for processes that have no GPU: from the same
 * package as the browser of the tests.
 */
import { constants } from "node:os";
import { join } from "node:path";
import { isPackedForThisSystem, unpackedChromium, withLibrariesOf } from "./unpacked-chromium.ts";

/** With ANTLER_GPU=native the system's own drivers are used. */
export const usesSwiftShader = isPackedForThisSystem && process.env.ANTLER_GPU !== "native";

const driverVariable = "VK_DRIVER_FILES";
const driver = (folder: string) => join(folder, "vk_swiftshader_icd.json");

/** Lets this process find the driver, and a Vulkan loader whether or not the system has one. */
export async function loadSwiftShader(): Promise<void> {
  const folder = await unpackedChromium();
  process.env[driverVariable] = driver(folder);
  // RTLD_NODELETE, which Node has no name for: the library stays when Node, not finding an addon in
  // it, closes it again; whoever opens libvulkan.so.1 by that name afterwards is given this one.
  const noDelete = 0x1000;
  try {
    const notAnAddon = { exports: {} };
    const flags = constants.dlopen.RTLD_NOW | noDelete;
    process.dlopen(notAnAddon, join(folder, "libvulkan.so.1"), flags);
  } catch (error) {
    if (!String(error).includes("did not self-register")) throw error;
  }
}

/** The environment in which a child process finds the driver, or the system's own. */
export async function gpuEnvironment(): Promise<Record<string, string>> {
  if (!usesSwiftShader) return { ...(process.env as Record<string, string>) };
  const folder = await unpackedChromium();
  return { ...withLibrariesOf(folder), [driverVariable]: driver(folder) };
}
