/** The pages name the options that there are: no other, and none is left out. */
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { codeSpans, markdownFiles, readText, root, tables } from "../support/markdown.ts";

const pages = markdownFiles(["docs"]);
/** Pages for users, as opposed to those about the inside. */
const userPages = pages.filter((page) => !/architecture|performance/.test(page));

/** The types whose members a page may list in a table, where they are, and whether it must list them. */
const types = {
  RuntimeOptions: { file: "src/create-runtime.ts", mustBeListed: true },
  EvaluateOptions: { file: "src/types.ts", mustBeListed: true },
  DampingOptions: { file: "src/types.ts", mustBeListed: true },
  Report: { file: "src/types.ts", mustBeListed: true },
  Fallback: { file: "src/types.ts", mustBeListed: false },
  ConformanceOptions: { file: "src/conformance/types.ts", mustBeListed: false },
} as const;
type TypeName = keyof typeof types;

function membersOf(name: TypeName): string[] {
  const { file } = types[name];
  const source = ts.createSourceFile(
    file,
    ts.sys.readFile(`${root}/${file}`)!,
    ts.ScriptTarget.Latest,
  );
  const found = source.statements.find(
    (statement) => ts.isInterfaceDeclaration(statement) && statement.name.text === name,
  );
  expect(found, `${name} in ${file}`).toBeDefined();
  return (found as ts.InterfaceDeclaration).members.flatMap((member) =>
    member.name && ts.isIdentifier(member.name) ? [member.name.text] : [],
  );
}

/** The tables headed "option of `Type`" or "field of `Type`". */
const listings = pages.flatMap(tables).flatMap((table) => {
  const [, name] = /^(?:option|field) of `(\w+)`$/.exec(table.header[0]!) ?? [];
  return name ? [{ ...table, name: name as TypeName }] : [];
});

const names = Object.keys(types) as TypeName[];

describe("options on the pages", () => {
  it.each(listings.map((listing) => [`${listing.file}:${listing.line}`, listing] as const))(
    "of the table at %s exist",
    (_, { name, rows }) => {
      expect(names).toContain(name);
      const members = membersOf(name);
      const listed = rows.flatMap(([first]) => codeSpans(first!));
      expect(listed.filter((option) => !members.includes(option))).toEqual([]);
    },
  );

  it.each(names.filter((name) => types[name].mustBeListed))("list all of %s", (name) => {
    const listed = listings
      .filter((listing) => listing.name === name)
      .flatMap(({ rows }) => rows.flatMap(([first]) => codeSpans(first!)));
    expect(membersOf(name).filter((member) => !listed.includes(member))).toEqual([]);
  });

  it.each(names)("mention all of %s", (name) => {
    const text = userPages.map(readText).join("\n");
    const missing = membersOf(name).filter((member) => !new RegExp(`\\b${member}\\b`).test(text));
    expect(missing).toEqual([]);
  });

  it("mention every function for writing cells, and every cell", () => {
    const index = ts.sys.readFile(`${root}/src/cell/index.ts`)!;
    const exported = [...index.matchAll(/[{,]\s*((?:type )?\w+)(?=\s*[,}])/g)]
      .map(([, name]) => name!)
      .filter((name) => /^[a-z]\w*$/.test(name));
    expect(exported).toContain("softplus");
    const vocabulary = readText("docs/custom-cells.md") + readText("README.md");
    expect(exported.filter((name) => !new RegExp(`\\b${name}\\b`).test(vocabulary))).toEqual([]);
  });
});
