/** Tables as text: numbers, headers, and cells that are none. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readCsv } from "../../src/cli/csv.ts";

const values = (text: string) => [...readCsv(text, "file").data];

describe("a table as text", () => {
  it("gives back the numbers written, under any delimiter, with a header or without", () => {
    const cell = fc.double({ noNaN: true, noDefaultInfinity: true });
    const table = fc
      .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 4 }))
      .chain(([rows, columns]) =>
        fc.array(fc.array(cell, { minLength: columns, maxLength: columns }), {
          minLength: rows,
          maxLength: rows,
        }),
      );
    const end = fc.constantFrom("\n", "\r\n");
    fc.assert(
      fc.property(
        table,
        fc.constantFrom(",", ";", "\t"),
        end,
        fc.boolean(),
        (rows, comma, eol, header) => {
          const names = rows[0]!.map((_, i) => `"column ${i}"`);
          const lines = [...(header ? [names] : []), ...rows].map((line) => line.join(comma));
          const found = readCsv(lines.join(eol) + eol, "file");
          expect(found.rows).toBe(rows.length);
          expect(found.columns).toBe(rows[0]!.length);
          expect(found.names === null).toBe(!header);
          // As text, −0 is written 0.
          expect([...found.data]).toEqual(rows.flat().map((value) => value + 0));
        },
      ),
    );
  });

  it("may have signs, exponents, blanks around numbers and empty lines at its end", () => {
    expect(values("+1, -2.5 ,.5\n1e3,2.E-1,-0.0\n\n\n")).toEqual([1, -2.5, 0.5, 1000, 0.2, -0]);
  });

  it.each([
    ["a word", "1,2\n3,four\n", 'row 2, column 2: expected a number, got "four"'],
    [
      "a word under a header",
      "a,b\n1,2\n3,x\n",
      'row 3, column 2 ("b"): expected a number, got "x"',
    ],
    ["an empty cell", "1,2\n,4\n", "row 2, column 1: expected a number, got an empty cell"],
    ["a missing cell", "1,2\n3\n", "row 2: expected 2 columns, got 1"],
    ["a cell too many", "1,2\n3,4,5\n", "row 2: expected 2 columns, got 3"],
    ["an empty row", "1,2\n\n3,4\n", "row 2: expected 2 columns, got an empty row"],
    ["half a header", "1,b\n3,4\n", 'row 1, column 2: expected a number, got "b"'],
    ["NaN", "1\nnan\n", 'row 2, column 1: expected a number, got "nan"'],
    ["infinity", "1\n1e999\n", 'row 2, column 1: expected a number, got "1e999"'],
    ["hexadecimal digits", "1\n0x10\n", 'row 2, column 1: expected a number, got "0x10"'],
    ["decimal commas", "1,5;2,5\n3,5;4,5\n", 'row 1, column 2: expected a number, got "5;2"'],
    ["only a header", "a,b\n", "expected rows of numbers, got only a header: a, b"],
    ["nothing", "", "expected rows of numbers, got an empty file"],
    ["a quote that never ends", '1,"2\n3,4\n', "row 1:"],
  ])("is refused with %s", (_, text, message) => {
    const read = () => readCsv(text, "file.csv");
    expect(read).toThrow(expect.objectContaining({ name: "UsageError" }));
    expect(read).toThrow(`file.csv: ${message}`);
  });
});
