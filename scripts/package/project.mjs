/** The package as its users get it: packed, and unpacked into a project that has nothing else. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** @returns the path of the tarball in `folder` */
export function pack(folder) {
  const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", folder];
  const [{ filename }] = JSON.parse(run("npm", args, root));
  return join(folder, filename);
}

/** Makes the project in `folder`. */
export function install(tarball, folder) {
  const target = join(folder, "node_modules/antler");
  mkdirSync(target, { recursive: true });
  run("tar", ["-xzf", tarball, "-C", target, "--strip-components=1"], folder);
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
}

/** The contents of a file of the package in such a project. */
export function installed(project, name) {
  return readFileSync(join(project, "node_modules/antler", name));
}

/** @returns standard output; @throws Error with all that was printed, if the command fails */
export function run(command, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" },
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} failed (${status}):\n${stdout}${stderr}`);
  return stdout;
}

/** The program Deno in the package for this system, which is a dependency of `deno`. */
export function denoProgram() {
  const require = createRequire(createRequire(import.meta.url).resolve("deno/package.json"));
  const libc = process.platform === "linux" ? "-glibc" : "";
  const name = process.platform === "win32" ? "deno.exe" : "deno";
  return require.resolve(`@deno/${process.platform}-${process.arch}${libc}/${name}`);
}
