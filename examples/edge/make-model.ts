/**
 * Writes model.json: a GRU with random weights, seeded, in the shapes of PyTorch's `GRUCell`. It stands in
 * for a trained one, which goes into the same file; the README says how. Run: npx tsx make-model.ts
 */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const INPUT_SIZE = 3;
const HIDDEN_SIZE = 32;
/** Uniform in ±GAIN/√H: at 1, PyTorch's own, the states hardly leave zero. */
const GAIN = 2;

/** Integers, uniform in 0 … 2³² − 1: a linear congruential generator with Knuth's constants. */
function* integers(seed: number): Generator<number, never> {
  let state = BigInt(seed);
  for (;;) {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    yield Number(state >> 32n);
  }
}

/** The text of model.json, the same on every machine. */
export function makeModel(seed = 1): string {
  const random = integers(seed);
  const bound = GAIN / Math.sqrt(HIDDEN_SIZE);
  const number = () => {
    const uniform = random.next().value / 2 ** 31 - 1;
    return Number(Math.fround(bound * uniform).toPrecision(9));
  };
  const vector = (length: number) => Array.from({ length }, number);
  const matrix = (rows: number, columns: number) =>
    Array.from({ length: rows }, () => vector(columns));
  const model = {
    about: `random weights, seed ${seed}, written by make-model.ts`,
    inputSize: INPUT_SIZE,
    hiddenSize: HIDDEN_SIZE,
    weights: {
      weight_ih: matrix(3 * HIDDEN_SIZE, INPUT_SIZE),
      weight_hh: matrix(3 * HIDDEN_SIZE, HIDDEN_SIZE),
      bias_ih: vector(3 * HIDDEN_SIZE),
      bias_hh: vector(3 * HIDDEN_SIZE),
    },
  };
  return `${JSON.stringify(model)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(new URL("model.json", import.meta.url), makeModel());
}
