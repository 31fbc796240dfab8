/** docs/troubleshooting.md has every message that the sources can throw or report, and no other. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { collectMessages, HOLE, type SourceMessage } from "../support/error-messages.ts";
import { codeSpans, root, tables } from "../support/markdown.ts";

const page = "docs/troubleshooting.md";
const documented = tables(page)
  .filter(({ header }) => header[0] === "message")
  .flatMap(({ rows }) => rows.flatMap(([first]) => codeSpans(first!)));
const collected = collectMessages(`${root}/src`);
const messages = collected.filter((message) => !isFragment(message));

const helper = `
  export class GoneError extends Error {
    constructor(readonly reason: string) { super(\`the cell is gone: \${reason}\`); }
  }
  export function expected(name: string, what: string, got: unknown): never {
    throw new TypeError(\`\${name}: expected \${what}, got \${String(got)}\`);
  }
  export const checkSize = (name: string, size: number) => {
    const what = "a positive number";
    if (!(size > 0)) expected(name, what, size);
  };`;
const use = `
  checkSize("size", size);
  if (!ok) expected("probes", "an integer", probes);
  const tooLarge = "it was " + "too large";
  function lose(why: string) { throw new GoneError(why); }
  if (large) lose(tooLarge); else lose(String(reason));
  const sentence = (count: number) => (count > 0 ? \`no room for \${count} cells\` : "no room for cells");
  const status = { name: "gpu", reason: sentence(cells) };`;
/** Helpers of helpers: a name that two files have, a default, words made by a closure, a choice. */
const checks = `
  function describe(what: string, expected: string, got: unknown) {
    return \`\${what}: wanted \${expected}, not \${show(got)}\`;
  }
  export function demand(holds: boolean, what: string, expected: string, got: unknown) {
    if (!holds) throw new RangeError(describe(what, expected, got));
  }
  export function checkMap(what: string, value: unknown, expected = "a map of names") {
    demand(value instanceof Map, what, expected, value);
  }
  export function checkOne(what: string, value: string, allowed: string[]) {
    const choices = () => \`one of \${allowed.join(", ")}\`;
    demand(allowed.includes(value), what, choices(), value);
  }
  export function checkCount(what: string, value: number, least: 0 | 1) {
    demand(value >= least, what, \`a \${least > 0 ? "positive" : "non-negative"} count\`, value);
  }`;
const lookalike = `
  function describe(error: unknown) { return String(error); }
  function demand(text: string) { return text; }
  demand("words that nobody is told");`;
const useOfChecks = `
  import { checkCount, checkMap, checkOne, demand } from "./checks.ts";
  checkMap("weights", weights);
  checkMap("state", state, "a map of parts");
  checkOne("kind", kind, kinds);
  checkCount("steps", steps, 0);
  checkCount("chunk", chunk, 1);
  function end(size: number) {
    if (size > 8) { const expected = "an end within"; demand(a, "slice", expected, size); }
    const expected = \`a divisor of \${size}\`;
    demand(b, "split", expected, size);
  }`;

/** What is collected from such files. */
function messagesOf(sources: Record<string, string>): string[] {
  const folder = mkdtempSync(join(tmpdir(), "antler-messages-"));
  try {
    for (const [name, source] of Object.entries(sources)) {
      writeFileSync(join(folder, `${name}.ts`), source);
    }
    return collectMessages(folder).map(({ text }) => text);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A part of a longer message, which says it all. */
function isFragment({ text, partial }: SourceMessage): boolean {
  return partial && collected.some((other) => other.text !== text && other.text.includes(text));
}

/** The name of the argument, file or stage that a message begins with, and the rest. */
function parts(text: string): { head: string; body: string } {
  const colon = text.indexOf(": ");
  return { head: text.slice(0, Math.max(colon, 0)), body: text.slice(colon < 0 ? 0 : colon + 2) };
}

/**
 * A pattern stands for a message if their words are the same. A hole of the pattern may stand for any
 * beginning, and within the rest for what is a hole there too, or one word.
 */
function covers(pattern: string, message: string): boolean {
  const [wanted, actual] = [parts(pattern), parts(message)];
  const matches = (text: string, expected: string, hole: string) => {
    const source = expected.split(HOLE).map((part) => part.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"));
    return new RegExp(`^${source.join(hole)}$`, "s").test(text);
  };
  return (
    matches(actual.head, wanted.head, ".*") &&
    (wanted.body === HOLE ||
      matches(actual.body, wanted.body, "\\S*") ||
      matches(`${actual.body} ${HOLE}`, wanted.body, "\\S*"))
  );
}

/** What a message says beyond "this backend is not available". */
function reasonIn(text: string): string {
  return text.replace(/^backend "[^"]*" is not available: (?=.*[^…])/, "");
}

describe("messages in the sources", () => {
  it("are found", () => {
    const texts = messages.map(({ text }) => text);
    // One of each kind: plain, by way of a helper, by way of an error class, in a report.
    expect(texts).toContain("shift: expected an integer, got …");
    expect(texts).toContain("chunk: expected a positive integer, got …");
    expect(texts).toContain("the WebGPU device was lost: …");
    expect(texts).toContain("not converged after … sweeps: residual …, tolerance …");
    expect(texts.length).toBeGreaterThan(200);
  });

  it("are found by way of helpers, constants, classes and returned sentences", () => {
    expect(messagesOf({ helper, use })).toEqual([
      "size: expected a positive number, got …",
      "probes: expected an integer, got …",
      "the cell is gone: it was too large",
      "the cell is gone: …",
      "no room for … cells",
      "no room for cells",
    ]);
  });

  it("are found by way of helpers that call helpers, each in its own file", () => {
    expect(messagesOf({ checks, lookalike, useOfChecks }).sort()).toEqual([
      "chunk: wanted a positive count, not …",
      "kind: wanted one of …, not …",
      "slice: wanted an end within, not …",
      "split: wanted a divisor of …, not …",
      "state: wanted a map of parts, not …",
      "steps: wanted a non-negative count, not …",
      "weights: wanted a map of names, not …",
    ]);
  });

  it(`are all in ${page}`, () => {
    const missing = messages
      .filter(({ text }) => !documented.some((pattern) => covers(pattern, reasonIn(text))))
      .map(({ text, where }) => `${text}   (${relative(root, where)})`);
    expect(missing).toEqual([]);
  });
});

describe(page, () => {
  it("has no message that nothing says", () => {
    const stale = documented.filter(
      (pattern) =>
        !messages.some(({ text }) => covers(pattern, text) || covers(pattern, reasonIn(text))),
    );
    expect(stale).toEqual([]);
  });

  it("has no pattern that would stand for anything", () => {
    const words = (pattern: string) => pattern.replace(/expected|got|…/g, "").match(/[a-z]{3,}/gi);
    expect(documented.filter((pattern) => (words(pattern) ?? []).length < 1)).toEqual([]);
  });

  it("says cause and cure for each", () => {
    for (const { header, rows, line } of tables(page)) {
      for (const row of rows) {
        const where = `${page}, table at line ${line}: ${row[0]}`;
        expect(row.length, where).toBe(header.length);
        expect(
          row.every((cell) => cell.length > 0),
          where,
        ).toBe(true);
      }
    }
  });
});
