/** Help: every command, every option, examples and exit codes; and the document says the same. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createProgram } from "../../src/cli/program.ts";
import { runCli } from "./run-cli.ts";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const { commands } = createProgram();
const visible = createProgram().createHelp().visibleCommands(createProgram());
const names = visible.map((command) => command.name()).filter((name) => name !== "help");
const document = read("docs/command-line.md");

describe("antler --help", () => {
  it("names the commands there are, and nothing hidden", async () => {
    const { code, text } = await runCli(["--help"]);
    expect(code).toBe(0);
    expect(names.sort()).toEqual(["bench", "conformance", "doctor", "eval"]);
    for (const name of names) expect(text).toMatch(new RegExp(`^ {2}${name} `, "m"));
    expect(text).toContain("Examples:");
    expect(text).not.toContain("probe");
  });

  it.each(names)("of %s describes every option, with examples and exit codes", async (name) => {
    const command = commands.find((candidate) => candidate.name() === name)!;
    const { code, text, stderr } = await runCli([name, "--help"]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(command.options.length).toBeGreaterThan(1);
    for (const { flags, description } of command.options) {
      expect(text).toContain(flags);
      expect(description).not.toBe("");
      const long = flags.split(/[ ,]+/).find((part) => part.startsWith("--"))!;
      expect(document).toContain(`\`${long}`);
    }
    expect(text).toContain("Examples:");
    expect(text).toMatch(/^Exit code: 0 .*; 1 .*; 2 wrong usage.*; 130 interrupted\.$/m);
    expect(document).toContain(`## antler ${name}`);
    expect((await runCli(["help", name])).text).toBe(text);
  });

  it("is what one gets without a command, with an error", async () => {
    const { code, text, stderr } = await runCli([]);
    expect(code).toBe(2);
    expect(text).toBe("");
    expect(stderr).toContain("Usage: antler");
    expect(stderr).toMatch(/^antler: expected a command, got none \(antler --help\)$/m);
  });

  it("has the package's version beside it", async () => {
    const { version } = JSON.parse(read("package.json"));
    for (const flag of ["--version", "-V"]) {
      expect(await runCli([flag])).toMatchObject({ code: 0, text: `${version}\n`, stderr: "" });
    }
  });
});
