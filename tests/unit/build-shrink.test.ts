/** That shaders come out of the build smaller and otherwise the same. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { type HostNames, hostNames, shrinkShaders } from "../../scripts/shrink-wgsl.mjs";
import { problemLayout, sequenceLayout } from "../../src/backend/webgpu/layout.ts";

const noHost: HostNames = {
  names: new Set<string>(),
  code: new Set<string>(),
  prefixes: [],
  suffixes: [],
};
const shrink = (lines: readonly string[], host: HostNames | null = noHost) =>
  shrinkShaders({ "a.wgsl": lines.join("\n") }, host)["a.wgsl"]!;

const root = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
/** The files below a folder by their paths there. */
function filesBelow(folder: string, extension: string): Record<string, string> {
  const paths = readdirSync(root(folder), { recursive: true, encoding: "utf8" });
  const found = paths.filter((path) => path.endsWith(extension) && !path.includes("generated"));
  return Object.fromEntries(
    found.sort().map((path) => [path, readFileSync(root(`${folder}/${path}`), "utf8")]),
  );
}

describe("shrinkShaders", () => {
  it("drops comments and needless spaces, not those between words or operators", () => {
    const lines = [
      "// A comment.",
      "const SIZE: u32 = 4u; // Another.",
      "fn main() {",
      "  let d = 1 - -SIZE;",
      "  var e: array<f32, 2> = array<f32, 2>();",
      "",
      "  if (d < -1 && !(d >= 0.5e-3)) { e[0] += .5; } else { return; }",
      "}",
    ];
    expect(shrink(lines, null)).toBe(
      [
        "const SIZE:u32=4u;",
        "fn main(){",
        "let d=1- -SIZE;",
        "var e:array<f32,2> =array<f32,2>();",
        "if(d< -1&& !(d>=0.5e-3)){e[0]+=.5;}else{return;}",
        "}",
      ].join("\n"),
    );
  });

  it("renames what is declared, each name to one other wherever it can be seen", () => {
    const lines = [
      "struct Pair { left: f32, right: f32 }",
      "var<workgroup> total: atomic<u32>;",
      "fn first(pair: Pair, index: u32) -> f32 {",
      "let left = pair.left;",
      "return select(left, pair.right, index > atomicLoad(&total));",
      "}",
      "fn second(index: u32) -> f32 { return first(Pair(), index); }",
    ];
    const [struct, total, first, second] = shrink(lines).split("\n");
    const [, pair, left, right] = /^struct (\w+)\{(\w+):f32,(\w+):f32\}$/.exec(struct!)!;
    const [, sum] = /^var<workgroup>(\w+):atomic<u32>;$/.exec(total!)!;
    const [, name, a, i] = /^fn (\w+)\((\w+):\w+,(\w+):u32\)->f32\{/.exec(first!)!;
    // A local of a member's name is that member's namesake afterwards, too.
    expect(first).toBe(
      `fn ${name}(${a}:${pair},${i}:u32)->f32{let ${left}=${a}.${left};` +
        `return select(${left},${a}.${right},${i}>atomicLoad(&${sum}));}`,
    );
    const all = [pair, left, right, sum, name];
    expect(new Set([...all, a, i]).size).toBe(7);
    const [, other, j] = /^fn (\w+)\((\w+):u32\)/.exec(second!)!;
    expect(second).toBe(`fn ${other}(${j}:u32)->f32{return ${name}(${pair}(),${j});}`);
    expect([...all, other].every((word) => word!.length === 1)).toBe(true);
  });

  it("leaves names that the host knows, and gives none of them to anything else", () => {
    const host = hostNames([
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the source of one.
      "const code = `let a = ${b}; start_${leaf}(i); ${kind}_now(c)`;",
      "assemble({ SIZE: 4, Lane, d: 'e' }); constants.SHIFT = 1; const local = 2;",
      "import { other } from './other.ts'; if (!local) throw new Error('no other local');",
      "const x: Layout<'member'> = f();",
    ]);
    const kept = [
      "i",
      "start_state",
      "plain_now",
      "SIZE",
      "Lane",
      "SHIFT",
      "member",
      "main",
      "step",
    ];
    const lines = kept.map((name) => `const ${name} = 1;`);
    lines.push("const local = 2;", "const other = local;");
    const shrunk = shrink(lines, host).split("\n");
    expect(shrunk.slice(0, kept.length)).toEqual(kept.map((name) => `const ${name}=1;`));
    const [, local] = /^const (\w)=2;$/.exec(shrunk[kept.length]!)!;
    const [, other] = /^const (\w)=(\w);$/.exec(shrunk[kept.length + 1]!)!;
    expect(new Set([local, other, "a", "c", "e", "i", "d"]).size).toBe(7);
  });

  it("leaves members of structures that the host reads, one on each line", () => {
    const host = { ...noHost, names: new Set(["Known", "first"]) };
    const lines = ["struct Known {", "  first: u32,", "}", "struct Other {", "  second: u32,", "}"];
    lines.push("fn f(first: Known) -> u32 { return first.first; }");
    expect(shrink(lines, host)).toMatch(
      /^struct Known\{\nfirst:u32,\n\}\nstruct (\w)\{\n(\w):u32,\n\}\nfn \w\((\w):Known\)->u32\{return \3\.first;\}$/,
    );
  });

  it("leaves sections without their examples", () => {
    const lines = ["//#section body", "let x = 1;", "//#if A", "let y = 2;", "//#else", "//#end"];
    lines.push("//#end", "//#if B", "const C = 1;", "//#end");
    expect(shrink(lines)).toBe(
      ["//#section body", "//#end", "//#if B", "const a=1;", "//#end"].join("\n"),
    );
    expect(shrink(lines, null)).toContain("let y=2;");
  });

  it("keeps directives on lines of their own, and widths at the ends of names", () => {
    const lines = [
      "//#widths",
      "fn twice_4(value: vec4f) -> vec4f { return value + value; }",
      "//#end",
      "fn main() {",
      "  var result = twice_4(vec4f());",
      "//#if FAST",
      "  result = twice_1(1);",
      "//#else",
      "  result = twice_2(vec2f());",
      "//#end",
      "}",
    ];
    const shrunk = shrink(lines).split("\n");
    const [, name, value] = /^fn (\w)_4\((\w):vec4f\)/.exec(shrunk[1]!)!;
    const [, result] = /var (\w)=/.exec(shrunk[3]!)!;
    expect(shrunk).toEqual([
      "//#widths",
      `fn ${name}_4(${value}:vec4f)->vec4f{return ${value}+${value};}`,
      "//#end",
      `fn main(){var ${result}=${name}_4(vec4f());`,
      "//#if FAST",
      `${result}=${name}_1(1);`,
      "//#else",
      `${result}=${name}_2(vec2f());`,
      "//#end",
      "}",
    ]);
  });

  it("refuses what it cannot take apart", () => {
    const open = ["//#if A", "fn main() {", "//#else", "fn main(x: u32) {", "//#end", "}"];
    expect(() => shrink(open)).toThrow("gpu/a.wgsl: expected braces in pairs");
    expect(() => shrink(["fn main() {"])).toThrow("gpu/a.wgsl: expected braces in pairs");
    expect(() => shrink(["}", "{"])).toThrow("gpu/a.wgsl: expected braces in pairs");
  });
});

describe("the shaders of gpu/", () => {
  const sources = filesBelow("gpu", ".wgsl");
  const writers = Object.values(filesBelow("src/backend/webgpu", ".ts"));
  const host = hostNames([...writers, readFileSync(root("src/cell/pointwise.ts"), "utf8")]);
  const shrunk = shrinkShaders(sources, host);
  const readable = shrinkShaders(sources, null);
  const tokens = (code: string) => code.match(/\/\/#.*|[A-Za-z_]\w*|\d[\d.]*\w*|\S/g)!;
  /** Bindings, steps and the like, which the host writes. */
  const withoutExamples = (code: string) =>
    code.replace(
      /^(\/\/#section .*)\n(?:(?!\/\/#end)(?!\/\/#if).*\n|\/\/#if.*\n(?:(?!\/\/#end).*\n)*\/\/#end\n)*/gm,
      "$1\n",
    );
  const bodies = (code: string) =>
    code.split(/^(?=(?:@compute)?.*\bfn |(?:const|var<|alias|struct)\b)/m);

  it("differ in names only, and in a function each name stands for one thing", () => {
    for (const path of Object.keys(sources)) {
      const original = withoutExamples(readable[path]!);
      expect(tokens(shrunk[path]!)).toHaveLength(tokens(original).length);
      const [small, large] = [bodies(shrunk[path]!), bodies(original)];
      expect(small).toHaveLength(large.length);
      for (const [n, body] of small.entries()) {
        const names = new Map<string, string>();
        const before = tokens(large[n]!);
        for (const [i, token] of tokens(body).entries()) {
          if (!/^[A-Za-z_]/.test(token)) expect(token).toBe(before[i]);
          else {
            // Members are names of their own.
            const dot = before[i - 1] === "." ? "." : "";
            const name = dot + before[i]!;
            expect([token, name]).toEqual([token, names.get(dot + token) ?? name]);
            names.set(dot + token, name);
          }
        }
        expect(new Set(names.values()).size).toBe(names.size);
      }
    }
  });

  it("keep the names of the structures that the host lays out", () => {
    const words = tokens(shrunk["shared/problem.wgsl"]!);
    const fields = [...Object.keys(problemLayout.word), ...Object.keys(sequenceLayout.word)];
    for (const name of [...fields, "Problem", "Sequence", "SWEEPING"])
      expect(words).toContain(name);
  });

  it("are at most nine tenths as long", () => {
    const length = (texts: Record<string, string>) => Object.values(texts).join("").length;
    expect(length(shrunk)).toBeLessThan(0.9 * length(readable));
  });
});
