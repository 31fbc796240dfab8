/** Bundlers at work on an app in a packed project. Each writes to a folder and returns what it warned of. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { type BuildOptions, build as esbuild } from "esbuild";
import { type Plugin, rollup } from "rollup";
import { createLogger, createServer, type Logger, type ViteDevServer, build as vite } from "vite";
import webpack from "webpack";

/** What to bundle; paths are the project's. */
export interface App {
  readonly folder: string;
  /** The module that the app begins with, or its page for Vite. */
  readonly entry: string;
  /** The output folder, where the module becomes main.js. */
  readonly out: string;
}

type Bundle = (app: App) => Promise<string[]>;

function withEsbuild(options: BuildOptions): Bundle {
  return async ({ folder, entry, out }) => {
    const { warnings } = await esbuild({
      absWorkingDir: folder,
      entryPoints: { main: entry },
      outdir: out,
      bundle: true,
      minify: true,
      format: "esm",
      logLevel: "silent",
      ...options,
    });
    return warnings.map(({ text }) => text);
  };
}

/** Rollup resolves no names of packages by itself: what @rollup/plugin-node-resolve does, for one. */
function resolvePackages(folder: string): Plugin {
  const { resolve } = createRequire(join(folder, "package.json"));
  return {
    name: "packages",
    resolveId: (name) => (/^[./]/.test(name) ? null : resolve(name)),
  };
}

const withRollup: Bundle = async ({ folder, entry, out }) => {
  const warnings: string[] = [];
  const bundle = await rollup({
    input: { main: join(folder, entry) },
    plugins: [resolvePackages(folder)],
    onLog: (level, { message }) => {
      if (level === "warn") warnings.push(message);
    },
  });
  await bundle.write({ dir: join(folder, out), format: "es" });
  await bundle.close();
  return warnings;
};

const withWebpack: Bundle = async ({ folder, entry, out }) => {
  const compiler = webpack({
    mode: "production",
    context: folder,
    entry: { main: `./${entry}` },
    output: { path: join(folder, out), filename: "[name].js" },
  })!;
  try {
    const stats = await promisify(compiler.run.bind(compiler))();
    const { errors = [], warnings = [] } = stats!.toJson({ errors: true, warnings: true });
    if (errors.length > 0) throw new Error(errors.map(({ message }) => message).join("\n"));
    return warnings.map(({ message }) => message);
  } finally {
    await promisify(compiler.close.bind(compiler))();
  }
};

/** Collects in `warnings` what Vite would print of warnings and errors. */
function collecting(warnings: string[]): Logger {
  const logger = createLogger("warn");
  const collect = (message: string) => void warnings.push(message);
  return { ...logger, info() {}, warn: collect, warnOnce: collect, error: collect };
}

/** A page for entry, and so named in the output. */
function withVite(base: string): Bundle {
  return async ({ folder, entry, out }) => {
    const warnings: string[] = [];
    await vite({
      root: folder,
      base,
      configFile: false,
      logLevel: "warn",
      customLogger: collecting(warnings),
      build: { outDir: out, rollupOptions: { input: join(folder, entry) } },
    });
    return warnings;
  };
}

/** By the names of the tests. */
export const bundlers = {
  "esbuild, splitting": withEsbuild({ splitting: true }),
  "esbuild, in one module": withEsbuild({}),
  "esbuild, in one classic script": withEsbuild({ format: "iife" }),
  Rollup: withRollup,
  webpack: withWebpack,
  "Vite, base /some/app/": withVite("/some/app/"),
  "Vite, relative base": withVite("./"),
} satisfies Record<string, Bundle>;

export type BundlerName = keyof typeof bundlers;

export interface DevServer {
  readonly port: number;
  readonly warnings: readonly string[];
  close(): Promise<void>;
}

/** Vite's server for development, which bundles only what comes from packages. */
export async function startVite(folder: string, host: string): Promise<DevServer> {
  const warnings: string[] = [];
  const server: ViteDevServer = await createServer({
    root: folder,
    configFile: false,
    customLogger: collecting(warnings),
    server: { host: "127.0.0.1", port: 0, allowedHosts: [host], hmr: false },
  });
  await server.listen();
  const address = server.httpServer!.address();
  if (address === null || typeof address === "string") throw new Error("Vite: expected a port");
  return { port: address.port, warnings, close: () => server.close() };
}
