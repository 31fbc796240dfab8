/**
 * Puts shaders together from the files in gpu/, each of which is valid WGSL as it stands:
 *
 *     //#import shared/problem.wgsl      the file, the first time that it is asked for
 *     //#section step … //#end           replaced by generated code; what is there is an example
 *     //#if NAME … //#else … //#end      kept if the flag is set, else the other part
 *     //#widths … //#end                 code for vec4f and functions NAME_4, also for vec2f and f32
 *     const NAME = 64u;                  at the start of a line: gets another value by name
 *     alias Name = f32;                  likewise another type
 */
import { shaders } from "./generated/shaders.ts";

export interface ShaderParts {
  /** New values of constants, as WGSL writes them. */
  readonly constants?: Readonly<Record<string, number | string>>;
  readonly aliases?: Readonly<Record<string, string>>;
  readonly sections?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
}

/**
 * The WGSL of gpu/`path`, filled in.
 *
 * @throws Error when the file has no such constant, alias or section: a misspelt name must not go unnoticed.
 */
export function assembleShader(path: string, parts: ShaderParts = {}): string {
  const { constants = {}, aliases = {}, sections = {}, flags = [] } = parts;
  const used = new Set<string>();
  let code = expand(
    path,
    new Set(),
    (name) => {
      if (!(name in sections)) return null;
      used.add(name);
      return sections[name]!;
    },
    new Set(flags),
  );
  for (const name of Object.keys(sections)) {
    if (!used.has(name)) throw new Error(`gpu/${path}: expected a section "${name}", found none`);
  }
  for (const [name, value] of Object.entries(constants)) {
    code = replaceOnce(path, code, new RegExp(`^(const ${name}\\b[^=]*= ?)(.*?)(;)`, "m"), value);
  }
  for (const [name, type] of Object.entries(aliases)) {
    code = replaceOnce(path, code, new RegExp(`^(alias ${name} ?= ?)(.*?)(;)`, "m"), type);
  }
  return code;
}

function replaceOnce(path: string, code: string, pattern: RegExp, value: number | string): string {
  const number = typeof value === "number" && /^\d+u/.test(pattern.exec(code)?.[2] ?? "");
  const text = number ? `${value}u` : String(value);
  if (!pattern.test(code)) throw new Error(`gpu/${path}: expected a line like ${pattern.source}`);
  return code.replace(pattern, (_, head: string, __, tail: string) => head + text + tail);
}

interface Block {
  readonly kind: "section" | "if" | "widths";
  readonly keep: boolean;
  /** Where its lines begin. */
  readonly start: number;
}

/** `code` as it stands, for pairs and for scalars: `vec4u`, `vec2u`, `u32`; `NAME_4`, `NAME_2`, `NAME_1`. */
function forAllWidths(code: string): string {
  const pairs = code.replace(/\bvec4|_4\b/g, (four) => four.replace("4", "2"));
  const scalars = code.replace(/\bvec4([fiu])\b/g, "$132").replace(/_4\b/g, "_1");
  return [code, pairs, scalars].join("\n");
}

function expand(
  path: string,
  imported: Set<string>,
  section: (name: string) => string | null,
  flags: ReadonlySet<string>,
): string {
  const source = shaders[path];
  if (source === undefined) throw new Error(`gpu/${path}: no such shader`);
  const lines: string[] = [];
  const blocks: Block[] = [];
  for (const line of source.split("\n")) {
    const [, directive, argument = ""] = /^\s*\/\/#(\w+) ?(.*?)\s*$/.exec(line) ?? [];
    const keep = blocks.every((block) => block.keep);
    switch (directive) {
      case undefined:
        if (keep) lines.push(line);
        break;
      case "import":
        if (!keep || imported.has(argument)) break;
        imported.add(argument);
        lines.push(expand(argument, imported, section, flags));
        break;
      case "section": {
        const text = keep ? section(argument) : null;
        if (text !== null) lines.push(text);
        blocks.push({ kind: "section", keep: text === null, start: lines.length });
        break;
      }
      case "if":
        blocks.push({ kind: "if", keep: flags.has(argument), start: lines.length });
        break;
      case "else": {
        const block = blocks.pop();
        if (block?.kind !== "if") throw new Error(`gpu/${path}: //#else without //#if`);
        blocks.push({ kind: "if", keep: !block.keep, start: lines.length });
        break;
      }
      case "widths":
        blocks.push({ kind: "widths", keep: true, start: lines.length });
        break;
      case "end": {
        const block = blocks.pop();
        if (!block) throw new Error(`gpu/${path}: //#end without a beginning`);
        if (block.kind === "widths") lines.push(forAllWidths(lines.splice(block.start).join("\n")));
        break;
      }
      default:
        throw new Error(`gpu/${path}: unknown directive //#${directive}`);
    }
  }
  if (blocks.length > 0) throw new Error(`gpu/${path}: expected //#end before the end`);
  return lines.join("\n");
}
