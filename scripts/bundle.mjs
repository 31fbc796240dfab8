/** Bundles the package's entries, minified, and the command line. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { minify } from "terser";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/**
 * The package's entries, and the backends that are loaded only where they are needed; what several
 * of them need goes into chunks, `shared-HASH.js`.
 */
export const bundles = {
  index: "src/index.ts",
  workerd: "src/workerd.ts",
  webgpu: "src/backend/webgpu/backend.ts",
  reference: "src/backend/reference/backend.ts",
};
/** Never written: naming it gives the kernels a chunk, as base64 and JavaScript compress better apart. */
const apart = "kernels";

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

/** @returns the files of dist/, each with its `name` and `contents` */
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
  for (const [name, text] of texts) {
    if (!name.endsWith(".js") || name === `${apart}.js`) continue;
    const { code, map } = await minify(text.replace(/\n\/\/# sourceMappingURL=.*\s*$/, "\n"), {
      module: true,
      ecma: 2020,
      compress: { passes: 3 },
      sourceMap: { content: texts.get(`${name}.map`), url: `${name}.map` },
    });
    // Bare imports keep the order of side effects; there are none, and bundlers warn of them.
    const contents = code.replaceAll(/import"\.\/shared-\w+\.js";/g, (bare) =>
      " ".repeat(bare.length),
    );
    outputs.push({ name, contents }, { name: `${name}.map`, contents: map });
  }
  return outputs;
}

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
