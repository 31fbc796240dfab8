/** Makes one file of a bench, to be run by Node on a machine that has nothing else. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { gitCommit } from "../report.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Packages that are looked for where the bundle runs, and only if they are needed there. */
const external = ["webgpu", "@sparticuz/chromium", "playwright", "onnxruntime-*", "deno"];

/**
 * Writes `dist/bench/NAME.js`: the bench with its command line, the library from its sources included.
 *
 * @returns the file
 */
export async function bundleBench(name: string): Promise<string> {
  const outfile = join(root, "dist/bench", `${name}.js`);
  const contents = `
    import bench from "./bench/${name}.ts";
    import { runBench, runCommand } from "./bench/support/command.ts";
    const file = "bench/results/${name}.local.json";
    await runCommand((args) => runBench("${name}", bench, args, file));
  `;
  await build({
    stdin: { contents, resolveDir: root, loader: "ts" },
    outfile,
    bundle: true,
    external,
    format: "esm",
    platform: "node",
    target: "node20",
    define: { ANTLER_COMMIT: JSON.stringify(gitCommit()) },
    logLevel: "warning",
  });
  return outfile;
}
