/** Compiles a program against the package's declarations, as projects of all kinds would. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { root, run } from "./project.mjs";

/** A program that uses the declarations, and must compile. */
const PROGRAM = `
import { createRuntime, defineCell, gru, tanh } from "antler";
import { runConformance, type ConformanceReport } from "antler/conformance";

const zeros = (length: number): Float32Array => new Float32Array(length);
const weights = {
  weight_ih: zeros(18),
  weight_hh: zeros(27),
  bias_ih: zeros(9),
  bias_hh: zeros(9),
};
export async function converged(): Promise<boolean> {
  const runtime = await createRuntime({ backend: "wasm" });
  const cell = gru({ inputSize: 2, hiddenSize: 3, weights });
  const { states, report } = await runtime.evaluate(cell, zeros(8), { method: "deer" });
  const numbers: Float32Array = states;
  const device: object | null = runtime.device;
  if (device) return false;
  return numbers.length === 12 && report.converged;
}
export async function oracle(): Promise<Float64Array> {
  const runtime = await createRuntime({ backend: "reference" });
  const cell = defineCell({ name: "own", inputSize: 2, state: { h: 2 }, step: (_, x) => ({ h: tanh(x) }) });
  return (await runtime.evaluate(cell, zeros(8))).states;
}
export async function checked(): Promise<ConformanceReport> {
  return runConformance(await createRuntime(), { backends: ["wasm"] });
}
export async function refused(): Promise<unknown> {
  // @ts-expect-error: "nope" is no backend. If this passes, the declarations resolve to \`any\`.
  return createRuntime({ backend: "nope" });
}
`;

/** With WebGPU's types, what is typed as a device must be one. */
const WEBGPU_PROGRAM = `
import { createRuntime, type Runtime } from "antler";

export async function onGpu(gpu: GPU, device: GPUDevice): Promise<Runtime[]> {
  return [await createRuntime({ gpu }), await createRuntime({ device })];
}
export const deviceOf = (runtime: Runtime): GPUDevice | null => runtime.device;
export async function notOnGpu(): Promise<unknown> {
  // @ts-expect-error: a string is no device. If this passes, \`Device\` resolves to \`any\` or \`object\`.
  return createRuntime({ device: "gpu" });
}
`;

const WEBGPU_TYPES = join(root, "node_modules/@webgpu/types");
const NODE_TYPES = join(root, "node_modules/@types/node");

/** The DOM of TypeScript 6 and later has WebGPU's types itself, and they clash with the package's. */
const compilers = [
  { name: "typescript", hasWebgpu: false },
  { name: "typescript-6", hasWebgpu: true },
  { name: "typescript-7", hasWebgpu: true },
];

/** Without WebGPU's types, the declarations themselves are compiled too: no skipLibCheck. */
function projectsOf({ hasWebgpu }) {
  const strict = ["--lib", "es2022,dom,esnext.disposable"];
  const plain = [{ name: "bare", files: ["use.ts"], options: strict }];
  if (hasWebgpu)
    plain.push({ name: "the DOM's WebGPU", files: ["use.ts", "gpu.ts"], options: strict });
  return [
    ...plain,
    {
      name: "@webgpu/types",
      files: ["use.ts", "gpu.ts"],
      options: [...strict, "--types", WEBGPU_TYPES, ...(hasWebgpu ? ["--skipLibCheck"] : [])],
    },
    {
      name: "Node without the DOM",
      files: ["use.ts"],
      options: ["--lib", "es2023", "--types", NODE_TYPES, "--skipLibCheck"],
    },
  ];
}

/** @returns which were tried, in words */
export function useFromTypeScript(project) {
  writeFileSync(join(project, "use.ts"), PROGRAM);
  writeFileSync(join(project, "gpu.ts"), WEBGPU_PROGRAM);
  const common = ["--strict", "--noEmit", "--target", "es2022"];
  const modes = [
    ["--module", "nodenext", "--moduleResolution", "nodenext"],
    ["--module", "esnext", "--moduleResolution", "bundler"],
  ];
  for (const compiler of compilers) {
    const tsc = join(root, "node_modules", compiler.name, "bin/tsc");
    for (const { name, files, options } of projectsOf(compiler)) {
      for (const mode of modes) {
        try {
          run(process.execPath, [tsc, ...mode, ...common, ...options, ...files], project);
        } catch (error) {
          throw new Error(`${compiler.name}, ${name}, ${mode.join(" ")}: ${error.message}`);
        }
      }
    }
  }
  return "strict; TypeScript 5.9, 6, 7; nodenext and bundler; with and without WebGPU's types and the DOM";
}
