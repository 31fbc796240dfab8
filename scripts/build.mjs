/**
 * Builds the package: two WebAssembly kernels, the shaders, the ES modules, their type
 * declarations, the command line.
 *
 *     node scripts/build.mjs [--wasm-only] [--force]
 *
 * With ANTLER_READABLE_SHADERS=1, shaders keep their names and lines, to read them in a debugger.
 *
 * A step runs only when the contents of its inputs differ from those of its last run, so that a
 * repeated build is quick. Outputs are made aside and moved into place, so that a failed or a
 * concurrent build leaves no half-written file behind.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { deflateSync } from "node:zlib";
import {
  BuildError,
  bundleCommandLine,
  bundleConformance,
  bundlePackage,
  bundles,
  bundleWorker,
} from "./bundle.mjs";
import { hostNames, shrinkShaders } from "./shrink-wgsl.mjs";
import { describeWasm } from "./wasm-sections.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");
const script = "scripts/build.mjs";
const kernelModule = join(root, "src/backend/wasm/generated/kernels.ts");
const shaderModule = join(root, "src/backend/webgpu/generated/shaders.ts");
const workerModule = join(root, "src/backend/wasm/generated/worker.ts");
const workerFile = join(dist, "worker.js");
const readableShaders = process.env.ANTLER_READABLE_SHADERS === "1";
/** The two builds of assembly/: every engine runs `plain`, `relaxed` wants a probe first. */
const kernels = [
  { target: "plain", name: "kernel" },
  { target: "relaxed", name: "kernel-relaxed" },
];

async function main() {
  const { values } = parseArgs({
    options: { "wasm-only": { type: "boolean" }, force: { type: "boolean" } },
  });
  const force = values.force === true;
  mkdirSync(dist, { recursive: true });
  const scratch = mkdtempSync(join(dist, ".build-"));
  try {
    const kernelInputs = ["assembly", "asconfig.json", script, ...versionsOf("assemblyscript")];
    await step("kernels", force, kernelInputs, kernelOutputs(), () => buildKernels(scratch));
    const shaderInputs = ["gpu", ...shaderHosts(), script, "scripts/shrink-wgsl.mjs"];
    shaderInputs.push(...versionsOf("typescript"));
    const variant = readableShaders ? " readable" : "";
    await step(
      "shaders",
      force,
      shaderInputs,
      [shaderModule],
      () => buildShaders(scratch),
      variant,
    );
    const bundlers = versionsOf("esbuild", "rollup", "terser");
    const workerInputs = [
      ...writtenSources(),
      "assembly",
      script,
      "scripts/bundle.mjs",
      ...bundlers,
    ];
    await step("worker", force, workerInputs, [workerModule, workerFile], () =>
      buildWorker(scratch),
    );
    if (values["wasm-only"]) return;
    const sources = [
      "src",
      "assembly",
      script,
      "scripts/bundle.mjs",
      "tsconfig.json",
      "tsconfig.build.json",
      "package.json",
    ];
    await step("bundle", force, [...sources, ...bundlers], bundleOutputs(), async () =>
      writeBundles(scratch, [...(await bundlePackage()), ...(await bundleConformance())]),
    );
    const declarations = ["index", "conformance/index"].map((entry) =>
      join(dist, `types/src/${entry}.d.ts`),
    );
    await step("types", force, [...sources, ...versionsOf("typescript")], declarations, () =>
      buildDeclarations(scratch),
    );
    const libraries = versionsOf("esbuild", "commander", "cli-table3", "cli-progress");
    await step(
      "command line",
      force,
      [...sources, ...libraries],
      [join(dist, "cli.js")],
      async () => writeBundles(scratch, await bundleCommandLine()),
    );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Runs `work` unless `outputs` exist and were made from these very inputs, in this very variant. */
async function step(name, force, inputs, outputs, work, variant = "") {
  const stamp = join(dist, `.${name.replace(" ", "-")}.stamp`);
  const digest = digestOf(inputs) + variant;
  const unchanged =
    outputs.every((path) => existsSync(path)) &&
    existsSync(stamp) &&
    readFileSync(stamp, "utf8") === digest;
  if (unchanged && !force) return;
  const start = performance.now();
  rmSync(stamp, { force: true });
  const outcome = await work();
  writeFileSync(stamp, digest);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  process.stdout.write(`built ${name} in ${seconds} s: ${outcome}\n`);
}

function kernelOutputs() {
  return [...kernels.map(({ name }) => join(dist, `${name}.wasm`)), kernelModule];
}

function bundleOutputs() {
  return [...Object.keys(bundles), "conformance"].map((name) => join(dist, `${name}.js`));
}

async function buildKernels(scratch) {
  requireFile("assembly/index.ts");
  const built = await Promise.allSettled(kernels.map((kernel) => buildKernel(kernel, scratch)));
  const failure = built.find(({ status }) => status === "rejected");
  if (failure) throw failure.reason;
  const contents = built.map(({ value }) => value);
  mkdirSync(dirname(kernelModule), { recursive: true });
  const aside = join(scratch, "kernels.ts");
  writeFileSync(aside, inlineModule(contents));
  renameSync(aside, kernelModule);
  return kernels.map(({ name }, i) => `${name}.wasm ${contents[i].length} bytes`).join(", ");
}

async function buildKernel({ target, name }, scratch) {
  const asc = join(root, "node_modules/assemblyscript/bin/asc.js");
  const outFile = join(scratch, `${name}.wasm`);
  const config = ["--config", "asconfig.json", "--target", target, "--outFile", outFile];
  await runTool(`asc (target ${target})`, process.execPath, [asc, ...config]);
  const bytes = readFileSync(outFile);
  const { imports, exports } = describeWasm(bytes);
  if (imports.length > 0) {
    throw new BuildError(`${name}.wasm: expected no imports, got ${imports.join(", ")}`);
  }
  if (!exports.includes("memory")) {
    throw new BuildError(`${name}.wasm: expected an exported memory, got ${exports.join(", ")}`);
  }
  renameSync(outFile, join(dist, `${name}.wasm`));
  return bytes;
}

/**
 * The kernels as a module: it loads alike under a bundler, vitest and tsx, and without a file system.
 * They are alike, and so are compressed in one piece. The annotations keep the literals out of the type
 * declarations.
 */
function inlineModule(contents) {
  const compressed = deflateSync(Buffer.concat(contents), { level: 9, memLevel: 9 });
  return [
    "/** The kernels, one after the other, compressed. Generated by scripts/build.mjs: do not edit. */",
    "export const kernels: {",
    "  /** In the format of RFC 1950 (zlib), in base64. */",
    "  readonly base64: string;",
    "  /** Bytes of the plain one, which comes first. */",
    "  readonly plainLength: number;",
    "} = {",
    `  base64:\n    "${compressed.toString("base64")}",`,
    `  plainLength: ${contents[0].length},`,
    "};\n",
  ].join("\n");
}

/** Sources of what writes code for shaders, and so knows names in them. */
function shaderHosts() {
  const files = filesBelow(join(root, "src/backend/webgpu")).map((path) => relative(root, path));
  const written = files.filter((path) => path !== relative(root, shaderModule));
  return [...written, "src/cell/pointwise.ts"];
}

/** The files of gpu/ as one module of strings, by path; shrunk, see shrink-wgsl.mjs. */
async function buildShaders(scratch) {
  const folder = join(root, "gpu");
  const files = filesBelow(folder).filter((path) => path.endsWith(".wgsl"));
  const sources = files.map((path) => [
    relative(folder, path).replaceAll("\\", "/"),
    readFileSync(path, "utf8"),
  ]);
  const hosts = shaderHosts().map((path) => readFileSync(join(root, path), "utf8"));
  const shaders = shrinkShaders(
    Object.fromEntries(sources),
    readableShaders ? null : hostNames(hosts),
  );
  const text = [
    "/** The shaders of gpu/, shrunk. Generated by scripts/build.mjs: do not edit. */",
    `export const shaders: Readonly<Record<string, string>> = ${JSON.stringify(shaders, null, 2)};\n`,
  ];
  mkdirSync(dirname(shaderModule), { recursive: true });
  const aside = join(scratch, "shaders.ts");
  writeFileSync(aside, text.join("\n"));
  renameSync(aside, shaderModule);
  return `${Object.keys(shaders).length} files, ${text[1].length} bytes`;
}

/** The program of worker threads, as a file and as a module that holds its text. */
async function buildWorker(scratch) {
  const { code, build } = await bundleWorker();
  const text = [
    "/** The program of worker threads. Generated by scripts/build.mjs: do not edit. */",
    `export const workerSource: string =\n  ${JSON.stringify(code)};`,
    "/** By which its program is known. */",
    `export const workerBuild: string = "${build}";\n`,
  ].join("\n");
  for (const [file, contents] of [
    [workerModule, text],
    [workerFile, code],
  ]) {
    mkdirSync(dirname(file), { recursive: true });
    const aside = join(scratch, basename(file));
    writeFileSync(aside, contents);
    renameSync(aside, file);
  }
  return `worker.js ${code.length} bytes`;
}

/** The files of src/ that are not written by this script. */
function writtenSources() {
  const files = filesBelow(join(root, "src")).map((path) => relative(root, path));
  return files.filter((path) => !/[\\/]generated[\\/]/.test(path));
}

async function writeBundles(scratch, outputs) {
  for (const { name, contents } of outputs) {
    const aside = join(scratch, name);
    writeFileSync(aside, contents);
    renameSync(aside, join(dist, name));
  }
  const names = new Set(outputs.map(({ name }) => name));
  for (const name of readdirSync(dist)) {
    // The chunks of earlier builds have other names.
    if (names.has("index.js") && name.startsWith("shared-") && !names.has(name)) {
      rmSync(join(dist, name));
    }
  }
  const sizes = outputs.filter(({ name }) => name.endsWith(".js"));
  return sizes.map(({ name, contents }) => `${name} ${contents.length} bytes`).join(", ");
}

async function buildDeclarations(scratch) {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const outDir = join(scratch, "types");
  await runTool("tsc", process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", outDir]);
  const files = filesBelow(outDir).filter((path) => path.endsWith(".d.ts"));
  const needed = new Set();
  for (const entry of ["index", "conformance/index"]) {
    declarationsFor(join(outDir, `src/${entry}.d.ts`), needed);
  }
  for (const file of files) {
    // The rest tells a user nothing, and would not compile without the types of WebGPU.
    if (!needed.has(file)) rmSync(file);
    else writeFileSync(file, portableDeclarations(readFileSync(file, "utf8")));
  }
  rmSync(join(dist, "types"), { recursive: true, force: true });
  renameSync(outDir, join(dist, "types"));
  return `${needed.size} declaration files`;
}

const relativeImport = /(\bfrom\s*|\bimport\s*\(?\s*)"(\.\.?\/[^"]*)\.ts"/g;

/** A declaration file and all that it imports, directly or not. */
function declarationsFor(file, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  for (const [, , path] of readFileSync(file, "utf8").matchAll(relativeImport)) {
    declarationsFor(resolve(dirname(file), `${path}.d.ts`), found);
  }
  return found;
}

/**
 * tsc leaves the extensions of imports as they are, and the package holds no .ts file; and it does
 * not say that `Symbol.dispose` needs a library that a user's target may not include.
 */
function portableDeclarations(text) {
  const rewritten = text.replace(relativeImport, (_, keyword, path) => `${keyword}"${path}.js"`);
  const disposable = rewritten.includes("[Symbol.dispose]");
  return disposable ? `/// <reference lib="esnext.disposable" />\n${rewritten}` : rewritten;
}

/** @throws BuildError with all that the tool printed, where it fails */
async function runTool(name, command, args) {
  try {
    await promisify(execFile)(command, args, { cwd: root, maxBuffer: 1 << 26 });
  } catch (error) {
    const output = [error.stdout, error.stderr].filter(Boolean).join("\n").trim();
    throw new BuildError(`${name} failed:\n${output || error.message}`);
  }
}

function requireFile(path) {
  if (!existsSync(join(root, path))) throw new BuildError(`${path}: no such file`);
}

/** The manifest of a compiler, which names its version: a new compiler means a new build. */
function versionsOf(...packages) {
  return packages.map((name) => `node_modules/${name}/package.json`);
}

function digestOf(inputs) {
  const hash = createHash("sha256");
  for (const input of inputs) {
    const path = join(root, input);
    if (!existsSync(path)) throw new BuildError(`${input}: no such file or folder; run \`npm ci\``);
    for (const file of filesBelow(path)) {
      const contents = readFileSync(file);
      hash.update(`${file.slice(root.length)}\0${contents.length}\0`).update(contents);
    }
  }
  return hash.digest("hex");
}

/** All files below a folder, in a fixed order; a file stands for itself. */
function filesBelow(path) {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

try {
  await main();
} catch (error) {
  const text = error instanceof BuildError || error.code?.startsWith("ERR_PARSE_ARGS");
  process.stderr.write(`build: ${text ? error.message : error.stack}\n`);
  process.exitCode = 1;
}
