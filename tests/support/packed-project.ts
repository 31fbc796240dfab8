/** A project whose only dependency is the package, unpacked from the tarball that `npm pack` makes. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { transformSync } from "esbuild";
import { install, pack, root } from "../../scripts/package/project.mjs";

export interface PackedProject {
  /** Its root, which holds package.json, node_modules/antler and program.js. */
  readonly folder: string;
  /** Writes files by their paths in the project. @returns the project */
  write(files: Readonly<Record<string, string>>): PackedProject;
  /** Makes a package of this repository's own node_modules resolve in the project, too. */
  link(name: string): void;
  remove(): void;
}

const BUILD_LIMIT_MS = 60_000;

/**
 * Waits for a build that is going on.
 *
 * @throws Error where nothing has been built
 */
export async function packedProject(): Promise<PackedProject> {
  const folder = mkdtempSync(join(tmpdir(), "antler-packed-"));
  const since = Date.now();
  for (;;) {
    const before = buildStamp();
    if (before) {
      install(pack(folder), folder);
      // The tarball of a build that went on meanwhile may be half of one and half of the other.
      if (buildStamp() === before) break;
      rmSync(join(folder, "node_modules"), { recursive: true });
    }
    if (Date.now() - since > BUILD_LIMIT_MS)
      throw new Error("dist: expected `npm run build` first");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const program = fileURLToPath(new URL("packed-program.ts", import.meta.url));
  return projectIn(folder).write({ "program.js": javascriptOf(program) });
}

/** What the last build was made from; undefined while one is going on. */
function buildStamp(): string | undefined {
  const files = ["bundle", "types"].map((step) => join(root, `dist/.${step}.stamp`));
  if (!files.every((file) => existsSync(file))) return undefined;
  return files.map((file) => readFileSync(file, "utf8")).join();
}

function projectIn(folder: string): PackedProject {
  const project: PackedProject = {
    folder,
    write(files) {
      for (const [name, text] of Object.entries(files)) {
        mkdirSync(dirname(join(folder, name)), { recursive: true });
        writeFileSync(join(folder, name), text);
      }
      return project;
    },
    link(name) {
      symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name));
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
  return project;
}

function javascriptOf(file: string): string {
  const options = { loader: "ts", format: "esm", target: "es2022" } as const;
  return transformSync(readFileSync(file, "utf8"), options).code;
}
