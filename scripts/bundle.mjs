/** Bundles the package's entries, minified, and the command line. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { rollup } from "rollup";
import { minify } from "terser";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/**
 * The package's entries, and the parts that are loaded only where they are needed; what several of them
 * need goes into chunks, `shared-HASH.js`.
 */
export const bundles = {
  index: "src/index.ts",
  workerd: "src/workerd.ts",
  webgpu: "src/backend/webgpu/backend.ts",
  reference: "src/backend/reference/backend.ts",
  threads: "src/backend/wasm/threads/index.ts",
  auto: "src/auto/planner.ts",
};
/** Never written: naming it gives the kernels a chunk, as base64 and JavaScript compress better apart. */
const apart = "kernels";

/** The program of worker threads; see `bundleWorker`. */
const worker = "src/backend/wasm/threads/worker.ts";

/** Bundles of their own, that run the package beside them. */
const conformance = "src/conformance/index.ts";
const commandLine = "src/cli/main.ts";

/** What stands for the package in the sources of those. */
const besides = {
  "src/index.ts": "./index.js",
  "src/cell/index.ts": "./index.js",
  [conformance]: "./conformance.js",
};

/** What went wrong in the sources, as opposed to in this script: printed without a stack. */
export class BuildError extends Error {}

/**
 * esbuild compiles the sources, and gives every module a chunk whose importers differ. Rollup joins again
 * what the entries load in any case: in one piece it is 10 % smaller.
 *
 * @returns the files of dist/, each with its `name` and `contents`
 */
export async function bundlePackage() {
  const options = {
    entryPoints: { ...bundles, [apart]: "src/backend/wasm/generated/kernels.ts" },
    splitting: true,
    chunkNames: "shared-[hash]",
    platform: "neutral",
    target: "es2022",
    plugins: [kernelAsModule],
  };
  const { outputFiles } = await runEsbuild(options);
  const texts = new Map(outputFiles.map(({ path, text }) => [basename(path), text]));
  const outputs = [];
  for (const { name, code: joined, map: content } of await joinChunks(texts)) {
    const { code, map } = await minify(joined, {
      module: true,
      ecma: 2022,
      compress: { passes: 4, unsafe_arrows: true },
      sourceMap: { content, url: `${name}.map` },
    });
    outputs.push({ name, contents: code }, { name: `${name}.map`, contents: map });
  }
  return outputs;
}

/** @param texts what esbuild made, source maps included, by file name. */
async function joinChunks(texts) {
  const always = importsOf("index.js", texts);
  const bundle = await rollup({
    input: Object.fromEntries(Object.keys(bundles).map((name) => [name, `${name}.js`])),
    external: /\.wasm$/,
    makeAbsoluteExternalsRelative: false,
    // There are no side effects whose order would have to be kept.
    treeshake: { moduleSideEffects: false },
    plugins: [
      {
        name: "outputs of esbuild",
        resolveId: (path) => (texts.has(basename(path)) ? basename(path) : null),
        load: (name) => ({ code: texts.get(name), map: JSON.parse(texts.get(`${name}.map`)) }),
      },
    ],
  });
  const { output } = await bundle.generate({
    sourcemap: true,
    hoistTransitiveImports: false,
    entryFileNames: "[name].js",
    chunkFileNames: "shared-[hash].js",
    minifyInternalExports: true,
    manualChunks(name) {
      if (/\bbase64:/.test(texts.get(name))) return apart;
      return always.has(name) && name.startsWith("shared-") ? "always" : null;
    },
  });
  await bundle.close();
  return output
    .filter(({ type }) => type === "chunk")
    .map(({ fileName, code, map }) => ({ name: fileName, code, map: map.toString() }));
}

/** A file and all that it imports, directly or not; dynamic imports do not count. */
function importsOf(name, texts, found = new Set()) {
  if (found.has(name) || !texts.has(name)) return found;
  found.add(name);
  const imports = texts.get(name).matchAll(/\b(?:from|import)"\.\/([^"]+)"/g);
  for (const [, path] of imports) importsOf(path, texts, found);
  return found;
}

/**
 * The program of worker threads: one script that imports nothing and runs alike as a classic script, as a
 * module and as CommonJS.
 *
 * @returns its `code`, and `build`, a digest of the program by which the caller's thread knows it
 */
export async function bundleWorker() {
  const { outputFiles, metafile } = await runEsbuild({
    entryPoints: { worker },
    platform: "neutral",
    target: "es2022",
    format: "iife",
    sourcemap: false,
    metafile: true,
  });
  const foreign = Object.keys(metafile.inputs).filter((path) => notForWorkers.test(path));
  if (foreign.length > 0) {
    throw new BuildError(`${worker}: expected no import of ${foreign.join(", ")}`);
  }
  const options = { ecma: 2020, toplevel: true, compress: { passes: 3 } };
  const minified = await minify(outputFiles[0].text, options);
  const build = createHash("sha256").update(minified.code).digest("hex").slice(0, 12);
  const code = minified.code.replaceAll("WORKER_BUILD", JSON.stringify(build));
  return { code: `${code}\n`, build };
}

/** Workers are given programs: what makes them would only be loaded in vain. */
const notForWorkers = /^src\/(cell|solve)\/|\/(lower|select|programs|kernels)\.ts$/;

export async function bundleConformance() {
  const options = {
    entryPoints: { conformance },
    platform: "neutral",
    target: "es2022",
    plugins: [packageBeside],
  };
  const { outputFiles } = await runEsbuild(options);
  return outputFiles.map(({ path, text }) => ({ name: basename(path), contents: text }));
}

export async function bundleCommandLine() {
  const { outputFiles, metafile } = await runEsbuild({
    entryPoints: { cli: commandLine },
    platform: "node",
    target: "node20",
    metafile: true,
    plugins: [packageBeside],
    banner: {
      js: [
        "#!/usr/bin/env node",
        'import { createRequire } from "node:module";',
        "const require = createRequire(import.meta.url);",
      ].join("\n"),
    },
  });
  const outputs = outputFiles.map(({ path, text }) => ({ name: basename(path), contents: text }));
  return [...outputs, { name: "cli-licences.txt", contents: licencesOf(metafile) }];
}

const packageBeside = {
  name: "package beside",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\.?\// }, ({ path, resolveDir, kind }) => {
      if (kind === "entry-point") return undefined;
      const beside = besides[relative(root, resolve(resolveDir, path)).replaceAll("\\", "/")];
      return beside ? { path: beside, external: true } : undefined;
    });
  },
};

/** The licences of the packages in a bundle, which must go where the bundle goes. */
function licencesOf({ inputs }) {
  const packages = new Set();
  for (const path of Object.keys(inputs)) {
    const found = /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path);
    if (found) packages.add(found[1]);
  }
  const texts = [...packages].sort().map((name) => {
    const folder = join(root, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e(\.|$)/i.test(entry));
    const text = file ? readFileSync(join(folder, file), "utf8").trim() : `Licence: ${license}`;
    return `${name} ${version}\n\n${text}\n`;
  });
  const title = "dist/cli.js contains these packages, under these licences.\n";
  return [title, ...texts].join(`\n${"-".repeat(80)}\n\n`);
}

/** In the workerd entry, the kernels stay an import of the file beside it. */
const kernelAsModule = {
  name: "kernel as a module",
  setup({ onResolve }) {
    onResolve({ filter: /\.wasm$/ }, ({ path }) => ({ path, external: true }));
  },
};

/** @throws BuildError with the messages of esbuild, where the sources are wrong */
async function runEsbuild(options) {
  const { build, formatMessages } = await import("esbuild");
  try {
    return await build({
      absWorkingDir: root,
      outdir: "dist",
      bundle: true,
      format: "esm",
      minify: true,
      sourcemap: true,
      logLevel: "silent",
      write: false,
      ...options,
    });
  } catch (error) {
    const text = await formatMessages(error.errors ?? [{ text: error.message }], { kind: "error" });
    throw new BuildError(`esbuild failed:\n${text.join("")}`);
  }
}
