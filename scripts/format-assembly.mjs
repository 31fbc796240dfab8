/**
 * Formats the AssemblyScript sources as Biome formats everything else.
 *
 *     node scripts/format-assembly.mjs [--write]
 *
 * Biome refuses decorators on functions and variables, which AssemblyScript has (`@inline`,
 * `@lazy`), so each line that holds nothing but a decorator goes through Biome as a comment.
 * Without --write the files are left alone, and the exit code is 1 if one is not formatted.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const biome = join(root, "node_modules/@biomejs/biome/bin/biome");
const write = process.argv.includes("--write");
const mark = "//@@";

const paths = readdirSync(join(root, "assembly"), { recursive: true })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => join(root, "assembly", name))
  .sort();

let wrong = 0;
for (const path of paths) {
  const name = relative(root, path);
  const source = readFileSync(path, "utf8");
  const formatted = format(name, source);
  if (formatted === null) {
    wrong++;
  } else if (formatted !== source && write) {
    writeFileSync(path, formatted);
    process.stdout.write(`formatted ${name}\n`);
  } else if (formatted !== source) {
    wrong++;
    process.stderr.write(`${name}:${firstDifference(source, formatted)}\n`);
  }
}
process.stdout.write(`checked the format of ${paths.length} AssemblyScript files\n`);
if (wrong > 0) {
  process.stderr.write(`${wrong} not formatted: run \`npm run format\`\n`);
  process.exitCode = 1;
}

/** The formatted text, or null where Biome cannot parse it; what Biome says is passed on. */
function format(name, source) {
  const masked = source.replace(/^([ \t]*)(@\w+(?:\(.*\))?)[ \t]*$/gm, `$1${mark}$2`);
  // Biome reads its options for a path; one in src/ is among those that biome.json includes.
  const stdinPath = `src/${name}`;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [biome, "format", "--colors=off", `--stdin-file-path=${stdinPath}`],
    { cwd: root, input: masked, encoding: "utf8" },
  );
  if (status === 0 && stdout !== "") return stdout.replaceAll(mark, "");
  process.stderr.write(
    `${name}: Biome cannot parse this; is each decorator on a line of its own?\n${stderr}`,
  );
  return null;
}

/** The first line that differs, as "12: expected `a`, got `b`". */
function firstDifference(source, formatted) {
  const [got, expected] = [source.split("\n"), formatted.split("\n")];
  const line = expected.findIndex((text, index) => text !== got[index]);
  const at = line === -1 ? expected.length : line;
  return `${at + 1}: expected \`${expected[at] ?? ""}\`, got \`${got[at] ?? ""}\``;
}
