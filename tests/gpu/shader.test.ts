/** How shaders are put together, and that those of gpu/ compile as they stand. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { shaders } from "../../src/backend/webgpu/generated/shaders.ts";
import { assembleShader, type ShaderParts } from "../../src/backend/webgpu/shader.ts";
import { nullGpu } from "../support/dawn.ts";
import { exampleShader } from "../support/example-shader.ts";

const texts = shaders as Record<string, string>;
const files: Readonly<Record<string, readonly string[]>> = {
  "test/base.wgsl": ["const SIZE = 4u;", "struct Base {}"],
  "test/left.wgsl": ["//#import test/base.wgsl", "fn left() {}"],
  "test/right.wgsl": ["//#import test/left.wgsl", "//#import test/base.wgsl", "fn right() {}"],
  "test/main.wgsl": [
    "//#import test/base.wgsl",
    "//#import test/right.wgsl",
    "const SCALE = 1.5;",
    "const SHIFT: f32 = 1.0;",
    "  const SIZE = 1u;",
    "alias Word = f32;",
    "//#section body",
    "example",
    "//#if FAST",
    "fast example",
    "//#end",
    "//#end",
    "  //#if FAST",
    "fast",
    "//#if WIDE",
    "fast and wide",
    "//#else",
    "fast and narrow",
    "//#end",
    "  //#else",
    "slow",
    "//#if WIDE",
    "slow and wide",
    "//#end",
    "  //#end",
    "last",
  ],
  "test/optional.wgsl": [
    "//#if LEFT",
    "//#import test/left.wgsl",
    "//#section extra",
    "an example",
    "//#end",
    "//#end",
    "//#import test/left.wgsl",
  ],
  "test/widths.wgsl": [
    "//#widths",
    "fn f_4(x: vec4f, n: vec4u) -> vec4i { return g_4(x) + vec4i(n) + x_42 + 4 + x4; }",
    "//#end",
    "fn other_4() {}",
  ],
  "test/else.wgsl": ["//#section body", "//#else", "//#end"],
  "test/end.wgsl": ["//#end"],
  "test/open.wgsl": ["//#if FAST"],
  "test/unknown.wgsl": ["//#iff FAST"],
  "test/missing.wgsl": ["//#import test/nowhere.wgsl"],
};

beforeAll(() => {
  for (const [path, lines] of Object.entries(files)) texts[path] = lines.join("\n");
});
afterAll(() => {
  for (const path of Object.keys(files)) delete texts[path];
});

const base = ["const SIZE = 4u;", "struct Base {}"];
const linesOf = (path: string, parts?: ShaderParts) => assembleShader(path, parts).split("\n");
/** Of test/main.wgsl, what comes after the declarations. */
const bodyOf = (parts?: ShaderParts) => {
  const lines = linesOf("test/main.wgsl", parts);
  return lines.slice(lines.indexOf("alias Word = f32;") + 1);
};

describe("assembleShader", () => {
  it("puts every import where it is first asked for, and only there", () => {
    const lines = linesOf("test/main.wgsl").slice(0, 5);
    expect(lines).toEqual([...base, "fn left() {}", "fn right() {}", "const SCALE = 1.5;"]);
  });

  it("takes what is imported only if the flag is set", () => {
    const parts = { flags: ["LEFT"] };
    expect(linesOf("test/optional.wgsl", parts)).toEqual([...base, "fn left() {}", "an example"]);
    // Not kept the first time, the import is still to come.
    expect(linesOf("test/optional.wgsl")).toEqual([...base, "fn left() {}"]);
  });

  it("keeps one of the branches of every condition, those within it included", () => {
    expect(bodyOf()).toEqual(["example", "slow", "last"]);
    expect(bodyOf({ flags: ["WIDE"] })).toEqual(["example", "slow", "slow and wide", "last"]);
    expect(bodyOf({ flags: ["FAST"] })).toEqual([
      ...["example", "fast example", "fast", "fast and narrow", "last"],
    ]);
    expect(bodyOf({ flags: ["FAST", "WIDE"] })).toEqual([
      ...["example", "fast example", "fast", "fast and wide", "last"],
    ]);
  });

  it("replaces a section's example, whatever the flags", () => {
    const sections = { body: "let dollar = $1;\nlet more = 2;" };
    const lines = ["let dollar = $1;", "let more = 2;"];
    expect(bodyOf({ sections })).toEqual([...lines, "slow", "last"]);
    expect(bodyOf({ sections, flags: ["FAST"] })).toEqual([
      ...[...lines, "fast", "fast and narrow", "last"],
    ]);
    expect(bodyOf({ sections: { body: "" } })).toEqual(["", "slow", "last"]);
  });

  it("gives constants and aliases other values, those of imported files included", () => {
    const constants = { SIZE: 64, SCALE: 0.25, SHIFT: "2.0" };
    const code = assembleShader("test/main.wgsl", { constants, aliases: { Word: "vec4f" } });
    expect(code).toContain("\nconst SCALE = 0.25;\nconst SHIFT: f32 = 2.0;\n");
    expect(code).toContain("\nalias Word = vec4f;\n");
    // The one at the start of a line, as an unsigned integer like before.
    expect(code).toMatch(/^const SIZE = 64u;\n/);
    expect(code).toContain("\n  const SIZE = 1u;\n");
  });

  it("writes what is within widths for pairs and scalars too", () => {
    const [four, two, one, other] = linesOf("test/widths.wgsl");
    expect(four).toBe(files["test/widths.wgsl"]![1]);
    expect(two).toBe(
      "fn f_2(x: vec2f, n: vec2u) -> vec2i { return g_2(x) + vec2i(n) + x_42 + 4 + x4; }",
    );
    expect(one).toBe("fn f_1(x: f32, n: u32) -> i32 { return g_1(x) + i32(n) + x_42 + 4 + x4; }");
    expect(other).toBe("fn other_4() {}");
  });

  it.each<[string, ShaderParts, RegExp]>([
    ["nowhere", {}, /gpu\/test\/nowhere\.wgsl: no such shader/],
    ["missing", {}, /gpu\/test\/nowhere\.wgsl: no such shader/],
    ["main", { sections: { bodyy: "" } }, /gpu\/test\/main\.wgsl: expected a section "bodyy"/],
    ["main", { constants: { SIZ: 1 } }, /gpu\/test\/main\.wgsl: expected a line like .*SIZ/],
    ["main", { constants: { Word: 1 } }, /gpu\/test\/main\.wgsl: expected a line like .*Word/],
    ["main", { aliases: { word: "f32" } }, /gpu\/test\/main\.wgsl: expected a line like .*word/],
    ["else", {}, /gpu\/test\/else\.wgsl: .*else without/],
    ["end", {}, /gpu\/test\/end\.wgsl: .*end without a beginning/],
    ["open", {}, /gpu\/test\/open\.wgsl: expected \/\/#end before the end/],
    ["unknown", {}, /gpu\/test\/unknown\.wgsl: unknown directive \/\/#iff/],
  ])("refuses what cannot be meant: %s, %j", (name, parts, message) => {
    expect(() => assembleShader(`test/${name}.wgsl`, parts)).toThrow(message);
  });
});

describe("every shader with an entry point", () => {
  const paths = Object.keys(shaders).filter((path) => shaders[path]!.includes("@compute"));
  /** The other files' flags come with generated code, or only together. */
  const variants: (readonly [string, readonly string[]])[] = [
    ...paths.map((path) => [path, []] as const),
    ["measure.wgsl", ["SUBGROUPS"]],
    ["decide.wgsl", ["TRACE"]],
  ];

  let device: GPUDevice;
  beforeAll(async () => {
    const adapter = (await (await nullGpu()).requestAdapter())!;
    device = await adapter.requestDevice({ requiredFeatures: ["subgroups"] });
  });
  afterAll(() => device.destroy());

  it("is among those that are looked at", () => {
    for (const name of ["measure", "decide", "finite", "sweep", "certificate", "scan"]) {
      expect(paths).toContain(`${name}.wgsl`);
    }
  });

  it.each(variants)("compiles on its own: %s with flags %j", async (path, flags) => {
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code: exampleShader(path, { flags }) });
    const { messages } = await module.getCompilationInfo();
    expect(messages.map(({ message }) => message)).toEqual([]);
    await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
    expect(await device.popErrorScope()).toBe(null);
  });
});
