/**
 * The playground as static files: `vite build examples/web` writes them to examples/web/dist. All addresses
 * in them are relative, so that any host can serve them from any path.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { locateSileroFile } from "../vad/silero-model.ts";
import { licences } from "./licences.ts";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const require = createRequire(import.meta.url);
const { exports, version } = require("../../package.json");
const versionOf = (name: string) =>
  require(join(root, "node_modules", name, "package.json")).version;

/** The built package, found as a user's bundler finds it: by its `exports`. */
const built = (entry: string) => join(root, exports[entry].default);

const { ofPage, ofWorker } = licences({
  fileName: "licences.txt",
  more: [
    `${"-".repeat(78)}\n${readFileSync(join(here, "../vad/LICENSE-speech.txt"), "utf8")}`,
    `${"-".repeat(78)}\nAntler ${version}\n\n${readFileSync(join(root, "LICENSE"), "utf8")}`,
  ],
});

export default defineConfig({
  root: here,
  base: "./",
  plugins: [ofPage],
  resolve: {
    alias: [
      { find: /^antler\/conformance$/, replacement: built("./conformance") },
      { find: /^antler$/, replacement: built(".") },
      // The package does not export its weights.
      { find: /^silero\.onnx\?url$/, replacement: `${locateSileroFile()}?url` },
      // Its ES module has named exports only, where Node's CommonJS has a default one.
      { find: /^wavefile$/, replacement: require.resolve("wavefile") },
    ],
  },
  define: {
    __VERSIONS__: JSON.stringify({
      antler: version,
      "onnxruntime-web": versionOf("onnxruntime-web"),
    }),
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  worker: { format: "es", plugins: () => [ofWorker()] },
  build: {
    target: "es2022",
    // Nothing inlined as a data: address, which the page's policy would refuse.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
    emptyOutDir: true,
  },
  preview: { port: 4173, host: "127.0.0.1" },
});
