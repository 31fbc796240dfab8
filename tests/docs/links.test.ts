/** Links between the written files, and to sections of them, lead somewhere. */
import { existsSync, statSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { anchorsOf, linksOf, markdownFiles, root } from "../support/markdown.ts";

const files = [...markdownFiles(["."], false), ...markdownFiles(["docs", "examples", "bench"])];

/** What is wrong with a link; empty if nothing is. */
function faultOf(file: string, target: string): string {
  const [path = "", anchor = ""] = target.split("#", 2);
  const wanted = path === "" ? file : normalize(join(dirname(file), decodeURIComponent(path)));
  const full = join(root, wanted);
  if (relative(root, full).startsWith("..")) return "leads out of the repository";
  if (!existsSync(full)) return "no such file";
  if (anchor === "") return "";
  if (!statSync(full).isFile() || !wanted.endsWith(".md")) return "an anchor into no Markdown file";
  return anchorsOf(wanted).has(anchor) ? "" : "no such section";
}

describe("links", () => {
  it("are looked for in all written files", () => {
    expect(files).toEqual(
      expect.arrayContaining(["README.md", "docs/README.md", "bench/README.md"]),
    );
  });

  it.each(files)("of %s lead somewhere", (file) => {
    const faults = linksOf(file)
      .filter(({ target }) => !/^[a-z][a-z+.-]*:/i.test(target))
      .map(({ target, line }) => ({ target, line, fault: faultOf(file, target) }))
      .filter(({ fault }) => fault !== "")
      .map(({ target, line, fault }) => `${file}:${line}: ${target}: ${fault}`);
    expect(faults).toEqual([]);
  });

  it("lead to every page from the index", () => {
    const linked = linksOf("docs/README.md").map(({ target }) => join("docs", target));
    const pages = markdownFiles(["docs"]).filter((file) => file !== "docs/README.md");
    expect(pages.filter((page) => !linked.includes(page))).toEqual([]);
  });
});
