/** TypeDoc makes the API reference without a warning: all that is exported is described, and every link holds. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { root } from "../support/markdown.ts";

const typedoc = join(
  dirname(createRequire(import.meta.url).resolve("typedoc/package.json")),
  "bin/typedoc",
);

it("is made without a warning", () => {
  const folder = mkdtempSync(join(tmpdir(), "antler-api-"));
  try {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [typedoc, "--out", folder, "--pretty", "false", "--logLevel", "Warn"],
      { cwd: root, encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } },
    );
    expect((stdout + stderr).split("\n").filter((line) => /warning|error/i.test(line))).toEqual([]);
    expect(status).toBe(0);
    expect(existsSync(join(folder, "functions/index.gru.html"))).toBe(true);
    expect(existsSync(join(folder, "functions/conformance.runConformance.html"))).toBe(true);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
