/** What a page downloads: the files that an entry imports, directly or not, gzipped. */
import { gzipSync } from "node:zlib";
import { installed } from "./project.mjs";

/** Largest sizes in bytes, gzipped file by file, with both kernels inlined. */
const LARGEST = { entry: 35_000, runtime: 86_000, conformance: 20_000 };

/** Static imports of a module of the package, as the bundler writes them. */
const importedFile = /(?:^|[;}\s])(?:import|export)\b[^"'();]*["']\.\/([^"']+\.js)["']/g;

/**
 * @throws Error where one is larger than it may be
 * @returns the sizes, in words
 */
export function checkSize(project) {
  const sizes = sizesOf(project);
  const text = Object.entries(sizes)
    .map(([name, bytes]) => `${name} ${bytes}`)
    .join(", ");
  for (const [name, largest] of Object.entries(LARGEST)) {
    if (sizes[name] > largest) {
      throw new Error(`${name}: expected at most ${largest} bytes gzipped, got ${text}`);
    }
  }
  checkReadme(installed(project, "README.md").toString(), sizes);
  return `${text} bytes gzipped`;
}

/** The README's sentence on sizes, in kB. */
const sentence =
  /Gzipped, wasm included: ([\d.]+) kB, and ([\d.]+) kB more where there is a GPU; ([\d.]+) kB with everything/;

function checkReadme(readme, { entry, webgpu, runtime }) {
  const found = sentence.exec(readme.replace(/\s+/g, " "));
  if (!found) throw new Error(`README.md: expected the sizes in the words of ${sentence}`);
  const told = found.slice(1).map(Number);
  const measured = [entry, webgpu, runtime].map((bytes) => Number((bytes / 1000).toFixed(1)));
  // Versions of zlib differ by some bytes.
  if (told.some((size, i) => Math.abs(size - measured[i]) > 0.25)) {
    throw new Error(
      `README.md: expected sizes of ${measured.join(", ")} kB, got ${told.join(", ")}`,
    );
  }
}

/** Bytes, gzipped, of what each part adds to what is there already. */
export function sizesOf(project) {
  const files = filesOf(project, "index.js");
  const entry = weigh(project, files);
  const more = (name) => weigh(project, filesOf(project, `${name}.js`).difference(files));
  const [webgpu, reference, threads, auto] = ["webgpu", "reference", "threads", "auto"].map(more);
  const runtime = entry + webgpu + reference + threads + auto;
  return { entry, webgpu, reference, threads, auto, runtime, conformance: more("conformance") };
}

/** The file and all that it imports. Dynamic imports, which are loaded later or never, do not count. */
function filesOf(project, name, found = new FileSet()) {
  if (found.has(name)) return found;
  found.add(name);
  const text = installed(project, `dist/${name}`).toString();
  for (const [, other] of text.matchAll(importedFile)) filesOf(project, other, found);
  return found;
}

/** `Set.prototype.difference` came with Node 22. */
class FileSet extends Set {
  difference(others) {
    return new FileSet([...this].filter((file) => !others.has(file)));
  }
}

function weigh(project, files) {
  const bytes = [...files].map((file) =>
    gzipSync(installed(project, `dist/${file}`), { level: 9 }),
  );
  return bytes.reduce((sum, { length }) => sum + length, 0);
}
