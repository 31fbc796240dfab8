/** The reader of safetensors files: what it reads, and what it refuses. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import npyjs from "npyjs";
import { describe, expect, it } from "vitest";
import { decode, parseHeader, SafetensorsFile } from "../../src/cli/safetensors.ts";
import { nanoporeFile } from "../support/nanopore.ts";
import { sharedData, sharedTitle } from "../support/shared-data.ts";
import { float32Tensor, rawSafetensors, safetensors, type TensorSpec } from "./files.ts";
import { temporaryFolder } from "./run-cli.ts";

const folder = temporaryFolder();
let files = 0;

function written(bytes: Uint8Array): string {
  const path = join(folder, `${files++}.safetensors`);
  writeFileSync(path, bytes);
  return path;
}

async function refusal(bytes: Uint8Array): Promise<string> {
  const path = written(bytes);
  try {
    await (await SafetensorsFile.open(path)).close();
  } catch (error) {
    expect((error as Error).name).toBe("UsageError");
    expect((error as Error).message).toContain(path);
    return (error as Error).message;
  }
  throw new Error("expected a refusal, got a file");
}

const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = "F32") => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const file = (header: unknown, dataLength: number) =>
  rawSafetensors(JSON.stringify(header), new Uint8Array(dataLength));

describe("a safetensors file", () => {
  it("gives back the shapes and numbers written, whatever they are", async () => {
    const tensor = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 3 }).chain((shape) => {
      const length = shape.reduce((product, extent) => product * extent, 1);
      const numbers = fc.float32Array({ minLength: length, maxLength: length });
      return fc.tuple(fc.constant(shape), numbers);
    });
    const names = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(names, tensor, { maxKeys: 6, noNullPrototype: true }),
        async (tensors) => {
          const specs: Record<string, TensorSpec> = {};
          for (const [name, [shape, data]] of Object.entries(tensors)) {
            if (name !== "__metadata__") specs[name] = float32Tensor(data, shape);
          }
          const opened = await SafetensorsFile.open(written(safetensors(specs)));
          try {
            expect([...opened.entries.keys()].sort()).toEqual(Object.keys(specs).sort());
            for (const [name, { shape }] of Object.entries(specs)) {
              expect(opened.entries.get(name)?.shape).toEqual(shape);
              expect(await opened.read(name)).toEqual(tensors[name]![1]);
            }
          } finally {
            await opened.close();
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it("has its F16 numbers widened, all 65,536 of them", () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const numbers = decode(new Uint8Array(bits.buffer), "F16");
    for (let i = 0; i < 65536; i++) {
      expect(Object.is(numbers[i], npyjs.float16ToFloat32(i))).toBe(true);
    }
  });

  it("has its BF16 and F64 numbers read as what they are", () => {
    const bf16 = Uint16Array.of(0x3f80, 0xc000, 0x4049, 0x0001, 0x7f80, 0xff80, 0x7fc0, 0x8000);
    expect([...decode(new Uint8Array(bf16.buffer), "BF16")]).toEqual([
      1,
      -2,
      3.140625,
      2 ** -133,
      Infinity,
      -Infinity,
      Number.NaN,
      -0,
    ]);
    const doubles = Float64Array.of(Math.PI, -1e300, 5e-324);
    const bytes = new Uint8Array(doubles.buffer);
    expect(decode(bytes, "F64")).toEqual(doubles);
  });

  it("is refused where it is not one", async () => {
    expect(await refusal(new Uint8Array(3))).toContain("expected at least 8 bytes, got 3");
    expect(await refusal(Buffer.from("\x89HDF\r\n\x1a\n and more"))).toContain(
      "expected a header of at most",
    );
    expect(await refusal(rawSafetensors("{", new Uint8Array(4)))).toContain(
      "the header is not JSON",
    );
    expect(await refusal(rawSafetensors("[1]", new Uint8Array(4)))).toContain(
      "expected a JSON object",
    );
    const truncated = rawSafetensors("{}", new Uint8Array(0));
    truncated.writeBigUInt64LE(200_000_000n);
    expect(await refusal(truncated)).toContain("got 200000000");
  });

  it.each([
    [
      "no dtype",
      { a: { shape: [1], data_offsets: [0, 4] } },
      4,
      "a: expected a dtype, got nothing",
    ],
    ["a negative size", { a: entry(0, 4, [-1]) }, 4, "a: expected a shape of sizes, got [-1]"],
    ["half an offset", { a: { ...entry(0, 4), data_offsets: [0] } }, 4, "a: expected data_offsets"],
    ["offsets turned round", { a: entry(4, 0, [1]) }, 4, "a: expected data_offsets"],
    [
      "an overlap",
      { a: entry(0, 8), b: entry(4, 12) },
      12,
      "b: overlaps a, which ends at byte 8, by 4",
    ],
    [
      "a gap",
      { a: entry(0, 4), b: entry(8, 12) },
      12,
      "b: expected to begin at byte 4, after a, got 8",
    ],
    [
      "a tensor past the end",
      { a: entry(0, 16) },
      12,
      "a: ends at byte 16 of the data, which has 12",
    ],
    ["bytes left over", { a: entry(0, 4) }, 12, "expected 4 bytes of data, got 12"],
    ["nothing for a tensor", { a: null }, 0, "a: expected a dtype, got nothing"],
  ])("is refused with %s", async (_, header, length, message) => {
    expect(await refusal(file(header, length))).toContain(message);
  });

  it("lists tensors of other types, and refuses to read them", async () => {
    const header = { ids: entry(0, 16, [2], "I64"), odd: entry(16, 17, [3], "F4") };
    const opened = await SafetensorsFile.open(written(file(header, 17)));
    expect([...opened.entries.keys()]).toEqual(["ids", "odd"]);
    await expect(opened.read("ids")).rejects.toThrow(/ids: expected type F32, .*, got I64/);
    await expect(opened.read("none")).rejects.toThrow("none: no such tensor");
    await opened.close();
  });

  it("never fails but with a UsageError, whatever its header says", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(64), (header, length) => {
        const bytes = new TextEncoder().encode(JSON.stringify(header));
        try {
          parseHeader(bytes, length, "file");
        } catch (error) {
          expect((error as Error).name).toBe("UsageError");
        }
      }),
    );
  });

  it("refuses a tensor whose bytes are too few or too many, and reads the others", async () => {
    const header = { few: entry(0, 8, [3]), many: entry(8, 16, [1]), right: entry(16, 20, [1]) };
    const opened = await SafetensorsFile.open(written(file(header, 20)));
    await expect(opened.read("few")).rejects.toThrow(
      "few: expected 12 bytes for shape [3] of F32, got 8",
    );
    await expect(opened.read("many")).rejects.toThrow(
      "many: expected 4 bytes for shape [1] of F32, got 8",
    );
    expect(await opened.read("right")).toHaveLength(1);
    await opened.close();
  });

  const title = sharedTitle("reads a file with a padded tensor, but for that one", nanoporeFile);
  it.skipIf(sharedData(nanoporeFile) === null)(title, async () => {
    const opened = await SafetensorsFile.open(sharedData(nanoporeFile)!);
    await expect(opened.read("softmax.bias")).rejects.toThrow(
      "softmax.bias: expected 4100 bytes for shape [1025] of F32, got 4112",
    );
    expect(await opened.read("conv.bias")).toHaveLength(96);
    await opened.close();
  });
});
