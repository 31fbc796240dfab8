/**
 * Checks the package as its users get it: packs the tarball, lints it (publint, attw), weighs it,
 * and uses it from a project that has nothing else: once from JavaScript, once from strict
 * TypeScript. Needs no network. Exits with 1 if any check fails, after running all of them.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** What a page downloads that has no WebGPU (both kernels included), and what one does that has. */
const LARGEST_GZIPPED_BYTES = { entry: 42_000, all: 80_000 };

/** All modules of the package. */
const parts = ["index", "shared", "webgpu"];

/** A program that runs a tiny model, and fails unless it works. */
const JAVASCRIPT = `
import { BackendUnavailableError, createRuntime, gru } from "antler";

const [inputSize, hiddenSize, steps] = [2, 3, 40];
let seed = 1;
const random = () => {
  seed = (seed * 48271) % 2147483647;
  return seed / 2147483647 - 0.5;
};
const values = (length) => Float32Array.from({ length }, random);
const cell = gru({
  inputSize,
  hiddenSize,
  weights: {
    weight_ih: values(3 * hiddenSize * inputSize),
    weight_hh: values(3 * hiddenSize * hiddenSize),
    bias_ih: values(3 * hiddenSize),
    bias_hh: values(3 * hiddenSize),
  },
});
const runtime = await createRuntime({ backend: "wasm" });
const { states, finalStates, report } = await runtime.evaluate(cell, values(steps * inputSize));
runtime.dispose();
const fail = (message) => {
  throw new Error(message);
};
if (states.length !== steps * hiddenSize) fail("states: got " + states.length + " numbers");
if (!states.every(Number.isFinite)) fail("states: not all are finite");
if (states.every((value) => value === 0)) fail("states: all are zero");
if (!finalStates.every((value, unit) => value === states[(steps - 1) * hiddenSize + unit])) {
  fail("finalStates: not the last row of states");
}
if (report.backend !== "wasm") fail("report.backend: got " + report.backend);
if (report.converged !== true) fail("report.converged: got " + report.converged);

// In a host without WebGPU, its part of the package is not loaded; handed a GPU, it is.
const { backends } = await createRuntime({ backend: "webgpu" }).catch((error) => {
  if (!(error instanceof BackendUnavailableError)) throw error;
  return { backends: [error.reason] };
});
if (!backends[0].includes("navigator.gpu")) fail("without WebGPU: got " + backends[0]);
const gpu = { requestAdapter: async () => null };
const refusal = await createRuntime({ backend: "webgpu", gpu }).catch((error) => error);
// The class that the part refuses with is the one that is exported.
if (!(refusal instanceof BackendUnavailableError)) fail("without an adapter: got " + refusal);
if (!refusal.reason.includes("no adapter")) fail("without an adapter: got " + refusal.reason);
console.log(report.method + " on " + report.backend + ", residual " + report.residual);
`;

/** A program that uses the declarations, and must compile. */
const TYPESCRIPT = `
import { createRuntime, gru } from "antler";

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
export async function refused(): Promise<unknown> {
  // @ts-expect-error: "nope" is no backend. If this passes, the declarations resolve to \`any\`.
  return createRuntime({ backend: "nope" });
}
`;

const scratch = mkdtempSync(join(tmpdir(), "antler-package-"));
try {
  // Spelt out, since `ignore-scripts` in .npmrc keeps npm from running `prepack`.
  run(process.execPath, [join(root, "scripts/build.mjs")], root);
  const tarball = pack();
  const project = install(tarball);
  const results = [
    await check("contents", () => checkContents(project)),
    await check("publint", () => checkPublint(tarball)),
    await check("attw", () => checkTypes(tarball)),
    await check("size", () => checkSize(project)),
    await check("use from JavaScript", () => useFromJavaScript(project)),
    await check("use from TypeScript", () => useFromTypeScript(project)),
  ];
  if (results.includes(false)) process.exitCode = 1;
} catch (error) {
  process.stderr.write(`packaging: ${error.message}\n`);
  process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** Runs one check, prints its outcome, and returns whether it passed. */
async function check(name, work) {
  try {
    process.stdout.write(`ok      ${name}: ${await work()}\n`);
    return true;
  } catch (error) {
    process.stdout.write(`FAILED  ${name}: ${error.message}\n`);
    return false;
  }
}

/** @returns the path of the tarball */
function pack() {
  const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", scratch];
  const [{ filename }] = JSON.parse(run("npm", args, root));
  return join(scratch, filename);
}

/** Unpacks the tarball into the node_modules of a new project, and returns the project's folder. */
function install(tarball) {
  const project = join(scratch, "project");
  const target = join(project, "node_modules/antler");
  mkdirSync(target, { recursive: true });
  run("tar", ["-xzf", tarball, "-C", target, "--strip-components=1"], scratch);
  writeFileSync(join(project, "package.json"), '{ "private": true, "type": "module" }\n');
  return project;
}

function checkContents(project) {
  const manifest = JSON.parse(readFileSync(join(project, "node_modules/antler/package.json")));
  for (const kind of ["dependencies", "peerDependencies", "optionalDependencies"]) {
    const names = Object.keys(manifest[kind] ?? {});
    if (names.length > 0) throw new Error(`expected no ${kind}, got ${names.join(", ")}`);
  }
  const required = ["README.md", "LICENSE", "dist/types/src/index.d.ts"];
  required.push("dist/kernel.wasm", "dist/kernel-relaxed.wasm");
  for (const name of parts) required.push(`dist/${name}.js`, `dist/${name}.js.map`);
  for (const name of required) installed(project, name);
  return `${required.join(", ")}; no dependencies`;
}

async function checkPublint(tarball) {
  const contents = readFileSync(tarball);
  const { buffer, byteOffset, byteLength } = contents;
  const archive = buffer.slice(byteOffset, byteOffset + byteLength);
  const { messages, pkg } = await publint({ pack: { tarball: archive } });
  const lines = messages.map((message) => `${message.type}: ${formatMessage(message, pkg)}`);
  if (messages.some(({ type }) => type !== "suggestion")) throw new Error(`\n${lines.join("\n")}`);
  return lines.length === 0 ? "nothing to say" : `\n${lines.join("\n")}`;
}

function checkTypes(tarball) {
  const attw = join(root, "node_modules/@arethetypeswrong/cli/dist/index.js");
  const options = ["--profile", "esm-only", "--no-emoji", "--no-color", "--format", "ascii"];
  // The kernels are binary files: there is nothing to type.
  const excluded = ["--exclude-entrypoints", "./kernel.wasm", "./kernel-relaxed.wasm"];
  run(process.execPath, [attw, tarball, ...options, ...excluded], root);
  return "types resolve for ESM importers and bundlers";
}

function checkSize(project) {
  const [index, shared, webgpu] = parts.map(
    (name) => gzipSync(installed(project, `dist/${name}.js`), { level: 9 }).length,
  );
  const entry = index + shared;
  const all = entry + webgpu;
  const bare = ["kernel", "kernel-relaxed"].map((name) => {
    const bytes = installed(project, `dist/${name}.wasm`);
    return `${name}.wasm ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped`;
  });
  const sizes =
    `gzipped: index.js with both kernels ${index} + shared.js ${shared} = ${entry} bytes without` +
    ` WebGPU, + webgpu.js ${webgpu} = ${all} in all; bare: ${bare.join("; ")}`;
  if (entry > LARGEST_GZIPPED_BYTES.entry || all > LARGEST_GZIPPED_BYTES.all) {
    const { entry: mostEntry, all: mostAll } = LARGEST_GZIPPED_BYTES;
    throw new Error(
      `expected at most ${mostEntry} bytes without WebGPU, ${mostAll} in all, got ${sizes}`,
    );
  }
  return sizes;
}

function useFromJavaScript(project) {
  writeFileSync(join(project, "use.js"), JAVASCRIPT);
  return run(process.execPath, ["use.js"], project).trim();
}

/** The declarations are compiled too (no skipLibCheck), under both ways of resolving modules. */
function useFromTypeScript(project) {
  writeFileSync(join(project, "use.ts"), TYPESCRIPT);
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const common = ["--strict", "--noEmit", "--target", "es2022", "use.ts"];
  const modes = [
    ["--module", "nodenext", "--moduleResolution", "nodenext"],
    ["--module", "esnext", "--moduleResolution", "bundler"],
  ];
  for (const mode of modes) run(process.execPath, [tsc, ...mode, ...common], project);
  return "strict, moduleResolution nodenext and bundler";
}

function installed(project, name) {
  return readFileSync(join(project, "node_modules/antler", name));
}

/** @returns standard output; @throws Error with all that was printed, if the command fails */
function run(command, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} failed (${status}):\n${stdout}${stderr}`);
  return stdout;
}
