/** A package `webgpu` whose GPU gives back wrong states. */
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** Below `folder`, where a program that runs in it finds the package first. */
export function installLyingGpu(folder: string): void {
  const real = pathToFileURL(createRequire(import.meta.url).resolve("webgpu")).href;
  const home = join(folder, "node_modules/webgpu");
  mkdirSync(home, { recursive: true });
  writeFileSync(
    join(home, "package.json"),
    JSON.stringify({ name: "webgpu", version: "6.6.6", type: "module", main: "index.js" }),
  );
  // What comes back from the device is a little off wherever it may be a state.
  writeFileSync(
    join(home, "index.js"),
    `import * as real from ${JSON.stringify(real)};
    export const globals = real.globals;
    const { prototype } = real.globals.GPUBuffer;
    const { getMappedRange } = prototype;
    prototype.getMappedRange = function (...range) {
      const copy = getMappedRange.apply(this, range).slice(0);
      const numbers = new Float32Array(copy);
      for (let i = 0; i < numbers.length; i++) {
        const size = Math.abs(numbers[i]);
        if (size > 0.05 && size < 0.9) numbers[i] += 0.01;
      }
      return copy;
    };
    export const create = real.create;`,
  );
}
