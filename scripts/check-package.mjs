/**
 * Checks the package as its users get it: packs the tarball, lints it (publint, attw), weighs it,
 * and uses it from a project that has nothing else: from JavaScript, and from strict TypeScript of
 * several versions; and checks that the sources would publish on JSR. Needs no network. Exits with 1 if any check fails, after running all of them.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { denoProgram, install, installed, pack, root, run } from "./package/project.mjs";
import { checkSize } from "./package/size.mjs";
import { useFromTypeScript } from "./package/types.mjs";

/** The entries of the package, and what they load later. */
const late = ["webgpu", "reference", "threads", "auto"];
const parts = ["index", "workerd", "conformance", ...late, "cli"];

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

const scratch = mkdtempSync(join(tmpdir(), "antler-package-"));
try {
  // Spelt out, since `ignore-scripts` in .npmrc keeps npm from running `prepack`.
  run(process.execPath, [join(root, "scripts/build.mjs")], root);
  const tarball = pack(scratch);
  const project = join(scratch, "project");
  mkdirSync(project);
  install(tarball, project);
  const results = [
    await check("contents", () => checkContents(project)),
    await check("publint", () => checkPublint(tarball)),
    await check("attw", () => checkTypes(tarball)),
    await check("size", () => checkSize(project)),
    await check("use from JavaScript", () => useFromJavaScript(project)),
    await check("use from TypeScript", () => useFromTypeScript(project)),
    await check("JSR", checkJsr),
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

function checkContents(project) {
  const manifest = JSON.parse(readFileSync(join(project, "node_modules/antler/package.json")));
  for (const kind of ["dependencies", "peerDependencies", "optionalDependencies"]) {
    const names = Object.keys(manifest[kind] ?? {});
    if (names.length > 0) throw new Error(`expected no ${kind}, got ${names.join(", ")}`);
  }
  const required = ["README.md", "LICENSE", "dist/cli-licences.txt"];
  required.push("dist/types/src/index.d.ts", "dist/types/src/conformance/index.d.ts");
  required.push("dist/kernel.wasm", "dist/kernel-relaxed.wasm", "dist/worker.js");
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
  // Files to be loaded from their URLs: there is nothing to import from them.
  const files = ["./kernel.wasm", "./kernel-relaxed.wasm", "./worker.js"];
  const excluded = ["--exclude-entrypoints", ...files];
  run(process.execPath, [attw, tarball, ...options, ...excluded], root);
  return "types resolve for ESM importers and bundlers";
}

function useFromJavaScript(project) {
  writeFileSync(join(project, "use.js"), JAVASCRIPT);
  return run(process.execPath, ["use.js"], project).trim();
}

/** The sources as JSR would take them; it insists on types that need no inference. */
function checkJsr() {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const manifest = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
  if (manifest.version !== version) {
    throw new Error(
      `deno.json: expected version ${version} as in package.json, got ${manifest.version}`,
    );
  }
  run(denoProgram(), ["publish", "--dry-run", "--allow-dirty", "--quiet"], root);
  return `${manifest.name}@${version} would publish`;
}
