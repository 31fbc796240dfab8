/** The example of a recurrence of the user's own, run as its README says, on a software GPU. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createRuntime } from "antler";
import { beforeAll, describe, expect, it } from "vitest";
import { populations, stimulus } from "../../examples/custom-cell/cell.ts";
import { gpuEnvironment } from "../support/swiftshader.ts";

const main = fileURLToPath(new URL("../../examples/custom-cell/main.ts", import.meta.url));

interface Row {
  readonly backend: string;
  readonly method: string;
  readonly difference: number;
  readonly verdict: string;
}

function rowsOf(printed: string): Row[] {
  const lines = printed.split("\n").filter((line) => /^(wasm|webgpu|reference) /.test(line));
  return lines.map((line) => {
    const words = line.split(/ +/);
    const at = words.findIndex((word) => /^(agrees|DISAGREES)$/.test(word));
    const [backend, method] = words;
    return { backend, method, difference: Number(words[at - 1]), verdict: words[at] ?? line };
  });
}

describe("the example custom-cell", () => {
  let printed: string;
  beforeAll(async () => {
    const args = ["--import", "tsx", main];
    // Fails where the exit code is not 0.
    const { stdout } = await promisify(execFile)(process.execPath, args, {
      env: await gpuEnvironment(),
      timeout: 110_000,
    });
    printed = stdout;
  });

  it("agrees on the reference, on WebAssembly and on WebGPU, by several methods each", () => {
    const rows = rowsOf(printed);
    for (const backend of ["reference", "wasm", "webgpu"]) {
      const methods = rows.filter((row) => row.backend === backend).map(({ method }) => method);
      expect(methods).toEqual(expect.arrayContaining(["sequential", "quasi-deer", "jacobi"]));
    }
    for (const { difference, verdict } of rows) {
      expect(verdict).toBe("agrees");
      expect(difference).toBeGreaterThanOrEqual(0);
      expect(difference).toBeLessThanOrEqual(1e-4);
    }
    // Another precision: a difference of exactly 0 would mean that something else ran.
    for (const row of rows) if (row.backend !== "reference") expect(row.difference).not.toBe(0);
  });

  it("prints the last report", () => {
    const text = printed.slice(printed.indexOf("{"), printed.lastIndexOf("}") + 1);
    expect(JSON.parse(text)).toMatchObject({
      backend: "webgpu",
      method: "jacobi",
      converged: true,
    });
  });

  it("computes the equations of its comment", async () => {
    const [size, steps] = [8, 60];
    const cell = populations(size);
    const inputs = stimulus(size, steps);
    const runtime = await createRuntime({ backend: "reference" });
    const { states } = await runtime.evaluate(cell, inputs);
    runtime.dispose();
    const { w_ee, w_ei, w_ie, w_ii } = cell.weights;
    const times = (w: { data: ArrayLike<number> }, v: number[]) =>
      v.map((_, row) => v.reduce((sum, value, col) => sum + w.data[row * size + col] * value, 0));
    const sigma = (value: number) => 1 / (1 + Math.exp(-value));
    let e = new Array<number>(size).fill(0);
    let i = new Array<number>(size).fill(0);
    for (let t = 0; t < steps; t++) {
      const [ee, ei, ie, ii] = [times(w_ee, e), times(w_ei, i), times(w_ie, e), times(w_ii, i)];
      const x = inputs.subarray(t * size, (t + 1) * size);
      const excited = e.map((value, k) => value + 0.2 * (sigma(ee[k] - ei[k] + x[k] - 2) - value));
      i = i.map((value, k) => value + 0.1 * (sigma(ie[k] - ii[k] - 4) - value));
      e = excited;
      [...e, ...i].forEach((value, k) => {
        expect(Math.abs(states[2 * size * t + k] - value)).toBeLessThan(1e-12);
      });
    }
  });
});
