/** .npy files: there and back, as NumPy has them, and what is refused. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readNpy, readNpyIntegers, writeNpy } from "../../src/cli/npy.ts";
import { type NpyOptions, npy, parseNpy } from "./files.ts";

const numbers = fc.oneof(fc.float32Array(), fc.float64Array());
const array = fc.oneof(
  numbers.map((data) => ({ data, shape: [data.length] })),
  fc.tuple(numbers, fc.integer({ min: 1, max: 5 })).map(([data, columns]) => {
    const rows = Math.floor(data.length / columns);
    return { data: data.subarray(0, rows * columns), shape: [rows, columns] };
  }),
);

describe("a .npy file", () => {
  it("that is written holds the array bit for bit, in NumPy's format", () => {
    fc.assert(
      fc.property(array, ({ data, shape }) => {
        const found = parseNpy(Buffer.from(writeNpy(data, shape)));
        expect(found.descr).toBe(data instanceof Float64Array ? "<f8" : "<f4");
        expect(found.shape).toEqual(shape);
        expect(found.data).toEqual(data);
      }),
    );
  });

  it("is read bit for bit, whatever its version and alignment, and wherever its bytes lie", () => {
    const options = fc.record({
      version: fc.constantFrom(1 as const, 2 as const, 3 as const),
      alignment: fc.constantFrom(1, 16, 64),
    });
    fc.assert(
      fc.property(array, options, fc.nat(7), ({ data, shape }, how, offset) => {
        const file = npy(data, shape, how);
        const within = new Uint8Array(file.length + offset + 3);
        within.set(file, offset);
        const found = readNpy(within.subarray(offset, offset + file.length), "file");
        expect(found.shape).toEqual(shape);
        expect(found.data).toEqual(data);
      }),
    );
  });

  it("survives the way there and back", () => {
    fc.assert(
      fc.property(array, ({ data, shape }) => {
        expect(readNpy(writeNpy(data, shape), "file")).toEqual({ data, shape });
      }),
    );
  });

  it("of integers is read as numbers", () => {
    const data = BigInt64Array.of(10n, 0n, 2n ** 40n);
    const file = npy(data, [3], { descr: "<i8" });
    expect(readNpyIntegers(file, "file")).toEqual({ data: [10, 0, 2 ** 40], shape: [3] });
  });

  const four = Float32Array.of(1, 2, 3, 4);
  const made = (options: NpyOptions, shape = [2, 2]) => npy(four, shape, options);
  it.each<[string, Uint8Array, string]>([
    ["something else", Buffer.from("1,2,3\n4,5,6\n"), "expected a .npy file, got something else"],
    ["an archive", Buffer.from("PK\x03\x04 and so on"), "got an archive (.npz?)"],
    ["nothing", new Uint8Array(0), "expected a .npy file, got something else"],
    ["a magic number alone", made({}).subarray(0, 8), "got something else"],
    ["a header cut short", made({}).subarray(0, 30), "the file ends within its header"],
    ["a length cut short", made({ version: 2 }).subarray(0, 11), "the file ends within its header"],
    ["a version to come", made({ version: 9 as 3 }), "expected .npy version 1 to 3, got 9.0"],
    ["big-endian numbers", made({ descr: ">f4" }), "little-endian, got the type >f4"],
    [
      "integers",
      made({ descr: "<i4" }),
      "expected float32 or float64, little-endian, got the type <i4",
    ],
    ["half precision", made({ descr: "<f2" }), "got the type <f2"],
    ["text", made({ descr: "<U4" }), "got the type <U4"],
    ["records", made({ descr: "[('a', '<f4')]" }), "got the type [('a', '<f4')]"],
    ["Fortran order", made({ fortran: true }), "expected C order, got Fortran order"],
    [
      "a number cut short",
      made({}).subarray(0, -1),
      "the file ends within a number, 1 bytes early",
    ],
    ["a row cut short", made({}).subarray(0, -4), "expected 4 numbers for shape [2, 2], got 3"],
    ["numbers left over", made({}, [3]), "expected 3 numbers for shape [3], got 4"],
  ])("is refused if it is %s", (_, bytes, message) => {
    const read = () => readNpy(bytes, "file.npy");
    expect(read).toThrow(expect.objectContaining({ name: "UsageError" }));
    expect(read).toThrow(message);
    expect(read).toThrow(/^file\.npy: /);
  });

  it("of numbers is refused where integers are wanted", () => {
    expect(() => readNpyIntegers(npy(four, [4]), "file")).toThrow("expected integers");
  });

  it("never fails but with a UsageError, whatever bytes it has", () => {
    const good = npy(four, [2, 2]);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255))), (changes) => {
        const bytes = Uint8Array.from(good);
        for (const [at, byte] of changes) bytes[at] = byte;
        try {
          const { data, shape } = readNpy(bytes, "file");
          expect(data.length).toBe(shape.reduce((product, extent) => product * extent, 1));
        } catch (error) {
          expect((error as Error).name).toBe("UsageError");
        }
      }),
      { numRuns: 500 },
    );
  });
});
