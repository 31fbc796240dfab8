/** Where the kernels come from, which build it is, and what happens when they cannot be had. */
import { execFile } from "node:child_process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { inlinedKernel } from "../../src/backend/wasm/inlined.ts";
import { hasRelaxedSimd } from "../../src/backend/wasm/load.ts";
import * as antler from "../../src/index.ts";
import {
  BackendUnavailableError,
  createRuntime,
  lorenz96,
  type RuntimeOptions,
  type WasmSource,
} from "../../src/index.ts";
import { identical, largestError } from "../support/agreement.ts";
import { evaluateEverywhere, type HostResult } from "../support/evaluate-everywhere.ts";
import { type Site, serve } from "../support/http.ts";

const plain = await inlinedKernel("plain");
const relaxed = await inlinedKernel("relaxed");
const dataUrl = (bytes: Uint8Array) =>
  `data:application/wasm;base64,${Buffer.from(bytes).toString("base64")}`;
/** Exports one function, `other`, which does nothing. */
const otherModule = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0],
  ...[7, 9, 1, 5, 111, 116, 104, 101, 114, 0, 0, 10, 4, 1, 2, 0, 11],
);
/** Imports a function "f" from the module "env". */
const importingModule = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0],
  ...[2, 9, 1, 3, 101, 110, 118, 1, 102, 0, 0],
);
/** What every runtime of this process says of WebGPU, which Node does not have by itself. */
const noWebgpu = {
  name: "webgpu",
  available: false,
  reason: expect.stringMatching(/navigator\.gpu.*`webgpu`: createRuntime\(\{ gpu \}\)/),
};
const errorPage = "<!DOCTYPE html><title>Not found</title>";

let site: Site;
beforeAll(async () => {
  site = await serve({
    "/kernel.wasm": { type: "application/wasm", body: plain },
    // Many servers do not know the type.
    "/untyped.wasm": { body: plain },
    "/page.wasm": { type: "text/html", body: errorPage },
    "/empty.wasm": { body: "" },
  });
});
afterAll(() => site.close());

const cell = lorenz96({ size: 7, forcing: 2 });

/** The states of a short run, and the build that ran. */
async function run(options: RuntimeOptions) {
  using runtime = await createRuntime({ backend: "wasm", ...options });
  const { states, report } = await runtime.evaluate(cell, 50);
  return { states, simd: report.simd, statuses: runtime.backends };
}

const sources: readonly [string, () => WasmSource | Promise<WasmSource>][] = [
  ["a URL in a string", () => `${site.origin}/kernel.wasm`],
  ["a URL", () => new URL("/kernel.wasm", site.origin)],
  ["a URL without a type", () => `${site.origin}/untyped.wasm`],
  ["a data URL", () => dataUrl(plain)],
  ["an ArrayBuffer", () => plain.buffer],
  ["a Uint8Array", () => plain],
  ["a Buffer", () => Buffer.from(plain)],
  [
    "bytes in the middle of a buffer",
    () => {
      const larger = new Uint8Array(plain.length + 20).fill(255);
      larger.set(plain, 7);
      return larger.subarray(7, 7 + plain.length);
    },
  ],
  ["a DataView", () => new DataView(plain.buffer)],
  ["a compiled module", () => WebAssembly.compile(plain)],
];

describe("kernels", () => {
  it.each(sources)("come from %s, and give the same states", async (_, source) => {
    const inlined = await run({ reproducible: true });
    const loaded = await run({ wasm: await source() });
    expect(loaded.simd).toBe("plain");
    expect(identical(loaded.states, inlined.states)).toBe(true);
  });

  it("are shared as a module by many runtimes, each with a memory of its own", async () => {
    const wasm = await WebAssembly.compile(plain);
    const runtimes = await Promise.all(
      Array.from({ length: 4 }, () => createRuntime({ backend: "wasm", wasm })),
    );
    const results = await Promise.all(
      runtimes.map((runtime, i) => runtime.evaluate(lorenz96({ size: 5 + i }), 20)),
    );
    for (const [i, { states }] of results.entries()) {
      const alone = await runtimes[0]!.evaluate(lorenz96({ size: 5 + i }), 20);
      expect(identical(states, alone.states)).toBe(true);
    }
    for (const runtime of runtimes) runtime.dispose();
  });

  it.each([
    ["plain", plain],
    ["relaxed", relaxed],
  ] as const)("import nothing (%s)", (simd, bytes) => {
    // Engines without relaxed SIMD cannot compile it, but a section of imports has a fixed place.
    if (simd === "plain" || hasRelaxedSimd()) {
      expect(WebAssembly.Module.imports(new WebAssembly.Module(bytes))).toEqual([]);
    }
    expect(sectionsOf(bytes)).not.toContain(importSection);
  });
});

const importSection = 2;

/** The ids of a module's sections. */
function sectionsOf(bytes: Uint8Array): number[] {
  const ids: number[] = [];
  for (let at = 8; at < bytes.length; ) {
    ids.push(bytes[at++]!);
    let size = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!;
      size += (byte & 127) * 2 ** shift;
      if (byte < 128) break;
    }
    at += size;
  }
  return ids;
}

describe("what is not the kernels", () => {
  const cases: readonly [string, () => WasmSource, ...string[]][] = [
    [
      "an error page",
      () => `${site.origin}/page.wasm`,
      "3c 21 44 4f",
      '"<!DOCTYPE html>',
      "page.wasm",
    ],
    [
      "bytes of an error page",
      () => Buffer.from(errorPage),
      "3c 21 44 4f",
      "<!DOCTYPE",
      "given bytes",
    ],
    ["HTTP status 404", () => `${site.origin}/missing.wasm`, "404", "/missing.wasm"],
    ["nothing", () => `${site.origin}/empty.wasm`, "got nothing", "00 61 73 6d"],
    ["no bytes", () => new Uint8Array(0), "got nothing", "00 61 73 6d"],
    [
      "a server that is not there",
      () => "http://127.0.0.1:1/kernel.wasm",
      "cannot fetch",
      "127.0.0.1:1",
    ],
    ["no URL", () => "not a url", "cannot fetch not a url"],
    // Node's fetch does not read files: there, pass the bytes.
    ["a file's URL", () => pathToFileURL(fileURLToPath(import.meta.url)), "cannot fetch file://"],
    ["another module", () => otherModule, "expected Antler's kernels", "another module"],
    ["a module with imports", () => importingModule, "expected Antler's kernels", "another module"],
    ["half the kernels", () => plain.subarray(0, plain.length / 2), "WebAssembly.compile"],
    ["a damaged copy", () => plain.map((byte, i) => (i > 4000 ? 0 : byte)), "WebAssembly.compile"],
  ];

  it.each(cases)("%s: told, and not used", async (_, source, ...parts) => {
    const error: unknown = await createRuntime({ backend: "wasm", wasm: source() }).catch(
      (reason) => reason,
    );
    expect(error).toBeInstanceOf(BackendUnavailableError);
    expect((error as BackendUnavailableError).backend).toBe("wasm");
    for (const part of parts) expect((error as Error).message).toContain(part);

    using runtime = await createRuntime({ wasm: source() });
    expect(runtime.backends).toEqual([
      { name: "wasm", available: false, reason: (error as BackendUnavailableError).reason },
      noWebgpu,
      { name: "reference", available: true },
    ]);
    const { states, report } = await runtime.evaluate(cell, 5);
    expect(report.backend).toBe("reference");
    expect(states).toBeInstanceOf(Float32Array);
    await expect(runtime.evaluate(cell, 5, { backend: "wasm" })).rejects.toThrow(
      BackendUnavailableError,
    );
  });
});

describe("a host without WebAssembly", () => {
  /** Starts to make a runtime while there is none; loading looks for it at once. */
  function createWithout(options?: RuntimeOptions) {
    vi.stubGlobal("WebAssembly", undefined);
    try {
      return createRuntime(options);
    } finally {
      vi.unstubAllGlobals();
    }
  }

  it("falls back to the reference and says why", async () => {
    using runtime = await createWithout();
    expect(runtime.backends).toEqual([
      { name: "wasm", available: false, reason: "this host has no WebAssembly" },
      noWebgpu,
      { name: "reference", available: true },
    ]);
    const { report } = await runtime.evaluate(cell, 10);
    expect(report).toMatchObject({ backend: "reference", method: "sequential" });
    expect(report.choice).toContain("reference");
    expect(report.choice).toContain('"wasm" is not available: this host has no WebAssembly');
    expect(report.simd).toBeUndefined();
  });

  it("refuses the backend by name, in createRuntime and in evaluate", async () => {
    const refusal = { name: "BackendUnavailableError", reason: "this host has no WebAssembly" };
    await expect(createWithout({ backend: "wasm" })).rejects.toMatchObject(refusal);
    using runtime = await createWithout();
    await expect(runtime.evaluate(cell, 10, { backend: "wasm" })).rejects.toMatchObject(refusal);
  });
});

describe("a host without DecompressionStream", () => {
  it("is told to hand over the kernels, and runs those", async () => {
    // Afresh, with no kernels compiled yet.
    vi.resetModules();
    vi.stubGlobal("DecompressionStream", undefined);
    try {
      const fresh = await import("../../src/index.ts");
      await expect(fresh.createRuntime({ backend: "wasm" })).rejects.toMatchObject({
        name: "BackendUnavailableError",
        reason: expect.stringMatching(/no DecompressionStream.*createRuntime\(\{ wasm \}\)/),
      });
      using runtime = await fresh.createRuntime({ backend: "wasm", wasm: plain });
      expect(runtime.backends[0]).toEqual({ name: "wasm", available: true, simd: "plain" });
    } finally {
      vi.unstubAllGlobals();
    }
  });
});

describe("relaxed SIMD", () => {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const script = "tests/support/evaluate-in-child.ts";
  // Engines since 2023 have it without being asked, and newer Node does not know the flag.
  const flags = hasRelaxedSimd() ? [] : ["--experimental-wasm-relaxed-simd"];

  async function runInChild(options: RuntimeOptions): Promise<HostResult> {
    const args = [...flags, "--import", "tsx", script, JSON.stringify(options)];
    const { stdout } = await promisify(execFile)(process.execPath, args, {
      cwd: root,
      maxBuffer: 2 ** 26,
    });
    return JSON.parse(stdout);
  }

  it("is found by compiling an instruction of it", () => {
    expect(hasRelaxedSimd()).toBe(WebAssembly.validate(relaxed));
  });

  it("runs where the engine has it, within rounding of the plain build", async () => {
    const expected = await evaluateEverywhere(antler, { backend: "wasm", reproducible: true });
    expect(expected.simd).toBe("plain");
    const actual = await runInChild({ backend: "wasm" });
    expect(actual.simd).toBe("relaxed");
    expect(actual.converged.every(Boolean)).toBe(true);
    expect(Object.keys(actual.states)).toEqual(Object.keys(expected.states));
    for (const [what, states] of Object.entries(actual.states)) {
      const size = what.startsWith("lstm") ? 26 : 13;
      const [a, b] = [Float64Array.from(states), Float64Array.from(expected.states[what]!)];
      expect(largestError(a, b, size), what).toBeLessThan(1e-5);
    }
  });

  it("does not run where results must be reproducible: the same bits as everywhere", async () => {
    const expected = await evaluateEverywhere(antler, { backend: "wasm", reproducible: true });
    const actual = await runInChild({ backend: "wasm", reproducible: true });
    expect(actual).toEqual(expected);
  });

  it("is refused where results must be reproducible", async () => {
    const wasm = dataUrl(relaxed);
    const refused = runInChild({ backend: "wasm", wasm, reproducible: true });
    await expect(refused).rejects.toThrow("RangeError: wasm: expected kernels whose results");
  });

  it("is told where the engine lacks it", async () => {
    const given = await createRuntime({ wasm: relaxed });
    const { reason } = given.backends[0]!;
    if (hasRelaxedSimd()) expect(reason).toBeUndefined();
    else expect(reason).toContain("WebAssembly.compile");
    expect((await run({})).simd).toBe(hasRelaxedSimd() ? "relaxed" : "plain");
  });
});
