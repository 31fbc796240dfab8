/** What a stranger can do about a backend that is missing, or slower than it could be. */
import type { Probe } from "./gpu.ts";
import type { Machine, Vulkan } from "./machine.ts";

const SOFTWARE_DRIVER =
  "without a GPU, a driver that imitates one is enough to try WebGPU, though slower than wasm:" +
  " apt install libvulkan1 mesa-vulkan-drivers (Debian, Ubuntu) has lavapipe";

export function adviseOnGpu(probe: Probe, vulkan: Vulkan | null): string[] {
  if (probe.found) return probe.facts.adapter.software ? adviseOnSoftware(vulkan) : [];
  if (probe.stage === "source") {
    return [
      "npm install webgpu (in this folder, or beside antler): Dawn, which Antler uses where it finds it",
    ];
  }
  if (probe.stage === "load") {
    return [
      "the package webgpu is there and does not load: npm install webgpu@latest," +
        " which has builds for Linux, macOS and Windows on x64 and arm64",
    ];
  }
  if (probe.stage === "crash") {
    return [
      "the driver crashed: update it, or choose another by --dawn backend=…, --dawn adapter=… or VK_DRIVER_FILES",
    ];
  }
  if (vulkan) return adviseOnVulkan(vulkan, probe.reason);
  if (process.platform === "win32") return ["update the graphics driver, which brings Direct3D 12"];
  return ["Dawn found no GPU: in a virtual machine, it needs one passed through to it"];
}

function adviseOnSoftware(vulkan: Vulkan | null): string[] {
  const advice = [
    "the adapter is a program that imitates a GPU: right results, but slower than wasm, so `auto` avoids it",
  ];
  if (vulkan && vulkan.devices.length > 0) {
    advice.push(
      `there are signs of a GPU (${vulkan.devices.join(", ")}): install its Vulkan driver, or choose it by` +
        " --dawn adapter=NAME",
    );
  }
  return advice;
}

/** An adapter was asked for on Linux, and there is none. */
function adviseOnVulkan(vulkan: Vulkan, reason: string): string[] {
  const advice: string[] = [];
  if (/libvulkan/.test(reason)) {
    advice.push(
      "install the Vulkan loader: apt install libvulkan1 (Debian, Ubuntu), dnf install vulkan-loader" +
        " (Fedora), apk add vulkan-loader (Alpine)",
    );
  }
  for (const [name, value] of Object.entries(vulkan.variables)) {
    const gone = vulkan.missingFiles.filter((path) => value.includes(path));
    if (gone.length > 0) advice.push(`${name} names ${gone.join(", ")}, which is not there`);
  }
  if (vulkan.closedDevices.length > 0) {
    const files = vulkan.closedDevices.join(", ");
    advice.push(`this user may not open ${files}: add it to the groups render and video`);
  } else if (vulkan.devices.length > 0) {
    advice.push(
      `there are signs of a GPU (${vulkan.devices.join(", ")}): install its Vulkan driver` +
        " (mesa-vulkan-drivers for AMD and Intel, NVIDIA's own), and see whether vulkaninfo lists it",
    );
  } else {
    advice.push(
      "no GPU is to be seen (no /dev/dri, /dev/nvidia0 or /dev/dxg): in a container, pass it through" +
        " (docker run --device /dev/dri, or --gpus all -e NVIDIA_DRIVER_CAPABILITIES=all)",
    );
  }
  if (vulkan.drivers.length === 0 && Object.keys(vulkan.variables).length === 0) {
    advice.push(
      "no Vulkan driver is installed: the system looks for .json files in /usr/share/vulkan/icd.d," +
        " or VK_DRIVER_FILES names one",
      SOFTWARE_DRIVER,
    );
  }
  return advice;
}

export function adviseOnWasm(works: boolean, simd: string | undefined, machine: Machine): string[] {
  if (!works) {
    return ["WebAssembly with SIMD is needed: Node 20 or newer, and no --jitless"];
  }
  if (simd === "plain" && machine.host.startsWith("Node 20")) {
    return [`relaxed SIMD, which is faster, is in Node 22 and newer; this is ${machine.host}`];
  }
  return [];
}
