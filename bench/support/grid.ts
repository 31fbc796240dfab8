/**
 * The grid of shapes that peers are compared on, and how it fits into the time there is: a shape that
 * takes too long, or whose states take too much memory, is measured at fewer steps, and says so.
 */
import { checkLayers, INPUT_SIZE, type LayerName, multiplyAdds, partsPerUnit } from "./layers.ts";
import { roundedDown } from "./tasks.ts";

export interface Shape {
  readonly layer: LayerName;
  readonly hiddenSize: number;
  readonly batch: number;
  /** T of the grid. */
  readonly steps: number;
  /** The steps that it is measured at: T, or fewer. */
  readonly measured: number;
}

export interface GridOptions {
  readonly layers: readonly string[];
  readonly sizes: readonly number[];
  readonly steps: readonly number[];
  readonly batches: readonly number[];
  /** About how long one run of a fast peer may take. */
  readonly seconds: number;
  /** How much the states of a shape may take. */
  readonly gigabytes: number;
}

/** The defaults of every bench that goes over the whole grid. */
export const gridSpecs = {
  layers: { description: "of GRU, LSTM", default: ["GRU", "LSTM"] },
  sizes: { description: "hidden sizes D", default: [8, 32, 64, 128, 256] },
  steps: { description: "lengths T", default: [1_000, 10_000, 100_000] },
  batches: { description: "sequences B, all of them T long", default: [1, 16] },
} as const;

/** What `--quick` puts in the place of the grid's defaults. */
export const quickGrid = { sizes: [8, 32], steps: [200, 2_000], batches: [1, 4], repeats: 2 };

/** The options with those of `quick` wherever nothing else was asked for than the default. */
export function quickened<Options extends object>(
  options: Options,
  specs: Readonly<Record<string, { readonly default: unknown }>>,
  quick: Partial<Record<keyof Options, unknown>>,
): Options {
  const entries = Object.entries(quick).filter(
    ([name]) => options[name as keyof Options] === specs[name].default,
  );
  return { ...options, ...Object.fromEntries(entries) };
}

/** About what a kernel near the peak does; only there to judge what there is time for. */
const MULTIPLY_ADDS_PER_NANOSECOND = 8;
const OVERHEAD_NANOSECONDS = 100;

/** Milliseconds that one run of a shape is thought to take. */
export function expectedMilliseconds({
  layer,
  hiddenSize,
  batch,
  measured,
}: Omit<Shape, "steps">): number {
  return 1e-6 * batch * measured * stepNanoseconds(layer, hiddenSize);
}

function stepNanoseconds(operator: LayerName, hiddenSize: number): number {
  const layer = { operator, hiddenSize, inputSize: INPUT_SIZE };
  return OVERHEAD_NANOSECONDS + multiplyAdds(layer) / MULTIPLY_ADDS_PER_NANOSECOND;
}

/**
 * Every shape of the grid, the small ones first.
 * @throws RangeError for an unknown layer, or for sizes that are not positive integers
 */
export function gridShapes(options: GridOptions): Shape[] {
  const layers = checkLayers(options.layers);
  for (const name of ["sizes", "steps", "batches"] as const) {
    const wrong = options[name].find((value) => !Number.isInteger(value) || value < 1);
    if (wrong === undefined) continue;
    throw new RangeError(`${name}: expected positive integers, got ${wrong}`);
  }
  const shapes: Shape[] = [];
  for (const layer of layers) {
    for (const batch of options.batches) {
      for (const hiddenSize of options.sizes) {
        const bytes = 4 * batch * hiddenSize * partsPerUnit[layer];
        const inTime = (1e9 * options.seconds) / batch / stepNanoseconds(layer, hiddenSize);
        const most = roundedDown(Math.min(inTime, (1e9 * options.gigabytes) / bytes));
        for (const steps of options.steps) {
          shapes.push({ layer, hiddenSize, batch, steps, measured: Math.min(steps, most) });
        }
      }
    }
  }
  return shapes;
}

/** Such as "100,000 (at 10,000)". */
export function describeSteps(steps: number, measured: number): string {
  const text = steps.toLocaleString("en-US");
  return measured === steps ? text : `${text} (at ${measured.toLocaleString("en-US")})`;
}

/**
 * Shares the time that is left among what is still to be done, by what each is thought to cost.
 */
export class Schedule {
  readonly #deadline: number;
  #left: number;

  /** @param total the sum of all that will be passed to `budget` */
  constructor(minutes: number, total: number) {
    this.#deadline = performance.now() + 60e3 * minutes;
    this.#left = total;
  }

  /** Milliseconds for the next task, of this share of the total; null where there is no time left. */
  budget(share: number): number | null {
    const remaining = this.#deadline - performance.now();
    const budget = remaining * (share / this.#left);
    this.#left -= share;
    return remaining > 0 ? budget : null;
  }
}
