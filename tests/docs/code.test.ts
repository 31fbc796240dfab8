/** The code on the pages: it compiles against the package's declarations, and prints what it says. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { type CodeBlock, codeBlocks, markdownFiles, root } from "../support/markdown.ts";

const pages = ["README.md", ...markdownFiles(["docs"])];
const blocks = pages.flatMap(codeBlocks);
const isCode = ({ info }: CodeBlock) => ["ts", "js"].includes(info[0]!);
const checked = blocks.filter(
  (block) => isCode(block) && /^(check|run)$/.test(block.info[1] ?? ""),
);
const nameOf = ({ file, line }: CodeBlock) => `${file}:${line}`;
const marker = "// → ";

/** As the program sees it: in the folder of its page, so that `antler` is this very package. */
function pathOf({ file, line, info }: CodeBlock): string {
  return join(root, `${file}.${line}.${info[0] === "js" ? "mjs" : "mts"}`);
}

const sourceOf = ({ prelude, code }: CodeBlock) => `${prelude}${code}\nexport {};\n`;

/** What hosts make of an import of a `.wasm` file; every one of them declares it like this. */
const ambient = join(root, "docs/ambient.d.ts");
const ambientSource = ["*.wasm", "*.wasm?module"]
  .map((name) => `declare module "${name}" { const m: WebAssembly.Module; export default m; }`)
  .join("\n");

const options: ts.CompilerOptions = {
  strict: true,
  noEmit: true,
  allowJs: true,
  checkJs: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  lib: ["lib.es2023.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
  types: ["node"],
  skipLibCheck: true,
};

/** What the compiler says of each block, all in one program. */
function diagnose(): Map<string, string[]> {
  const sources = new Map(checked.map((block) => [pathOf(block), sourceOf(block)]));
  sources.set(ambient, ambientSource);
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => sources.has(path) || fileExists(path);
  host.readFile = (path) => sources.get(path) ?? readFile(path);
  host.getSourceFile = (path, version, ...rest) => {
    const text = sources.get(path);
    if (text === undefined) return getSourceFile.call(host, path, version, ...rest);
    return ts.createSourceFile(path, text, version);
  };
  const program = ts.createProgram([...sources.keys()], options, host);
  const found = new Map<string, string[]>();
  for (const { file, start = 0, messageText } of ts.getPreEmitDiagnostics(program)) {
    const path = file?.fileName ?? "";
    const at = file ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
    const text = `line ${at} of the block: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
    found.set(path, [...(found.get(path) ?? []), text]);
  }
  return found;
}

/** What a block prints, run by Node in the package's folder. */
async function run(block: CodeBlock): Promise<string[]> {
  const { outputText } = ts.transpileModule(sourceOf(block), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  });
  const child = spawn(process.execPath, ["--input-type=module", "-"], {
    cwd: root,
    stdio: ["pipe", "pipe", "pipe"],
  });
  let [output, errors] = ["", ""];
  child.stdout.on("data", (data) => {
    output += data;
  });
  child.stderr.on("data", (data) => {
    errors += data;
  });
  child.stdin.end(outputText);
  const status = await new Promise((resolve) => child.on("close", resolve));
  // Node shows the line that threw, which in a shrunk file is most of it.
  const readable = errors.split("\n").filter((line) => line.length < 500);
  expect(status, readable.join("\n")).toBe(0);
  return output.trimEnd().split("\n");
}

describe("code on the pages", () => {
  const diagnostics = diagnose();

  it("is there, marked, and knows what it imports", () => {
    const unmarked = blocks.filter(
      (block) => isCode(block) && !checked.includes(block) && !/npm:antler/.test(block.code),
    );
    expect(unmarked.map(nameOf)).toEqual([]);
    expect(checked.length).toBeGreaterThan(8);
    expect(diagnostics.get("") ?? []).toEqual([]);
    expect(diagnostics.get(ambient) ?? []).toEqual([]);
  });

  it.each(checked.map((block) => [nameOf(block), block] as const))("%s compiles", (_, block) => {
    expect(diagnostics.get(pathOf(block)) ?? []).toEqual([]);
  });

  const runnable = checked.filter(({ info }) => info[1] === "run");
  it.each(runnable.map((block) => [nameOf(block), block] as const))(
    "%s prints what it says",
    async (_, block) => {
      const lines = block.code.split("\n").filter((line) => line.startsWith(marker));
      expect(lines.length).toBeGreaterThan(0);
      expect(await run(block)).toEqual(lines.map((line) => line.slice(marker.length)));
    },
  );
});
