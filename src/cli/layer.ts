/** Finds a layer's tensors in a safetensors file, and makes a cell of them. */
import type { Cell } from "../index.ts";
import type { CellKind, Sizes, Weights } from "./cells.ts";
import { UsageError } from "./failure.ts";
import type { SafetensorsFile, TensorEntry } from "./safetensors.ts";

export interface LayerChoice {
  readonly kind: CellKind;
  readonly variant: string;
  /** What comes before the tensors' names, with or without the dot at its end. */
  readonly prefix: string | undefined;
  /** PyTorch's number of a layer, with "_reverse" for the second direction. */
  readonly layer: string | undefined;
}

export interface Layer {
  readonly cell: Cell;
  readonly sizes: Sizes;
  /** Name of the input weights in the file. */
  readonly weightName: string;
  /** Whether the weights are of the direction that PyTorch runs from the last row to the first. */
  readonly reverse: boolean;
}

/** Before and after the name that a cell knows: `encoder.` weight_ih `_l0`. */
interface Place {
  readonly prefix: string;
  readonly suffix: string;
}

const inputWeights = /^(?<prefix>.*?)weight_ih(?<suffix>_l\d+(_reverse)?)?$/s;
const MOST_NAMES = 8;

/** @throws UsageError if no tensors, or several sets of them, fit the choice, or if their shapes do not. */
export async function readLayer(file: SafetensorsFile, choice: LayerChoice): Promise<Layer> {
  const { kind, variant } = choice;
  const place = findPlace(file, choice);
  const fullName = (name: string) => `${place.prefix}${name}${place.suffix}`;
  if (file.entries.has(fullName("weight_hr"))) {
    throw new UsageError(
      `${file.path}: ${fullName("weight_hr")}: expected a layer without projections`,
      "Antler has no LSTM with proj_size",
    );
  }
  const sizes = sizesOf(file, kind, fullName);
  const required = kind.required(sizes, variant);
  const optional = kind.optional(sizes);
  const weights: Weights = {};
  for (const [name, shape] of Object.entries({ ...required, ...optional })) {
    const entry = file.entries.get(fullName(name));
    if (!entry && name in optional) continue;
    checkShape(file, fullName(name), entry, shape, kind);
    weights[name] = await file.read(fullName(name));
    checkFinite(file, fullName(name), weights[name]!);
  }
  return {
    cell: kind.make(sizes, weights, variant),
    sizes,
    weightName: fullName("weight_ih"),
    reverse: place.suffix.endsWith("_reverse"),
  };
}

function findPlace(file: SafetensorsFile, { prefix, layer }: LayerChoice): Place {
  const places: Place[] = [];
  for (const name of file.entries.keys()) {
    const found = inputWeights.exec(name)?.groups;
    if (found) places.push({ prefix: found.prefix!, suffix: found.suffix ?? "" });
  }
  const fitting = places.filter(
    (place) =>
      (prefix === undefined || place.prefix === prefix || place.prefix === `${prefix}.`) &&
      (layer === undefined || place.suffix === `_l${layer}`),
  );
  if (fitting.length === 1) return fitting[0]!;
  const asked = [
    prefix !== undefined && `--prefix ${prefix}`,
    layer !== undefined && `--layer ${layer}`,
  ].filter(Boolean);
  const under = asked.length > 0 ? ` under ${asked.join(" ")}` : "";
  const found = fitting.length > 0 ? fitting : places;
  const names = found.map((place) => `${place.prefix}weight_ih${place.suffix}`);
  const got = listed(names.length > 0 ? names : [...file.entries.keys()]);
  const few = fitting.length === 0 ? "a tensor weight_ih" : "one tensor weight_ih";
  const hint =
    fitting.length > 1
      ? "choose by --prefix and --layer"
      : "--list shows the tensors, --prefix and --layer choose among them";
  throw new UsageError(`${file.path}: expected ${few}${under}, got ${got || "no tensors"}`, hint);
}

function listed(names: readonly string[]): string {
  const rest = names.length - MOST_NAMES;
  return names.slice(0, MOST_NAMES).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

function sizesOf(file: SafetensorsFile, kind: CellKind, fullName: (name: string) => string): Sizes {
  const name = fullName("weight_ih");
  const { shape } = file.entries.get(name)!;
  const [rows = 0, inputSize = 0] = shape;
  const hiddenSize = rows / kind.gates;
  if (shape.length !== 2 || !Number.isInteger(hiddenSize) || hiddenSize < 1 || inputSize < 1) {
    const expected = `${kind.gates === 1 ? "" : `${kind.gates} × `}hiddenSize`;
    throw new UsageError(
      `${file.path}: ${name}: expected shape [${expected}, inputSize] of --cell ${kind.name},` +
        ` got [${shape.join(", ")}]`,
      "is it another cell?",
    );
  }
  return { inputSize: kind.inputSize ?? inputSize, hiddenSize };
}

function checkShape(
  file: SafetensorsFile,
  name: string,
  entry: TensorEntry | undefined,
  shape: readonly number[],
  { name: cell, gates }: CellKind,
): void {
  const expected = `${file.path}: ${name}: expected shape [${shape.join(", ")}] of --cell ${cell}`;
  if (!entry) throw new UsageError(`${expected}, got no such tensor`, "--list shows the tensors");
  if (entry.shape.join() === shape.join()) return;
  const [rows = 0, columns = 0] = entry.shape;
  const actual = rows / columns;
  const isOther = name.includes("weight_hh") && Number.isInteger(actual) && actual !== gates;
  throw new UsageError(
    `${expected}, got [${entry.shape.join(", ")}]`,
    isOther ? `${actual} gates of ${columns} units: is it another cell?` : undefined,
  );
}

function checkFinite(file: SafetensorsFile, name: string, data: ArrayLike<number>): void {
  for (let i = 0; i < data.length; i++) {
    if (!Number.isFinite(data[i])) {
      throw new UsageError(
        `${file.path}: ${name}: expected finite numbers, got ${data[i]} at ${i}`,
      );
    }
  }
}
