/** What the program says, and how it exits, when it is used in a wrong way: one line, and no stack. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mulberry32, uniform } from "../support/random.ts";
import { float32Tensor, npy, rawSafetensors, safetensors } from "./files.ts";
import { runCli, temporaryFolder } from "./run-cli.ts";

const folder = temporaryFolder();
const save = (name: string, bytes: string | Uint8Array) => writeFileSync(join(folder, name), bytes);
const random = mulberry32(1);
const tensor = (...shape: number[]) =>
  float32Tensor(
    uniform(
      random,
      shape.reduce((product, extent) => product * extent, 1),
    ),
    shape,
  );

save("gru.safetensors", safetensors({ weight_ih: tensor(12, 2), weight_hh: tensor(12, 4) }));
save(
  "two.safetensors",
  safetensors({
    "a.weight_ih_l0": tensor(12, 2),
    "a.weight_hh_l0": tensor(12, 4),
    "a.weight_ih_l1": tensor(12, 4),
    "a.weight_hh_l1": tensor(12, 4),
  }),
);
save("other.safetensors", safetensors({ kernel: tensor(3, 3) }));
save("empty.safetensors", safetensors({}));
save("odd.safetensors", safetensors({ weight_ih: tensor(12, 2), weight_hh: tensor(4, 12) }));
save(
  "projected.safetensors",
  safetensors({
    weight_ih_l0: tensor(16, 2),
    weight_hh_l0: tensor(16, 3),
    weight_hr_l0: tensor(3, 4),
  }),
);
save(
  "nan.safetensors",
  safetensors({
    weight_ih: tensor(12, 2),
    weight_hh: float32Tensor(new Float32Array(48).fill(Number.NaN), [12, 4]),
  }),
);
save(
  "integers.safetensors",
  safetensors({
    weight_ih: tensor(12, 2),
    weight_hh: { dtype: "I32", shape: [12, 4], bytes: new Uint8Array(192) },
  }),
);
save("broken.safetensors", rawSafetensors('{"a":', new Uint8Array(0)));
save(
  "relu.safetensors",
  safetensors({
    weight_ih: float32Tensor(new Float32Array(2).fill(3), [1, 2]),
    weight_hh: float32Tensor(Float32Array.of(1e30), [1, 1]),
  }),
);
save("x.npy", npy(uniform(random, 20), [10, 2]));
save("wide.npy", npy(uniform(random, 30), [10, 3]));
save("flat.npy", npy(uniform(random, 20), [20]));
save("cube.npy", npy(uniform(random, 20), [5, 2, 2]));
save("fortran.npy", npy(uniform(random, 20), [10, 2], { fortran: true }));
save("x.npz", "PK\x03\x04");
save("nan.npy", npy(Float32Array.of(1, 2, Number.NaN, 4), [2, 2]));
save("bad.csv", "a,b\n1,2\n3,oops\n");
save("binary.csv", Uint8Array.of(0xff, 0xfe, 0x00, 0x80));
save("negative.txt", "5 -5 10");
save("floats.npy", npy(Float32Array.of(5, 5), [2]));
mkdirSync(join(folder, "folder"));

const gru = ["eval", "gru.safetensors", "x.npy", "--cell", "gru"];
const out = ["--output", "out.npy"];

describe("the command line, used in a wrong way", () => {
  it.each<[string[], string]>([
    [["evl"], "unknown command 'evl' (Did you mean eval?)"],
    [["doctor", "--jsn"], "unknown option '--jsn' (Did you mean --json?)"],
    [["doctor", "now"], "too many arguments for 'doctor'. Expected 0 arguments but got 1."],
    [["eval"], "missing required argument 'weights'"],
    [["bench", "--steps"], "option '--steps <n>' argument missing"],
    [["bench", "--hidden", "0"], '--hidden: expected a positive integer, got "0"'],
    [["bench", "--hidden", "1e3"], '--hidden: expected a positive integer, got "1e3"'],
    [["bench", "--cell", "gruu"], "--cell: expected one of rnn, gru, lstm, "],
    [
      ["bench", "--variant", "tanh"],
      '--variant: expected one of reset-after, reset-before for --cell gru, got "tanh"',
    ],
    [
      ["bench", "--cell", "minimal-gru", "--variant", "x"],
      '--variant: expected none for --cell minimal-gru, got "x"',
    ],
    [["bench", "--method", "newton"], "--method: expected one of sequential, threads, jacobi, "],
    [["bench", "--threads", "0"], '--threads: expected a positive integer, got "0"'],
    [
      ["bench", "--method", "deer,elk", "--exact"],
      "--exact: expected --method threads, sequential or auto, got deer, elk",
    ],
    [
      ["bench", "--method", "threads", "--backend", "webgpu,reference"],
      "--method threads: expected --backend wasm, got webgpu, reference",
    ],
    [
      [...gru, ...out, "--method", "threads", "--backend", "webgpu"],
      "--method threads: expected --backend wasm, got webgpu",
    ],
    [
      [...gru, ...out, "--method", "deer", "--exact"],
      "--exact: expected --method threads, sequential or auto, got deer",
    ],
    [[...gru, ...out, "--threads", "2.5"], '--threads: expected a positive integer, got "2.5"'],
    [["bench", "--chunk", "4,,8"], '--chunk: expected values with commas between them, got "4,,8"'],
    [["bench", "--chunk", "4,x"], '--chunk: expected a positive integer, got "x"'],
    [
      ["bench", "--backend", "cpu"],
      '--backend: expected one of webgpu, wasm, reference, got "cpu"',
    ],
    [["conformance", "--cell", "nope"], "--cell: expected one of "],
    [["conformance", "--method", ""], '--method: expected values with commas between them, got ""'],
    [["eval", "gru.safetensors", "x.npy", ...out], "--cell: expected one of rnn, gru, lstm, "],
    [["eval", "gru.safetensors", "--cell", "gru", ...out], "inputs: expected a .npy or .csv file"],
    [gru, "--output: expected a .npy file, or - for stdout, got nothing"],
    [[...gru, "-o", "folder"], "--output folder: expected a file name, got a folder"],
    [[...gru, "-o", ""], "--output: expected a file name, got an empty one"],
    [[...gru, "-o", "nowhere/out.npy"], "nowhere: no such file or directory"],
    [
      [...gru, "-o", "x.npy", "--force"],
      "--output x.npy: expected another file than x.npy, which is read",
    ],
    [
      [...gru, ...out, "--json", "out.npy"],
      "--json: expected another file than that of --output, got out.npy",
    ],
    [
      [...gru, ...out, "--json", "gru.safetensors"],
      "--json gru.safetensors: expected another file than gru",
    ],
    [[...gru, ...out, "--chunk", "0"], '--chunk: expected a positive integer, got "0"'],
    [[...gru, ...out, "--damping", "-1"], '--damping: expected a number of at least 0, got "-1"'],
    [[...gru, ...out, "--tolerance", "0"], '--tolerance: expected a positive number, got "0"'],
    [
      [...gru, ...out, "--tolerance", "small"],
      '--tolerance: expected a positive number, got "small"',
    ],
    [
      [...gru, ...out, "--max-iterations", "-1"],
      '--max-iterations: expected a non-negative integer, got "-1"',
    ],
    [
      [...gru, ...out, "--on-failure", "panic"],
      '--on-failure: expected one of sequential, throw, return, got "panic"',
    ],
    [[...gru, ...out, "--jacobian", "full"], "--jacobian: expected one of none, identity, "],
    [
      [...gru, ...out, "--memory-limit", "5000"],
      '--memory-limit: expected an integer from 1 to 4096, got "5000"',
    ],
    [
      [...gru, ...out, "--layer", "first"],
      '--layer: expected a number such as 0, or 0_reverse, got "first"',
    ],
    [
      [...gru, ...out, "--layer", "0"],
      "expected a tensor weight_ih under --layer 0, got weight_ih",
    ],
    [
      [...gru, ...out, "--prefix", "rnn"],
      "expected a tensor weight_ih under --prefix rnn, got weight_ih",
    ],
    [
      ["eval", "two.safetensors", "x.npy", "--cell", "gru", ...out],
      "expected one tensor weight_ih, got a.weight_ih_l0, a.weight_ih_l1 (choose by",
    ],
    [
      ["eval", "other.safetensors", "x.npy", "--cell", "gru", ...out],
      "expected a tensor weight_ih, got kernel (--list",
    ],
    [
      ["eval", "empty.safetensors", "x.npy", "--cell", "gru", ...out],
      "expected a tensor weight_ih, got no tensors",
    ],
    [
      ["eval", "gru.safetensors", "x.npy", "--cell", "lstm", ...out],
      "weight_hh: expected shape [12, 3] of --cell lstm, got [12, 4] (3 gates of 4 units",
    ],
    [
      ["eval", "two.safetensors", "x.npy", "--cell", "diagonal-gru", "--layer", "0", ...out],
      "a.diagonal_hh_l0: expected shape [12] of --cell diagonal-gru, got no such tensor",
    ],
    [
      ["eval", "odd.safetensors", "x.npy", "--cell", "gru", ...out],
      "weight_hh: expected shape [12, 4] of --cell gru, got [4, 12]",
    ],
    [
      ["eval", "gru.safetensors", "x.npy", "--cell", "minimal-gru", ...out],
      "weight_hh: expected shape [12, 6]",
    ],
    [
      ["eval", "relu.safetensors", "x.npy", "--cell", "gru", ...out],
      "weight_ih: expected shape [3 × hiddenSize, inputSize] of --cell gru, got [1, 2]",
    ],
    [
      ["eval", "projected.safetensors", "x.npy", "--cell", "lstm", ...out],
      "weight_hr_l0: expected a layer without projections",
    ],
    [
      ["eval", "nan.safetensors", "x.npy", "--cell", "gru", ...out],
      "weight_hh: expected finite numbers, got NaN at 0",
    ],
    [
      ["eval", "integers.safetensors", "x.npy", "--cell", "gru", ...out],
      "weight_hh: expected type F32, F64, F16, BF16, got I32",
    ],
    [
      ["eval", "broken.safetensors", "--list"],
      "broken.safetensors: not a valid safetensors file: the header is not JSON",
    ],
    [["eval", "missing.safetensors", "--list"], "missing.safetensors: no such file or directory"],
    [["eval", "folder", "--list"], "folder: "],
    [
      ["eval", "gru.safetensors", "missing.npy", "--cell", "gru", ...out],
      "missing.npy: no such file or directory",
    ],
    [
      ["eval", "gru.safetensors", "wide.npy", "--cell", "gru", ...out],
      "wide.npy: expected shape [T, 2], as of weight_ih, got [10, 3]",
    ],
    [
      ["eval", "gru.safetensors", "flat.npy", "--cell", "gru", ...out],
      "flat.npy: expected shape [T, 2], as of weight_ih, got [20]",
    ],
    [
      ["eval", "gru.safetensors", "cube.npy", "--cell", "gru", ...out],
      "cube.npy: expected one or two dimensions, got 3, [5, 2, 2]",
    ],
    [
      ["eval", "gru.safetensors", "fortran.npy", "--cell", "gru", ...out],
      "fortran.npy: expected C order, got Fortran order",
    ],
    [
      ["eval", "gru.safetensors", "x.npz", "--cell", "gru", ...out],
      "x.npz: expected a .npy file, got an archive (.npz?)",
    ],
    [
      ["eval", "gru.safetensors", "nan.npy", "--cell", "gru", ...out],
      "nan.npy: expected finite numbers, got NaN at row 1, column 0",
    ],
    [
      ["eval", "gru.safetensors", "bad.csv", "--cell", "gru", ...out],
      'bad.csv: row 3, column 2 ("b"): expected a number, got "oops"',
    ],
    [
      ["eval", "gru.safetensors", "binary.csv", "--cell", "gru", ...out],
      "binary.csv: expected a .npy file or a table in UTF-8",
    ],
    [
      ["eval", "gru.safetensors", "-", "--cell", "gru", ...out],
      "stdin: expected rows of numbers, got an empty file",
    ],
    [
      [...gru, ...out, "--lengths", "3,4"],
      "--lengths: expected a sum of 10, the rows of inputs, got 7",
    ],
    [[...gru, ...out, "--lengths", ","], "--lengths: expected integers, got none"],
    [
      [...gru, ...out, "--lengths", "negative.txt"],
      '--lengths negative.txt: expected non-negative integers, got "-5"',
    ],
    [
      [...gru, ...out, "--lengths", "floats.npy"],
      "--lengths floats.npy: expected integers, little-endian, got the type <f4",
    ],
    [[...gru, ...out, "--lengths", "gone.txt"], "gone.txt: no such file or directory"],
    [
      [...gru, ...out, "--initial-state", "flat.npy"],
      "--initial-state flat.npy: expected shape [4], got [20]",
    ],
  ])("%j", async (args, message) => {
    const ended = await runCli(args, { cwd: folder });
    expect(ended.stderr).toContain(message);
    expect(ended.stderr).toMatch(/^antler: [^\n]+\n$/);
    expect(ended.stderr).not.toMatch(/\bat .*:\d+:\d+/);
    expect(ended.text).toBe("");
    expect(ended.code).toBe(2);
  });

  it("tells work that failed from wrong usage", async () => {
    const blown = [
      "eval",
      "relu.safetensors",
      "x.npy",
      "--cell",
      "rnn",
      "--variant",
      "relu",
      ...out,
    ];
    const ended = await runCli(blown, { cwd: folder });
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(
      /^antler: the state is not finite from step \d+, unit 0 of sequence 0 on: [^\n]+\n$/,
    );
    const cramped = [
      ...gru,
      ...out,
      "--method",
      "deer",
      "--memory-limit",
      "1",
      "--lengths",
      "long",
    ];
    save("long.npy", npy(uniform(random, 400_000), [200_000, 2]));
    cramped[2] = "long.npy";
    const full = await runCli(cramped.slice(0, -2), { cwd: folder });
    expect(full.code).toBe(1);
    expect(full.stderr).toMatch(
      /^antler: memory: .* \(fewer steps at a time, or a larger --memory-limit, may do\)\n$/,
    );
  });
});
