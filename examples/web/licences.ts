/** A file with the licences of all that the site contains, which must go where it goes. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

/** One collector for the page and its workers, whose bundles are made before the page's. */
export function licences({ fileName, more }: { fileName: string; more: readonly string[] }) {
  const folders = new Set<string>();
  const collect = (bundle: Readonly<Record<string, object>>) => {
    for (const part of Object.values(bundle)) {
      const modules = "modules" in part ? Object.keys(part.modules as object) : [];
      for (const id of modules) {
        const match = /^\0?(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id.replaceAll("\\", "/"));
        if (match) folders.add(match[1]);
      }
    }
  };
  const ofWorker = (): Plugin => ({
    name: "licences-of-worker",
    generateBundle: (_, bundle) => collect(bundle),
  });
  const ofPage: Plugin = {
    name: "licences",
    generateBundle(_, bundle) {
      collect(bundle);
      const packages = [...folders].sort().map(licenceOf);
      const title = "This site contains the following, under these licences.\n";
      this.emitFile({ type: "asset", fileName, source: [title, ...packages, ...more].join("\n") });
    },
  };
  return { ofPage, ofWorker };
}

function licenceOf(folder: string): string {
  const { name, version, license, repository } = JSON.parse(
    readFileSync(join(folder, "package.json"), "utf8"),
  );
  const head = `${"-".repeat(78)}\n${name} ${version}, ${license ?? "licence below"}\n`;
  const texts = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && /^(licen[cs]e|notice)/i.test(entry.name))
    .map((entry) => readFileSync(join(folder, entry.name), "utf8").trim());
  if (texts.length === 0) texts.push(`The licence is to be found at ${repository?.url}`);
  return `${head}\n${texts.join("\n\n")}\n`;
}
