/** What tests read in the documentation: its files, code blocks, tables, links and anchors. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

export interface CodeBlock {
  readonly file: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  /** The words after the fence: "ts run". */
  readonly info: readonly string[];
  readonly code: string;
  /** Code of the comment `<!-- with: … -->` right above the block: what it takes for granted. */
  readonly prelude: string;
}

export interface Table {
  readonly file: string;
  readonly line: number;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Written files of these folders, as paths from the root; dependencies and outputs left out. */
export function markdownFiles(folders: readonly string[], deep = true): string[] {
  return folders.flatMap((folder) => {
    if (!existsSync(join(root, folder))) return [];
    const names = readdirSync(join(root, folder), { recursive: deep, encoding: "utf8" });
    return names
      .filter((name) => name.endsWith(".md"))
      .map((name) => relative(root, join(root, folder, name)))
      .filter((path) => !/node_modules|(^|\/)(dist|out|api|artefacts)\//.test(path));
  });
}

export function readText(file: string): string {
  return readFileSync(join(root, file), "utf8");
}

/** The text with its code blocks emptied, line for line. */
export function withoutCode(text: string): string {
  let fence = "";
  return text
    .split("\n")
    .map((line) => {
      const [, mark = ""] = /^\s*(```+|~~~+)/.exec(line) ?? [];
      const isFence = mark !== "" && (fence === "" || line.trim() === fence);
      const inside = fence !== "" || isFence;
      if (isFence) fence = fence === "" ? mark : "";
      return inside ? "" : line;
    })
    .join("\n");
}

export function codeBlocks(file: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  const text = readText(file);
  const pattern = /(?:<!-- with:\n([\s\S]*?)-->\n)?^```([^\n`]+)\n([\s\S]*?)^```$/gm;
  for (const { index, 0: whole, 1: prelude = "", 2: info, 3: code } of text.matchAll(pattern)) {
    const fence = index + whole.indexOf("```");
    const line = text.slice(0, fence).split("\n").length;
    blocks.push({ file, line, info: info!.trim().split(/\s+/), code: code!, prelude });
  }
  return blocks;
}

export function tables(file: string): Table[] {
  const lines = withoutCode(readText(file)).split("\n");
  const found: Table[] = [];
  for (let i = 0; i + 1 < lines.length; i++) {
    if (!lines[i]!.startsWith("|") || !/^\|[\s:|-]+\|$/.test(lines[i + 1]!)) continue;
    let end = i + 2;
    while (lines[end]?.startsWith("|")) end++;
    const rows = lines.slice(i + 2, end).map(cellsOf);
    found.push({ file, line: i + 1, header: cellsOf(lines[i]!), rows });
    i = end;
  }
  return found;
}

/** The cells of a row; a bar within code is none. */
function cellsOf(row: string): string[] {
  const bare = row.replace(/(`+)(.+?)\1/g, (code) => code.replaceAll("|", "\0"));
  return bare
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.replaceAll("\0", "|").trim());
}

/** The code spans of a text. */
export function codeSpans(text: string): string[] {
  return [...text.matchAll(/(`+) ?(.+?) ?\1(?!`)/g)].map(([, , code]) => code!);
}

/** The targets of all links, with their lines. */
export function linksOf(file: string): { target: string; line: number }[] {
  const text = withoutCode(readText(file)).replace(/`[^`\n]*`/g, "");
  return [...text.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)].map((match) => ({
    target: match[1]!,
    line: text.slice(0, match.index).split("\n").length,
  }));
}

/** The anchors of a file's headings, as GitHub makes them. */
export function anchorsOf(file: string): Set<string> {
  const counts = new Map<string, number>();
  const anchors = new Set<string>();
  for (const [, title] of withoutCode(readText(file)).matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const slug = title!
      .toLowerCase()
      .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(/\s/g, "-");
    const count = counts.get(slug) ?? 0;
    counts.set(slug, count + 1);
    anchors.add(count === 0 ? slug : `${slug}-${count}`);
  }
  return anchors;
}
