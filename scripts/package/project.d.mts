/** The root of the repository. */
export const root: string;

/** @returns the path of the tarball in `folder` */
export function pack(folder: string): string;

/** Makes the project in `folder`. */
export function install(tarball: string, folder: string): void;

/** The contents of a file of the package in such a project. */
export function installed(project: string, name: string): Buffer;

/** @returns standard output; @throws Error with all that was printed, if the command fails */
export function run(command: string, args: readonly string[], cwd: string): string;

/** The program Deno in the package for this system, which is a dependency of `deno`. */
export function denoProgram(): string;
