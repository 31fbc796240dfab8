/** What a page downloads for the suite beside the runtime, and that any host can run it. */
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Metafile } from "esbuild";
import { beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
let metafile: Metafile;
const sizes = new Map<string, number>();

/** As the package is built: entries that share what they have in common. */
beforeAll(async () => {
  const result = await build({
    absWorkingDir: root,
    entryPoints: { index: "src/index.ts", conformance: "src/conformance/index.ts" },
    outdir: "dist",
    bundle: true,
    format: "esm",
    splitting: true,
    // Knows no module of Node: an import of one would fail here.
    platform: "neutral",
    target: "es2022",
    minify: true,
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  metafile = result.metafile;
  for (const { path, contents } of result.outputFiles) {
    sizes.set(path.slice(path.indexOf("dist/")), gzipSync(contents, { level: 9 }).length);
  }
});

/** An output and all that it imports statically. */
function downloads(path: string, found = new Set<string>()): Set<string> {
  if (found.has(path)) return found;
  found.add(path);
  for (const { path: other, kind } of metafile.outputs[path]!.imports) {
    if (kind === "import-statement") downloads(other, found);
  }
  return found;
}

describe("the suite beside the runtime", () => {
  it("takes at most 25 kB gzipped", () => {
    const runtime = downloads("dist/index.js");
    const own = [...downloads("dist/conformance.js")].filter((path) => !runtime.has(path));
    const bytes = own.reduce((sum, path) => sum + sizes.get(path)!, 0);
    expect(bytes).toBeGreaterThan(5_000);
    expect(bytes).toBeLessThanOrEqual(25_000);
  });

  it("shares the cells with it, so that a cell of the one is a cell of the other", () => {
    const holders = Object.entries(metafile.outputs).filter(([, { inputs }]) =>
      Object.keys(inputs).includes("src/cell/expression.ts"),
    );
    expect(holders).toHaveLength(1);
    const [path] = holders[0]!;
    expect(downloads("dist/index.js")).toContain(path);
    expect(downloads("dist/conformance.js")).toContain(path);
  });

  it("imports nothing from outside the package", () => {
    const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
    expect(imports.filter(({ external }) => external)).toEqual([]);
    const sources = Object.keys(metafile.inputs);
    expect(sources.filter((path) => !/^(src|assembly)\//.test(path))).toEqual([]);
  });
});
