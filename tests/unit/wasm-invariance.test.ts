/** A state's bits depend neither on the sequences beside it nor on when its drive is computed. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { hasRelaxedSimd } from "../../src/backend/wasm/load.ts";
import { type Comparison, compareLanes } from "../support/lane-invariance.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** In a process of its own, since older engines have relaxed SIMD with a flag only. */
async function compareRelaxed(): Promise<Comparison> {
  const flags = hasRelaxedSimd() ? [] : ["--experimental-wasm-relaxed-simd"];
  const args = [...flags, "--import", "tsx", "tests/support/lane-invariance.ts"];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root });
  return JSON.parse(stdout);
}

describe("the same bits in one lane, four and eight, with the drive split off or not", () => {
  it.each([
    ["plain", () => compareLanes(true)],
    ["relaxed", compareRelaxed],
  ] as const)("in the %s build", async (simd, compare) => {
    const comparison = await compare();
    expect(comparison.simd).toBe(simd);
    expect(comparison.compared).toBeGreaterThan(200);
    expect(comparison.different).toEqual([]);
  });
});
